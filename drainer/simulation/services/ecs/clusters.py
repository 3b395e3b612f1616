"""
ECS as an account has it: clusters, container instances, services and tasks.

Builders here make things that have been running for a while; AWS's operations are in `ecs_api`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from drainer.simulation.services.ecs.definitions import Balanced, GroupProvider, TaskProfile
from drainer.simulation.services.ecs.events import emit_container_instance_event
from drainer.simulation.services.ecs.fargate import capacity_provider_of_next, machine
from drainer.simulation.services.ecs.model import (
    LONG_AGO,
    Cluster,
    ContainerInstance,
    Service,
    Task,
)
from drainer.simulation.services.ecs.scheduler import Scheduler
from drainer.simulation.services.ecs.tasks import TaskLife
from drainer.simulation.services.ecs.view_lag import VIEW_LAG_SECONDS_MAX, ViewLags, remember

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.definitions import CapacityProvider
    from drainer.simulation.services.ecs.model import ContainerInstanceStatus
    from drainer.simulation.services.elb.target_groups import LoadBalancing, TargetGroup

# The range from which Docker takes host ports for bridge networking.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
EPHEMERAL_PORTS = range(32_768, 61_000)
# How long ECS takes to forget a container instance whose EC2 instance is gone; seen in practice,
# not documented. "Stopped container instances or instances with disconnected agents aren't
# automatically deregistered when terminated."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
DEREGISTER_SECONDS = 60.0
BY_FORCE = "Container instance deregistered forcibly by user"


class Ecs:
    """
    The account's clusters.

    Attributes:
        lags: how far its views lie behind what is so.
        orphans: containers that run on after their registration was taken away by force, by EC2
            instance.
        stopped_hosts: ids of EC2 instances that are stopped, so that no agent of theirs connects.
    """

    def __init__(self, account: Account, balancing: LoadBalancing) -> None:
        self._account = account
        self._balancing = balancing
        self._begun_at = account.now
        self.lags = ViewLags(account)
        self.orphans: dict[str, list[Task]] = {}
        self.stopped_hosts: set[str] = set()
        self.clusters: dict[str, Cluster] = {}
        self.capacity_providers: dict[str, GroupProvider] = {}
        self.task_profiles: dict[str, TaskProfile] = {}
        self._ports = 0
        self._addresses = 0
        # Whether tasks that are placed now have been running for long.
        self._settling = False
        self.life = TaskLife(account, balancing, self.disturb)
        self._scheduler = Scheduler(account, self.life, self._place_for_service)

    # Builders

    def create_cluster(self, name: str) -> Cluster:
        """Create a cluster, or return the one of that name."""
        if name not in self.clusters:
            self.clusters[name] = Cluster(name, self._account.arn("ecs", f"cluster/{name}"))
        return self.clusters[name]

    def create_capacity_provider(self, name: str, auto_scaling_group_arn: str) -> GroupProvider:
        """Create a capacity provider that is an Auto Scaling group."""
        arn = self._account.arn("ecs", f"capacity-provider/{name}")
        self.capacity_providers[name] = GroupProvider(name, arn, auto_scaling_group_arn)
        return self.capacity_providers[name]

    def register(
        self,
        cluster_name: str,
        ec2_instance_id: str,
        *,
        availability_zone: str | None = None,
        tasks_max: int | None = None,
        status: ContainerInstanceStatus = "ACTIVE",
        attributes: Mapping[str, str] | None = None,
        agent_gone: bool = False,
    ) -> ContainerInstance:
        """
        Register an EC2 instance as a container instance, beside what it is registered as already.

        Args:
            cluster_name: the cluster.
            ec2_instance_id: the EC2 instance.
            availability_zone: its zone.
            tasks_max: the room it has.
            status: of the container instance.
            attributes: beside those of every container instance.
            agent_gone: whether this is left over from an agent that is no more.
        """
        cluster = self.create_cluster(cluster_name)
        container_instance_id = self._account.hexadecimal(32)
        zone = availability_zone or f"{self._account.region}a"
        instance = ContainerInstance(
            self._account.arn("ecs", f"container-instance/{cluster_name}/{container_instance_id}"),
            container_instance_id,
            ec2_instance_id,
            cluster,
            zone,
            self._account.now,
            tasks_max,
            status,
            agent_connected=not agent_gone,
            attributes={"ecs.availability-zone": zone, "ecs.os-type": "linux"},
            agent_gone=agent_gone,
            always_left_over=agent_gone,
        )
        instance.attributes.update(attributes or {})
        cluster.container_instances[instance.arn] = instance
        cluster.by_ec2_instance_id.setdefault(ec2_instance_id, []).append(instance)
        self._note(instance)
        if agent_gone or self._account.now == self._begun_at:
            # What is there at the first instant, or is left over, has been there for long.
            instance.past[:] = [(LONG_AGO, (instance.status, instance.agent_connected))]
            instance.changed_at = LONG_AGO
        return instance

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

    # What Auto Scaling and the operations need

    def registrations(self, ec2_instance_id: str) -> list[ContainerInstance]:
        """Find all that an EC2 instance is registered as, in whatever cluster."""
        return [
            instance
            for cluster in self.clusters.values()
            for instance in cluster.by_ec2_instance_id.get(ec2_instance_id, ())
        ]

    def container_instance(self, ec2_instance_id: str) -> ContainerInstance | None:
        """Find the container instance that an EC2 instance is; one with an agent, if there is."""
        known = self.registrations(ec2_instance_id)
        return next((one for one in known if not one.agent_gone), known[0] if known else None)

    def remaining_tasks(self, ec2_instance_id: str) -> list[Task]:
        """Return the tasks of which something is left on an EC2 instance, reported or not."""
        return [
            task
            for instance in self.registrations(ec2_instance_id)
            for task in instance.tasks.values()
            if task.holds
        ]

    def set_status(self, instance: ContainerInstance, status: ContainerInstanceStatus) -> None:
        """Change a container instance's status and let the scheduler see it."""
        if instance.status != status:
            instance.status = status
            self._note(instance)

    def connect_agent(self, ec2_instance_id: str, *, connected: bool) -> None:
        """Let the agent of a container instance appear or vanish; one that is no more stays so."""
        instance = self.container_instance(ec2_instance_id)
        if instance is None or instance.agent_gone or instance.agent_connected == connected:
            return
        if connected and ec2_instance_id in self.stopped_hosts:
            return
        instance.agent_connected = connected
        self._note(instance)
        if connected:
            self.life.report(instance)

    def lose_ec2_instance(self, ec2_instance_id: str) -> None:
        """
        End what ran on an EC2 instance that has been terminated; whatever ran was killed.

        ECS learns of it unless the agent was disconnected: then the registration and what it shows
        stay as they are until somebody deregisters it.
        """
        for orphan in self.orphans.pop(ec2_instance_id, ()):
            self.life.perish(orphan)
        for instance in self.registrations(ec2_instance_id):
            if not instance.agent_gone:
                self._lose(instance)

    def _lose(self, instance: ContainerInstance) -> None:
        is_told = instance.agent_connected
        instance.agent_gone = True
        if is_told:
            instance.agent_connected = False
            self._note(instance)
        for task in instance.remaining_tasks():
            if task.holds:
                self._record("killed", task)
            if is_told:
                reason = f"Host EC2 (instance {instance.ec2_instance_id}) terminated."
                self.life.kill(task, reason)
            else:
                self.life.perish(task)
        if is_told:
            self._account.after(DEREGISTER_SECONDS, lambda: self.deregister(instance))

    def halt(self, ec2_instance_id: str, why: str) -> None:
        """End what runs on an EC2 instance that stops; its registration stays."""
        self.connect_agent(ec2_instance_id, connected=False)
        for task in self.remaining_tasks(ec2_instance_id):
            self._record("killed", task)
            self.life.kill(task, f"Host EC2 (instance {ec2_instance_id}) {why}.")

    def deregister(self, instance: ContainerInstance) -> None:
        """Take a container instance out of its cluster; tasks that are left are orphaned."""
        cluster = instance.cluster
        if cluster.container_instances.pop(instance.arn, None) is None:
            return
        known = cluster.by_ec2_instance_id[instance.ec2_instance_id]
        known.remove(instance)
        if not known:
            del cluster.by_ec2_instance_id[instance.ec2_instance_id]
        for task in instance.remaining_tasks():
            self._orphan(task)
        now = self._account.now
        oldest = now - timedelta(seconds=VIEW_LAG_SECONDS_MAX)
        cluster.left[:] = [one for one in cluster.left if one[0] > oldest]
        cluster.left.append((now, instance))
        self.set_status(instance, "INACTIVE")

    def _orphan(self, task: Task) -> None:
        if task.started_at is not None and task.ended_at is None:
            ec2_instance_id = task.container_instance.ec2_instance_id
            self.orphans.setdefault(ec2_instance_id, []).append(task)
            self._record("orphaned", task)
        self.life.orphan(task, BY_FORCE)

    def note_full(self, instance: ContainerInstance) -> None:
        """Record that a container instance has no attribute left for one more."""
        self._account.record("attributes_full", ec2_instance_id=instance.ec2_instance_id)

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

    def _record(self, kind: str, task: Task) -> None:
        self._account.record(
            kind,
            ec2_instance_id=task.container_instance.ec2_instance_id,
            task_id=task.task_id,
            owner=task.owner,
            last_status=task.last_status,
        )

    def _note(self, instance: ContainerInstance) -> None:
        instance.version += 1
        now = self._account.now
        remember(instance.past, now, (instance.status, instance.agent_connected))
        instance.changed_at = now
        self._account.record(
            "container_instance",
            ec2_instance_id=instance.ec2_instance_id,
            container_instance_arn=instance.arn,
            cluster=instance.cluster.name,
            status=instance.status,
            agent_connected=instance.agent_connected,
        )
        emit_container_instance_event(self._account, instance)
        self.disturb(instance.cluster)
