"""
The set of a drain's unfinished tasks: when all of them are known, and when none is left: pure.

ECS says no figure for how late its answers may be, and each kind of answer is late by itself: a
task that ECS has just told to stop can be missing from both listings at once, and free memory
proves nothing, since a stopping task's memory counts as free. So a task that any look has seen
stays in the set until it is seen STOPPED; and the set is *closed*, which means that no task is
missing from it, after two listings:

* the first, of the tasks that ECS wants to run, is begun at least ANSWER_LAG after the container
  instance was set DRAINING, so that every task which was placed before that is visible in it, but
  for one that ECS had told to stop by then. Where the container instance is described at such a
  time without any such task, this says the same as an empty listing, and takes no read of its own;
* the second, of the tasks that ECS has told to stop, is begun at least ANSWER_LAG after the first
  one's end, when such a task is visible.

No task is placed on a container instance that is DRAINING, so a closed set only shrinks. The look
that finds each of its tasks STOPPED releases the instance; no further listing is needed.

Tasks on what is left of earlier registrations are not in the set, as no agent reports their end:
they are counted, and then listed by the look that finds all others STOPPED, for LEFT_BEHIND_FOR.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from drainer.drain.earlier_looks import WATCHED_WITHIN
from drainer.drain.holding_tasks import blocking, ignores_standalone, unexplained, waits_behind
from drainer.drain.model import UNFINISHED_MAX, InstanceProgress, StandaloneTasks

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.look import Look

# Of an instance alone, or of a drain.
Progress = TypeVar("Progress", bound=InstanceProgress)

# How late an answer of ECS is assumed to be at most. "The Amazon ECS API follows an eventual
# consistency model"; AWS publishes no figure, and reports speak of some ten seconds.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
ANSWER_LAG = timedelta(seconds=20)

# ECS shows a stopped task for at least an hour, so that a task which is unknown has either stopped
# long ago or the answer is wrong; several times the lag tells the two apart.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
MISSING_FOR = timedelta(seconds=300)


def unfinished(look: Look) -> tuple[str, ...]:
    """Return the ids of the tasks that any look has seen, and none has seen STOPPED."""
    # Tasks at the beginning of their end live longest, so they are asked about first.
    remaining = sorted(look.remaining, key=lambda task: (not task.wanted, task.id))
    found = look.tasks
    known = [task.id for task in remaining]
    return (*known, *(one for one in look.drain.unfinished if one not in found))


def is_closed(look: Look) -> bool:
    """Whether the set has all tasks of the container instance, this look's listing included."""
    if look.status != "DRAINING" or not look.settled:
        return False
    if look.drain.closed:
        return True
    listed_at = look.drain.listed_at
    second = listed_at is not None and look.now >= listed_at + ANSWER_LAG
    return second and _listing_counts(look) and len(unfinished(look)) <= UNFINISHED_MAX


def all_stopped(look: Look) -> bool:
    """Whether each task of a closed set is STOPPED, but for those that do not keep the instance."""
    if not (is_closed(look) and look.described) or blocking(look) or unexplained(look):
        return False
    return _has_waited_for_missing(look) and not (look.confirms and look.listed_at is None)


def _has_waited_for_missing(look: Look) -> bool:
    """Whether no task is unknown to ECS, or has been for so long that it has stopped."""
    since = look.drain.missing_since
    return not look.missing or (since is not None and look.now >= since + MISSING_FOR)


def needs_listing(look: Look, *, early: bool) -> bool:
    """
    Whether tasks are to be listed in this look.

    Args:
        look: What has been seen so far, the unfinished tasks among it.
        early: Whether to list while ECS still counts tasks. A drain that stores every task of its
            set does, so that the set is closed before the last task stops.
    """
    drain = look.drain
    if not look.registrations:
        return False
    if look.to_report:
        return True
    if look.status != "DRAINING" or drain.draining_since is None:
        return False
    if is_closed(look):
        # The counts know of a task that the set lacks.
        lacks = unexplained(look) > 0 and not any(task.wanted for task in blocking(look))
        return lacks or (look.confirms and not blocking(look) and _has_waited_for_missing(look))
    if (not early and _is_busy(look)) or (_counts_behind(look) and not wants_to_stop(look)):
        return False
    if drain.listed_at is None and look.wants_none:
        return False
    due_at = (drain.listed_at or drain.draining_since) + ANSWER_LAG
    return look.now >= due_at


def statuses_to_list(look: Look) -> tuple[str, ...]:
    """Return the desired statuses of which the tasks are to be listed."""
    if look.to_report:
        return ("RUNNING", "STOPPED")
    if not is_closed(look):
        first_at = look.drain.listed_at
        if first_at is None:
            return ("RUNNING",)
        return ("RUNNING", "STOPPED") if _counts_unknown(look, first_at) else ("STOPPED",)
    # What ECS wants to run is counted. What it has told to stop since the set was closed is not.
    return ("RUNNING", "STOPPED") if unexplained(look) else ("STOPPED",)


