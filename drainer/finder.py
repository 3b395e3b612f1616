"""
Look at ECS: find container instances and their tasks, a hundred at a time, never by paging.

It changes nothing. A search that failed finds nothing absent.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from drainer.errors import DrainerError, UnavailableError
from drainer.model import Registration, Waiting
from drainer.sight import Sight, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from drainer.model import ContainerInstance, Task

# Each cluster costs one read, of which ECS grants 20 a second; beyond this many, an instance that
# is in none of the named clusters stays unseen rather than unregistered.
CLUSTERS_SEARCHED_MAX = 100

# Listing takes up to two reads for each container instance, of which ECS grants the account a
# burst of 100 and 20 a second; a crowd that ends its tasks at once is looked at in turns, and
# what is looked at either goes or has witnesses, so that the next turn is another's.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
LOOKS_MAX = 20

# What must be left of an invocation for acting: answers, heartbeats, and the way round for all.
ACTING_SECONDS = 12.0


class EcsReads(Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def clusters(self) -> list[str]:
        """Return the ARNs of all clusters."""

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        """Return the ARNs of the container instances of these EC2 instances."""

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        """Return the container instances that still are."""

    def task_ids(
        self, cluster: str, container_instance_arn: str, *, desired_status: str
    ) -> list[str]:
        """Return the ids of its tasks of one desired status, RUNNING or STOPPED."""

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks that ECS still knows, by id."""


