"""
Bring back what was drained and stays: an instance of a warm pool, or one with a new root volume.

Such an EC2 instance is drained like any other, and is in service again later; its container
instance is DRAINING still. The record of a drain that has ended is *followed*: once Auto Scaling
says that the instance is in service, its container instance is made ACTIVE, and what is left of an
earlier registration is deregistered. A record whose instance has *served* since is followed for
what is left over alone. One that was set DRAINING by hand, or drained while the table
did not answer, has no such record and stays DRAINING. While writes are denied no end is recorded:
what has a record is brought back once they are allowed.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain.actions import CALL_SECONDS
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.look import cluster_name
from drainer.drain.record import SETTLE, DrainRecord
from drainer.errors import ClusterMissingError, DrainerError, RefusedError
from drainer.lifecycle.bringing_back import Progress, Returned, bring_back
from drainer.lifecycle.departed import departed
from drainer.lifecycle.followed import IN_SERVICE, READING_SECONDS, back_or_gone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.drain.model import ContainerInstance, WakeUp
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.bringing_back import Ecs
    from drainer.lifecycle.hooks import AutoScalingReads
    from drainer.lifecycle.records import Records


class Reactivation:
    """
    Brings back what was drained and stays.

    Args:
        auto_scaling: Says what is in service.
        clusters: Where to look for what no record says the cluster of.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        ecs: Ecs,
        records: Records,
        clusters: Sequence[str],
    ) -> None:
        self._configured = clusters
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._records = records

    def run(
        self, wake_ups: Iterable[WakeUp], *, sweep: bool, time: InvocationClock
    ) -> list[Returned]:
        """
        Look at instances that may be back, and bring back those that are.

        Args:
            wake_ups: Events about container instances that are DRAINING.
            sweep: Whether to look at whatever is followed, too.
            time: The invocation's.
        """
        done: list[Returned] = []
        if time.seconds_left() < READING_SECONDS:
            return done  # the next sweep looks
        try:
            ids = [*dict.fromkeys(wake_up.ec2_instance_id for wake_up in wake_ups)]
            if sweep:
                followed = {key.instance for key in self._records.followed_keys()}
                ids += back_or_gone(self._auto_scaling, followed, time)
            self._bring_back(self._over(ids, time), done, time)
        except DrainerError as error:
            done.append(Returned("", "", "", error=f"Reactivation failed: {error}"))
        return done

    def _over(self, ids: Sequence[str], time: InvocationClock) -> dict[str, list[DrainRecord]]:
        """Return the followed records of instances of which no drain is under way."""
        found: dict[str, list[DrainRecord]] = {}
        for one in dict.fromkeys(ids):
            if time.seconds_left() < READING_SECONDS:
                break  # the next sweep looks at others
            rows = self._records.of_instance([one])[one]
            records = [row for row in rows if isinstance(row, DrainRecord)]
            # Right after an answer, an answer of Auto Scaling's that is out of date may still say,
            # or say again, that the instance is in service; what comes back takes minutes.
            settled = all(
                record.ended_at is not None and time.now() >= record.ended_at + SETTLE
                for record in records
            )
            followed = [record for record in records if record.followed]
            if followed and settled and len(records) == len(rows):
                found[one] = followed
        return found

    def _bring_back(
        self,
        over: Mapping[str, Sequence[DrainRecord]],
        done: list[Returned],
        time: InvocationClock,
    ) -> None:
        if not over:
            return
        states = self._auto_scaling.lifecycle_states([*over])
        back = {one for one, (_, state) in states.items() if state == IN_SERVICE}
        # One in no group is followed no longer, unless its agent is connected or its group lists
        # it: one answer that lacks an instance must not leave it DRAINING permanently.
        gone = {one for one in over if one not in states}
        # In the order of all: that of a set is another one in each process, and cannot be replayed.
        sought = {one: rows for one, rows in over.items() if one in back | gone}
        progress = Progress(done, gone)
        for clusters, ids in self._together(sought).items():
            here = {one: over[one] for one in ids if one in back}
            found = self._found(clusters, ids, here, progress, time)
            bring_back(self._ecs, found, here, progress, time)
        settled = progress.settled - progress.waiting
        serving = progress.serving - settled
        self._mark_served([record for one in over if one in serving for record in over[one]], time)
        self._forget([record for one in over if one in settled for record in over[one]], time)
        missing = {one: over[one] for one in over if one in progress.gone}
        gone = departed(self._auto_scaling, missing, time)
        self._forget([record for one in over if one in gone for record in over[one]], time)

    def _found(
        self,
        clusters: Sequence[str],
        ids: Sequence[str],
        back: Mapping[str, Sequence[DrainRecord]],
        progress: Progress,
        time: InvocationClock,
    ) -> dict[str, list[ContainerInstance]]:
        """Read what instances have in their clusters; one that fails spoils no other."""
        found: dict[str, list[ContainerInstance]] = {}
        for cluster in clusters:
            if time.seconds_left() < ACTING_SECONDS:
                progress.unread(ids)
                break  # the next sweep looks at others
            try:
                listed = self._ecs.find(cluster, ids)
                described = self._ecs.describe(cluster, listed)
                unlisted = self._unlisted(cluster, listed, back)
            except DrainerError as error:
                if not isinstance(error, ClusterMissingError):
                    progress.unread(ids)
                if not progress.gone.issuperset(ids):
                    sentence = f"Reactivation failed: {error}"
                    progress.done.append(Returned("", cluster, "", error=sentence))
                continue
            progress.gone -= {one.ec2_instance_id for one in described if one.agent_connected}
            if len(described) < len(listed):
                # What ECS lists and does not describe now may be left over: the next sweep looks.
                progress.unread(ids)
            found[cluster] = [*described, *unlisted]
        return found

    def _unlisted(
        self, cluster: str, listed: Sequence[str], over: Mapping[str, Sequence[DrainRecord]]
    ) -> list[ContainerInstance]:
        """Describe what drains have found in a cluster and one listing lacks: it may be left."""
        known = (arn for rows in over.values() for record in rows for arn in record.drained)
        here = f":container-instance/{cluster_name(cluster)}/"
        arns = [arn for arn in dict.fromkeys(known) if here in arn and arn not in listed]
        try:
            return self._ecs.describe(cluster, arns) if arns else []
        except RefusedError:
            return []  # a message may have claimed what is none

    def _together(
        self, records: Mapping[str, Sequence[DrainRecord]]
    ) -> dict[tuple[str, ...], list[str]]:
        """Return the instances to look for by the clusters in which they may be."""
        by_clusters: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for one, its_records in records.items():
            named = {cluster_name(c): c for r in its_records for c in self._clusters(r)}
            by_clusters[tuple(sorted(named.values()))].append(one)
        return by_clusters

    def _clusters(self, record: DrainRecord) -> Sequence[str]:
        """
        Return where its container instance may be: the pass that drained it may not have known.
        """
        drain = record.drain
        named = drain.cluster or (drain.policy.cluster if drain.policy else None)
        if not named:
            return self._configured
        others = {cluster_name(one.cluster): one.cluster for one in drain.others}
        return [*{**others, cluster_name(named): named}.values()]

    def _mark_served(self, records: Iterable[DrainRecord], time: InvocationClock) -> None:
        """Note that nothing of these is set ACTIVE again; the next sweep tries what fails."""
        unmarked = [record for record in records if not record.served]
        self._write([replace(record, served=True) for record in unmarked], Demand.SERVES, time)

    def _forget(self, records: Iterable[DrainRecord], time: InvocationClock) -> None:
        """Follow records no longer; one that stays followed is looked at again, and no more."""
        forgotten = [replace(record, followed=False) for record in records]
        self._write(forgotten, Demand.FORGETS, time)

    def _write(self, records: Iterable[DrainRecord], demand: Demand, time: InvocationClock) -> None:
        for record in records:
            if time.seconds_left() < CALL_SECONDS:
                return
            stamped = replace(record, pass_id=self._records.new_pass_id())
            condition = Condition(demand, record.generation)
            [written] = self._records.write([Write(stamped, condition)])
            if written.outcome == Outcome.UNKNOWN:
                return
