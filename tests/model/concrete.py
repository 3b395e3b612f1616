"""
The product's own functions on the model's values: which message is admitted, what a look leads to,
when a write's condition holds and what it leaves. The model has no second opinion of these.

A value is turned into the product's, and what comes of it is turned back. The same question is
answered from memory.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from drainer.drain.admission import Admission, Admitted, admit
from drainer.drain.conditional_write import (
    Condition,
    Demand,
    Outcome,
    Write,
    holds,
    refused,
    stored,
)
from drainer.drain.may_leave import Act
from drainer.drain.model import (
    ContainerInstance,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Origin,
    Owner,
    Policy,
    StandaloneTasks,
    Task,
)
from drainer.drain.record import DrainRecord, End, key_of
from drainer.errors import UnavailableError
from drainer.lifecycle import heartbeats, rules
from drainer.lifecycle.look import HookLook, Waiting
from drainer.lifecycle.outcome import HookOutcome
from drainer.lifecycle.rules import Step
from tests.model.values import (
    COMPLETE,
    DRAIN,
    OLDER,
    PAST,
    PRESENT,
    ROUND,
    STOP,
    SWEEP,
    UNNAMED,
    WAKE_UP,
    Facts,
    Look,
    Plan,
    Rec,
)

INTERVAL_SECONDS = 15
TICK = timedelta(minutes=1)
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BEGUN = NOW - timedelta(hours=10)
DRAINING = NOW - timedelta(hours=5)
LONG_AGO = NOW - timedelta(hours=12)
GENERATION, HOP = 5, 100_000
GENERATIONS = {OLDER: GENERATION - 1, PRESENT: GENERATION, UNNAMED: None}
ENDS = (End.OPEN, End.CONTINUE, End.OVER)
ORIGINS = {SWEEP: Origin.SWEEP, WAKE_UP: Origin.WAKE_UP}
STEPS = {Step.STOP: STOP, Step.COMPLETE: COMPLETE, Step.RE_INVOKE: ROUND}
POLICY = Policy(None, 3600, LifecycleActionResult.ABANDON, StandaloneTasks.WAIT, 300)
JUST_NOW = -1  # an instant that the product has set to now
UNFIXED = 1_000  # no deadline is known yet
TASK = Task("a", Owner.SERVICE, "service:web", "STOPPED", "STOPPING")
HOOK_TICKS = 99


def _drain(facts: Facts, hop: int, generation: int | None, hook: int, *, found: bool) -> Drain:
    begun = BEGUN + facts.whose * TICK + (TICK / 2 if found else timedelta())
    absent = {0: None, 1: NOW, 2: NOW - TICK}[facts.absent]
    return Drain(
        action=LifecycleAction("group", "hook", "i-1", str(facts.token or "")),
        started_at=begun,
        last_heartbeat_at=LONG_AGO,
        hop=HOP + hop,
        deadline_at=NOW + facts.deadline * TICK,
        heartbeat_timeout_seconds=int(hook * TICK.total_seconds()) if hook else None,
        policy=POLICY,
        draining_since=DRAINING + timedelta(seconds=facts.since) if facts.since else None,
        listed_at=DRAINING + timedelta(seconds=facts.listed) if facts.listed else None,
        closed=bool(facts.listed),
        not_waiting_since=absent,
        # Neither early nor late: what is late only begins its listings again, without the table.
        sent_at=NOW - TICK / 2,
        generation=generation,
    )


def _facts(drain: Drain) -> Facts:
    since, absent, ends_at = drain.draining_since, drain.not_waiting_since, drain.deadline_at
    listed = drain.listed_at if drain.closed else None
    begun = JUST_NOW if drain.started_at == NOW else (drain.started_at - BEGUN) // TICK
    return Facts(
        whose=begun,
        token=int(drain.action.lifecycle_action_token or 0),
        deadline=max((ends_at - NOW) // TICK, PAST) if ends_at else UNFIXED,
        since=JUST_NOW if since == NOW else _period(since),
        listed=_period(listed),
        absent=0 if absent is None else 1 if absent == NOW else 2,
    )


def _period(at: datetime | None) -> int:
    return int((at - DRAINING).total_seconds()) if at else 0


def _record(rec: Rec, hook: int) -> DrainRecord:
    drain = _drain(rec.facts, 0, GENERATION, hook, found=True)
    written_at = NOW - rec.age * TICK
    end = ENDS[rec.end]
    return DrainRecord(
        key_of(drain.action), GENERATION, HOP, "there", drain, written_at,
        end=end, ended_at=written_at if end else None,
    )  # fmt: skip


@cache
def admitted(  # noqa: PLR0917 (positions are what a cache answers from soonest)
    serves: int,
    generation: int,
    hop: int,
    facts: Facts | None,
    rec: Rec | tuple[()],
    hook: int,
    down: int,
) -> tuple[Admission, Facts, int]:
    """
    Return what becomes of a message, a silent record, a wake-up or what waits unknown.

    Args:
        serves: What the invocation serves.
        generation: Which one the message names.
        hop: The message's.
        facts: The message's; None for what has none.
        rec: The record.
        hook: The hook's heartbeat timeout in ticks; 0 for unknown.
        down: Whether the table cannot be read.
    """
    record = _record(rec, hook) if isinstance(rec, Rec) else None
    if facts is not None:
        drain = _drain(facts, hop, GENERATIONS[generation], hook, found=False)
    elif record is not None and record.is_open:
        drain = replace(record.drain, origin=ORIGINS[serves], generation=GENERATION)
    else:
        action = LifecycleAction("group", "hook", "i-1", "")
        drain = Drain(action, NOW, LONG_AGO, origin=ORIGINS[serves])
    read = UnavailableError("the table is down") if down else record
    one = admit(drain, read, NOW, INTERVAL_SECONDS)
    return one.admission, _facts(one.drain), one.drain.hop - HOP


def _look(facts: Facts, look: Look, serves: int, proven: int) -> HookLook:
    seen = look.waiting >= 0
    status = "DRAINING" if look.draining else "ACTIVE"
    instance = ContainerInstance(
        "arn", "i-1", status, agent_connected=True, running_tasks=0, pending_tasks=0
    )
    drain = _drain(facts, -HOP, None, HOOK_TICKS, found=False)
    return HookLook(
        "i-1",
        now=NOW,
        drain=replace(drain, origin=ORIGINS.get(serves, Origin.CHAIN)),
        waiting={1: Waiting.YES, 0: Waiting.NO, -1: Waiting.UNSEEN}[look.waiting],
        proven=bool(proven),
        pass_interval_seconds=INTERVAL_SECONDS,
        deadline_result=LifecycleActionResult.ABANDON,
        registrations={"arn": instance} if seen else {},
        tasks={TASK.id: TASK} if seen and look.busy else {},
        described=seen,
        settled=seen,
        failed=not seen,
    )


@cache
def planned(facts: Facts, look: Look, serves: int, proven: int) -> Plan:
    """Return what the look leads to."""
    hook_look = _look(facts, look, serves, proven)
    decision = rules.decide(hook_look)
    drains = decision.act == Act.SET_DRAINING
    return Plan(
        DRAIN if drains else STEPS[decision.step],
        int(decision.result == LifecycleActionResult.ABANDON),
        int(decision.heartbeat),
        int(heartbeats.is_unproven(hook_look)),
    )


@cache
def carried(facts: Facts, look: Look, proven: int, drained: int, heartbeat: int) -> Facts:
    """Return what the next pass is told; `since` is JUST_NOW where this pass has set or seen it."""
    hook_look = _look(facts, look, 0, proven)
    outcome = HookOutcome(
        look=hook_look,
        decision=rules.decide(hook_look),
        admitted=Admitted(Admission.DUE, hook_look.drain, None),
        drained_at=NOW if drained else None,
        heartbeat=bool(heartbeat),
    )
    return _facts(outcome.following())


@cache
def written(
    rec: Rec | tuple[()], demand: Demand, same: tuple[int, int | None], new: Rec, by: int
) -> tuple[Rec | tuple[()], bool, bool]:
    """
    Return the record after a write, whether it was made, and whether the pass's id changed.

    Args:
        rec: The record that is there.
        demand: What the write demands.
        same: Whether the generation, and the hop if it matters, are as they were read.
        new: What is to be stored.
        by: How many hops further.
    """
    there = _record(rec, HOOK_TICKS) if isinstance(rec, Rec) else None
    generation = 0 if demand == Demand.ABSENT else GENERATION - 1 + same[0]
    hop = None if same[1] is None else HOP - 1 + same[1]
    condition = Condition(demand, generation, hop)
    if not holds(condition, there):
        return rec, False, False
    record = replace(_record(new, HOOK_TICKS), hop=HOP + by, pass_id="new")
    left = stored(Write(record, condition), there)
    facts = _facts(left.drain)
    age = (NOW - (left.ended_at or left.written_at)) // TICK
    return Rec(ENDS.index(left.end), age, facts, new.spent), True, left.pass_id == "new"


@cache
def repeated(rec: Rec, demand: Demand, own_id: int, token: int, hop: int | None) -> bool:
    """Return whether a writer that repeats its write takes the refusal for its own write."""
    there = _record(rec, HOOK_TICKS)
    mine = replace(there, pass_id="there" if own_id else "mine")
    action = replace(there.drain.action, lifecycle_action_token=str(token or ""))
    mine = replace(mine, drain=replace(mine.drain, action=action))
    write = Write(mine, Condition(demand, GENERATION, hop))
    return refused(write, there).outcome == Outcome.DONE
