"""
The writes of a record as values: what is to be stored, under which condition, and what came of it.

The meaning of a write is defined once, here: `holds` and `stored`. The gateway says the same in
DynamoDB's words, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drainer.drain.earlier_looks import extended
from drainer.drain.record import DrainRecord, End

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.record import Record
    from drainer.errors import DrainerError


class Demand(StrEnum):
    """What a write demands of the record that is there, beside the generation as read."""

    ABSENT = "absent"  # no record: insert the first one
    REPLACES = "replaces"  # anything: the token of another action was proven
    # open, no token, the hop as read: what the sweep takes for another action, unless a chain or a
    # token has come to the record since
    OVERTAKES = "overtakes"
    SUCCEEDS = "succeeds"  # it has ended: the sweep creates the next one without a token
    FOLLOWS = "follows"  # open, the hop as read: due and takeover
    JOINS = "joins"  # open, no token; the hop as read where the join is also a takeover
    ENDS_FIRST = "ends first"  # open, no token: it is about to be answered
    REOPENS = "reopens"  # ended, no token, the hop as read: the answer was refused
    ENDS = "ends"  # open or over: the answer was accepted
    OVER = "over"  # open: the action was not active any more
    FORGETS = "forgets"  # it has ended: its instance is followed no longer
    SERVES = "serves"  # it has ended: its instance has served since
    EXTENDS = "extends"  # open, its extension as read: an operator extends its deadline
    RELEASES = "releases"  # open or ended: an operator has answered its hook


# What begins a generation.
CREATIONS = frozenset({Demand.ABSENT, Demand.REPLACES, Demand.OVERTAKES, Demand.SUCCEEDS})


@dataclass(frozen=True, slots=True)
class Condition:
    """
    When a write may succeed.

    Attributes:
        demand: What is demanded.
        generation: As read; 0 for ABSENT.
        hop: As read; None where the hop does not matter.
        extended_to: As read, for EXTENDS.
    """

    demand: Demand
    generation: int = 0
    hop: int | None = None
    extended_to: datetime | None = None


def holds(condition: Condition, there: Record | None) -> bool:
    """Whether a condition holds for the record that is there."""
    demand = condition.demand
    if there is None or demand == Demand.ABSENT:
        return there is None and demand == Demand.ABSENT
    if there.generation != condition.generation:
        return False
    if condition.hop is not None and there.hop != condition.hop:
        return False
    return {
        Demand.REPLACES: True,
        Demand.OVERTAKES: there.is_open and not there.token,
        Demand.SUCCEEDS: not there.is_open,
        Demand.FOLLOWS: there.is_open,
        Demand.JOINS: there.is_open and not there.token,
        Demand.ENDS_FIRST: there.is_open and not there.token,
        Demand.REOPENS: not there.is_open and not there.token,
        Demand.ENDS: there.is_open or there.end == End.OVER,
        Demand.OVER: there.is_open,
        Demand.FORGETS: not there.is_open,
        Demand.SERVES: not there.is_open,
        Demand.EXTENDS: there.is_open and _extension(there) == condition.extended_to,
        Demand.RELEASES: True,
    }[demand]


def _extension(there: Record) -> datetime | None:
    return there.drain.extended_to if isinstance(there, DrainRecord) else None


@dataclass(frozen=True, slots=True)
class Write:
    """
    One conditional write.

    Attributes:
        record: What is to be stored, as far as `stored` says.
        condition: When.
    """

    record: Record
    condition: Condition


def stored(write: Write, there: Any) -> Any:
    """
    Return what is there after a write whose condition held.

    A pass and the join of a token may write at the same time. Neither condition names a field that
    the other changes, and neither reverts the other: a pass leaves the token alone and sets a
    deadline only where there is none, a join sets these two and when its action began, which no
    pass sets. Nor does either touch what an operator writes, an extension or who has released the
    instance, which sets nothing else. The arguments and the result are records of the kind that is
    written, or None.
    """
    demand = write.condition.demand
    new: Any = write.record
    if there is None or demand in CREATIONS:
        return new
    if demand == Demand.FORGETS:
        return replace(there, followed=False, pass_id=new.pass_id)
    if demand == Demand.SERVES:
        return replace(there, served=True, pass_id=new.pass_id)
    if demand == Demand.EXTENDS:
        drain = extended(there.drain, new.drain.extended_to)
        return replace(there, drain=drain, extended_by=new.extended_by)
    if demand == Demand.RELEASES:
        return replace(there, released_by=new.released_by)
    joins = demand == Demand.JOINS
    base = there if joins and write.condition.hop is None else new
    hop = base.hop if demand in (Demand.FOLLOWS, Demand.JOINS) else there.hop
    following = replace(base, generation=there.generation, hop=hop)
    if not isinstance(base, DrainRecord):
        return following  # a request's has neither token nor predecessor, and one deadline
    token = new.token if joins else there.token
    deadline_at, started_at = new.drain.deadline_at, new.drain.started_at
    if not joins:
        deadline_at, started_at = there.drain.deadline_at or deadline_at, there.drain.started_at
    drain = replace(
        base.drain,
        action=replace(base.drain.action, lifecycle_action_token=token),
        started_at=started_at,
        deadline_at=deadline_at,
    )
    return replace(
        following,
        drain=extended(drain, there.drain.extended_to),
        extended_by=there.extended_by,
        released_by=there.released_by,
        previous=there.previous,
    )


class Outcome(StrEnum):
    """What came of a write."""

    DONE = "done"
    REFUSED = "refused"  # the condition did not hold: another pass has written
    UNKNOWN = "unknown"  # it may have been made or not: the message carries the facts


@dataclass(frozen=True, slots=True)
class Written:
    """
    What came of one write.

    Attributes:
        outcome: Whether it was made.
        there: The record that refused it; None where that is none, or cannot be read.
        error: Why nothing is known.
    """

    outcome: Outcome
    there: Record | None = None
    error: DrainerError | None = None


def refused(write: Write, there: Record | None) -> Written:
    """
    Return what a refused condition means.

    The SDK repeats a write whose answer was lost; the repetition is refused by the write itself.
    """
    if there is None:
        return Written(Outcome.REFUSED)
    # A join alone leaves the id of the pass that is there: it knows its repetition by the token.
    joined = write.condition.demand == Demand.JOINS and write.condition.hop is None
    same_token = joined and there.token == write.record.token
    if write.condition.demand == Demand.EXTENDS:
        same = there.is_open and _extension(there) == _extension(write.record)
        return Written(Outcome.DONE) if same else Written(Outcome.REFUSED, there)
    # A release has no pass: its repetition is made again, and only another action's record refuses.
    releases = write.condition.demand == Demand.RELEASES
    if not releases and (there.pass_id == write.record.pass_id or same_token):
        return Written(Outcome.DONE)
    return Written(Outcome.REFUSED, there)
