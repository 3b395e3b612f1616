"""
ECS's service scheduler: keeps the wanted tasks running, on container instances that are ACTIVE.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance, Service, Task
    from drainer.simulation.services.ecs.tasks import TaskLife

STOP_CODE = "ServiceSchedulerInitiated"


class PlacesTask(Protocol):
    """Makes a service's task on a container instance, or on Fargate, and starts its life."""

    def __call__(self, service: Service, instance: ContainerInstance | None, /) -> Task:
        """Place one task; on no container instance means on Fargate."""


class Scheduler:
    """Looks at a whole cluster at a time, whenever something in it has changed."""

    def __init__(self, account: Account, life: TaskLife, place: PlacesTask) -> None:
        self._account = account
        self._life = life
        self._place = place

    def disturb(self, cluster: Cluster) -> None:
        """Let the scheduler look again at this instant, once for all that happens in it."""
        if not cluster.disturbed:
            cluster.disturbed = True
            self._account.after(0, lambda: self._look(cluster))

    def _look(self, cluster: Cluster) -> None:
        cluster.disturbed = False
        for service in cluster.services.values():
            if service.strategy == "REPLICA":
                self._replicate(service)
        for service in cluster.services.values():
            if service.strategy == "DAEMON":
                self._attend(service)

    def fill(self, service: Service) -> None:
        """Look at one service, now."""
        (self._replicate if service.strategy == "REPLICA" else self._attend)(service)

    def _replicate(self, service: Service) -> None:
        # By ARN and in the order of their placement: a crowd stops thousands of them in one look.
        wanted = {
            arn: task for arn, task in service.tasks.items() if task.desired_status == "RUNNING"
        }
        leaving = {
            arn: task
            for arn, task in wanted.items()
            if task.container_instance.status == "DRAINING"
        }
        reason = f"Scaling activity initiated by (deployment {service.deployment_id})"
        # "Service tasks on the container instance that are in the PENDING state are stopped
        # immediately."
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
        for task in [*leaving.values()]:
            if task.last_status in ("PROVISIONING", "PENDING"):
                self._stop(task, reason, wanted, leaving)

        healthy_min = math.ceil(service.desired * service.minimum_healthy_percent / 100)
        healthy = sum(task.healthy for task in wanted.values())
        now = self._account.now
        for task in [*leaving.values()]:
            # Whether protection from scale-in holds against DRAINING is documented nowhere. It does
            # here, which is the harsh case: such a task leaves when its protection expires.
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
            if task.is_protected(now):
                continue
            if not task.healthy or healthy > healthy_min:
                healthy -= task.healthy
                self._stop(task, reason, wanted, leaving)

        staying = len(wanted) - len(leaving)
        if staying > service.desired:
            newest_first = [
                task
                for arn, task in reversed(wanted.items())
                if arn not in leaving and not task.is_protected(now)
            ]
            for task in newest_first[: staying - service.desired]:
                self._stop(task, reason, wanted, leaving)

        tasks_max = math.floor(service.desired * service.maximum_percent / 100)
        missing = min(service.desired - staying, tasks_max - len(wanted))
        if missing > 0:
            self._start(service, missing)

    def _stop(
        self, task: Task, reason: str, wanted: dict[str, Task], leaving: dict[str, Task]
    ) -> None:
        self._life.stop(task, STOP_CODE, reason)
        del wanted[task.arn]
        leaving.pop(task.arn, None)

    def _start(self, service: Service, missing: int) -> None:
        if service.capacity_providers:
            for _ in range(missing):
                self._place(service, None)
            return
        own = Counter(task.container_instance.arn for task in service.tasks.values())
        # Looked up once for all the tasks that are missing: a crowd may miss hundreds.
        rooms = [
            (instance, len(instance.wanted_tasks()))
            for instance in service.cluster.container_instances.values()
            if accepts_tasks(instance)
        ]
        # Spread: the fewest tasks of this service first, then the fewest of all, then the oldest.
        places = [
            (own[instance.arn], used, order)
            for order, (instance, used) in enumerate(rooms)
            if instance.tasks_max is None or used < instance.tasks_max
        ]
        heapq.heapify(places)
        for _ in range(missing):
            if not places:
                self._complain(service)
                return
            mine, used, order = heapq.heappop(places)
            instance = rooms[order][0]
            self._place(service, instance)
            if instance.tasks_max is None or used + 1 < instance.tasks_max:
                heapq.heappush(places, (mine + 1, used + 1, order))
        service.lacks_room = False

    def _complain(self, service: Service) -> None:
        if not service.lacks_room:
            service.lacks_room = True
            message = (
                f"(service {service.name}) was unable to place a task because no container "
                "instance met all of its requirements."
            )
            service.events.append((self._account.now, message))

    def _attend(self, service: Service) -> None:
        """
        Keep one daemon task on each container instance that is ACTIVE.

        The documentation has daemon tasks stop last when an instance drains, so that what they
        collect or forward is served to the end.
        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
        """
        present = {
            task.container_instance.arn: task
            for task in service.tasks.values()
            if task.desired_status == "RUNNING"
        }
        for instance in service.cluster.container_instances.values():
            task = present.get(instance.arn)
            if task is None:
                if accepts_tasks(instance):
                    self._place(service, instance)
            elif instance.status == "DRAINING":
                others = [other for other in instance.remaining_tasks() if not other.is_daemon]
                if not others:
                    self._life.stop(task, STOP_CODE, "Container instance is draining")


def accepts_tasks(instance: ContainerInstance) -> bool:
    """Say whether tasks may be placed here."""
    return instance.status == "ACTIVE" and instance.agent_connected
