"""What an ECS cluster consists of, without any behaviour."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.simulation.load_balancing import TargetGroup

LastStatus = Literal[
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
]
ContainerInstanceStatus = Literal["REGISTERING", "ACTIVE", "DRAINING", "DEREGISTERING", "INACTIVE"]
# A service keeps 100 events. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
SERVICE_EVENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class TaskProfile:
    """
    How long each part of a task's life takes, in seconds.

    Attributes:
        start_seconds: PENDING, until the container has started.
        activate_seconds: ACTIVATING, while its target is being registered.
        healthy_after_seconds: from RUNNING until its service counts it as healthy.
        stop_seconds: what the container takes to exit once it is told to.
        stop_timeout_seconds: when it is killed; `math.inf` together with an infinite
            `stop_seconds` makes a task that never leaves.
        run_seconds: when the container exits by itself; None is never.
        network_mode: `awsvpc` adds PROVISIONING and DEPROVISIONING.
        interface_seconds: what attaching or detaching its network interface takes.
    """

    start_seconds: float = 10.0
    activate_seconds: float = 0.0
    healthy_after_seconds: float = 50.0
    stop_seconds: float = 30.0
    stop_timeout_seconds: float = 30.0
    run_seconds: float | None = None
    network_mode: Literal["bridge", "awsvpc"] = "bridge"
    interface_seconds: float = 5.0

    @property
    def leaving_seconds(self) -> float:
        """The time from the stop signal to the container's end."""
        # "Time duration (in seconds) to wait before the container is forcefully killed if it
        # doesn't exit normally on its own."
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
        return min(self.stop_seconds, self.stop_timeout_seconds)


NEVER_STOPS = TaskProfile(stop_seconds=math.inf, stop_timeout_seconds=math.inf)


@dataclass(slots=True, eq=False)
class Task:
    """A task; standalone when it has no service."""

    arn: str
    task_id: str
    cluster: Cluster
    container_instance: ContainerInstance
    family: str
    profile: TaskProfile
    service: Service | None
    group: str
    started_by: str | None
    created_at: datetime
    ip_address: str
    host_port: int
    desired_status: Literal["RUNNING", "STOPPED"] = "RUNNING"
    last_status: LastStatus = "PROVISIONING"
    healthy: bool = False
    version: int = 1
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None

    @property
    def owner(self) -> str:
        """Whose task it is: `service:web`, `daemon:agent` or `standalone:report`."""
        if self.service is None:
            return f"standalone:{self.family}"
        kind = "daemon" if self.is_daemon else "service"
        return f"{kind}:{self.service.name}"

    @property
    def is_daemon(self) -> bool:
        """Whether a daemon service placed it."""
        return self.service is not None and self.service.strategy == "DAEMON"

    @property
    def remains(self) -> bool:
        """Whether anything of it is still there."""
        return self.last_status != "STOPPED"

    @property
    def target_id(self) -> str:
        """What a load balancer knows it by."""
        service = self.service
        target_group = service.target_group if service is not None else None
        if target_group is not None and target_group.target_type == "ip":
            return self.ip_address
        return self.container_instance.ec2_instance_id


@dataclass(slots=True, eq=False)
class Service:
    """A replicated or daemon service."""

    name: str
    arn: str
    cluster: Cluster
    strategy: Literal["REPLICA", "DAEMON"]
    desired: int
    minimum_healthy_percent: int
    maximum_percent: int
    family: str
    profile: TaskProfile
    deployment_id: str
    created_at: datetime
    target_group: TargetGroup | None = None
    container_port: int = 80
    # Tasks of either desired status until they are STOPPED.
    tasks: dict[str, Task] = field(default_factory=dict)
    events: deque[tuple[datetime, str]] = field(
        default_factory=lambda: deque(maxlen=SERVICE_EVENTS_MAX)
    )
    lacks_room: bool = False


@dataclass(slots=True, eq=False)
class ContainerInstance:
    """An EC2 instance as its cluster knows it; `tasks` holds stopped ones for an hour as well."""

    arn: str
    container_instance_id: str
    ec2_instance_id: str
    cluster: Cluster
    availability_zone: str
    registered_at: datetime
    tasks_max: int | None
    status: ContainerInstanceStatus = "ACTIVE"
    agent_connected: bool = True
    version: int = 1
    attributes: dict[str, str | None] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def running_tasks_count(self) -> int:
        """
        The tasks that ECS still wants running and that have started.

        "The number of tasks on the container instance that have a desired status of RUNNING."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
        """
        return sum(
            task.desired_status == "RUNNING" and task.last_status in ("ACTIVATING", "RUNNING")
            for task in self.tasks.values()
        )

    @property
    def pending_tasks_count(self) -> int:
        """
        The tasks on their way up.

        "The number of tasks on the container instance that are in the PENDING status." (same page)
        """
        return sum(task.last_status in ("PROVISIONING", "PENDING") for task in self.tasks.values())

    def remaining_tasks(self) -> list[Task]:
        """The tasks whose last status is not STOPPED."""
        return [task for task in self.tasks.values() if task.remains]


@dataclass(slots=True, eq=False)
class Cluster:
    """A cluster; everything in it is in the order of its making."""

    name: str
    arn: str
    container_instances: dict[str, ContainerInstance] = field(default_factory=dict)
    by_ec2_instance_id: dict[str, ContainerInstance] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    # Whether its scheduler is to look again at this very instant.
    disturbed: bool = False
