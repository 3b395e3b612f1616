"""
What a state of the model is made of: small values that compare and hash quickly.

Times are ticks of a minute, relative to now. Hops are relative to the record's, and a generation is
the record's, an earlier one or none, so that a chain that is re-invoked comes back to the same
state.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

OLDER, PRESENT, UNNAMED = range(3)  # which generation a message names
OPEN, ANSWERED, OVER = range(3)  # how a record has ended
MESSAGE, SWEEP, WAKE_UP = range(3)  # what an invocation serves
(
    READ, LOOK, AGAIN, END_FIRST, ANSWER, CREATE, ACT, WRITE, RETRY, PUBLISH, SET_DRAINING, END,
    REOPEN,
) = range(13)  # fmt: skip
STEPS = (
    "it reads", "it looks", "it reads again", "it writes the end", "it answers",
    "it creates the record", "it acts", "it writes", "its write is repeated", "it publishes",
    "it sets DRAINING", "it writes the end", "it takes its end back",
)  # fmt: skip
NOT_SENT, ACCEPTED, NOT_ACTIVE, FAILED = range(4)  # a heartbeat
STOP, COMPLETE, DRAIN, ROUND = range(4)  # what a look leads to

UNTIMED = 99  # a deadline, a timeout or tasks that no run comes to the end of
PAST = -9  # a deadline long past: how long does not matter
SILENT_TICKS, SETTLE_TICKS, SWEEP_TICKS, REDELIVERY_TICKS, RECEIVES_MAX = 2, 2, 5, 3, 3
AT_ONCE = 2  # invocations
BEHIND = -1  # a hop behind the record's: how far does not matter
AHEAD_MAX = 12  # nor how far ahead: no bounded outage has more passes than that
FAR = 5_000  # a hop that no honest pass can have led to
STRANGER = 9  # a token that Auto Scaling never gave


class Facts(NamedTuple):
    """What is known of a drain: in its record, its message, and a pass."""

    whose: int  # whose beginning it goes by: the first or the second action's
    token: int  # 0 for none, else the action's number
    deadline: int
    since: int  # the period in which it was first seen DRAINING; 0 unknown
    listed: int  # the period in which all its tasks were known; 0 they are not yet
    absent: int  # Auto Scaling seen not waiting: 0 no, 1 in this tick, 2 earlier


class Rec(NamedTuple):
    """The record."""

    end: int
    age: int  # since the last pass, or the end
    facts: Facts
    spent: int  # whether it has run out of hops


class Msg(NamedTuple):
    """A message under way."""

    wait: int
    generation: int
    hop: int
    receives: int
    facts: Facts


class Look(NamedTuple):
    """What a look has seen."""

    waiting: int  # 1 yes, 0 no, -1 not seen
    draining: int
    busy: int  # whether tasks that it can know of are left
    period: int  # the true one at that time


class Plan(NamedTuple):
    """What the look leads to."""

    step: int
    late: int  # an answer at the deadline
    heartbeat: int
    unproven: int


class Pass(NamedTuple):
    """An invocation's pass, before its next step."""

    step: int
    old: int  # begun in an earlier tick
    serves: int
    message: Msg | tuple[()]
    admission: str = ""
    same_generation: int = 0  # the record's is as it was read
    same_hop: int = 0
    own_id: int = 0  # the record has the id of this pass's write
    hop: int = 0
    facts: Facts | tuple[()] = ()
    found: int = -1  # the record as it was read: -1 none, else its end
    age: int = 0  # of the record as it was read, for a join and for an end that is taken back
    look: Look | tuple[()] = ()
    plan: Plan | tuple[()] = ()
    heartbeat: int = NOT_SENT
    again: int = 0  # sets DRAINING once it has written; 2: has set it; 3: may set it unwritten
    ended: int = OPEN  # what the end is to say
    names: int = UNNAMED  # the generation that its message will name
    recorded: int = 0  # it has written the record, as far as it knows
    published: int = 0


class Action(NamedTuple):
    """What waits, as it truly is."""

    number: int
    alive: int
    hook: int  # ticks until the hook's timeout; once it is over, until the next action may begin
    deadline: int
    draining: int
    work: int  # ticks that tasks need to stop
    period: int  # of being DRAINING: tasks placed before it are all that run in it
    kept: int  # the latest deadline of a heartbeat
    moved: int  # how often that became later


class State(NamedTuple):
    """All of it."""

    action: Action
    rec: Rec | tuple[()]
    messages: tuple[Msg, ...]
    passes: tuple[Pass, ...]
    down: int  # the table: 0 works, 1 down, 2 takes no writes
    left: int  # how long it may stay so
    sweep: int  # until the next one
    limbo: tuple[Msg, ...]  # lost, or delayed without bound
    budget: tuple[int, ...]  # faults that may still happen


Part = TypeVar("Part", Msg, Pass)


def add(items: tuple[Part, ...], item: Part) -> tuple[Part, ...]:
    """Return the parts with one more, in their order: which came first does not matter."""
    parts = list(items)
    parts.append(item)
    return tuple(sorted(parts))
