"""
Look at tasks: describe those that are known, and list those that may not be.

It changes nothing. A look that fails leaves its tasks unseen, never STOPPED, and spoils no other.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain import task_set
from drainer.drain.finder import ACTING_SECONDS
from drainer.drain.model import UNFINISHED_MAX, Owner, Task
from drainer.drain.sight import Sight, turn, unseen
from drainer.errors import DrainerError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.drain.finder import EcsReads
    from drainer.drain.view import View
    from drainer.invocation import InvocationClock

# Listing takes two reads or more for each container instance, of which ECS grants the account a
# burst of 100 and 20 a second. A crowd is listed in turns, while its tasks drain: passes of a
# hundred drains each, ten of which list, make ten passes in 15 s possible.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
LOOKS_MAX = 10

# One of the unfinished tasks that is not STOPPED decides, so that a few of each drain are asked
# about first, a hundred of all drains in one call.
SAMPLE_MAX = 5

# So many others are asked about together with those of other drains; more, by themselves.
FEW_MAX = 50

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
DESCRIBED_TOGETHER = 100

# What is left, beside that for acting, for describing the tasks that were listed: a listing of
# which no task is described is thrown away.
DESCRIBING_SECONDS = 5.0

# A task that is STOPPED stays so, and "stopped tasks ... appear in the returned results for at
# least one hour": a host of short jobs lists thousands, which need not be described again. Their
# ids take some five megabytes.
STOPPED_REMEMBERED_MAX = 50_000


# Of a drain, within one pass.
Key = tuple[str, str, str]


class StoppedTasks:
    """The ids of tasks that were seen STOPPED, as many as are remembered; nothing else of them."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._ids

    def add(self, tasks: Iterable[Task]) -> None:
        """Remember those of the tasks that are STOPPED."""
        for task in tasks:
            if not task.remains:
                self._ids[task.id] = None
        for _ in range(len(self._ids) - STOPPED_REMEMBERED_MAX):
            self._ids.popitem(last=False)


