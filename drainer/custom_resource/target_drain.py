"""
Drain all instances of what a custom resource guards, by the machine that serves lifecycle actions.

Each pass asks anew whose instances they are: what AWS says of a fleet "might be out of date", so
that one that is missing from an answer is not forgotten, and one empty answer drains nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from drainer.custom_resource.progress import (
    NOTES_MAX,
    OF_A_DRAIN,
    UNFINISHED_MAX,
    Note,
    RequestProgress,
)
from drainer.custom_resource.properties import INSTANCES_MAX, TargetKind
from drainer.custom_resource.target_actions import TargetActions
from drainer.custom_resource.target_status import TargetStatus
from drainer.drain import machine, task_set
from drainer.drain.actions import Outcome
from drainer.drain.finder import Finder
from drainer.drain.look import Look
from drainer.drain.model import InstanceProgress
from drainer.drain.task_look import StoppedTasks, TaskLook
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

# What EC2 says of a fleet "is refreshed periodically and might be out of date", nobody says by how
# much: for so long after an instance was seen for the first time, another may follow.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html
SETTLED = timedelta(seconds=120)

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
DESCRIBED_TOGETHER = 100


class TargetDrain:
    """Drains what a custom resource guards, and undoes that."""

    def __init__(self, ecs: Ecs, targets: Targets) -> None:
        self._ecs = ecs
        self._actions = TargetActions(ecs)
        self._stopped = StoppedTasks()
        self._targets = targets

    def drain(
        self,
        progress: RequestProgress,
        guard: DrainTarget,
        hop: int,
        time: InvocationClock,
    ) -> TargetStatus:
        """Look at every instance, decide about each, and act."""
        now = time.now()
        try:
            current = self._targets.instances(guard)
        except DrainerError as error:
            return TargetStatus(progress, unsure=f"The target's instances were not read: {error}")
        gone, notes = current is None, progress.notes
        missing = [one for one, note in notes.items() if not note.done]
        members = list(dict.fromkeys([*(current or ()), *missing]))
        chosen = _in_turn(members, notes, hop)
        looks = [_look(one, progress, guard, now) for one in chosen]
        finder = Finder(self._ecs, guard.configured, time)
        finder.find(looks)
        settled = {look for look in looks if _stays_done(look, notes.get(look.ec2_instance_id))}
        open_ones = [look for look in looks if look not in settled]
        for look in open_ones:
            # A cluster that is gone has taken its container instances along; and what was seen in
            # it has left it, wherever else nobody has looked.
            left = not (look.elsewhere or look.registrations or look.in_doubt)
            if look.nowhere or left:
                look.absent = True
        TaskLook(
            self._ecs,
            time,
            self._stopped,
            _listings_max(len(chosen)),
        ).look(open_ones, early=False)
        outcomes = [Outcome(look, machine.decide(look)) for look in open_ones]
        if now < progress.request.deadline_at(guard):
            self._actions.act(outcomes, progress.request.stack_id, time)
        kept = {*members}
        following = {
            **{one: note for one, note in notes.items() if one in kept},
            **{o.look.ec2_instance_id: _note(o, guard) for o in outcomes},
        }
        unsure = [look.reason for look in looks if look in settled and look.in_doubt]
        if len(chosen) < len(members) and _undone(members, notes):
            unsure.append("The other instances are read in later passes")
        news = _has_new(current or (), progress)
        grown_at = now if news or progress.grown_at is None else progress.grown_at
        done = sum(following.get(one, Note()).done for one in members)
        return TargetStatus(
            progress=replace(
                progress, notes=_bounded(following), looks=progress.looks + 1, grown_at=grown_at
            ),
            outcomes=tuple(o for o in outcomes if not o.decision.may_leave),
            total=len(members),
            done=done,
            unsure=unsure[0] if unsure else "",
            settled=now >= grown_at + SETTLED or (not gone and guard.kind != TargetKind.SPOT_FLEET),
            gone=gone,
            troubles=(*finder.problems, *(t for o in outcomes for t in o.troubles)),
        )


def _look(
    ec2_instance_id: str, progress: RequestProgress, guard: DrainTarget, now: datetime
) -> Look:
    note = progress.notes.get(ec2_instance_id, Note())
    known = InstanceProgress(
        policy=replace(guard.policy, cluster=note.cluster or guard.cluster),
        standalone_stopped=note.stopped,
        **{name: getattr(note, name) for name in OF_A_DRAIN},
    )
    return Look(
        ec2_instance_id,
        known,
        now,
        # What is settled is looked for where it was, and nowhere else; what was in no cluster may
        # have booted since, and be in any.
        elsewhere=not (note.settled or _was_drained(note)),
        remembers=False,
        to_report=now >= progress.request.deadline_at(guard),
    )


def _has_new(current: Iterable[str], progress: RequestProgress) -> bool:
    """Whether a listing of the target has an instance that no earlier one had."""
    return any(one not in progress.notes for one in current)


def _in_turn(members: Sequence[str], notes: Mapping[str, Note], hop: int) -> list[str]:
    """
    Return what is looked at now: what is not done, in turns where that is more than a pass sees.

    What may go is looked at beside it where that costs no call more, and once more at the end, all
    of it in one pass. What was in no cluster is looked at each time: it may be booting.
    """
    if not _undone(members, notes):
        return list(members)
    looked_at = [one for one in members if not _was_drained(notes.get(one, Note()))]
    if len(members) <= DESCRIBED_TOGETHER:
        looked_at = list(members)
    size = len(looked_at)
    turn = (hop * INSTANCES_MAX) % size if size > INSTANCES_MAX else 0
    return [*looked_at[turn:], *looked_at[:turn]][:INSTANCES_MAX]


def _undone(members: Iterable[str], notes: Mapping[str, Note]) -> list[str]:
    return [one for one in members if not notes.get(one, Note()).done]


def _was_drained(note: Note) -> bool:
    """Whether it may go since its tasks are over, and not since it was in no cluster."""
    return note.done and note.draining_since is not None


def _listings_max(instances: int) -> int:
    hundreds = ceil(instances / DESCRIBED_TOGETHER)
    return max(1, (READS_MAX - READS_OF_A_HUNDRED * hundreds) // READS_OF_A_LISTING)


def _stays_done(look: Look, note: Note | None) -> bool:
    """Whether an instance that might go still may: it is gone, or still without a task."""
    if note is None or not note.done:
        return False
    # What was in no cluster and now is in one has never been looked at.
    return not look.registrations or (_was_drained(note) and task_set.stays_empty(look))


def _note(outcome: Outcome, guard: DrainTarget) -> Note:
    following = outcome.following()
    complete = len(following.unfinished) <= UNFINISHED_MAX
    elsewhere = following.cluster != guard.cluster
    known: dict[str, Any] = {name: getattr(following, name) for name in OF_A_DRAIN}
    note = Note(
        **known,
        cluster=(following.cluster or "") if elsewhere else "",
        stopped=following.standalone_stopped,
        done=outcome.decision.may_leave,
    )
    return replace(
        note,
        unfinished=note.unfinished[:UNFINISHED_MAX],
        # With more tasks than are remembered, they are listed again once fewer are left.
        listed_at=note.listed_at if complete else None,
        closed=note.closed and complete,
        # With no agent connected, its registrations are searched for in each pass.
        settled=note.settled and outcome.look.connected,
    )


def _bounded(notes: Mapping[str, Note]) -> dict[str, Note]:
    """Return as many as are kept; what may go is not looked at again from the beginning."""
    ordered = sorted(notes.items(), key=lambda item: not item[1].done)
    return dict(ordered[:NOTES_MAX])
