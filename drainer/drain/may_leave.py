"""
Decide whether one EC2 instance may leave its cluster: pure, total, the only rule for "drained".

Theory of operation
===================

A *pass* looks at the world afresh and asks this file what the look means. The answer is a *phase*,
found in the table below from the top: the first question that is answered yes decides. The last
row answers yes to everything and waits: what was not foreseen can delay a release, never cause one.

An instance may leave by positive evidence only, and by more than one look:

* `drained` needs a closed set of tasks, each of which this look found STOPPED (or standalone, where
  those are to be ignored). `task_set.py` says when a set is closed. Counts never suffice: a task
  that is DEACTIVATING (its load balancer target still serves) is in neither of them; nor does free
  memory, since a stopping task's counts as free; nor does one listing.
* `unregistered` needs two sound searches of the named clusters and then of all others, further
  apart than ECS's answers are assumed to be late, and five minutes apart where a look has seen
  tasks that none has seen STOPPED. Every registration of the EC2 instance that is
  found counts until one of them has a connected agent: with none, all of them must be clear.

A look that fails (a throttle, a denied call, a missing cluster) is `unseen`; the next pass looks
again. What follows for a lifecycle hook is decided in `drainer/lifecycle/rules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.drain import task_set
from drainer.drain.earlier_looks import SEARCHED_FOR
from drainer.drain.holding_tasks import blocking, is_standalone, unexplained, waits_behind
from drainer.drain.model import REGISTRATIONS_MAX, Place, StandaloneTasks
from drainer.drain.task_set import ANSWER_LAG

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.drain.look import Look
    from drainer.drain.task_set import Progress

# How many groups of tasks a reason names.
NAMED_MAX = 10


class Phase(StrEnum):
    """What a look at one instance means."""

    UNREGISTERED = "unregistered"
    DRAINED = "drained"
    ACTIVE = "active"
    DRAINING = "draining"
    CLOSING = "closing"
    UNREADY = "unready"
    UNSEEN = "unseen"


class Act(StrEnum):
    """What a phase asks for."""

    LEAVE = "may leave"
    SET_DRAINING = "set DRAINING"
    WAIT = "wait"


def _is_unregistered(look: Look) -> bool:
    # One stale answer must not release an instance that serves. Tasks that a look has seen may run
    # though their container instance was deregistered; and where its cluster is said to be missing,
    # they contradict that. So do those that were counted, and not all listed yet.
    drain, since = look.drain, look.drain.absent_since
    had_tasks = drain.unfinished or (drain.counted and not drain.closed)
    for_long = task_set.MISSING_FOR if had_tasks else ANSWER_LAG
    return look.absent and since is not None and look.now >= since + for_long


def _is_drained(look: Look) -> bool:
    if look.drain.draining_since is None or not task_set.is_clear_behind(look):
        return False
    return task_set.all_stopped(look) and not _is_searched_again(look)


def _is_searched_again(look: Look) -> bool:
    """Whether its agent, not connected, may have registered since all clusters were searched."""
    since = look.drain.searched_at
    if look.connected or look.searched or since is None:
        return False
    return look.now >= since + SEARCHED_FOR


def _is_active(look: Look) -> bool:
    left_over = any(one.status == "ACTIVE" for one in look.left_behind)
    return look.status == "ACTIVE" or (look.status == "DRAINING" and left_over)


def _is_draining(look: Look) -> bool:
    if look.status != "DRAINING":
        return False
    wanted = any(task.wanted for task in blocking(look))
    return wanted or unexplained(look) > 0 or look.drain.draining_since is None


def _is_closing(look: Look) -> bool:
    # A task that this pass has not described counts as running, and so does one that only a listing
    # leaves out. After a failed look no task is known.
    return look.status == "DRAINING" and (bool(blocking(look)) or not look.in_doubt)


def _is_unready(look: Look) -> bool:
    return look.status not in {"", "ACTIVE", "DRAINING"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: a phase, the question that leads to it, and what it asks for."""

    phase: Phase
    question: str
    holds: Callable[[Look], bool]
    act: Act = Act.WAIT


