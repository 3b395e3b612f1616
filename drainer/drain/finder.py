"""
Find container instances in ECS, a hundred at a time, never by paging a cluster.

It changes nothing. A search that failed finds nothing absent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.look import cluster_name, unseen
from drainer.drain.model import Place
from drainer.drain.task_set import ANSWER_LAG
from drainer.errors import DrainerError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drainer.drain.ecs_reads import EcsReads
    from drainer.drain.look import Look
    from drainer.drain.model import ContainerInstance
    from drainer.invocation import InvocationClock

# Each cluster costs one read, of which ECS grants 20 a second; what is in none of so many is
# searched for in the others by the next passes.
CLUSTERS_SEARCHED_MAX = 100
# How far a search has come does not count without a token, so that one pass searches all of these
# while there is time: a burst of 100 reads, and 20 a second.
CLUSTERS_SEARCHED_AT_ONCE_MAX = 400
# An agent that has lost its state registers again where it was, or where it is configured to: so
# many clusters are searched again in each pass while it is not connected, at one read each.
CLUSTERS_SEARCHED_AGAIN_MAX = 5

# Of more that are listed and not described, each listed again with half of the instances at a time,
# it would take too many reads to find out whose they are.
UNDESCRIBED_MAX = 2


class Finder:
    """
    One pass's search for container instances.

    Args:
        clusters: Where to search for what names no cluster.
    """

    def __init__(self, ecs: EcsReads, clusters: Sequence[str], time: InvocationClock) -> None:
        self._ecs = ecs
        self._clusters = clusters
        self._time = time
        self._refused_left = UNDESCRIBED_MAX
        self.problems: list[str] = []

    def find(self, looks: Sequence[Look]) -> None:
        """Describe the container instances that are known, and search for the others."""
        self._describe_known(looks)
        self._search_named([look for look in looks if look.sought or look.sought_again])
        self._search_everywhere([s for s in looks if s.sought and s.elsewhere])
        for look in looks:
            look.seen_at = self._time.now()

    def _describe_known(self, looks: Iterable[Look]) -> None:
        by_cluster: dict[str, list[tuple[str, Look]]] = defaultdict(list)
        known = [look for look in looks if look.drain.container_instance_arn]
        named: dict[tuple[Look, str], str] = {}
        for look in known:
            drain = look.drain
            first = Place(drain.cluster or "", drain.container_instance_arn or "")
            look.asked = (first, *drain.others)
            for cluster, arn in look.asked:
                # By its name and by its ARN it is the same cluster, and is asked in one call: but
                # not for others, as a message may claim the ARN of another account's.
                same = named.setdefault((look, cluster_name(cluster)), cluster)
                by_cluster[same].append((arn, look))
        for cluster, rows in by_cluster.items():
            members = list(dict.fromkeys(look for _, look in rows))
            self._describe(cluster, [arn for arn, _ in rows], members)
        for look in known:
            own = look.asked[0].container_instance_arn
            moved = look.connected and own not in {one.arn for one in look.candidates}
            lone = look.is_lone and look.drain.others and look.drain.searched_at is None
            if moved or lone:
                # While another one was connected, only its tasks were listed.
                look.drain = replace(look.drain, listed_at=None, closed=False)
            if not look.connected and look.known_arns() != set(look.registrations):
                # One that was known has not been described, so that it is looked for again: its
                # agent may have registered where no earlier search has found it.
                look.settled = False
                look.drain = replace(look.drain, settled=False, searched_at=None)

    def _search_named(self, looks: Iterable[Look]) -> None:
        by_cluster: dict[str, list[Look]] = defaultdict(list)
        for look in looks:
            named = look.named(self._clusters)
            if look.sought_again:
                # Where an agent is connected it is there, and the named ones may be denied.
                named = named if look.is_lone else ()
                by_name: dict[str, str] = {}
                for cluster in (*(one.cluster for one in look.candidates), *named):
                    # A hook may name the ARN of another account's cluster of the same name.
                    by_name.setdefault(cluster_name(cluster), cluster)
                named = [*by_name.values()][:CLUSTERS_SEARCHED_AGAIN_MAX]
            for cluster in named:
                by_cluster[cluster].append(look)
        for cluster, members in by_cluster.items():
            self._search(cluster, [look for look in members if look.sought or look.sought_again])

    def _search_everywhere(self, looks: list[Look]) -> None:
        """
        Search all clusters, as many of them as a pass may, and go on there in the next pass.

        A typo in a cluster's name must not release an instance that serves in another cluster, nor
        must what is left of an earlier registration.
        """
        if not looks:
            return
        try:
            self._must_have_time()
            clusters = sorted(self._ecs.clusters())
        except DrainerError as error:
            unseen(looks, error)
            return
        found_before = {look: look.drain.cluster for look in looks}
        self._search_on(clusters, looks)
        last = clusters[-1] if clusters else ""
        for look in looks:
            if look.sought and look.drain.searched_to >= last:
                self._end_search(look)
            elif look.sought:
                look.reason = look.reason or f"{len(clusters)} clusters are searched in turns"
            if look.settled:
                # A search that was begun must not be taken for one that has ended.
                look.drain = replace(look.drain, searched_to="", search_failed=False)
            if look.registrations and look.drain.cluster != found_before[look]:
                self._report_misnamed(look)

    def _search_on(self, clusters: Sequence[str], looks: Sequence[Look]) -> None:
        """Search clusters in their order, for each drain after the one it has come to."""
        left = CLUSTERS_SEARCHED_MAX
        if not all(look.in_turns for look in looks):
            left = CLUSTERS_SEARCHED_AT_ONCE_MAX
        # Searches that have come furthest go first. Otherwise new ones would delay them.
        for begun_at in sorted({look.drain.searched_to for look in looks}, reverse=True):
            together = [look for look in looks if look.drain.searched_to == begun_at]
            for cluster in clusters[bisect_right(clusters, begun_at) :]:
                members = [look for look in together if look.sought]
                if not members or left == 0 or self._time.seconds_left() < ACTING_SECONDS:
                    break
                left -= 1
                self._search_one_of_all(cluster, members)

    def _search_one_of_all(self, cluster: str, members: list[Look]) -> None:
        """Search one of all clusters; what cannot be read leaves no search sound."""
        before = [(look.sound, look.denied) for look in members]
        self._search(cluster, members)
        for look, (sound, denied) in zip(members, before, strict=True):
            if look.failed:
                continue  # the next pass asks this cluster again
            failed = (look.denied and not denied) or look.drain.search_failed
            # A cluster that was deleted after it had been listed has nothing any more.
            look.sound, look.searched_on = sound and not failed, True
            look.drain = replace(look.drain, searched_to=cluster, search_failed=failed)

    def _end_search(self, look: Look) -> None:
        sound = look.sound and not look.drain.search_failed
        look.drain = replace(look.drain, searched_to="", search_failed=False)
        if not sound:
            look.nowhere = not (look.denied or look.registrations)
            return
        look.searched = True
        since = look.drain.searched_at
        if not look.registrations:
            look.absent = True
        elif since is not None and look.now >= since + ANSWER_LAG:
            look.settled = True

    def _report_misnamed(self, look: Look) -> None:
        named, cluster = look.named(self._clusters), look.drain.cluster or ""
        if named and cluster_name(cluster) not in map(cluster_name, named):
            self.problems.append(
                f"{look.ec2_instance_id} is in cluster {cluster} and is drained there: "
                f"correct its hook or DRAINER_CLUSTERS, which name {', '.join(named)}"
            )

    def _search(self, cluster: str, looks: list[Look]) -> None:
        if not looks:
            return
        try:
            self._must_have_time()
            arns = self._ecs.find(
                cluster, list(dict.fromkeys(look.ec2_instance_id for look in looks))
            )
        except DrainerError as error:
            unseen(looks, error)
            return
        known = _known_to_all(looks)
        self._describe(cluster, [arn for arn in arns if arn not in known], looks, listed=True)

    def _describe(
        self, cluster: str, arns: Sequence[str], looks: list[Look], *, listed: bool = False
    ) -> None:
        arns = list(dict.fromkeys(arns))
        try:
            self._must_have_time()
            described = self._ecs.describe(cluster, arns)
        except RefusedError as error:
            if len(arns) == 1:
                owners = self._owners(cluster, arns[0], looks) if listed else ()
                _refused(arns[0], looks, error, owners)
                return
            middle = len(arns) // 2
            self._describe(cluster, arns[:middle], looks, listed=listed)
            self._describe(cluster, arns[middle:], looks, listed=listed)
            return
        except DrainerError as error:
            unseen(looks, error)
            return
        by_id: dict[str, list[ContainerInstance]] = defaultdict(list)
        # INACTIVE ones are deregistered, and described for a while all the same.
        inactive = {one.arn for one in described if one.status == "INACTIVE"}
        for instance in described:
            if instance.arn not in inactive:
                by_id[instance.ec2_instance_id].append(instance)
        if listed and len(described) < len(arns):
            lacking = [look for look in looks if not by_id[look.ec2_instance_id]]
            self._undescribed(cluster, lacking, len(arns) - len(described))
        for look in looks:
            # Of more than are looked at, one that is connected makes the others left-overs.
            found = by_id[look.ec2_instance_id]
            for instance in sorted(found, key=lambda one: not one.agent_connected):
                look.found(cluster, instance)
            look.inactive |= inactive

    def _owners(self, cluster: str, arn: str, looks: list[Look]) -> list[Look]:
        """
        Find out to which of these a container instance belongs that ECS lists, and refuses.

        Its tasks are waited for, as those of what is not described: no other instance is held up.
        """
        ids = list(dict.fromkeys(one.ec2_instance_id for one in looks))
        if len(ids) == 1:
            return looks
        self._refused_left -= 1
        # Half of those that are left are listed each time, and the last one once more by itself.
        listings = len(ids).bit_length() + 1 if self._refused_left >= 0 else 0
        try:
            for _ in range(listings):
                self._must_have_time()
                some = ids[: (len(ids) + 1) // 2]
                mine = arn in self._ecs.find(cluster, some)
                if mine and len(some) == len(ids):
                    return [one for one in looks if one.ec2_instance_id in ids]
                ids = some if mine else ids[len(some) :]
        except DrainerError:
            pass  # it may be of any of them
        return looks

    def _undescribed(self, cluster: str, looks: list[Look], count: int) -> None:
        """
        Find out whose is what ECS has listed a moment ago and does not describe.

        One of the two answers is old. It holds up the instance that it belongs to, and no other.
        """
        if len(looks) > 1 and count <= UNDESCRIBED_MAX:
            middle = len(looks) // 2
            self._search(cluster, looks[:middle])
            self._search(cluster, looks[middle:])
        else:
            unseen(looks, UnavailableError("What ECS lists, it does not describe"))

    def _must_have_time(self) -> None:
        # Answers, heartbeats and the way round must not be missed for a look that takes too long.
        if self._time.seconds_left() < ACTING_SECONDS:
            raise UnavailableError("No time was left to search: the next pass does")


def _known_to_all(looks: Iterable[Look]) -> set[str]:
    """Return what needs no description: of two drains of an EC2 instance, each must be told."""
    by_instance: dict[str, set[str]] = {}
    for look in looks:
        found = set(look.registrations)
        by_instance[look.ec2_instance_id] = by_instance.get(look.ec2_instance_id, found) & found
    return set[str]().union(*by_instance.values())


def _refused(arn: str, looks: Sequence[Look], error: RefusedError, owners: Sequence[Look]) -> None:
    """
    Tell those looks that a reference is refused to which it belongs, or may.

    A message that claims another one sees nothing, and the drains beside it do.
    """
    claimed = [look for look in looks if arn in look.known_arns()]
    lacking = [look for look in looks if not look.registrations]
    unseen({*claimed, *owners} if owners else claimed or lacking, error)
