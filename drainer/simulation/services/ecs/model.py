"""What an ECS cluster consists of, without any behaviour."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.services.ecs.definitions import Balanced, CapacityProvider, TaskProfile
    from drainer.simulation.services.elb.target_groups import TargetGroup

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
ContainerInstanceStatus = Literal[
    "REGISTERING", "REGISTRATION_FAILED", "ACTIVE", "DRAINING", "DEREGISTERING", "INACTIVE"
]
# Since when what a builder puts in place has been there.
LONG_AGO = datetime.min.replace(tzinfo=UTC)
# A service keeps 100 events. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
SERVICE_EVENTS_MAX = 100


@dataclass(slots=True, eq=False)
class Task:
    """
    A task; standalone when it has no service.

    Attributes:
        container_instance: where it is; for one on Fargate a machine of its own that ECS does not
            show.
        host_ports: the host's port for each container port (bridge).
        capacity_provider: where Fargate runs it; None for one on EC2.
        signalled_at: when its container was told to stop.
        ended_at: when its container was no more, which its agent may have yet to report.
        protected_until: until when its service's scheduler must not stop it.
        past: its desired and last status, and since when, as far back as any answer of ECS lies.
    """

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
    host_ports: dict[int, int]
    capacity_provider: str | None = None
    ipv6_address: str | None = None
    desired_status: Literal["RUNNING", "STOPPED"] = "RUNNING"
    last_status: LastStatus = "PROVISIONING"
    healthy: bool = False
    version: int = 1
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    signalled_at: datetime | None = None
    ended_at: datetime | None = None
    protected_until: datetime | None = None
    past: list[tuple[datetime, tuple[Literal["RUNNING", "STOPPED"], LastStatus]]] = field(
        default_factory=list
    )

    @property
    def owner(self) -> str:
        """The service that the task is of: `service:web`, `daemon:agent` or `standalone:report`."""
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
        """Whether ECS takes it for there."""
        return self.last_status != "STOPPED"

    @property
    def holds(self) -> bool:
        """Whether anything of it is still there; not one whose end is only not reported yet."""
        return self.remains and (self.ended_at is None or self.last_status == "DEPROVISIONING")

    def is_protected(self, now: datetime) -> bool:
        """Say whether it is protected from scale-in."""
        return self.protected_until is not None and now < self.protected_until

    @property
    def balanced(self) -> tuple[Balanced, ...]:
        """The target groups that it is registered with once it runs."""
        return self.service.balanced if self.service is not None else ()

    @property
    def target_id(self) -> str:
        """What its first load balancer knows it by."""
        target_group = self.service.target_group if self.service is not None else None
        return self.target_in(target_group)[0]

    def target_in(self, group: TargetGroup | None, container_port: int = 80) -> tuple[str, int]:
        """Return the id and the port that it has in a target group."""
        if self.profile.network_mode == "bridge":
            port = self.host_ports.get(container_port, container_port)
        else:
            port = container_port
        if group is None or group.target_type == "instance":
            return self.container_instance.ec2_instance_id, port
        if group.ip_address_type == "ipv6":
            return self.ipv6_address or "", port
        return self.ip_address, port

    @property
    def refuses_since(self) -> datetime | None:
        """From when its container takes no new requests, if that is known already."""
        if self.signalled_at is None:
            return self.ended_at
        grace = timedelta(seconds=self.profile.accepts_after_signal_seconds)
        refuses_at = self.signalled_at + grace
        return min(refuses_at, self.ended_at) if self.ended_at else refuses_at

    def accepts(self, now: datetime) -> bool:
        """Say whether its container takes new requests."""
        since = self.refuses_since
        return self.started_at is not None and (since is None or now < since)


@dataclass(slots=True, eq=False)
class Service:
    """
    A replicated or daemon service.

    Attributes:
        balanced: its target groups.
        in_task_sets: whether those belong to its task set, as with an external deployment
            controller, and not to the service itself.
        blue: for ECS's own blue/green deployments, the target group that the service names first;
            the tasks are in those that it names as alternate.
        capacity_providers: where Fargate runs its tasks; none for a service on EC2.
    """

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
    balanced: tuple[Balanced, ...] = ()
    in_task_sets: bool = False
    blue: TargetGroup | None = None
    capacity_providers: tuple[CapacityProvider, ...] = ()
    # Tasks of either desired status until they are STOPPED.
    tasks: dict[str, Task] = field(default_factory=dict)
    events: deque[tuple[datetime, str]] = field(
        default_factory=lambda: deque(maxlen=SERVICE_EVENTS_MAX)
    )
    lacks_room: bool = False

    @property
    def target_group(self) -> TargetGroup | None:
        """Its first target group, which is the only one of most services."""
        return self.balanced[0].target_group if self.balanced else None


@dataclass(slots=True, eq=False)
class ContainerInstance:
    """
    A registration: an EC2 instance as a cluster knows it. One EC2 instance may have several.

    Attributes:
        agent_gone: whether the agent that registered is no more, so that this stays disconnected.
        always_left_over: whether it was so from the beginning.
        tasks: stopped ones as well, for an hour.
        long_stopped: a crowd of tasks that a builder had stop before; also for an hour.
        past: its status and whether its agent was connected, and since when.
        changed_at: when it or one of its tasks last changed.
        unreported: what its agent, once it is connected again, will do about which task.
    """

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
    long_stopped: dict[str, Task] = field(default_factory=dict)
    agent_gone: bool = False
    always_left_over: bool = False
    past: list[tuple[datetime, tuple[ContainerInstanceStatus, bool]]] = field(default_factory=list)
    changed_at: datetime = LONG_AGO
    unreported: list[tuple[Task, Callable[[Task], None]]] = field(default_factory=list)

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
    def started_tasks_count(self) -> int:
        """The tasks that ECS still wants running and that run: one may read the page like this."""
        return sum(t.desired_status == t.last_status == "RUNNING" for t in self.tasks.values())

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

    def wanted_tasks(self) -> list[Task]:
        """
        The tasks that take of its resources, by ECS's accounts.

        What a task takes counts as free as soon as ECS wants it to stop, while its container still
        runs: reported in https://github.com/aws/containers-roadmap/issues/575 and
        https://github.com/aws/amazon-ecs-agent/issues/4106, documented nowhere.
        """
        return [task for task in self.tasks.values() if task.desired_status == "RUNNING"]


@dataclass(slots=True, eq=False)
class Cluster:
    """
    A cluster; everything in it is in the order of its making.

    Attributes:
        status: `INACTIVE` is one that was deleted and can still be described.
        by_ec2_instance_id: all registrations of each EC2 instance, the oldest first.
        left: when container instances were deregistered, as far back as any answer of ECS lies.
    """

    name: str
    arn: str
    status: Literal["ACTIVE", "INACTIVE"] = "ACTIVE"
    container_instances: dict[str, ContainerInstance] = field(default_factory=dict)
    by_ec2_instance_id: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    left: list[tuple[datetime, ContainerInstance]] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    # Whether its scheduler is to look again at this very instant.
    disturbed: bool = False
