"""
ECS as an account has it: services and tasks, on what is registered in its clusters.

Builders here make things that have been running for a while; AWS's operations are in `api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from drainer.simulation.services.ecs.definitions import Balanced, GroupProvider, TaskProfile
from drainer.simulation.services.ecs.fargate import capacity_provider_of_next, machine
from drainer.simulation.services.ecs.model import Service, Task
from drainer.simulation.services.ecs.registrations import Registrations
from drainer.simulation.services.ecs.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.definitions import CapacityProvider
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance
    from drainer.simulation.services.elb.target_groups import LoadBalancing, TargetGroup

# The range from which Docker takes host ports for bridge networking.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
EPHEMERAL_PORTS = range(32_768, 61_000)


class Ecs(Registrations):
    """The account's ECS."""

    def __init__(self, account: Account, balancing: LoadBalancing) -> None:
        super().__init__(account, balancing)
        self._balancing = balancing
        self.capacity_providers: dict[str, GroupProvider] = {}
        self.task_profiles: dict[str, TaskProfile] = {}
        self._ports = 0
        self._addresses = 0
        # Whether tasks that are placed now have been running for long.
        self._settling = False
        self._scheduler = Scheduler(account, self.life, self._place_for_service)

    # Builders

    def create_capacity_provider(self, name: str, auto_scaling_group_arn: str) -> GroupProvider:
        """Create a capacity provider that is an Auto Scaling group."""
        arn = self._account.arn("ecs", f"capacity-provider/{name}")
        self.capacity_providers[name] = GroupProvider(name, arn, auto_scaling_group_arn)
        return self.capacity_providers[name]

    def create_service(
        self,
        cluster_name: str,
        name: str,
        *,
        desired: int,
        minimum_healthy_percent: int = 100,
        maximum_percent: int = 200,
        deregistration_delay_seconds: float | None = 300.0,
        target_groups: Sequence[TargetGroup] = (),
        container_port: int = 80,
        capacity_providers: Sequence[CapacityProvider] = (),
        profile: TaskProfile | None = None,
        stop_seconds: float = 30.0,
        start_seconds: float = 10.0,
        healthy_after_seconds: float = 50.0,
        already_running: bool = True,
    ) -> Service:
        """
        Create a replicated service.

        Args:
            cluster_name: the cluster.
            name: the service; also its task definition's family.
            desired: the number of tasks.
            minimum_healthy_percent: how many must stay healthy.
            maximum_percent: how many there may be.
            deregistration_delay_seconds: of the target group made for it; None makes none.
            target_groups: some made before, instead.
            container_port: what its containers listen on.
            capacity_providers: where Fargate runs its tasks; none for a service on EC2.
            profile: the life of its tasks, instead of the three durations that follow.
            stop_seconds: what a container takes to exit.
            start_seconds: what a task takes from placement to RUNNING.
            healthy_after_seconds: what it takes from there to be counted as healthy.
            already_running: whether its tasks have been running for long, or start now.
        """
        profile = profile or TaskProfile(
            start_seconds=start_seconds,
            healthy_after_seconds=healthy_after_seconds,
            stop_seconds=stop_seconds,
        )
        if not target_groups and deregistration_delay_seconds is not None:
            group = self._balancing.create_target_group(
                name,
                target_type="ip" if profile.network_mode == "awsvpc" else "instance",
                port=container_port,
                deregistration_delay_seconds=deregistration_delay_seconds,
            )
            target_groups = [group]
        service = self._create(cluster_name, name, "REPLICA", profile)
        service.desired = desired
        service.minimum_healthy_percent = minimum_healthy_percent
        service.maximum_percent = maximum_percent
        service.balanced = tuple(Balanced(group, container_port) for group in target_groups)
        service.capacity_providers = tuple(capacity_providers)
        self._begin(service, already_running=already_running)
        return service

    def create_daemon(
        self,
        cluster_name: str,
        name: str,
        *,
        profile: TaskProfile | None = None,
        already_running: bool = True,
    ) -> Service:
        """Create a daemon service: one task on each container instance that is ACTIVE."""
        profile = profile or TaskProfile(
            start_seconds=5.0, healthy_after_seconds=0.0, stop_seconds=5.0
        )
        service = self._create(cluster_name, name, "DAEMON", profile)
        service.minimum_healthy_percent = 0
        service.maximum_percent = 100
        self._begin(service, already_running=already_running)
        return service

    def run_standalone(
        self,
        cluster_name: str,
        ec2_instance_id: str,
        *,
        family: str = "job",
        seconds: float | None = None,
        profile: TaskProfile | None = None,
        already_running: bool = True,
    ) -> Task:
        """Run a task that no service looks after; it ends after `seconds`, or never."""
        known = self.clusters[cluster_name].by_ec2_instance_id[ec2_instance_id]
        instance = next((one for one in known if not one.agent_gone), known[0])
        profile = profile or TaskProfile(start_seconds=5.0, run_seconds=seconds, stop_seconds=10.0)
        task = self.make_task(instance, family, profile, group=f"family:{family}")
        (self.life.settle if already_running else self.life.start)(task)
        return task

    def protect(self, task: Task, until: datetime | None) -> None:
        """Protect a task from scale-in until an instant, or no longer."""
        task.protected_until = until
        self.disturb(task.cluster)
        if until is not None:
            self._account.at(until, lambda: self.disturb(task.cluster))

    def disturb(self, cluster: Cluster) -> None:
        """Let the scheduler look at a cluster again."""
        self._scheduler.disturb(cluster)

    def make_task(
        self,
        instance: ContainerInstance,
        family: str,
        profile: TaskProfile,
        *,
        service: Service | None = None,
        group: str,
        started_by: str | None = None,
        capacity_provider: str | None = None,
    ) -> Task:
        """Make a task on a container instance; its life has yet to begin."""
        task_id = self._account.hexadecimal(32)
        cluster = instance.cluster
        self._addresses += 1
        address = self._addresses % 65_536
        container_ports = {one.container_port for one in service.balanced} if service else ()
        task = Task(
            self._account.arn("ecs", f"task/{cluster.name}/{task_id}"),
            task_id,
            cluster,
            instance,
            family,
            profile,
            service,
            group,
            started_by,
            self._account.now,
            f"10.0.{address // 256}.{address % 256}",
            {port: self._next_host_port() for port in sorted(container_ports)},
            capacity_provider,
            f"fd00::{address:x}",
        )
        cluster.tasks[task.arn] = task
        instance.tasks[task.arn] = task
        if service is not None:
            service.tasks[task.arn] = task
        return task

    # Private

    def _next_host_port(self) -> int:
        self._ports += 1
        return EPHEMERAL_PORTS[self._ports % len(EPHEMERAL_PORTS)]

    def _create(
        self,
        cluster_name: str,
        name: str,
        strategy: Literal["REPLICA", "DAEMON"],
        profile: TaskProfile,
    ) -> Service:
        cluster = self.create_cluster(cluster_name)
        self.task_profiles.setdefault(name, profile)
        service = Service(
            name,
            self._account.arn("ecs", f"service/{cluster_name}/{name}"),
            cluster,
            strategy,
            desired=0,
            minimum_healthy_percent=100,
            maximum_percent=200,
            family=name,
            profile=profile,
            deployment_id=f"ecs-svc/{self._account.random.randrange(10**18, 10**19)}",
            created_at=self._account.now,
        )
        cluster.services[name] = service
        return service

    def _begin(self, service: Service, *, already_running: bool) -> None:
        if not already_running:
            self.disturb(service.cluster)
            return
        self._settling = True
        self._scheduler.fill(service)
        self._settling = False

    def _place_for_service(self, service: Service, instance: ContainerInstance | None) -> Task:
        task = self.make_task(
            instance or machine(self._account, service.cluster),
            service.family,
            service.profile,
            service=service,
            group=f"service:{service.name}",
            started_by=service.deployment_id,
            capacity_provider=None if instance else capacity_provider_of_next(service),
        )
        (self.life.settle if self._settling else self.life.start)(task)
        return task
