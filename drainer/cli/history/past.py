"""
What became of each drain: how long it took, in which phases, and what its answer left. Pure.

A record says when a drain began and ended and how. The function's log has a line for each pass,
which says the phase and the tasks that were left. Without the log only two phases are known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drainer.drain.may_leave import Phase
from drainer.drain.record import End
from drainer.drain_traces import ids_of
from drainer.lifecycle.rules import HookPhase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.drain.record import DrainRecord

# What the record alone tells of the time after DRAINING.
EITHER = "draining or closing"
# In the order in which a drain usually has them, and in which they are shown.
PHASES = (
    str(Phase.ACTIVE),
    str(Phase.DRAINING),
    str(Phase.CLOSING),
    EITHER,
    str(Phase.UNREADY),
    str(Phase.UNSEEN),
)
DRAINED = {str(Phase.DRAINED), str(Phase.UNREGISTERED)}
# What a pass finds at the end of a drain takes no time of it.
ENDS = {*DRAINED, str(HookPhase.OVER), str(HookPhase.OVERDUE)}


@dataclass(frozen=True, slots=True)
class Pass:
    """
    One line of the log.

    Attributes:
        at: When the pass was.
        phase: What it found.
        owners: Service or family of each task that was left, as ECS groups tasks.
    """

    at: datetime
    phase: str
    owners: frozenset[str]


@dataclass(frozen=True, slots=True)
class Span:
    """Some seconds of a drain in one phase."""

    phase: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Past:
    """
    One drain, ended or open.

    Attributes:
        ended_at: None while it is open.
        seconds: How long it has taken, until its end or until now.
        decision: What ended it, in a few words.
        left: How many tasks were left when it was answered, or at the last look while it is open.
        tasks: The ids of up to ten of them.
        spans: Its phases, one after the other.
        trace_id: Of its trace in X-Ray, which is there if the drain was traced.
        waits: For each service or family: the seconds until its last task was gone.
        is_measured: Whether the phases are from the log, and not from the record alone.
        released_by: The ARN of who has answered its hook by hand; empty for none.
        extended_by: The ARN of who has extended its deadline; empty for none.
    """

    instance: str
    group: str
    cluster: str
    began_at: datetime
    ended_at: datetime | None
    seconds: float
    decision: str
    left: int
    tasks: tuple[str, ...]
    spans: tuple[Span, ...]
    reason: str = ""
    trace_id: str = ""
    waits: Mapping[str, float] = field(default_factory=dict)
    is_measured: bool = False
    released_by: str = ""
    extended_by: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the drain has not ended."""
        return self.ended_at is None

    @property
    def by_hand(self) -> tuple[tuple[str, str], ...]:
        """What operators did to it: a few words, and the caller's ARN."""
        done = (("deadline extended by", self.extended_by), ("released by", self.released_by))
        return tuple((what, who) for what, who in done if who)


def past_of(record: DrainRecord, passes: Sequence[Pass], now: datetime) -> Past:
    """Return what became of the drain of a record, with the passes that the log has of it."""
    drain = record.drain
    began, until = drain.started_at, record.ended_at or now
    own = sorted((one for one in passes if began <= one.at <= until), key=lambda one: one.at)
    since = drain.draining_since
    looks = [one for one in own if one.phase not in ENDS]
    return Past(
        instance=drain.action.ec2_instance_id,
        group=drain.action.auto_scaling_group_name,
        cluster=(drain.cluster or "").rpartition("/")[2],
        began_at=began,
        ended_at=record.ended_at,
        seconds=max(0.0, (until - began).total_seconds()),
        decision=decision(record),
        left=max(len(record.tasks), 0 if record.phase in DRAINED else _counted(record)),
        tasks=record.tasks,
        spans=_spans(looks, began, until, since) if looks else _outline(began, until, since),
        reason=record.reason,
        trace_id=ids_of(record.key, began).trace,
        waits=_waits(own, began, until),
        is_measured=bool(looks),
        released_by=record.released_by,
        extended_by=record.extended_by,
    )


def decision(record: DrainRecord) -> str:
    """
    Say what ended a drain, in 17 characters at most.

    "drained, rest": standalone tasks that the hook's metadata says to ignore were left.
    """
    if record.end == End.OPEN:
        return f"open: {record.phase or 'no pass yet'}"
    if record.end == End.OVER:
        return "released by hand" if record.released_by else "by hand, timeout"
    result = record.end.removeprefix("answered ")
    if record.phase == HookPhase.OVERDUE:
        return f"deadline, {result}"
    if record.phase == Phase.DRAINED:
        return "drained, rest" if record.tasks else "drained"
    return "in no cluster" if record.phase == Phase.UNREGISTERED else f"{record.phase}, {result}"


