"""
The set of a drain's unfinished tasks: when all of them are known, and when none is left: pure.

ECS says no figure for how late its answers may be, and each kind of answer is late by itself: a
task that ECS has just told to stop can be missing from both listings at once, and free memory
proves nothing, since a stopping task's memory counts as free. So a task that any look has seen
stays in the set until it is seen STOPPED; and the set is *closed*, which means that no task is
missing from it, after two listings of both desired statuses:

* the first is begun at least VIEW_LAG after the container instance was set DRAINING, so that every
  task which was placed before that is visible in one listing, but for one whose desired status has
  changed within the last VIEW_LAG;
* the second is begun at least VIEW_LAG after the first one's end, when that task is visible too.

No task is placed on a container instance that is DRAINING, so a closed set only shrinks. The look
that finds each of its tasks STOPPED releases the instance; no further listing is needed.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.drain.model import UNFINISHED_MAX, StandaloneTasks
from drainer.drain.view import ignores_standalone

if TYPE_CHECKING:
    from drainer.drain.model import ContainerInstance, Drain
    from drainer.drain.view import View

# How late an answer of ECS is assumed to be at most. "The Amazon ECS API follows an eventual
# consistency model"; AWS publishes no figure, and reports speak of some ten seconds.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
VIEW_LAG = timedelta(seconds=20)

# ECS shows a stopped task for at least an hour, so that a task which is unknown has either stopped
# long ago or the answer is wrong; several times the lag tells the two apart.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
MISSING_FOR = timedelta(seconds=300)


def unfinished(view: View) -> tuple[str, ...]:
    """Return the ids of the tasks that any look has seen, and none has seen STOPPED."""
    # Tasks at the beginning of their end live longest, so they are asked about first.
    remaining = sorted(view.seen.remaining, key=lambda task: (not task.wanted, task.id))
    found = {task.id for task in view.seen.tasks}
    known = [task.id for task in remaining]
    return (*known, *(one for one in view.drain.unfinished if one not in found))


def is_closed(view: View) -> bool:
    """Whether the set has all tasks of the container instance, this look's listing included."""
    if view.status != "DRAINING" or not view.seen.settled:
        return False
    if view.drain.closed:
        return True
    listed_at = view.drain.listed_at
    second = listed_at is not None and view.now >= listed_at + VIEW_LAG
    return second and _listing_counts(view) and len(unfinished(view)) <= UNFINISHED_MAX


def all_stopped(view: View) -> bool:
    """Whether each task of a closed set is STOPPED, but for those that do not keep the instance."""
    if not (is_closed(view) and view.seen.described) or view.blocking or view.unexplained:
        return False
    since = view.drain.missing_since
    return not view.seen.missing or (since is not None and view.now >= since + MISSING_FOR)


def stays_empty(instance: ContainerInstance) -> bool:
    """Whether a container instance of which all tasks were seen STOPPED has got no other since."""
    return instance.status != "ACTIVE" and not instance.running_tasks + instance.pending_tasks


def needs_listing(view: View, *, early: bool) -> bool:
    """
    Whether the tasks of both desired statuses are to be listed in this look.

    Args:
        view: What has been seen so far, the unfinished tasks among it.
        early: Whether to list while ECS still counts tasks. What remembers every task of a set
            does, since the set is closed then before the last task stops.
    """
    drain = view.drain
    if view.seen.container_instance is None or not view.waiting:
        return False
    if view.now >= view.deadline_at:
        return True  # what was left belongs into the report
    if view.status != "DRAINING" or drain.draining_since is None:
        return False
    if is_closed(view):
        # The counts know of a task that the set lacks.
        return view.unexplained > 0 and not any(task.wanted for task in view.blocking)
    if not early and _is_busy(view):
        return False
    due_at = (drain.listed_at or drain.draining_since) + VIEW_LAG
    return view.now >= due_at


def _is_busy(view: View) -> bool:
    """Whether what is known of the tasks suffices to say that some keep the instance."""
    if ignores_standalone(view.drain) or wants_to_stop(view):
        return bool(view.blocking) and not wants_to_stop(view)
    return view.counted > 0 or bool(view.blocking)


def wants_to_stop(view: View) -> bool:
    """Whether standalone tasks are to be stopped that have not all been told to."""
    return grace_is_over(view) and not view.drain.standalone_stopped


def carry_on(view: View, drain: Drain) -> Drain:
    """Return the drain with what the next pass needs to know of the set."""
    left = unfinished(view)
    fits = len(left) <= UNFINISHED_MAX
    if view.status == "ACTIVE":
        # ECS may place tasks again; what was listed before says nothing about them.
        return replace(
            drain, unfinished=left[:UNFINISHED_MAX], listed_at=None, closed=False,
            missing_since=None, standalone_stopped=False,
        )  # fmt: skip
    listed_at = drain.listed_at if fits else None
    if fits and listed_at is None and _listing_counts(view):
        listed_at = view.seen.listed_at
    gone = view.seen.missing and not view.blocking
    return replace(
        drain,
        unfinished=left[:UNFINISHED_MAX],
        listed_at=listed_at,
        closed=fits and (drain.closed or is_closed(view)),
        missing_since=(drain.missing_since or view.now) if gone else None,
    )


def _listing_counts(view: View) -> bool:
    """Whether this look has listed all tasks, long enough after DRAINING was set."""
    since = view.drain.draining_since
    if view.seen.listed_at is None or since is None or not view.seen.settled:
        return False
    return view.now >= since + VIEW_LAG


def stops_standalone(view: View) -> bool:
    """Whether this look names all standalone tasks, and their grace period is over."""
    complete = view.seen.described and (is_closed(view) or view.seen.listed_at is not None)
    return complete and view.status == "DRAINING" and grace_is_over(view)


def grace_is_over(view: View) -> bool:
    """Whether the standalone tasks are to be stopped."""
    policy, since = view.drain.policy, view.drain.draining_since
    if policy is None or since is None or policy.standalone_tasks != StandaloneTasks.STOP:
        return False
    return view.now >= since + timedelta(seconds=policy.standalone_grace_seconds)
