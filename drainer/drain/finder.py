"""
Find container instances in ECS, a hundred at a time, never by paging a cluster.

It changes nothing. A search that failed finds nothing absent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from drainer.drain.model import Registration, Waiting
from drainer.drain.sight import Sight, unseen
from drainer.drain.task_set import VIEW_LAG
from drainer.errors import DrainerError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from drainer.drain.model import ContainerInstance, Task
    from drainer.invocation import InvocationClock

# Each cluster costs one read, of which ECS grants 20 a second; what is in none of so many is
# searched for in the others by the next passes.
CLUSTERS_SEARCHED_MAX = 100
# What has no token is not believed to say how far a search has come, so that one pass searches all
# of these, as long as there is time: a burst of 100 reads, and 20 a second.
CLUSTERS_SEARCHED_AT_ONCE_MAX = 400

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
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        """Return the ids of its tasks of one desired status; `go_on` may end a long listing."""

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks that ECS still knows, by id."""


class Finder:
    """
    One pass's search for container instances.

    Args:
        ecs: Reads of ECS.
        clusters: Where to search for what names no cluster.
        time: The invocation's.
    """

    def __init__(self, ecs: EcsReads, clusters: Sequence[str], time: InvocationClock) -> None:
        self._ecs = ecs
        self._clusters = clusters
        self._time = time
        self.problems: list[str] = []

    def find(self, sights: Sequence[Sight]) -> None:
        """Describe the container instances that are known, and search for the others."""
        self._describe_known([s for s in sights if s.waiting == Waiting.YES])
        self._search_named([sight for sight in sights if sight.sought])
        self._search_everywhere([s for s in sights if s.sought and s.elsewhere])
        for sight in sights:
            sight.seen_at = self._time.now()
            sight.restore()

    def _describe_known(self, sights: Iterable[Sight]) -> None:
        by_cluster: dict[str, list[tuple[str, Sight]]] = defaultdict(list)
        known = [sight for sight in sights if sight.drain.container_instance_arn]
        for sight in known:
            sight.known = True
            drain = sight.drain
            by_cluster[drain.cluster or ""].append((drain.container_instance_arn or "", sight))
            for cluster, arn in drain.others:
                by_cluster[cluster].append((arn, sight))
        for cluster, rows in by_cluster.items():
            members = list({sight.key: sight for _, sight in rows}.values())
            self._describe(cluster, [arn for arn, _ in rows], members)
        for sight in known:
            connected = any(one.agent_connected for one in sight.registrations.values())
            if not connected and sight.known_arns() != set(sight.registrations):
                # One that was known has not been described, so that it is looked for again: its
                # agent may have registered where no earlier search has found it.
                sight.settled = False
                sight.drain = replace(sight.drain, settled=False, searched_at=None)

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
        Search all clusters, as many of them as a pass may, and go on there in the next pass.

        A typo in a cluster's name must not release an instance that serves in another cluster, nor
        must what is left of an earlier registration.
        """
        if not sights:
            return
        try:
            self._must_have_time()
            clusters = sorted(self._ecs.clusters())
        except DrainerError as error:
            unseen(sights, error)
            return
        found_before = {sight.key: sight.drain.cluster for sight in sights}
        self._search_on(clusters, sights)
        last = clusters[-1] if clusters else ""
        for sight in sights:
            if sight.sought and sight.drain.searched_to >= last:
                self._end_search(sight)
            elif sight.sought:
                sight.reason = sight.reason or f"{len(clusters)} clusters are searched in turns"
            if sight.settled:
                # What was begun is not to be taken for a search that has come to its end.
                sight.drain = replace(sight.drain, searched_to="", search_failed=False)
            if sight.registrations and sight.drain.cluster != found_before[sight.key]:
                self._report_misnamed(sight)

    def _search_on(self, clusters: Sequence[str], sights: Sequence[Sight]) -> None:
        """Search clusters in their order, for each drain after the one it has come to."""
        left = CLUSTERS_SEARCHED_MAX
        if not all(sight.drain.action.lifecycle_action_token for sight in sights):
            left = CLUSTERS_SEARCHED_AT_ONCE_MAX
        # What has come furthest goes first, or newcomers would hold it up.
        for begun_at in sorted({sight.drain.searched_to for sight in sights}, reverse=True):
            together = [sight for sight in sights if sight.drain.searched_to == begun_at]
            for cluster in clusters[bisect_right(clusters, begun_at) :]:
                members = [sight for sight in together if sight.sought]
                if not members or left == 0 or self._time.seconds_left() < ACTING_SECONDS:
                    break
                left -= 1
                self._search_one_of_all(cluster, members)

    def _search_one_of_all(self, cluster: str, members: list[Sight]) -> None:
        """Search one of all clusters; what cannot be read leaves no search sound."""
        before = [(sight.sound, sight.denied) for sight in members]
        self._search(cluster, members)
        for sight, (sound, denied) in zip(members, before, strict=True):
            if sight.failed:
                continue  # the next pass asks this cluster again
            failed = (sight.denied and not denied) or sight.drain.search_failed
            # A cluster that was deleted after it had been listed has nothing any more.
            sight.sound = sound and not failed
            sight.drain = replace(sight.drain, searched_to=cluster, search_failed=failed)

    def _end_search(self, sight: Sight) -> None:
        sound = sight.sound and not sight.drain.search_failed
        sight.drain = replace(sight.drain, searched_to="", search_failed=False)
        if not sound:
            sight.nowhere = not (sight.denied or sight.registrations)
            return
        sight.searched = True
        since = sight.drain.searched_at
        if not sight.registrations:
            sight.registration = Registration.ABSENT
        elif since is not None and sight.now >= since + VIEW_LAG:
            sight.settled = True

    def _report_misnamed(self, sight: Sight) -> None:
        policy = sight.drain.policy
        names = [policy.cluster] if policy and policy.cluster else [*self._clusters]
        # A cluster may be named by its name or its ARN.
        known = {name.rpartition("/")[2] for name in names}
        named = ", ".join(names)
        if named and (sight.drain.cluster or "").rpartition("/")[2] not in known:
            self.problems.append(
                f"{sight.id} is in cluster {sight.drain.cluster} and is drained there: "
                f"correct its hook or DRAINER_CLUSTERS, which name {named}"
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
        except RefusedError as error:
            self._describe_apart(cluster, list(dict.fromkeys(arns)), sights, error)
            return
        except DrainerError as error:
            unseen(sights, error)
            return
        by_id: dict[str, list[ContainerInstance]] = defaultdict(list)
        for instance in described:
            # INACTIVE ones are deregistered, and described for a while all the same.
            if instance.status != "INACTIVE":
                by_id[instance.ec2_instance_id].append(instance)
        for sight in sights:
            for instance in by_id[sight.id]:
                sight.found(cluster, instance)

    def _describe_apart(
        self, cluster: str, arns: Sequence[str], sights: list[Sight], error: RefusedError
    ) -> None:
        """Describe those that ECS does not refuse; the message that claims another is blind."""
        if len(arns) > 1:
            middle = len(arns) // 2
            self._describe(cluster, arns[:middle], sights)
            self._describe(cluster, arns[middle:], sights)
            return
        claimed = [sight for sight in sights if sight.known_arns() & set(arns)]
        # Who has been found by another reference has only lost the one that it claimed.
        unseen(claimed or [sight for sight in sights if not sight.registrations], error)

    def _must_have_time(self) -> None:
        # Answers, heartbeats and the way round must not be missed for a look that takes too long.
        if self._time.seconds_left() < ACTING_SECONDS:
            raise UnavailableError("No time was left to search: the next pass does")
