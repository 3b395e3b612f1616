"""
When the instance is released: by its causes' own ends, or by the deadline.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import MANAGED_HOOK
from drainer.cli.explain.facts import DAEMON
from drainer.cli.explain.forecast import replaced
from drainer.cli.explain.rules_host import is_waiting
from drainer.cli.explain.rules_tasks import STOP_SECONDS_DEFAULT, began_stop
from drainer.cli.explain.scheduler import limits
from drainer.cli.explain.stops import delay_of, measured_stop

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.explain.drainers import DrainState
    from drainer.cli.explain.facts import Facts
    from drainer.cli.explain.finding import Finding
    from drainer.cli.explain.judge import Verdict

# Half of the default of the stack's parameter PassIntervalSeconds, and of ECS's own look about once
# a minute: on average so long.
NEXT_LOOK = timedelta(seconds=8)
MANAGED_LOOK = timedelta(seconds=30)
# The drainer lists the tasks of an instance several times before it takes the list for complete.
LISTED_AFTER = timedelta(seconds=60)
ABANDON = "ABANDON"
# What still follows when the cause has ended.
THEN_STOPS = frozenset({Cause.TARGET_DRAINING})
REPLACED = frozenset({Cause.STARTING, Cause.ON_COURSE})
THEN_LEAVES = frozenset({Cause.TASK_PROTECTED, Cause.GRACE_PERIOD, *REPLACED})
# What is known of these is only the hook's global timeout, which is days away.
UNKNOWN_END = frozenset({Cause.OTHER_HOOK})
# ECS's scheduler looks every ten seconds: a replacement that is possible has begun by then.
REPLACED_WITHIN = timedelta(seconds=10)
# A container that is still there so long after its stop timeout is not killed by one signal.
KILLED_WITHIN = timedelta(seconds=5)


class Deadline(NamedTuple):
    """When a hook ends whatever is left, which one, and with which result."""

    at: datetime
    hook: str
    result: str
    keeps: bool = False  # whether the group keeps the instance then
    is_timeout: bool = False  # whether it comes because the drainer sends no heartbeat


class Estimate(NamedTuple):
    """When the instance is expected to be released; None where that cannot be said; and why."""

    at: datetime | None
    how: str


def deadline_of(facts: Facts) -> Deadline | None:
    """Return the deadline: that of the drainer's record, or the hooks' own."""
    group, drain = facts.group, facts.drain
    keeps = group is not None and group.retains
    if drain and drain.deadline_at and not drain.ended:
        result = drain.deadline_result
        deadline = Deadline(drain.deadline_at, drain.hook, result, keeps and result == ABANDON)
        timeout = _timeout(facts, drain)
        return timeout if timeout and timeout.at < deadline.at else deadline
    if group is None or group.terminating_since is None or not group.hooks:
        return None
    # Every hook is waited for, so that the last one decides.
    hook = max(group.hooks, key=lambda one: (one.global_seconds, one.name == MANAGED_HOOK))
    at = group.terminating_since + timedelta(seconds=hook.global_seconds)
    result = hook.default_result
    return Deadline(at, hook.name, result, keeps and result == ABANDON)


def _timeout(facts: Facts, drain: DrainState) -> Deadline | None:
    """Return when the hook times out; None while the drainer sends heartbeats."""
    is_off = facts.stack is not None and bool(facts.stack.disabled)
    if not (drain.silent or is_off):
        return None
    for hook in (facts.group.hooks if facts.group else ()) or ():
        if hook.name == drain.hook:
            at = drain.last_heartbeat_at + timedelta(seconds=hook.heartbeat_seconds)
            return Deadline(at, hook.name, hook.default_result, is_timeout=True)
    return None


def estimate_of(facts: Facts, verdict: Verdict) -> Estimate:
    """Return when all causes have ended, and how that was computed."""
    stuck = [one for one in verdict.findings if one.pace == Pace.STUCK]
    if stuck:
        return Estimate(None, f"none. {stuck[0].how}")
    if verdict.main.cause == Cause.FINISHED:
        return Estimate(None, verdict.main.how)
    every = [*verdict.findings, *verdict.background]
    ends = [(one, _end(facts, one)) for one in every if one.cause != Cause.DAEMON]
    endless = [one for one, end in ends if end is None]
    if endless:
        return Estimate(None, f"none. {endless[0].how}")
    known = [end for _, end in ends if end]
    last = max(known, default=_End(facts.now, ""))
    at, parts = last.at, [last.how] if last.how else []
    if daemons := _daemons(facts):
        at += timedelta(seconds=daemons)
        parts.append(f"Then {daemons} s for the daemons.")
    if not is_waiting(facts):
        return Estimate(at, " ".join(parts))
    look = MANAGED_LOOK if facts.drain is None else NEXT_LOOK
    parts.append(f"Until the next look: {look.seconds} s.")
    at += look
    if facts.drain and facts.draining_since and at < facts.draining_since + LISTED_AFTER:
        at = facts.draining_since + LISTED_AFTER
        parts.append("The drainer releases no instance in its first minute.")
    return Estimate(at, " ".join(parts))


def _daemons(facts: Facts) -> int:
    """Return how long the daemons take, which stop after the others."""
    tasks = [
        task
        for task in facts.remaining
        if task.wanted
        and (service := facts.services.get(task.service)) is not None
        and service.scheduling == DAEMON
    ]
    if not tasks:
        return 0
    found = (facts.definitions.get(task.definition) for task in tasks)
    return max((one.stop_seconds for one in found if one), default=STOP_SECONDS_DEFAULT)


class _End(NamedTuple):
    """When a cause and what follows it end, and how that was computed."""

    at: datetime
    how: str


def _end(facts: Facts, finding: Finding) -> _End | None:
    """Return when a cause has ended with all that follows it; None if that is not known."""
    until, how = finding.until, finding.how
    if finding.cause in UNKNOWN_END:
        return None
    if finding.cause == Cause.MANAGED_DRAINING:
        return _End(facts.now, "ECS ends its hook at its next look.")
    if finding.cause == Cause.STOP_TIMEOUT:
        return _stopped(facts, finding)
    if until is None and finding.cause in REPLACED and (found := replaced(facts, finding.name)):
        until, how = found
    if until is None or (
        finding.cause == Cause.TASK_PROTECTED and _is_irreplaceable(facts, finding)
    ):
        return None
    delay = delay_of(facts, finding.name) if finding.cause in THEN_LEAVES else 0
    stop, is_measured = _stop(facts, finding)
    parts = [f"{delay} s of deregistration delay"] if delay else []
    if stop:
        parts.append(
            f"{stop:.0f} s to stop, as measured"
            if is_measured
            else f"up to {stop:.0f} s of stop timeout"
        )
    then = f" Then {' and '.join(parts)}." if parts else ""
    at = max(until, facts.now) + timedelta(seconds=delay + stop)
    return _End(at, f"{how}{then}")


def _is_irreplaceable(facts: Facts, finding: Finding) -> bool:
    """Whether a service lacks the tasks elsewhere without which ECS stops none here."""
    service, since = facts.services.get(finding.name), facts.draining_since
    if service is None or (since and facts.now - since < REPLACED_WITHIN):
        return False
    here = sum(task.service == finding.name and task.wanted for task in facts.remaining)
    return service.running + service.pending - here < limits(service).lowest


def _stopped(facts: Facts, finding: Finding) -> _End | None:
    """Return when tasks in their stop timeout have stopped; None if it is over."""
    if finding.until is None:
        return None
    if facts.now > finding.until + KILLED_WITHIN:
        return None
    measured = measured_stop(facts, finding.name)
    if measured is None or finding.since is None:
        return _End(max(finding.until, facts.now), finding.how)
    begun = [
        began
        for task in facts.remaining
        if task.service == finding.name and (began := began_stop(facts, task))
    ]
    at = max(begun, default=finding.since) + timedelta(seconds=measured)
    if at < facts.now:
        # It takes longer than the others did, at most its timeout.
        return _End(max(finding.until, facts.now), finding.how)
    return _End(at, f"Beginning of STOPPING + {measured:.0f} s, as measured.")


def _stop(facts: Facts, finding: Finding) -> tuple[float, bool]:
    """Return how long a stop takes that is yet to begin, and whether that was measured."""
    if not finding.name or finding.cause not in THEN_STOPS | THEN_LEAVES:
        return 0, False
    if (measured := measured_stop(facts, finding.name)) is not None:
        return measured, True
    definitions = (
        facts.definitions.get(task.definition)
        for task in facts.remaining
        if task.service == finding.name
    )
    return max(
        (one.stop_seconds for one in definitions if one), default=STOP_SECONDS_DEFAULT
    ), False
