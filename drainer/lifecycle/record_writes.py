"""
The writes of a record that a pass makes, as values: which one each drain needs, by the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drainer.drain.admission import Admission
from drainer.drain.conditional_write import Condition, Demand, Write
from drainer.drain.earlier_looks import earlier
from drainer.drain.model import LifecycleActionResult
from drainer.drain.record import DrainRecord, End, key_of
from drainer.drain.record_codec import previous_of
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.model import Drain
    from drainer.lifecycle.outcome import HookOutcome

ENDS = {
    LifecycleActionResult.CONTINUE: End.CONTINUE,
    LifecycleActionResult.ABANDON: End.ABANDON,
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What no other write has, and when this one is made."""

    pass_id: str
    now: datetime


def creation(outcome: HookOutcome, stamp: Stamp) -> Write:
    """Return the write that begins the record of what the sweep has found."""
    # What the look has found beside the container instance is not searched for again.
    record, others = outcome.record, outcome.following().others
    drain = replace(outcome.drain, hop=0, others=others)
    if record is None or not record.is_open:
        return first(outcome, drain, Demand.SUCCEEDS, stamp)
    write = first(outcome, drain, Demand.OVERTAKES, stamp)
    return replace(write, condition=replace(write.condition, hop=record.hop))


def claim(outcome: HookOutcome, stamp: Stamp, *, silent: bool) -> Write | None:
    """
    Return the write that takes the hop of a drain that goes on; None where none is to be made.
    """
    following, record = outcome.following(), outcome.record
    admission = outcome.admitted.admission
    if admission in {Admission.NEW, Admission.JOIN} and not outcome.heartbeat:
        return None  # nothing shows yet that the action is a true one
    if admission == Admission.NEW:
        return first(outcome, following, Demand.REPLACES, stamp)
    if record is None:
        return None  # nothing can be read
    condition = Condition(Demand.FOLLOWS, record.generation, record.hop)
    if admission == Admission.JOIN:
        # The token is added to the sweep's record; its chain goes on if it is alive.
        condition = Condition(Demand.JOINS, record.generation, record.hop if silent else None)
        deadline_at = earlier(following.deadline_at, record.drain.deadline_at)
        following = replace(following, hop=record.hop + 1, deadline_at=deadline_at)
    return Write(_record(outcome, following, record.generation, stamp), condition)


def end(outcome: HookOutcome, stamp: Stamp) -> Write | None:
    """Return the write that ends a record; None where none is to be made."""
    admission, record = outcome.admitted.admission, outcome.record
    how = ENDS[outcome.answered] if outcome.answered else End.OVER
    claims = admission in {Admission.NEW, Admission.JOIN}
    if admission == Admission.UNREAD or (claims and how == End.OVER):
        return None  # a token that Auto Scaling refuses says nothing about the record
    if admission == Admission.NEW:
        if record is not None:
            return None
        return first(outcome, outcome.following(), Demand.ABSENT, stamp, how)
    if outcome.decision.step == Step.COMPLETE and not outcome.named:
        return None  # written before the answer was given
    looked = outcome.decision.step == Step.STOP and not outcome.over
    if record is None or (looked and admission == Admission.LOOK):
        return None
    return ending(outcome, record, how, stamp)


def ending(
    outcome: HookOutcome, there: DrainRecord, how: End, stamp: Stamp, *, first: bool = False
) -> Write:
    """Return the write that ends the record that this pass has read, be it before its answer."""
    demand = Demand.OVER if how == End.OVER else Demand.ENDS
    demand = Demand.ENDS_FIRST if first else demand
    record = _record(outcome, outcome.following(), there.generation, stamp, how)
    return Write(record, Condition(demand, there.generation))


def reopening(there: DrainRecord, stamp: Stamp) -> Write:
    """Return the write that takes back the end which was written before a refused answer."""
    again = replace(there, pass_id=stamp.pass_id)
    return Write(again, Condition(Demand.REOPENS, there.generation, there.hop))


def first(
    outcome: HookOutcome, drain: Drain, demand: Demand, stamp: Stamp, how: End = End.OPEN
) -> Write:
    """Return the first write of an action; it replaces what there is of another one."""
    there = outcome.record
    if there is None:
        return Write(_record(outcome, drain, 1, stamp, how), Condition(Demand.ABSENT))
    record = _record(outcome, drain, there.generation + 1, stamp, how)
    following = replace(record, previous=previous_of(there))
    return Write(following, Condition(demand, there.generation))


def _record(
    outcome: HookOutcome, drain: Drain, generation: int, stamp: Stamp, how: End = End.OPEN
) -> DrainRecord:
    look = outcome.look
    instance = look.container_instance
    record = DrainRecord(
        key=key_of(drain.action),
        generation=generation,
        hop=drain.hop,
        pass_id=stamp.pass_id,
        drain=replace(drain, generation=generation, sent_at=None),
        written_at=stamp.now,
        phase=outcome.decision.phase,
        reason=outcome.decision.reason,
        running=instance.running_tasks if instance else 0,
        pending=instance.pending_tasks if instance else 0,
        tasks=tuple(task.id for task in look.remaining),
        end=how,
        ended_at=stamp.now if how else None,
    )
    # Whatever was set DRAINING may be in service again: after a warm pool, with a new root volume,
    # or because its termination was cancelled by hand.
    drained = bool(outcome.answered) or record.may_have_drained
    before = outcome.record.previous if outcome.record else None
    was_followed = before is not None and before.followed
    return replace(record, followed=bool(how) and (drained or was_followed))