class Finder:
    """
    One pass's look at ECS.

    Args:
        ecs: Reads of ECS.
        clusters: Where to search for what names no cluster.
        seconds_left: How much of the invocation's time is left.
        looks_max: For how many container instances a pass may list the tasks.
    """

    def __init__(
        self,
        ecs: EcsReads,
        clusters: Sequence[str],
        seconds_left: Callable[[], float],
        looks_max: int = LOOKS_MAX,
    ) -> None:
        self._ecs = ecs
        self._clusters = clusters
        self._seconds_left = seconds_left
        self._looks_max = looks_max
        self.problems: list[str] = []

    def find(self, sights: Sequence[Sight]) -> None:
        """Describe the container instances that are known, and search for the others."""
        known = [s for s in sights if s.waiting == Waiting.YES and s.drain.container_instance_arn]
        for cluster, members in _by_cluster(known).items():
            for sight in members:
                sight.known = True
            arns = [sight.drain.container_instance_arn or "" for sight in members]
            self._describe(cluster, arns, members)
        self._search_named([sight for sight in sights if sight.sought])
        self._search_everywhere([s for s in sights if s.sought and s.elsewhere])

    def look_at_witnesses(self, sights: Iterable[Sight]) -> None:
        """Describe the tasks that were left at each drain's last exact look."""
        seen = (s for s in sights if s.container_instance and s.drain.witnesses)
        for cluster, members in _by_cluster(seen).items():
            ids = [task_id for sight in members for task_id in sight.drain.witnesses]
            try:
                self._must_have_time()
                tasks = self._ecs.tasks(cluster, ids)
            except DrainerError as error:
                unseen(members, error)
                continue
            for sight in members:
                sight.tasks = tuple(tasks[i] for i in sight.drain.witnesses if i in tasks)

    def look_exactly(self, sights: Sequence[Sight]) -> None:
        """
        List and describe the tasks of both desired statuses, for as many as a pass may.

        Tasks that ECS wants stopped come first. Where the counts know of no others, one of them
        that is not STOPPED yet decides, and listing the others is spared.
        """
        for sight in sights[self._looks_max :]:
            sight.deferred = True
        for cluster, members in _by_cluster(sights[: self._looks_max]).items():
            ending = self._look_at_tasks(cluster, members, "STOPPED")
            open_ones = [s for s in ending if s.counted or not any(t.remains for t in s.tasks)]
            for sight in self._look_at_tasks(cluster, open_ones, "RUNNING"):
                sight.exact = True

    def _look_at_tasks(
        self, cluster: str, sights: Sequence[Sight], desired_status: str
    ) -> list[Sight]:
        """Add the tasks of one desired status; return those for which that succeeded."""
        listed = self._list(cluster, sights, desired_status)
        ids = sorted({task_id for own in listed.values() for task_id in own})
        seen = [sight for sight in sights if sight.id in listed]
        try:
            tasks = self._ecs.tasks(cluster, ids)
        except DrainerError as error:
            unseen(seen, error)
            return []
        found = []
        for sight in seen:
            own = listed[sight.id]
            known = {task.id: task for task in sight.tasks}
            known.update({task_id: tasks[task_id] for task_id in own if task_id in tasks})
            # A task that is listed and cannot be described may be alive. And a listing of those
            # that are to stop which lacks one that we know has stopped is stale.
            lacking = [t for t in sight.tasks if desired_status == "STOPPED" and t.id not in own]
            if all(task_id in tasks for task_id in own) and not any(not t.wanted for t in lacking):
                found.append(sight)
            else:
                sight.reason = "the tasks that are listed are not those that can be described"
            sight.tasks = tuple(known.values())
        return found

    def _list(
        self, cluster: str, sights: Sequence[Sight], desired_status: str
    ) -> dict[str, list[str]]:
        listed: dict[str, list[str]] = {}
        for position, sight in enumerate(sights):
            if self._seconds_left() < ACTING_SECONDS:
                for later in sights[position:]:
                    later.deferred = True
                break
            arn = sight.drain.container_instance_arn or ""
            try:
                listed[sight.id] = self._ecs.task_ids(cluster, arn, desired_status=desired_status)
            except UnavailableError as error:
                # Asking on for the others would only make a throttle last.
                unseen(sights[position:], error)
                break
            except DrainerError as error:
                sight.unseen(error)
        return listed

    def _must_have_time(self) -> None:
        # Answers, heartbeats and the way round must not be missed for a look that takes too long.
        if self._seconds_left() < ACTING_SECONDS:
            raise UnavailableError("no time was left to look; the next pass does")

    def _search_named(self, sights: Iterable[Sight]) -> None:
        by_cluster: dict[str, list[Sight]] = defaultdict(list)
        for sight in sights:
            policy = sight.drain.policy
            named = (policy.cluster,) if policy and policy.cluster else self._clusters
            for cluster in named:
                by_cluster[cluster].append(sight)
        for cluster, members in by_cluster.items():
            self._search(cluster, [sight for sight in members if sight.sought])

    def _search_everywhere(self, sights: list[Sight]) -> None:
        """
        Search all clusters for what no named one has, before anything counts as unregistered.

        A cluster's name with a slip in it must not release an instance that serves in another.
        """
        if not sights:
            return
        try:
            self._must_have_time()
            clusters = self._ecs.clusters()
        except DrainerError as error:
            unseen(sights, error)
            return
        # One whose agent is disconnected has been found already, and is sought all the same.
        found_before = {sight.id: sight.drain.cluster for sight in sights}
        for cluster in clusters[:CLUSTERS_SEARCHED_MAX]:
            self._search(cluster, [sight for sight in sights if sight.sought])
        for sight in sights:
            if sight.container_instance:
                if sight.drain.cluster != found_before[sight.id]:
                    self._report_misnamed(sight)
            elif len(clusters) > CLUSTERS_SEARCHED_MAX:
                sight.reason = sight.reason or f"more than {CLUSTERS_SEARCHED_MAX} clusters"
            elif sight.sound:
                sight.registration = Registration.ABSENT
            else:
                sight.nowhere = not sight.denied

    def _report_misnamed(self, sight: Sight) -> None:
        policy = sight.drain.policy
        named = (policy.cluster if policy else None) or ", ".join(self._clusters)
        self.problems.append(
            f"{sight.id} is in cluster {sight.drain.cluster} and is drained there; "
            f"its hook or DRAINER_CLUSTERS name {named or 'none'}"
        )

    def _search(self, cluster: str, sights: list[Sight]) -> None:
        if not sights:
            return
        try:
            self._must_have_time()
            arns = self._ecs.find(cluster, list(dict.fromkeys(sight.id for sight in sights)))
        except DrainerError as error:
            unseen(sights, error)
            return
        self._describe(cluster, arns, sights)

    def _describe(self, cluster: str, arns: Sequence[str], sights: list[Sight]) -> None:
        try:
            self._must_have_time()
            described = self._ecs.describe(cluster, list(dict.fromkeys(arns)))
        except DrainerError as error:
            unseen(sights, error)
            return
        # An EC2 instance whose agent has registered anew is there twice: the connected one counts.
        # INACTIVE ones are deregistered, and described for a while all the same.
        described.sort(key=lambda instance: instance.agent_connected)
        live = {i.ec2_instance_id: i for i in described if i.status != "INACTIVE"}
        for sight in sights:
            if sight.id in live:
                sight.found(cluster, live[sight.id])


def _by_cluster(sights: Iterable[Sight]) -> dict[str, list[Sight]]:
    by_cluster: dict[str, list[Sight]] = defaultdict(list)
    for sight in sights:
        by_cluster[sight.drain.cluster or ""].append(sight)
    return by_cluster
