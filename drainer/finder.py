"""
Look at ECS: find container instances and their tasks, a hundred at a time, never by paging.

It changes nothing. A search that failed finds nothing absent.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from drainer.errors import DrainerError
from drainer.model import Registration, Waiting
from drainer.sight import Sight, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from drainer.model import ContainerInstance, Task

# Each cluster costs one read, of which ECS grants 20 a second; beyond this many, an instance that
# is in none of the named clusters stays unseen rather than unregistered.
CLUSTERS_SEARCHED_MAX = 100

# What must be left of an invocation for acting: answers, and the way round for all others.
ACTING_SECONDS = 20.0


class EcsReads(Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def clusters(self) -> list[str]:
        """Return the ARNs of all clusters."""

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        """Return the ARNs of the container instances of these EC2 instances."""

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        """Return the container instances that still are."""

    def task_ids(self, cluster: str, container_instance_arn: str) -> list[str]:
        """Return the ids of all its tasks, of both desired statuses."""

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks that ECS still knows, by id."""


class Finder:
    """
    One pass's look at ECS.

    Args:
        ecs: Reads of ECS.
        clusters: Where to search for what names no cluster.
        seconds_left: How much of the invocation's time is left.
    """

    def __init__(
        self, ecs: EcsReads, clusters: Sequence[str], seconds_left: Callable[[], float]
    ) -> None:
        self._ecs = ecs
        self._clusters = clusters
        self._seconds_left = seconds_left
        self.problems: list[str] = []

    def find(self, sights: Sequence[Sight]) -> None:
        """Describe the container instances that are known, and search for the others."""
        known = (s for s in sights if s.waiting == Waiting.YES and s.drain.container_instance_arn)
        for cluster, members in _by_cluster(known).items():
            arns = [sight.drain.container_instance_arn or "" for sight in members]
            self._describe(cluster, arns, members)
        self._search_named([sight for sight in sights if sight.sought])
        self._search_everywhere([sight for sight in sights if sight.sought])

    def look_at_witnesses(self, sights: Iterable[Sight]) -> None:
        """Describe the tasks that were left at each drain's last exact look."""
        seen = (s for s in sights if s.container_instance and s.drain.witnesses)
        for cluster, members in _by_cluster(seen).items():
            ids = [task_id for sight in members for task_id in sight.drain.witnesses]
            try:
                tasks = self._ecs.tasks(cluster, ids)
            except DrainerError as error:
                unseen(members, error)
                continue
            for sight in members:
                sight.tasks = tuple(tasks[i] for i in sight.drain.witnesses if i in tasks)

    def look_exactly(self, sights: Sequence[Sight]) -> None:
        """List and describe all tasks, of both desired statuses."""
        for cluster, members in _by_cluster(sights).items():
            listed = {sight.id: self._list(cluster, sight) for sight in members}
            ids = [task_id for found in listed.values() for task_id in found or ()]
            try:
                tasks = self._ecs.tasks(cluster, ids)
            except DrainerError as error:
                unseen(members, error)
                continue
            for sight in members:
                own = listed[sight.id]
                if own is None:
                    continue
                sight.tasks = tuple(tasks[task_id] for task_id in own if task_id in tasks)
                # A task that is listed and cannot be described may be alive.
                sight.exact = len(sight.tasks) == len(own)
                if not sight.exact:
                    sight.reason = "not every task that is listed could be described"

    def _list(self, cluster: str, sight: Sight) -> set[str] | None:
        if self._seconds_left() < ACTING_SECONDS:
            sight.reason = "no time was left to list the tasks; the next pass does"
            return None
        try:
            return set(self._ecs.task_ids(cluster, sight.drain.container_instance_arn or ""))
        except DrainerError as error:
            sight.unseen(error)
            return None

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
            clusters = self._ecs.clusters()
        except DrainerError as error:
            unseen(sights, error)
            return
        for cluster in clusters[:CLUSTERS_SEARCHED_MAX]:
            self._search(cluster, [sight for sight in sights if sight.sought])
        for sight in sights:
            if sight.container_instance:
                self._report_misnamed(sight)
            elif sight.sound and len(clusters) <= CLUSTERS_SEARCHED_MAX:
                sight.registration = Registration.ABSENT
            else:
                sight.reason = sight.reason or f"more than {CLUSTERS_SEARCHED_MAX} clusters"

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
            arns = self._ecs.find(cluster, [sight.id for sight in sights])
        except DrainerError as error:
            unseen(sights, error)
            return
        self._describe(cluster, arns, sights)

    def _describe(self, cluster: str, arns: Sequence[str], sights: list[Sight]) -> None:
        try:
            described = self._ecs.describe(cluster, arns)
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