RULES = (
    Rule(Phase.UNREGISTERED, "in no cluster, by two searches?", _is_unregistered, Act.LEAVE),
    Rule(Phase.DRAINED, "all tasks known, and each STOPPED?", _is_drained, Act.LEAVE),
    Rule(Phase.ACTIVE, "may ECS still place tasks?", _is_active, Act.SET_DRAINING),
    Rule(Phase.DRAINING, "is a task's desired status RUNNING?", _is_draining),
    Rule(Phase.CLOSING, "may a task not be STOPPED yet?", _is_closing),
    Rule(Phase.UNREADY, "registering or deregistering?", _is_unready),
    Rule(Phase.UNSEEN, "anything else", lambda _: True),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a look at one instance leads to."""

    phase: StrEnum  # what the look means
    act: Act = Act.WAIT  # what is to be done about the instance
    stop_tasks: tuple[str, ...] = ()  # ids of standalone tasks to stop
    reason: str = ""  # what the drain waits for, in words for an operator

    @property
    def may_leave(self) -> bool:
        """Whether the instance may leave its cluster."""
        return self.act == Act.LEAVE


def decide(look: Look) -> Decision:
    """Say what the look means and what to do about it; total over every possible look."""
    rule = next(rule for rule in RULES if rule.holds(look))
    stop_tasks = () if rule.act == Act.LEAVE else _tasks_to_stop(look)
    return Decision(rule.phase, rule.act, stop_tasks, _reason(look, rule.phase))


def unseen(look: Look) -> Decision:
    """Return the decision about an instance that was not to be looked at."""
    return Decision(Phase.UNSEEN, reason=_reason(look, Phase.UNSEEN))


def _tasks_to_stop(look: Look) -> tuple[str, ...]:
    if look.status != "DRAINING" or not task_set.grace_is_over(look):
        return ()
    return tuple(t.id for t in look.remaining if is_standalone(t) and t.wanted)


def carry_on(
    look: Look, drain: Progress, *, drained_at: datetime | None, stopped: bool
) -> Progress:
    """
    Return what the next pass needs to know of the instance.

    Args:
        look: This pass's look.
        drain: What the look knows already.
        drained_at: When this pass had set the container instance DRAINING; None if it has not.
        stopped: Whether this pass has told every standalone task to stop.
    """
    drain = task_set.carry_on(look, drain)
    # The answers date from the end of the look at the latest: a look may take seconds.
    seen_at, found = look.seen_at or look.now, bool(look.registrations)
    since, absent_since, searched_at = drain.draining_since, drain.absent_since, drain.searched_at
    if found:
        still = (since or seen_at) if look.status == "DRAINING" else None
        since, absent_since = drained_at or still, None
    elif look.absent:
        absent_since = absent_since or seen_at
    if look.connected or (_is_searched_again(look) and task_set.all_stopped(look)):
        searched_at = None
    elif found and look.searched:
        searched_at = searched_at or seen_at
    # What is left over is described in each pass: its tasks are listed before the instance leaves.
    # What one answer lacks may be there still; what is denied is not asked about for ever.
    known = (*look.candidates, *look.left_over)
    lacking = look.lacking if waits_behind(look) or (not look.connected and look.in_doubt) else ()
    places = (*(Place(one.cluster, one.arn) for one in known[1:]), *lacking)
    return replace(
        drain,
        draining_since=since,
        counted=bool(look.counted) if found else drain.counted,
        standalone_stopped=look.status != "ACTIVE" and (drain.standalone_stopped or stopped),
        others=places[: REGISTRATIONS_MAX - 1] if found else drain.others,
        settled=look.settled if found else drain.settled,
        searched_to="" if look.settled else drain.searched_to,
        search_failed=drain.search_failed and not look.settled,
        searched_at=searched_at,
        absent_since=absent_since,
    )


def _reason(look: Look, phase: Phase) -> str:
    """Say in words for an operator what the drain waits for."""
    if phase == Phase.UNSEEN and look.absent and not look.reason:
        return "The EC2 instance is in no cluster. It is searched for again"
    if phase == Phase.UNSEEN:
        return look.reason or "Not everything could be read. The next pass looks again"
    if phase == Phase.UNREADY:
        return f"The container instance is {look.status}"
    if phase == Phase.ACTIVE:
        return f"DRAINING is set in this pass. {_counts(look)}"
    return what_is_left(look) if phase in {Phase.DRAINING, Phase.CLOSING} else ""


def what_is_left(look: Look) -> str:
    """Say in words for an operator what keeps the instance."""
    parts = [look.reason] if look.reason else []
    if look.is_lone:
        parts.append("The agent is disconnected, so ECS cannot report a task STOPPED")
    standalone = sum(is_standalone(task) for task in look.remaining)
    if standalone:
        rule = look.drain.policy.standalone_tasks if look.drain.policy else StandaloneTasks.WAIT
        parts.append(f"Standalone tasks are left ({rule}): {standalone}")
    services = sorted({t.group for t in look.remaining if not is_standalone(t)})
    if services:
        parts.append("Tasks are left of " + ", ".join(services[:NAMED_MAX]))
    if not (standalone or services or look.behind or look.lacking):
        parts.append(_unlisted(look))
    if behind := sum(one.counted_tasks for one in look.left_behind):
        parts.append(f"ECS counts {behind} tasks of earlier registrations of the EC2 instance")
    if look.lacking:
        parts.append("ECS does not describe an earlier registration of the EC2 instance")
    if look.behind:
        parts.append(f"Tasks of earlier registrations are not known to be STOPPED: {look.behind}")
    return ". ".join(parts)


def _unlisted(look: Look) -> str:
    """Say what is waited for where no task that remains is known."""
    if look.counted or look.status != "DRAINING":
        return _counts(look)
    if not look.settled or _is_searched_again(look):
        return "Other registrations of the EC2 instance are searched for"
    if look.missing:
        return f"ECS does not find {len(look.missing)} tasks that it listed before"
    if not task_set.is_closed(look):
        return "No task is known. The tasks are listed twice, 20 s apart, as ECS may answer late"
    return "The tasks are read in a later pass"


def _counts(look: Look) -> str:
    instance = look.container_instance
    if instance is None:
        return ""
    return f"ECS counts {instance.running_tasks} running and {instance.pending_tasks} pending tasks"
