"""
Answer Spot interruptions: DRAINING at once, and the load balancers told before the two minutes end.

It looks as little as it can before it acts, and reports afterwards what will not make it. Nothing
here answers a lifecycle hook; ECS's agent, capacity rebalancing and a later lifecycle action may
do the same once more, without harm.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from drainer.acts import TOGETHER_MAX
from drainer.errors import DrainerError, UnavailableError
from drainer.finder import CLUSTERS_SEARCHED_MAX
from drainer.model import InterruptedTargets
from drainer.spot import Interruption, targets_of, targets_of_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from drainer.acts import Ecs
    from drainer.config import Config
    from drainer.controller import AutoScaling
    from drainer.spot import LoadBalancer, Placed, Target, TaskInterruption


@dataclass(frozen=True, slots=True)
class Service:
    """
    A service, as far as its tasks' way out depends on it.

    Attributes:
        name: Its name.
        task_definition: What its tasks are made from; empty where task sets differ.
        load_balancers: Its own, and those of its task sets.
    """

    name: str
    task_definition: str
    load_balancers: tuple[LoadBalancer, ...]


class SpotReads(Protocol):
    """What is asked of ECS and Elastic Load Balancing; every method may raise a DrainerError."""

    def services(self, cluster: str, names: Sequence[str]) -> dict[str, Service]:
        """Return the services that there are, by name."""

    def placed(self, cluster: str, task_ids: Sequence[str]) -> list[Placed]:
        """Return where those of the tasks that are of services can be reached."""

    def deregister(self, target_group_arn: str, targets: Sequence[Target]) -> int:
        """Take targets out of a target group and return how many."""

    def deregistration_seconds(self, target_group_arn: str) -> int:
        """Return how long a target group lets its targets drain."""

    def stop_seconds(self, task_definition: str) -> int:
        """Return the longest time that a container may take to exit."""


@dataclass(slots=True)
class Rescue:
    """
    What was done about one interruption.

    Attributes:
        interruption: What Spot took back.
        cluster: Where the container instance was found; empty where in none.
        drained: Whether it was set DRAINING.
        deregistered: How many targets were taken out, in how many target groups.
        late: What will not make it, in words for an operator.
        troubles: What failed on the way.
    """

    interruption: Interruption | TaskInterruption
    cluster: str = ""
    drained: bool = False
    deregistered: tuple[int, int] = (0, 0)
    late: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()

    def is_late(self, service: str, delay: int, stop: int, left_seconds: int) -> None:
        """Note that a service's tasks need longer than there is."""
        sentence = (
            f"{service}: deregistration delay {delay} s and stop timeout {stop} s, "
            f"where {left_seconds} s are left"
        )
        self.late = (*self.late, sentence)

    def trouble(self, what: str, error: object) -> None:
        """Note what failed."""
        self.troubles = (*self.troubles, f"{what}: {error}")


