"""
Drain all instances of what a custom resource guards, by the rules that serve lifecycle actions.

Each pass asks again whose instances they are: what AWS says of a fleet "might be out of date", so
that one that is missing from an answer is not forgotten, and one empty answer drains nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from drainer.custom_resource.progress import (
    MEMBERS_MAX,
    OF_A_DRAIN,
    UNFINISHED_MAX,
    Member,
    RequestProgress,
)
from drainer.custom_resource.properties import INSTANCES_MAX, TargetKind
from drainer.custom_resource.target_actions import TargetActions
from drainer.custom_resource.target_status import TargetStatus
from drainer.drain import may_leave, task_set
from drainer.drain.actions import Outcome
from drainer.drain.earlier_looks import SEARCHED_FOR, UNSEARCHED, is_old
from drainer.drain.finder import Finder
from drainer.drain.listings import AtMost
from drainer.drain.look import Look
from drainer.drain.model import InstanceProgress
from drainer.drain.task_look import TaskLook
from drainer.drain.task_reads import StoppedTasks
from drainer.errors import DrainerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.targets import Targets
    from drainer.drain.actions import Ecs
    from drainer.invocation import InvocationClock

# ECS grants the account a burst of a hundred reads, and 20 a second. A hundred instances take four
# (found, described, two tasks of each), and listing the tasks of one takes two more.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
READS_MAX = 95
READS_OF_A_HUNDRED = 4
READS_OF_A_LISTING = 2

# EC2's list of a fleet's instances "is refreshed periodically and might be out of date". AWS
# publishes no delay: for so long after an instance was first seen, another may follow.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html
SETTLED = timedelta(seconds=120)

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
DESCRIBED_TOGETHER = 100


class TargetDrain:
    """Drains what a custom resource guards, and undoes that."""

    def __init__(self, ecs: Ecs, targets: Targets, pass_interval_seconds: int) -> None:
        self._ecs = ecs
        self._actions = TargetActions(ecs)
        self._stopped = StoppedTasks()
        self._targets = targets
        self._interval = pass_interval_seconds

    def drain(
        self,
        progress: RequestProgress,
        target: DrainTarget,
        hop: int,
        time: InvocationClock,
    ) -> TargetStatus:
        """Look at every instance, decide about each, and act."""
        now = time.now()
        try:
            current = self._targets.instances(target)
        except DrainerError as error:
            return TargetStatus(progress, unsure=f"The target's instances were not read: {error}")
        if is_old(progress.looked_at, now, self._interval):
            progress = _forgetting(progress)
        gone, history = current is None, progress.history
        missing = [one for one, member in history.items() if not member.done]
        members = list(dict.fromkeys([*(current or ()), *missing]))
        chosen = _in_turn(members, history, hop)
        looks = [_look(one, progress, target, now) for one in chosen]
        finder = Finder(self._ecs, target.configured, time)
        finder.find(looks)
        settled = {look for look in looks if _stays_done(look, history.get(look.ec2_instance_id))}
        open_ones = [look for look in looks if look not in settled]
        for look in open_ones:
            # A deleted cluster has no container instances any more. An instance that was seen in it
            # has left it, even if no other cluster was searched.
            left = not (look.elsewhere or look.registrations or look.in_doubt)
            if look.nowhere or left:
                look.absent = True
        most = _listings_max(len(chosen))
        tasks = TaskLook(self._ecs, time, self._stopped, AtMost(most))
        tasks.look(open_ones, early=False)
        outcomes = [Outcome(look, may_leave.decide(look)) for look in open_ones]
        if now < progress.request.deadline_at(target):
            self._actions.act(outcomes, progress.request.stack_id, time)
        kept = {*members}
        following = {
            **{one: member for one, member in history.items() if one in kept},
            **{o.look.ec2_instance_id: _member(o, target) for o in outcomes},
        }
        for look in looks:
            if _was_in_vain(look, member := following[look.ec2_instance_id]):
                # While ECS does not answer, perhaps for long, its agent may register.
                following[look.ec2_instance_id] = replace(member, done=False, **UNSEARCHED)
        unsure = [look.reason for look in looks if look in settled and look.in_doubt]
        if len(chosen) < len(members) and _not_done(members, history):
            unsure.append("The other instances are read in later passes")
        news = _has_new(current or (), progress)
        grown_at = now if news or progress.grown_at is None else progress.grown_at
        done = sum(following.get(one, Member()).done for one in members)
        return TargetStatus(
            progress=replace(
                progress,
                history=_bounded(following),
                looks=progress.looks + 1,
                looked_at=now,
                grown_at=grown_at,
            ),
            outcomes=tuple(o for o in outcomes if not o.decision.may_leave),
            total=len(members),
            done=done,
            unsure=unsure[0] if unsure else "",
            settled=now >= grown_at + SETTLED
            or (not gone and target.kind != TargetKind.SPOT_FLEET),
            gone=gone,
            errors=(*finder.problems, *(t for o in outcomes for t in o.errors)),
        )


def _look(
    ec2_instance_id: str, progress: RequestProgress, target: DrainTarget, now: datetime
) -> Look:
    member = progress.history.get(ec2_instance_id, Member())
    known = InstanceProgress(
        policy=replace(target.policy, cluster=member.cluster or target.cluster),
        standalone_stopped=member.stopped,
        **{name: getattr(member, name) for name in OF_A_DRAIN},
    )
    return Look(
        ec2_instance_id,
        known,
        now,
        # A settled instance is looked up in its own cluster only. One that was in no cluster may
        # have booted since, and one with no agent connected have registered again, in any.
        elsewhere=not member.settled,
        remembers=False,
        to_report=now >= progress.request.deadline_at(target),
    )


def _was_in_vain(look: Look, member: Member) -> bool:
    """Whether nothing was found out of what was first searched for five minutes ago, or before."""
    since = member.absent_since or member.searched_at
    # How far a search of what might go has come is not kept.
    further = look.searched_on and not member.done
    if look.connected or further or not look.in_doubt or since is None:
        return False
    return look.now >= since + SEARCHED_FOR


def _forgetting(progress: RequestProgress) -> RequestProgress:
    """
    Return the progress, what searches have shown to be shown again, also of what might leave.

    An agent may have registered again while no pass looked. One listing can lack that.
    """
    members = progress.history.items()
    return replace(
        progress,
        history={one: replace(member, done=False, **UNSEARCHED) for one, member in members},
    )


def _has_new(current: Iterable[str], progress: RequestProgress) -> bool:
    """Whether a listing of the target has an instance that no earlier one had."""
    return any(one not in progress.history for one in current)


def _in_turn(members: Sequence[str], history: Mapping[str, Member], hop: int) -> list[str]:
    """
    Return what is looked at now: what is not done, in turns where that is more than a pass sees.

    Drained instances are looked at as well where that costs no more calls, and all of them once
    more at the end, in one pass. An instance that was in no cluster is looked at each time: it may
    be booting.
    """
    if not _not_done(members, history):
        return list(members)
    looked_at = [one for one in members if not _was_drained(history.get(one, Member()))]
    if len(members) <= DESCRIBED_TOGETHER:
        looked_at = list(members)
    size = len(looked_at)
    turn = (hop * INSTANCES_MAX) % size if size > INSTANCES_MAX else 0
    return [*looked_at[turn:], *looked_at[:turn]][:INSTANCES_MAX]


def _not_done(members: Iterable[str], history: Mapping[str, Member]) -> list[str]:
    return [one for one in members if not history.get(one, Member()).done]


def _was_drained(member: Member) -> bool:
    """Whether it may go since its tasks are over, and not since it was in no cluster."""
    return member.done and member.draining_since is not None


def _listings_max(instances: int) -> int:
    hundreds = ceil(instances / DESCRIBED_TOGETHER)
    return max(1, (READS_MAX - READS_OF_A_HUNDRED * hundreds) // READS_OF_A_LISTING)


def _stays_done(look: Look, member: Member | None) -> bool:
    """Whether an instance that might go still may: it is gone, or still without a task."""
    if member is None or not member.done:
        return False
    # An instance that was in no cluster and now is in one has not been looked at yet. And an agent
    # that is lost may have registered again: one answer that lacks that is not enough.
    known = _was_drained(member) and look.connected
    return not look.registrations or (known and task_set.stays_empty(look))


def _member(outcome: Outcome, target: DrainTarget) -> Member:
    following = outcome.following()
    complete = len(following.unfinished) <= UNFINISHED_MAX
    elsewhere = following.cluster != target.cluster
    known: dict[str, Any] = {name: getattr(following, name) for name in OF_A_DRAIN}
    member = Member(
        **known,
        cluster=(following.cluster or "") if elsewhere else "",
        stopped=following.standalone_stopped,
        done=outcome.decision.may_leave,
    )
    return replace(
        member,
        unfinished=member.unfinished[:UNFINISHED_MAX],
        # With more tasks than are remembered, they are listed again once fewer are left.
        listed_at=member.listed_at if complete else None,
        closed=member.closed and complete,
        # With no agent connected, its registrations are searched for in each pass.
        settled=member.settled and outcome.look.connected,
    )


def _bounded(history: Mapping[str, Member]) -> dict[str, Member]:
    """Return as many as are kept; what may go is not looked at again from the beginning."""
    ordered = sorted(history.items(), key=lambda item: not item[1].done)
    return dict(ordered[:MEMBERS_MAX])
