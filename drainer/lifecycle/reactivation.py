"""
Bring back what was drained and stays: an instance of a warm pool, or one with a new root volume.

Such an EC2 instance is drained like any other, and is in service again later; its container
instance is DRAINING still. The record of a drain that has ended is *followed*: once Auto Scaling
says that the instance is in service, its container instance is made ACTIVE, and what is left of an
earlier registration is deregistered. One that was set DRAINING by hand, or drained while the table
did not answer, has no such record and stays DRAINING. While writes are denied no end is recorded:
what has a record is brought back once they are allowed.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from drainer.drain.actions import CALL_SECONDS, TOGETHER_MAX, UNIT_SECONDS, failure_of, together
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write
from drainer.drain.finder import ACTING_SECONDS, EcsReads
from drainer.drain.look import cluster_name
from drainer.drain.record import SETTLE, DrainRecord
from drainer.errors import ClusterMissingError, DrainerError, RefusedError
from drainer.lifecycle.departed import departed
from drainer.lifecycle.drained_by_us import is_known, stays_by_hand
from drainer.lifecycle.followed import IN_SERVICE, READING_SECONDS, back_or_gone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.drain.model import ContainerInstance, WakeUp
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.hooks import AutoScalingReads
    from drainer.lifecycle.records import Records

ACTIVE = "active"


class Ecs(EcsReads, Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set up to TOGETHER_MAX container instances ACTIVE; return refusals by ARN."""

    def deregister(self, cluster: str, arn: str) -> None:
        """Take a container instance without tasks out of its cluster."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What was done about one container instance: `active`, `deregistered`, or what failed."""

    ec2_instance_id: str
    cluster: str
    container_instance_arn: str
    done: str = ""
    error: str = ""


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
        settled: set[str] = set()
        waiting: set[str] = set()
        for cluster, ids in self._by_cluster(sought).items():
            if time.seconds_left() < ACTING_SECONDS:
                gone.clear()
                waiting.update(ids)
                continue  # the next sweep looks at others
            here = {one: over[one] for one in ids if one in back}
            try:
                listed = self._ecs.find(cluster, ids)
                found = self._ecs.describe(cluster, listed)
                unlisted = self._unlisted(cluster, listed, here)
            except DrainerError as error:
                if not isinstance(error, ClusterMissingError):
                    gone.difference_update(ids)
                    waiting.update(ids)
                if not gone.issuperset(ids):
                    sentence = f"Reactivation failed: {error}"
                    done.append(Returned("", cluster, "", error=sentence))
                continue
            gone -= {one.ec2_instance_id for one in found if one.agent_connected}
            serves, waits = self._bring_back_in(cluster, [*found, *unlisted], here, done, time)
            settled |= serves
            waiting |= waits
            if len(found) < len(listed):
                # What ECS lists and does not describe now may be left over: the next sweep looks.
                gone.difference_update(ids)
                waiting.update(ids)
        settled -= waiting
        self._forget([record for one in over if one in settled for record in over[one]], time)
        gone = departed(self._auto_scaling, {one: over[one] for one in over if one in gone}, time)
        self._forget([record for one in over if one in gone for record in over[one]], time)

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

    def _by_cluster(self, records: Mapping[str, Sequence[DrainRecord]]) -> dict[str, list[str]]:
        """Return for each cluster the instances to look for in it."""
        by_cluster: dict[str, list[str]] = defaultdict(list)
        for one, its_records in records.items():
            for cluster in dict.fromkeys(c for r in its_records for c in self._clusters(r)):
                by_cluster[cluster].append(one)
        return by_cluster

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

    def _bring_back_in(
        self,
        cluster: str,
        found: Sequence[ContainerInstance],
        over: Mapping[str, Sequence[DrainRecord]],
        done: list[Returned],
        time: InvocationClock,
    ) -> tuple[set[str], set[str]]:
        """Bring back what is in one cluster; return what serves there, and what is to be done."""
        found = [one for one in found if one.ec2_instance_id in over]
        draining = [
            one
            for one in found
            # Spot, custom resources and operators set their own instances ACTIVE.
            if one.status == "DRAINING"
            and not (one.drained_for or one.interrupted)
            and not (one.drained_by and stays_by_hand(one, over[one.ec2_instance_id]))
            # Its agent may have registered again: that is not what we have set DRAINING.
            and (not one.agent_connected or is_known(one, over[one.ec2_instance_id]))
        ]
        connected = [one for one in draining if one.agent_connected]
        for start in range(0, len(connected), TOGETHER_MAX):
            if time.seconds_left() < UNIT_SECONDS:
                return set(), set(over)
            done += self._set_active(cluster, connected[start : start + TOGETHER_MAX])
        alive = {one.ec2_instance_id for one in found if one.agent_connected}
        left_over = [
            one for one in draining if one.ec2_instance_id in alive and one not in connected
        ]
        done += self._deregister(cluster, left_over, time)
        active = {one.container_instance_arn for one in done if one.done == ACTIVE}
        # An agent that is not connected yet will be. And where one left-over was found, an answer
        # of ECS's that is out of date may lack another: the next sweep looks once more.
        waiting = {one.ec2_instance_id for one in draining if one.arn not in active}
        # An ACTIVE one is done, agent or not: a later DRAINING was set by hand.
        served = {
            one.ec2_instance_id
            for one in found
            if one.status == "ACTIVE" and is_known(one, over[one.ec2_instance_id])
        }
        return alive | served, waiting

    def _set_active(self, cluster: str, unit: Sequence[ContainerInstance]) -> list[Returned]:
        set_active = partial(self._ecs.set_active, cluster)
        refusals = together([one.arn for one in unit], set_active)
        return [
            Returned(
                one.ec2_instance_id,
                cluster,
                one.arn,
                done="" if one.arn in refusals else ACTIVE,
                error=f"ACTIVE was not set: {refusals[one.arn]}" if one.arn in refusals else "",
            )
            for one in unit
        ]

    def _deregister(
        self, cluster: str, left_over: Sequence[ContainerInstance], time: InvocationClock
    ) -> list[Returned]:
        """Deregister what has no task and whose EC2 instance has a connected agent elsewhere."""
        done: list[Returned] = []
        for one in left_over:
            if one.running_tasks or one.pending_tasks or time.seconds_left() < UNIT_SECONDS:
                continue
            error = failure_of(self._ecs.deregister, cluster, one.arn)
            said = f"The registration was not removed: {error}" if error else ""
            what = "" if error else "deregistered"
            done.append(Returned(one.ec2_instance_id, cluster, one.arn, what, said))
        return done

    def _forget(self, records: Iterable[DrainRecord], time: InvocationClock) -> None:
        """Follow records no longer; one that stays followed is looked at again, and no more."""
        for record in records:
            if time.seconds_left() < CALL_SECONDS:
                return
            forgotten = replace(record, followed=False, pass_id=self._records.new_pass_id())
            condition = Condition(Demand.FORGETS, record.generation)
            [written] = self._records.write([Write(forgotten, condition)])
            if written.outcome == Outcome.UNKNOWN:
                return