class Rescuer:
    """
    Acts on interruptions.

    Args:
        auto_scaling: To learn the cluster from the hooks of the instance's group.
        ecs: To find the container instance, set it DRAINING and list its tasks.
        spot: To find and deregister targets.
        config: The function's settings.
    """

    def __init__(
        self, auto_scaling: AutoScaling, ecs: Ecs, spot: SpotReads, config: Config
    ) -> None:
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._spot = spot
        self._config = config

    def rescue(
        self, interruptions: Iterable[Interruption | TaskInterruption], now: datetime
    ) -> list[Rescue]:
        """Act on each interruption by itself; what failed is in its rescue."""
        rescues = [Rescue(interruption) for interruption in interruptions]
        for rescue in rescues:
            if isinstance(rescue.interruption, Interruption):
                self._rescue_instance(rescue, rescue.interruption, now)
            else:
                self._rescue_task(rescue, rescue.interruption, now)
        return rescues

    def _rescue_instance(self, rescue: Rescue, gone: Interruption, now: datetime) -> None:
        arns = self._set_draining(rescue, gone)
        if not arns or not gone.hasty:
            return
        try:
            ids = [
                task_id
                for arn in arns
                for task_id in self._ecs.task_ids(rescue.cluster, arn, desired_status="RUNNING")
            ]
            placed = self._spot.placed(rescue.cluster, ids)
            names = sorted({task.service for task in placed})
            services = self._spot.services(rescue.cluster, names)
        except DrainerError as error:
            rescue.trouble("finding the targets", error)
            return
        by_group: dict[str, list[Target]] = defaultdict(list)
        for task in placed:
            service = services.get(task.service)
            for balancer in service.load_balancers if service else ():
                targets = targets_of(task, balancer, gone.ec2_instance_id)
                by_group[balancer.target_group_arn] += targets
        self._deregister(rescue, by_group)
        left_seconds = int((gone.ends_at - now).total_seconds())
        for name, delay, stop in self._way_out(services.values()):
            # ECS lets a target drain first, and stops the container then.
            if delay + stop > left_seconds:
                rescue.is_late(name, delay, stop, left_seconds)

    def _set_draining(self, rescue: Rescue, gone: Interruption) -> list[str]:
        """Set the container instance DRAINING; return its ARNs, none where it is in no cluster."""
        arns: list[str] = []
        try:
            rescue.cluster, arns = self._find(gone.ec2_instance_id)
            refusals = self._ecs.set_draining(rescue.cluster, arns) if arns else {}
        except DrainerError as error:
            rescue.trouble("setting DRAINING", error)
            return arns
        rescue.drained = any(arn not in refusals for arn in arns)
        for arn in arns:
            if arn in refusals:
                rescue.trouble("setting DRAINING", refusals[arn])
        return arns

    def _rescue_task(self, rescue: Rescue, gone: TaskInterruption, now: datetime) -> None:
        rescue.cluster = gone.cluster
        try:
            services = self._spot.services(gone.cluster, [gone.service])
        except DrainerError as error:
            rescue.trouble("finding the targets", error)
            return
        by_group: dict[str, list[Target]] = defaultdict(list)
        for service in services.values():
            for balancer in service.load_balancers:
                by_group[balancer.target_group_arn] += targets_of_task(gone, balancer)
        self._deregister(rescue, by_group)
        left_seconds = int((gone.ends_at - now).total_seconds())
        for name, delay, stop in self._way_out(services.values()):
            # The container is told to stop at once, and is killed while its target still drains.
            if delay > min(stop, left_seconds):
                rescue.is_late(name, delay, stop, left_seconds)

    def _find(self, ec2_instance_id: str) -> tuple[str, list[str]]:
        """
        Return cluster and ARNs of the container instance; two where its agent registered anew.

        One configured cluster is asked first, by one read; where there are several, or it has none,
        the hooks of the instance's group say which, by three. Where neither names any, all are.

        Raises:
            DrainerError: Some cluster could not be asked, and no other has the instance.
        """
        failure = None
        for cluster in self._clusters_for(ec2_instance_id):
            try:
                found = self._ecs.find(cluster, [ec2_instance_id])
            except DrainerError as error:
                failure = error
                continue
            if found:
                return cluster, found[:TOGETHER_MAX]
        if failure:
            raise failure
        return "", []

    def _clusters_for(self, ec2_instance_id: str) -> Iterator[str]:
        configured = list(self._config.clusters)
        asked = configured if len(configured) == 1 else []
        yield from asked
        of_hooks = [c for c in self._clusters_of_hooks(ec2_instance_id) if c not in asked]
        yield from of_hooks
        others = configured or ([] if of_hooks else self._ecs.clusters())
        yield from [c for c in others if c not in {*asked, *of_hooks}][:CLUSTERS_SEARCHED_MAX]

    def _clusters_of_hooks(self, ec2_instance_id: str) -> list[str]:
        """Return the clusters that the hooks of the instance's group name; none for a fleet's."""
        states = self._auto_scaling.lifecycle_states([ec2_instance_id])
        group, _ = states.get(ec2_instance_id, ("", ""))
        if not group:
            return []
        named = {
            policy.cluster
            for hook in self._auto_scaling.lifecycle_hooks(group).values()
            if hook.notification_target_arn == self._config.topic_arn
            and (policy := self._config.policy(hook.notification_metadata)[0]).cluster
        }
        return sorted(cluster for cluster in named if cluster)

    def _deregister(self, rescue: Rescue, by_group: Mapping[str, Sequence[Target]]) -> None:
        targets = groups = 0
        if self._config.interrupted_targets == InterruptedTargets.LEAVE:
            return  # ECS does it, in its own time; what is late is reported all the same
        for target_group_arn, members in by_group.items():
            try:
                targets += self._spot.deregister(target_group_arn, members)
            except DrainerError as error:
                rescue.trouble(f"deregistering from {target_group_arn}", error)
                continue
            groups += 1
        rescue.deregistered = (targets, groups)

    def _way_out(self, services: Iterable[Service]) -> Iterable[tuple[str, int, int]]:
        """Yield each service's deregistration delay and stop timeout; a failed look, nothing."""
        for service in services:
            try:
                groups = {b.target_group_arn for b in service.load_balancers}
                delays = [self._spot.deregistration_seconds(group) for group in groups]
                stop = self._spot.stop_seconds(service.task_definition)
            except DrainerError:
                continue
            yield service.name, max(delays, default=0), stop


def raise_for_retry(rescues: Iterable[Rescue]) -> None:
    """
    Let Lambda invoke again where something failed, a minute later: half of the time is left then.

    Raises:
        UnavailableError: Names what failed.
    """
    troubles = [trouble for rescue in rescues for trouble in rescue.troubles]
    if troubles:
        raise UnavailableError("; ".join(troubles))