class TaskLook:
    """
    One pass's look at tasks.

    Args:
        ecs: Reads of ECS.
        time: The invocation's.
        view: Returns a sight with all that is needed to judge it.
        stopped: What earlier looks have seen STOPPED.
        looks_max: For how many drains a pass may list the tasks.
    """

    def __init__(
        self,
        ecs: EcsReads,
        time: InvocationClock,
        view: Callable[[Sight], View],
        stopped: StoppedTasks,
        looks_max: int = LOOKS_MAX,
    ) -> None:
        self._ecs = ecs
        self._time = time
        self._view = view
        self._stopped = stopped
        self._looks_max = looks_max

    def look(self, sights: Iterable[Sight], *, early: bool) -> None:
        """
        Look at the tasks of each drain, as far as that can decide about it.

        Args:
            sights: The drains, with their registrations.
            early: Whether tasks are listed while ECS still counts some.
        """
        found = [sight for sight in sights if sight.registrations]
        self._ask_together(
            {sight.key: sight.drain.unfinished[:SAMPLE_MAX] for sight in found}, found
        )
        open_ones = [s for s in found if not s.failed and self._wants_rest(s)]
        rests = {sight.key: sight.drain.unfinished[SAMPLE_MAX:] for sight in open_ones}
        few = [sight for sight in open_ones if 0 < len(rests[sight.key]) <= FEW_MAX]
        self._ask_together(rests, few)
        for sight in open_ones:
            if len(rests[sight.key]) > FEW_MAX:
                self._describe(sight, rests[sight.key], until_one=True)
        due = [s for s in found if task_set.needs_listing(self._view(s), early=early)]
        # What ECS counts no task for is closest to its end, and what has been listed once closer
        # still; among those, others come first each time, as there may be time for some only.
        due.sort(key=lambda s: (s.counted > 0, s.drain.listed_at is None, turn(s.id, s.now)))
        for sight in due[self._looks_max :]:
            sight.deferred = True
        self._list(due[: self._looks_max])
        for sight in found:
            sight.described = self._is_described(sight)

    def _ask_together(self, asked: Mapping[Key, Sequence[str]], sights: Sequence[Sight]) -> None:
        """Describe some of the unfinished tasks of each drain, a hundred of all in one call."""
        by_cluster: dict[str, list[Sight]] = defaultdict(list)
        for sight in sights:
            for cluster in _clusters(sight):
                by_cluster[cluster].append(sight)
        answered: dict[Key, dict[str, Task]] = defaultdict(dict)
        for cluster, members in by_cluster.items():
            ids = [task_id for sight in members for task_id in asked[sight.key]]
            try:
                tasks = self._tasks(cluster, list(dict.fromkeys(ids)))
            except DrainerError as error:
                unseen(members, error)
                continue
            for sight in members:
                answered[sight.key].update(tasks)
        for sight in sights:
            if not sight.failed and not sight.denied:
                self._take(sight, asked[sight.key], answered[sight.key])

    def _tasks(self, cluster: str, ids: Sequence[str]) -> dict[str, Task]:
        tasks: dict[str, Task] = {}
        for start in range(0, len(ids), DESCRIBED_TOGETHER):
            tasks.update(self._some(cluster, ids[start : start + DESCRIBED_TOGETHER]))
        return tasks

    def _some(self, cluster: str, ids: Sequence[str]) -> dict[str, Task]:
        """Describe tasks; one that a message claims and ECS refuses is missing, and no other."""
        self._must_have_time()
        try:
            return self._ecs.tasks(cluster, ids)
        except RefusedError:
            if len(ids) == 1:
                return {}
            middle = len(ids) // 2
            return {**self._some(cluster, ids[:middle]), **self._some(cluster, ids[middle:])}

    def _wants_rest(self, sight: Sight) -> bool:
        """Whether those unfinished tasks matter that are not in the sample."""
        view = self._view(sight)
        stops = task_set.wants_to_stop(view)
        return not view.blocking or stops or view.now >= view.deadline_at

    def _describe(self, sight: Sight, ids: Sequence[str], *, until_one: bool) -> list[str]:
        """Describe tasks of one drain; return those for which there was no time."""
        for start in range(0, len(ids), DESCRIBED_TOGETHER):
            chunk = list(ids[start : start + DESCRIBED_TOGETHER])
            if self._time.seconds_left() < ACTING_SECONDS:
                sight.deferred = True
                return list(ids[start:])
            tasks: dict[str, Task] = {}
            try:
                for cluster in _clusters(sight):
                    tasks.update(self._some(cluster, chunk))
            except DrainerError as error:
                sight.unseen(error)
                return list(ids[start:])
            self._take(sight, chunk, tasks)
            if until_one and not self._wants_rest(sight):
                return list(ids[start + len(chunk) :])
        return []

    def _take(self, sight: Sight, asked: Iterable[str], tasks: dict[str, Task]) -> None:
        own = {task_id: tasks[task_id] for task_id in asked if task_id in tasks}
        self._stopped.add(own.values())
        sight.tasks.update(own)
        missing = [one for one in asked if one not in tasks and one not in sight.missing]
        sight.missing = (*sight.missing, *missing)

    def _list(self, sights: Sequence[Sight]) -> None:
        """List the tasks of both desired statuses, and describe those not known to be over."""
        listed: dict[Key, tuple[datetime, list[str]]] = {}
        for sight in sights:
            try:
                ids = self._listed(sight)
            except DrainerError as error:
                sight.unseen(error)
                if isinstance(error, UnavailableError):
                    break  # to ask on for the others would only make a throttle last
                continue
            listed[sight.key] = (self._time.now(), self._unknown(sight, ids))
        done = [sight for sight in sights if sight.key in listed]
        for sight in sights:
            sight.deferred = sight.deferred or sight.key not in listed
        rests = {sight.key: listed[sight.key][1] for sight in done}
        few = [sight for sight in done if 0 < len(rests[sight.key]) <= FEW_MAX]
        self._ask_together(rests, few)
        for sight in done:
            left: Sequence[str] = ()
            if len(rests[sight.key]) > FEW_MAX:
                left = self._describe(sight, rests[sight.key], until_one=False)
            self._take_listing(sight, listed[sight.key][0], left)

    def _listed(self, sight: Sight) -> list[str]:
        listed: dict[str, None] = {}
        for instance in sight.candidates:
            for desired_status in ("RUNNING", "STOPPED"):
                self._must_have_time(DESCRIBING_SECONDS)
                ids = self._ecs.task_ids(
                    instance.cluster,
                    instance.arn,
                    desired_status=desired_status,
                    go_on=self._has_time_to_list,
                )
                listed.update(dict.fromkeys(ids))
        return list(listed)

    def _unknown(self, sight: Sight, listed: Sequence[str]) -> list[str]:
        """Return the listed tasks that must be described; take those known to be over."""
        known = {*sight.drain.unfinished, *sight.tasks}
        for task_id in listed:
            if task_id in self._stopped and task_id in known:
                sight.tasks[task_id] = _stopped(task_id)
        return [one for one in listed if one not in self._stopped and one not in sight.tasks]

    def _take_listing(self, sight: Sight, listed_at: datetime, left: Sequence[str]) -> None:
        """Take a listing; what could not be described counts as unfinished."""
        lacking = [one for one in (*left, *sight.missing) if one not in sight.drain.unfinished]
        unfinished = (*sight.drain.unfinished, *dict.fromkeys(lacking))
        if sight.failed or sight.denied or len(unfinished) > UNFINISHED_MAX:
            sight.deferred = True
            return
        sight.drain = replace(sight.drain, unfinished=unfinished)
        sight.listed_at = listed_at

    def _is_described(self, sight: Sight) -> bool:
        """Whether something is known of each unfinished task."""
        if sight.failed or sight.denied or sight.deferred:
            return False
        seen = {*sight.tasks, *sight.missing}
        return all(task_id in seen for task_id in sight.drain.unfinished)

    def _has_time_to_list(self) -> bool:
        return self._time.seconds_left() >= ACTING_SECONDS + DESCRIBING_SECONDS

    def _must_have_time(self, beside: float = 0.0) -> None:
        if self._time.seconds_left() < ACTING_SECONDS + beside:
            raise UnavailableError("No time was left to read tasks: the next pass does")


def _clusters(sight: Sight) -> list[str]:
    return list(dict.fromkeys(instance.cluster for instance in sight.candidates))


def _stopped(task_id: str) -> Task:
    return Task(task_id, Owner.STANDALONE, "", desired_status="STOPPED", last_status="STOPPED")
