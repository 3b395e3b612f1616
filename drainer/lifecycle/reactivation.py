"""
Bring back what was drained and stays: an instance of a warm pool, or one with a new root volume.

Such an EC2 instance is drained like any other, and is in service again later; its container
instance is DRAINING still. An instance that Auto Scaling says is in service, and that carries the
mark of a drain of ours which is over, is made ACTIVE; and what is left of its earlier registration
is deregistered, once the agent has registered anew. What others have set DRAINING, with no drain of
ours under way, stays as it is.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer.drain import mark as marks
from drainer.drain.actions import CALL_SECONDS, TOGETHER_MAX, UNIT_SECONDS
from drainer.drain.finder import ACTING_SECONDS, EcsReads
from drainer.drain.machine import lost_after
from drainer.errors import DrainerError, MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.drain.model import ContainerInstance, Hint
    from drainer.invocation import InvocationClock

IN_SERVICE = "InService"
# Terminating:Retained and Warmed:Pending:Retained.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/manage-retained-instances.html
RETAINED = ":Retained"
ACTIVE = "active"

# Right after an answer, an answer of Auto Scaling's that is out of date may still say, or say
# again, that the instance is in service; what really comes back takes minutes.
SETTLED = timedelta(seconds=120)

# Each takes one read and more; ECS grants 20 a second, and drains need them. The next sweep looks
# at others.
CLUSTERS_MAX = 20
TURN_SECONDS = 300

# For so long after it was first about to be made ACTIVE, that is tried again: a denial lasts until
# somebody has read the log.
RETRIED = timedelta(days=2)


class AutoScalingStates(Protocol):
    """What is asked of Auto Scaling; it may raise a DrainerError."""

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance that is in a group."""