def _counts_unknown(look: Look, listed_at: datetime) -> bool:
    """Whether ECS may count a task that no look has seen: the instance may have been ACTIVE."""
    # A task that is described as wanted, by a late answer, may be in the counts no longer, so that
    # another is in its place. In less than a minute there was no time to place one unseen.
    unwatched = look.now > listed_at + WATCHED_WITHIN
    return look.counted > (0 if unwatched else sum(task.wanted for task in look.remaining))


def _is_busy(look: Look) -> bool:
    """Whether what is known of the tasks suffices to say that some keep the instance."""
    if ignores_standalone(look) or wants_to_stop(look):
        return bool(blocking(look)) and not wants_to_stop(look)
    return look.counted > 0 or bool(blocking(look))


def wants_to_stop(look: Look) -> bool:
    """Whether standalone tasks are to be stopped that have not all been told to."""
    return grace_is_over(look) and not look.drain.standalone_stopped


def carry_on(look: Look, drain: Progress) -> Progress:
    """Return the drain with what the next pass needs to know of the set."""
    left = unfinished(look)
    fits = len(left) <= UNFINISHED_MAX
    if look.status == "ACTIVE":
        # ECS may place tasks again; what was listed before says nothing about them.
        return replace(
            drain, unfinished=left[:UNFINISHED_MAX], listed_at=None, closed=False,
            missing_since=None, standalone_stopped=False,
        )  # fmt: skip
    listed_at = drain.listed_at if fits else None
    if fits and listed_at is None:
        listed_at = _first_at(look)
    gone = look.missing and not blocking(look)
    failed = drain.missing_since if look.in_doubt else None
    return replace(
        drain,
        unfinished=left[:UNFINISHED_MAX],
        listed_at=listed_at,
        closed=fits and (drain.closed or is_closed(look)),
        # A look that has failed has not found them either.
        missing_since=(drain.missing_since or look.now) if gone else failed,
    )


def _first_at(look: Look) -> datetime | None:
    """Return when this look knew of every task that ECS still wanted; None if it did not."""
    if _listing_counts(look):
        return look.listed_at
    # A closed set is listed once more before it counts again: what is confirmed are stopping tasks.
    if look.drain.closed or look.status != "DRAINING" or not look.wants_none:
        return None
    return (look.seen_at or look.now) if _is_visible(look) else None


def _listing_counts(look: Look) -> bool:
    """Whether this look has listed all tasks, long enough after DRAINING was set."""
    return look.listed_at is not None and _is_visible(look)


def _is_visible(look: Look) -> bool:
    """Whether each task that was placed before DRAINING was set is visible in the answers."""
    since = look.drain.draining_since
    if since is None or not look.settled or _counts_behind(look):
        return False
    return look.now >= since + ANSWER_LAG


def _counts_behind(look: Look) -> bool:
    """
    Whether ECS counts tasks of an earlier registration that are waited for, or may: it is unseen.

    No listing counts until then: the set is closed ANSWER_LAG after the last of them was told to
    stop at the earliest, so that the listing of what is left over shows it.
    """
    return bool(look.left_behind or look.lacking) and waits_behind(look)


def must_list_behind(look: Look) -> bool:
    """
    Whether it is up to the tasks of earlier registrations whether the instance may leave.

    Those that ECS has told to stop are in no count. They are not put into the set, which only tasks
    that ECS describes as STOPPED leave.
    """
    return waits_behind(look) and not _counts_behind(look) and all_stopped(look)


def is_clear_behind(look: Look) -> bool:
    """Whether no task of an earlier registration keeps the instance."""
    return not waits_behind(look) or (not _counts_behind(look) and look.behind == 0)


def stays_empty(look: Look) -> bool:
    """Whether a container instance of which all tasks were seen STOPPED has got no other since."""
    return look.status != "ACTIVE" and not look.counted


def stops_standalone(look: Look) -> bool:
    """Whether this look names all standalone tasks, and their grace period is over."""
    complete = look.described and (is_closed(look) or look.listed_at is not None)
    return complete and look.status == "DRAINING" and grace_is_over(look)


def grace_is_over(look: Look) -> bool:
    """Whether the standalone tasks are to be stopped."""
    policy, since = look.drain.policy, look.drain.draining_since
    if policy is None or since is None or policy.standalone_tasks != StandaloneTasks.STOP:
        return False
    return look.now >= since + timedelta(seconds=policy.standalone_grace_seconds)