def _counted(record: DrainRecord) -> int:
    return record.running + record.pending


def _outline(began: datetime, until: datetime, since: datetime | None) -> tuple[Span, ...]:
    """Return what the record alone says: before DRAINING, and after."""
    turn = min(max(since or until, began), until)
    spans = (
        Span(str(Phase.ACTIVE), (turn - began).total_seconds()),
        Span(EITHER, (until - turn).total_seconds()),
    )
    return tuple(span for span in spans if span.seconds > 0)


def _spans(
    passes: Sequence[Pass], began: datetime, until: datetime, since: datetime | None
) -> tuple[Span, ...]:
    """Return the phases: each lasts from the pass that found it to the next pass."""
    found: list[Span] = []
    starts = [began, *(one.at for one in passes[1:])]
    ends = [*(one.at for one in passes[1:]), until]
    for one, start, end in zip(passes, starts, ends, strict=True):
        for phase, seconds in _parts(one.phase, start, end, since):
            if seconds <= 0:
                continue
            if found and found[-1].phase == phase:
                found[-1] = Span(phase, found[-1].seconds + seconds)
            else:
                found.append(Span(phase, seconds))
    return tuple(found)


def _parts(
    phase: str, start: datetime, end: datetime, since: datetime | None
) -> Iterable[tuple[str, float]]:
    """Split the time after a pass that has set DRAINING: it found the instance ACTIVE."""
    if phase == Phase.ACTIVE and since is not None:
        turn = min(max(since, start), end)
        yield str(Phase.ACTIVE), (turn - start).total_seconds()
        yield str(Phase.DRAINING), (end - turn).total_seconds()
    else:
        yield phase, (end - start).total_seconds()


def _waits(passes: Sequence[Pass], began: datetime, until: datetime) -> dict[str, float]:
    """Return for each owner the seconds until a pass, or the end, no longer found a task of it."""
    found: dict[str, float] = {}
    ends = [*(one.at for one in passes[1:]), until]
    for one, end in zip(passes, ends, strict=False):
        found |= dict.fromkeys(one.owners, (end - began).total_seconds())
    return found


@dataclass(frozen=True, slots=True)
class Summary:
    """
    Many drains in a few numbers.

    Attributes:
        p50: The seconds that half of the ended drains took at most; None without one.
        p95: The same of 95 %.
        left: Tasks that were left at all answers, and in how many drains.
        shares: The share of each phase of all time, 0 to 1.
        slowest: The services that drains waited for the longest, with the median seconds.
    """

    drains: int
    groups: int
    open: int
    p50: float | None
    p95: float | None
    left: int
    left_in: int
    shares: Mapping[str, float]
    slowest: tuple[tuple[str, float], ...]


def summary_of(drains: Sequence[Past], slowest_max: int = 5) -> Summary:
    """Sum up drains."""
    ended = [one.seconds for one in drains if not one.is_open]
    leaving = [one.left for one in drains if not one.is_open and one.left]
    totals: defaultdict[str, float] = defaultdict(float)
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for one in drains:
        for span in one.spans:
            totals[span.phase] += span.seconds
        # What an open drain waits for may take longer yet.
        for owner, seconds in () if one.is_open else one.waits.items():
            waits[owner].append(seconds)
    whole = sum(totals.values()) or 1.0
    medians = ((owner, percentile(each, 50)) for owner, each in waits.items())
    slowest = sorted(medians, key=lambda pair: (-pair[1], pair[0]))
    return Summary(
        drains=len(drains),
        groups=len({one.group for one in drains}),
        open=sum(one.is_open for one in drains),
        p50=percentile(ended, 50) if ended else None,
        p95=percentile(ended, 95) if ended else None,
        left=sum(leaving),
        left_in=len(leaving),
        shares={phase: totals[phase] / whole for phase in ordered(totals)},
        slowest=tuple(slowest[:slowest_max]),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, rank - 1)]


def ordered(phases: Iterable[str]) -> list[str]:
    """Return phases in the order in which they are shown, others last."""
    known = {phase: count for count, phase in enumerate(PHASES)}
    return sorted(phases, key=lambda phase: (known.get(phase, len(known)), phase))
