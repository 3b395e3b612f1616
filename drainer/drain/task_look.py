"""
Look at tasks: describe those that are known, and list those that may not be.

It changes nothing. A failed look leaves its own tasks unseen, not STOPPED.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain import task_set
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.holding_tasks import blocking, ignores
from drainer.drain.look import turn, unseen
from drainer.drain.model import UNFINISHED_MAX, Owner, Task
from drainer.drain.task_reads import DESCRIBED_TOGETHER, TaskReads
from drainer.errors import DrainerError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.drain.ecs_reads import EcsReads
    from drainer.drain.listings import Budget
    from drainer.drain.look import Look
    from drainer.drain.model import ContainerInstance
    from drainer.drain.task_reads import StoppedTasks
    from drainer.invocation import InvocationClock

# One of the unfinished tasks that is not STOPPED decides, so that a few of each drain are asked
# about first, a hundred of all drains in one call.
SAMPLE_MAX = 5

# So many others are asked about together with those of other drains; more, by themselves.
FEW_MAX = 50


class TaskLook:
    """
    One pass's look at tasks.

    Args:
        stopped: What earlier looks have seen STOPPED.
        listings: Of how many drains the tasks may be listed.
    """

    def __init__(
        self, ecs: EcsReads, time: InvocationClock, stopped: StoppedTasks, listings: Budget
    ) -> None:
        self._reads = TaskReads(ecs, time)
        self._time = time
        self._stopped = stopped
        self._listings = listings

    def look(self, looks: Iterable[Look], *, early: bool) -> None:
        """
        Look at the tasks of each drain, as far as that can decide about it.

        Args:
            looks: The drains, with their registrations.
            early: Whether tasks are listed while ECS still counts some.
        """
        # What is in doubt already waits for the next pass, whatever its tasks are.
        found = [look for look in looks if look.registrations and not look.in_doubt]
        self._ask_together({look: look.drain.unfinished[:SAMPLE_MAX] for look in found})
        rests = {
            look: look.drain.unfinished[SAMPLE_MAX:]
            for look in found
            if not look.in_doubt and _wants_rest(look)
        }
        self._ask_about(rests, until_one=True)
        sound = [one for one in found if not one.in_doubt]
        due = [one for one in sound if task_set.needs_listing(one, early=early)]
        # Instances without a counted task come first, of these the ones listed once. The order
        # within each group differs in each pass: there may be time for some only.
        due.sort(
            key=lambda s: (s.counted > 0, not s.drain.listed_at, turn(s.ec2_instance_id, s.now))
        )
        granted = self._listings.grant(len(due), self._time.now())
        for look in due[granted:]:
            look.deferred = True
        self._list(due[:granted])
        for look in found:
            look.described = _is_described(look)
        self._list_behind([look for look in found if task_set.must_list_behind(look)])

    def _ask_about(
        self, asked: Mapping[Look, Sequence[str]], *, until_one: bool
    ) -> dict[Look, Sequence[str]]:
        """Describe a few tasks together with those of others; return what there is no time for."""
        self._ask_together({look: ids for look, ids in asked.items() if 0 < len(ids) <= FEW_MAX})
        return {
            look: self._describe(look, ids, until_one=until_one)
            for look, ids in asked.items()
            if len(ids) > FEW_MAX
        }

    def _ask_together(self, asked: Mapping[Look, Sequence[str]]) -> None:
        """Describe some of the tasks of each instance, a hundred of all in one call."""
        by_cluster: dict[str, list[Look]] = defaultdict(list)
        for look in asked:
            for cluster in dict.fromkeys(one.cluster for one in look.candidates):
                by_cluster[cluster].append(look)
        answered: dict[Look, dict[str, Task]] = defaultdict(dict)
        for cluster, members in by_cluster.items():
            ids = [task_id for look in members for task_id in asked[look]]
            refused: dict[str, RefusedError] = {}
            try:
                tasks = self._reads.tasks(cluster, list(dict.fromkeys(ids)), refused)
            except DrainerError as error:
                self._listings.failed(error)
                unseen(members, error)
                # A cluster that had a container instance a moment ago is no typo in a name.
                for look in members:
                    look.denied = True
                continue
            for look in members:
                answered[look].update(tasks)
                for refusal in (refused[one] for one in asked[look] if one in refused):
                    look.unseen(refusal)
        for look, its_ids in asked.items():
            if not look.in_doubt:
                self._take(look, its_ids, answered[look])

    def _describe(self, look: Look, ids: Sequence[str], *, until_one: bool) -> Sequence[str]:
        """Describe many tasks of one instance; return those for which there was no time."""
        for start in range(0, len(ids), DESCRIBED_TOGETHER):
            if self._time.seconds_left() < ACTING_SECONDS:
                look.deferred = True
                return ids[start:]
            end = start + DESCRIBED_TOGETHER
            self._ask_together({look: ids[start:end]})
            if look.in_doubt:
                return ids[start:]
            if until_one and not _wants_rest(look):
                return ids[end:]
        return ()

    def _take(self, look: Look, asked: Iterable[str], tasks: dict[str, Task]) -> None:
        own = {task_id: tasks[task_id] for task_id in asked if task_id in tasks}
        self._stopped.add(own.values())
        look.tasks.update(own)
        missing = [one for one in asked if one not in tasks and one not in look.missing]
        look.missing = (*look.missing, *missing)

    def _list(self, looks: Sequence[Look]) -> None:
        """List the tasks, and describe those not known to be over."""
        listed: dict[Look, tuple[datetime, list[str]]] = {}
        statuses = {look: task_set.statuses_to_list(look) for look in looks}
        for look in looks:
            try:
                ids = self._listed(look, statuses[look])
            except DrainerError as error:
                self._listings.failed(error)
                look.unseen(error)
                if isinstance(error, UnavailableError):
                    break  # to ask on for the others would only make a throttle last
                continue
            listed[look] = (self._time.now(), self._unknown(look, ids))
        for look in looks:
            look.deferred = look.deferred or look not in listed
        left = self._ask_about({look: ids for look, (_, ids) in listed.items()}, until_one=False)
        for look, (listed_at, _) in listed.items():
            self._leave_out_forgotten(look, statuses[look])
            _take_listing(look, listed_at, left.get(look, ()))

    def _leave_out_forgotten(self, look: Look, statuses: Sequence[str]) -> None:
        """
        Leave out what ECS forgot after it was listed: it had stopped an hour ago.

        Of a thousand tasks that stop in an hour some do so between a listing and a description.
        Taken for unfinished, such a one would keep the instance for MISSING_FOR after all others.
        """
        new = {*look.missing}.difference(look.drain.unfinished)
        if not new or look.in_doubt:
            return
        try:
            forgotten = new.difference(self._listed(look, statuses))
        except DrainerError as error:
            self._listings.failed(error)
            look.unseen(error)
            return
        look.missing = tuple(one for one in look.missing if one not in forgotten)

    def _listed(self, look: Look, statuses: Sequence[str]) -> list[str]:
        listed: dict[str, None] = {}
        for instance in look.candidates:
            for desired_status in statuses:
                listed.update(dict.fromkeys(self._reads.ids(instance, desired_status)))
        return list(listed)

    def _list_behind(self, looks: Sequence[Look]) -> None:
        """List what ECS has told to stop on earlier registrations; a failure leaves it unlisted."""
        granted = self._listings.grant(len(looks), self._time.now())
        for look in looks[:granted]:
            try:
                look.behind = sum(self._count_behind(look, one) for one in look.left_over)
            except DrainerError as error:
                self._listings.failed(error)
                look.unseen(error)
                if isinstance(error, UnavailableError):
                    break  # to ask on for the others would only make a throttle last

    def _count_behind(self, look: Look, instance: ContainerInstance) -> int:
        """Count the tasks on an earlier registration that keep the EC2 instance."""
        listed = self._reads.ids(instance, "STOPPED")
        ids = [one for one in listed if one not in self._stopped and one not in look.tasks]
        tasks = self._reads.tasks(instance.cluster, ids, {})
        self._stopped.add(tasks.values())
        over = [one.id for one in tasks.values() if not one.remains or ignores(look, one)]
        return len(set(ids).difference(over))

    def _unknown(self, look: Look, listed: Sequence[str]) -> list[str]:
        """Return the listed tasks that must be described; take those known to be over."""
        known = {*look.drain.unfinished, *look.tasks}
        for task_id in listed:
            if task_id in self._stopped and task_id in known:
                look.tasks[task_id] = _stopped(task_id)
        return [one for one in listed if one not in self._stopped and one not in look.tasks]


def _stopped(task_id: str) -> Task:
    return Task(task_id, Owner.STANDALONE, "", desired_status="STOPPED", last_status="STOPPED")


def _wants_rest(look: Look) -> bool:
    """Whether those unfinished tasks matter that are not in the sample."""
    return not blocking(look) or task_set.wants_to_stop(look) or look.to_report


def _take_listing(look: Look, listed_at: datetime, left: Sequence[str]) -> None:
    """Take a listing; what could not be described counts as unfinished."""
    lacking = [one for one in (*left, *look.missing) if one not in look.drain.unfinished]
    unfinished = (*look.drain.unfinished, *dict.fromkeys(lacking))
    if look.in_doubt or len(unfinished) > UNFINISHED_MAX:
        look.deferred = True
        return
    look.drain = replace(look.drain, unfinished=unfinished)
    look.listed_at = listed_at


def _is_described(look: Look) -> bool:
    """Whether something is known of each unfinished task."""
    if look.in_doubt or look.deferred:
        return False
    seen = {*look.tasks, *look.missing}
    return all(task_id in seen for task_id in look.drain.unfinished)