class Ecs(EcsReads, Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def draining(self, cluster: str) -> list[str]:
        """Return the ARNs of the cluster's container instances that are DRAINING."""

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set up to TOGETHER_MAX container instances ACTIVE; return refusals by ARN."""

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        """Put up to TOGETHER_MAX attributes: the container instance's ARN, name and value."""

    def deregister(self, cluster: str, arn: str) -> None:
        """Take a container instance without tasks out of its cluster."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What was done about one container instance: `active`, `deregistered`, or what failed."""

    ec2_instance_id: str
    cluster: str
    container_instance_arn: str
    done: str = ""
    trouble: str = ""


class Reactivation:
    """
    Brings back what was drained and stays.

    Args:
        auto_scaling: Says what is in service.
        ecs: ECS.
        config: The function's settings.
    """

    def __init__(self, auto_scaling: AutoScalingStates, ecs: Ecs, config: Config) -> None:
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._config = config

    def run(
        self,
        hints: Iterable[Hint],
        *,
        sweep: bool,
        time: InvocationClock,
    ) -> list[Returned]:
        """
        Look at container instances that may be back, and bring back those that are.

        Args:
            hints: Events about container instances that are DRAINING and carry an ended mark.
            sweep: Whether to look through the clusters for such instances, too.
            time: The invocation's.
        """
        by_cluster: dict[str, list[str]] = defaultdict(list)
        for hint in hints:
            if hint.ended:
                by_cluster[hint.cluster].append(hint.container_instance_arn)
        done: list[Returned] = []
        try:
            sweep = sweep and time.seconds_left() >= ACTING_SECONDS
            clusters = [*by_cluster, *(self._swept(time.now()) if sweep else ())]
        except DrainerError as error:
            clusters = [*by_cluster]
            done.append(Returned("", "", "", trouble=f"listing the clusters: {error}"))
        for cluster in dict.fromkeys(clusters):
            if time.seconds_left() < ACTING_SECONDS:
                break  # the next sweep looks at others
            try:
                arns = by_cluster.get(cluster) or self._ecs.draining(cluster)
                done += self._bring_back(cluster, arns, time)
            except DrainerError as error:
                done.append(Returned("", cluster, "", trouble=f"looking for what is back: {error}"))
        return done

    def _swept(self, now: datetime) -> list[str]:
        """Return the clusters that this sweep looks through, in an order that differs each time."""
        clusters = sorted(self._ecs.clusters())
        # In turn: where sweeps come every five minutes, each looks at the next ones.
        first = int(now.timestamp() / TURN_SECONDS) * CLUSTERS_MAX % max(1, len(clusters))
        others = [*clusters[first:], *clusters[:first]]
        configured = {name.rpartition("/")[2] for name in self._config.clusters}
        # What a hook's metadata or a search has found may be in any other.
        others.sort(key=lambda arn: arn.rpartition("/")[2] not in configured)
        return others[:CLUSTERS_MAX]

    def _bring_back(
        self,
        cluster: str,
        arns: Sequence[str],
        time: InvocationClock,
    ) -> list[Returned]:
        now = time.now()
        draining = [one for one in self._ecs.describe(cluster, arns) if one.status == "DRAINING"]
        ended = [one for one in draining if self._is_over(one, now)]
        marked = [one for one in draining if one.marks]
        if not (ended or marked):
            return []
        ids = dict.fromkeys(one.ec2_instance_id for one in (*ended, *marked))
        states = self._auto_scaling.lifecycle_states([*ids])
        in_state = {one.arn: states.get(one.ec2_instance_id, ("", ""))[1] for one in draining}
        back = [one for one in ended if in_state[one.arn] == IN_SERVICE]
        kept = [one for one in marked if in_state[one.arn].endswith(RETAINED)]
        done = self._write_off(cluster, kept, now) if time.seconds_left() >= UNIT_SECONDS else []
        connected = [one for one in back if one.agent_connected]
        for start in range(0, len(connected), TOGETHER_MAX):
            if time.seconds_left() < UNIT_SECONDS:
                return done
            done += self._set_active(cluster, connected[start : start + TOGETHER_MAX], time)
        left_over = [one for one in back if not one.agent_connected]
        if left_over and time.seconds_left() >= UNIT_SECONDS:
            done += self._deregister(cluster, left_over, time)
        return done

    def _write_off(
        self, cluster: str, kept: Sequence[ContainerInstance], now: datetime
    ) -> list[Returned]:
        """
        Write off the marks of what is retained, since the action is over that they are of.

        Its chain may be lost; and the next action, once somebody frees the instance, would take
        them for its own, with a deadline that is another's.
        """
        values = [
            (
                one.arn,
                marks.name_of(hook),
                marks.ended(now) if marks.is_drained(mark) else marks.VOID,
            )
            for one in kept
            for hook, mark in one.marks.items()
        ]
        try:
            self._put(cluster, values)
        except DrainerError as error:
            return [Returned("", cluster, "", trouble=f"writing off marks: {error}")]
        return []

    def _put(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        for start in range(0, len(values), TOGETHER_MAX):
            self._ecs.put_attributes(cluster, values[start : start + TOGETHER_MAX])

    def _is_over(self, instance: ContainerInstance, now: datetime) -> bool:
        """Whether a drain of ours has been here, and none is under way, a stack's included."""
        if instance.drained_for or instance.interrupted:
            return False  # it leaves by another way, which knows when it is back
        silent = lost_after(self._config.pass_interval_seconds)
        last = [max(mark.at, mark.last_heartbeat_at) + silent for mark in instance.marks.values()]
        ended = [at + SETTLED for at in instance.ended.values()]
        if last or ended:
            return now >= max(last + ended)
        return any(now < at + RETRIED for at in instance.returned.values())

    def _set_active(
        self, cluster: str, unit: Sequence[ContainerInstance], time: InvocationClock
    ) -> list[Returned]:
        # The mark first: one that stayed would undo what somebody sets DRAINING by hand later.
        now = time.now()
        values = [
            (one.arn, name, marks.returned(now))
            for one in unit
            for name in (*one.ended, *map(marks.name_of, one.marks))
        ]
        try:
            self._put(cluster, values)
            refusals = self._ecs.set_active(cluster, [one.arn for one in unit])
        except DrainerError as error:
            if isinstance(error, MisconfiguredError) and len(unit) > 1:
                # One that leaves by another way, or is gone, must not hold up the others.
                return [done for one in unit for done in self._set_active(cluster, [one], time)]
            refusals = dict.fromkeys((one.arn for one in unit), str(error))
        active = [one for one in unit if one.arn not in refusals]
        trouble = self._forget(cluster, active) if time.seconds_left() >= CALL_SECONDS else ""
        return [
            Returned(
                one.ec2_instance_id,
                cluster,
                one.arn,
                done="" if one.arn in refusals else ACTIVE,
                trouble=f"setting ACTIVE: {refusals[one.arn]}" if one.arn in refusals else trouble,
            )
            for one in unit
        ]

    def _forget(self, cluster: str, active: Sequence[ContainerInstance]) -> str:
        """Have nothing left that would set them ACTIVE once more; return what failed."""
        names = [
            (one.arn, name, marks.VOID)
            for one in active
            for name in dict.fromkeys((*one.ended, *one.returned, *map(marks.name_of, one.marks)))
        ]
        try:
            self._put(cluster, names)
        except DrainerError as error:
            return f"writing off marks: {error}"
        return ""

    def _deregister(
        self,
        cluster: str,
        left_over: Sequence[ContainerInstance],
        time: InvocationClock,
    ) -> list[Returned]:
        """Deregister what has no task and whose EC2 instance has a connected agent elsewhere."""
        ids = list(dict.fromkeys(one.ec2_instance_id for one in left_over))
        beside = self._ecs.describe(cluster, self._ecs.find(cluster, ids))
        alive = {one.arn: one.ec2_instance_id for one in beside if one.agent_connected}
        done: list[Returned] = []
        for one in left_over:
            holds = one.running_tasks or one.pending_tasks
            # Not what this second look shows to be the live one itself.
            elsewhere = one.ec2_instance_id in alive.values() and one.arn not in alive
            if not elsewhere or holds or time.seconds_left() < UNIT_SECONDS:
                continue
            named = (one.ec2_instance_id, cluster, one.arn)
            try:
                self._ecs.deregister(cluster, one.arn)
            except DrainerError as error:
                done.append(Returned(*named, trouble=f"deregistering: {error}"))
            else:
                done.append(Returned(*named, done="deregistered"))
        return done
