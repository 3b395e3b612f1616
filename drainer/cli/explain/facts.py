"""
What is known of one draining container instance, as plain values.

None means that it was not read. An empty value means that it was read and there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.cli.explain.drainers import DrainState, Group, Stack

SERVICE_GROUP = "service:"
ENDED = frozenset({"STOPPED", "DELETED"})
# The two names of AWS for what runs one task on each instance.
DAEMON = "DAEMON"


@dataclass(frozen=True, slots=True)
class Unread:
    """A read that failed: what was asked, and AWS's code or this program's reason."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Resources:
    """CPU units, MiB and GPUs, and the ports that are in use."""

    cpu: int = 0
    memory: int = 0
    gpus: int = 0
    ports: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInstance:
    """A container instance; `heard_at` is when its agent last reported its health."""

    arn: str
    ec2_instance_id: str
    cluster: str
    status: str
    agent_connected: bool = True
    agent_version: str = ""
    heard_at: datetime | None = None
    capacity_provider: str = ""
    counted_tasks: int = 0
    remaining: Resources = field(default_factory=Resources)
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a task."""

    name: str
    image: str = ""
    reason: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as DescribeTasks shows it."""

    arn: str
    group: str
    desired: str
    last: str
    definition: str = ""
    started_by: str = ""
    instance_arn: str = ""
    capacity_provider: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None
    health: str = ""
    stop_code: str = ""
    stopped_reason: str = ""
    containers: tuple[Container, ...] = ()

    @property
    def id(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def short_id(self) -> str:
        """As many characters of the id as people tell tasks apart by."""
        return self.id[:8]

    @property
    def service(self) -> str:
        """Its service's name; empty for a standalone task."""
        is_service = self.group.startswith(SERVICE_GROUP)
        return self.group.removeprefix(SERVICE_GROUP) if is_service else ""

    @property
    def family(self) -> str:
        """Its task definition's family and revision."""
        return self.definition.rpartition("/")[2] or self.group.removeprefix("family:")

    @property
    def remains(self) -> bool:
        """Whether any container of it may be alive."""
        return self.last not in ENDED

    @property
    def wanted(self) -> bool:
        """Whether ECS wants it to run."""
        return self.desired not in ENDED


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """One event of a service, as ECS wrote it."""

    at: datetime
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of a service; ACTIVE is the status of one that is replaced."""

    id: str
    status: str
    rollout: str = ""
    reason: str = ""
    failed_tasks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as DescribeServices shows it; the newest event is the first."""

    name: str
    arn: str = ""
    status: str = "ACTIVE"
    desired: int = 1
    running: int = 0
    pending: int = 0
    minimum_percent: int = 100
    maximum_percent: int = 200
    scheduling: str = "REPLICA"
    controller: str = "ECS"
    strategy: str = "ROLLING"
    bake_minutes: int = 0
    grace_seconds: int = 0
    definition: str = ""
    constraints: tuple[tuple[str, str], ...] = ()
    target_groups: tuple[str, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    events: tuple[ServiceEvent, ...] = ()
    service_deployment: str = ""


@dataclass(frozen=True, slots=True)
class StageHook:
    """A hook of a deployment's stage."""

    id: str
    status: str
    expires_at: datetime | None = None
    timeout_action: str = ""


@dataclass(frozen=True, slots=True)
class ServiceDeployment:
    """A native blue/green, linear or canary deployment."""

    status: str
    stage: str = ""
    hooks: tuple[StageHook, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    """What a task needs of an instance, and how long its containers may take to stop."""

    arn: str
    needs: Resources = field(default_factory=Resources)
    network_mode: str = ""
    stop_seconds: int = 30
    attributes: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A target's health."""

    id: str
    port: int
    state: str
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """A target group: its targets, its deregistration delay and its health check."""

    arn: str
    targets: tuple[Target, ...] | None = None
    delay_seconds: int | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known; the judging modules read nothing else."""

    now: datetime
    instance: ContainerInstance
    tasks: tuple[Task, ...] | None = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    definitions: Mapping[str, TaskDefinition] = field(default_factory=dict)
    # by service: its tasks on other instances or on none yet, stopped ones too
    elsewhere: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)
    others: tuple[ContainerInstance, ...] | None = None
    target_groups: Mapping[str, TargetGroup] = field(default_factory=dict)
    # by task id: until when, for those that are protected
    protected: Mapping[str, datetime | None] | None = field(default_factory=dict)
    service_deployments: Mapping[str, ServiceDeployment] = field(default_factory=dict)
    group: Group | None = None
    stack: Stack | None = None
    drain: DrainState | None = None
    # whether the drainer's record was read, so that without one it has none
    is_record_read: bool = True
    unread: tuple[Unread, ...] = ()
    reads: int = 0

    @property
    def remaining(self) -> tuple[Task, ...]:
        """The tasks on the instance that have not ended."""
        return tuple(task for task in self.tasks or () if task.remains)

    @property
    def draining_since(self) -> datetime | None:
        """Since when it drains, as far as anything says; ECS does not."""
        if self.drain and self.drain.draining_since:
            return self.drain.draining_since
        return self.group.terminating_since if self.group else None
