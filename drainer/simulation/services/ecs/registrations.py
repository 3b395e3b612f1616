"""
Clusters, and what EC2 instances are registered as in them: how they come, serve, drain and go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX, AnswerLags, remember
from drainer.simulation.services.ecs.events import emit_container_instance_event
from drainer.simulation.services.ecs.model import LONG_AGO, Cluster, ContainerInstance
from drainer.simulation.services.ecs.tasks import TaskLife

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.model import ContainerInstanceStatus, Task
    from drainer.simulation.services.elb.target_groups import LoadBalancing

# How long ECS takes to forget a container instance whose EC2 instance is gone; seen in practice,
# not documented. "Stopped container instances or instances with disconnected agents aren't
# automatically deregistered when terminated."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
DEREGISTER_SECONDS = 60.0
BY_FORCE = "Container instance deregistered forcibly by user"


class Registrations(ABC):
    """
    The account's clusters and their container instances.

    Attributes:
        lags: how old its answers are.
        counts_starting: whether the counters of a container instance have tasks that do not run
            yet.
        life: of the tasks.
        orphans: containers that run on after their registration was taken away by force, by EC2
            instance.
        stopped_hosts: ids of EC2 instances that are stopped, so that no agent of theirs connects.
    """

    def __init__(self, account: Account, balancing: LoadBalancing) -> None:
        self._account = account
        self._begun_at = account.now
        self.lags = AnswerLags(account)
        self.counts_starting = True
        self.orphans: dict[str, list[Task]] = {}
        self.stopped_hosts: set[str] = set()
        self.clusters: dict[str, Cluster] = {}
        self.life = TaskLife(account, balancing, self.disturb)

    @abstractmethod
    def disturb(self, cluster: Cluster) -> None:
        """Let the scheduler look at a cluster again."""

    def create_cluster(self, name: str) -> Cluster:
        """Create a cluster, or return the one of that name."""
        if name not in self.clusters:
            self.clusters[name] = Cluster(name, self._account.arn("ecs", f"cluster/{name}"))
        return self.clusters[name]

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
        self._remember(instance)
        if agent_gone or self._account.now == self._begun_at:
            # What is there at the first instant, or is left over, has been there for long.
            instance.past[:] = [(LONG_AGO, (instance.status, instance.agent_connected))]
            instance.changed_at = LONG_AGO
            instance.registered_at -= timedelta(days=1)
        return instance

    @property
    def container_instances(self) -> list[ContainerInstance]:
        """All that are registered, in whatever cluster."""
        return [
            instance
            for cluster in self.clusters.values()
            for instance in cluster.container_instances.values()
        ]

    def find(self, reference: str) -> ContainerInstance | None:
        """Find a container instance by its ARN or id, in whatever cluster."""
        container_instance_id = reference.rpartition("/")[2]
        for instance in self.container_instances:
            if instance.container_instance_id == container_instance_id:
                return instance
        return None

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
            self._remember(instance)

    def connect_agent(self, ec2_instance_id: str, *, connected: bool) -> None:
        """Let the agent of a container instance appear or vanish; one that is no more stays so."""
        instance = self.container_instance(ec2_instance_id)
        if instance is None or instance.agent_gone or instance.agent_connected == connected:
            return
        if connected and ec2_instance_id in self.stopped_hosts:
            return
        instance.agent_connected = connected
        self._remember(instance)
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
            self._remember(instance)
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
        oldest = now - timedelta(seconds=ANSWER_LAG_SECONDS_MAX)
        cluster.left[:] = [one for one in cluster.left if one[0] > oldest]
        cluster.left.append((now, instance))
        self.set_status(instance, "INACTIVE")

    def _orphan(self, task: Task) -> None:
        if task.started_at is not None and task.ended_at is None:
            ec2_instance_id = task.container_instance.ec2_instance_id
            self.orphans.setdefault(ec2_instance_id, []).append(task)
            self._record("orphaned", task)
        self.life.orphan(task, BY_FORCE)

    def _record(self, kind: str, task: Task) -> None:
        self._account.record(
            kind,
            ec2_instance_id=task.container_instance.ec2_instance_id,
            task_id=task.task_id,
            owner=task.owner,
            last_status=task.last_status,
        )

    def _remember(self, instance: ContainerInstance) -> None:
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
