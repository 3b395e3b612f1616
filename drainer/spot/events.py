"""
Read what EC2 Spot and Fargate Spot tell, and say which load balancer targets go: pure.

An interruption gives two minutes. ECS moves a service's tasks only as fast as its minimum healthy
percent lets it, so that the load balancer must be told at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from drainer.config import CLUSTER
from drainer.errors import MalformedEventError, NotForUsError, QuietError
from drainer.fields import PATTERNS, instant, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

INTERRUPTION = "EC2 Spot Instance Interruption Warning"
REBALANCE = "EC2 Instance Rebalance Recommendation"
TASK_CHANGE = "ECS Task State Change"
DETAIL_TYPES = (INTERRUPTION, REBALANCE, TASK_CHANGE)

# "Amazon EC2 Spot Instances are interrupted with a two-minute warning."
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
WARNING_TIME = timedelta(seconds=120)

# A recommendation is not urgent, but one that has lain for a quarter of an hour is not news.
ADVICE = timedelta(seconds=780)

# The stop code of today and that of the documentation until 2023; and the reason, because the code
# was missing from some events (aws/containers-roadmap #1565).
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
STOP_CODES = frozenset({"SpotInterruption", "TerminationNotice"})
STOPPED_REASON = "Your Spot Task was interrupted"

# A task has one network interface, with an address of each family.
ADDRESSES_MAX = 10


@dataclass(frozen=True, slots=True)
class Interruption:
    """
    EC2 takes an instance back, or may soon.

    Attributes:
        ec2_instance_id: The instance; `resources` names no account and no Region, and is not used.
        action: terminate, stop or hibernate; recommend for a rebalance recommendation.
        ends_at: When the two minutes are over.
    """

    ec2_instance_id: str
    action: str
    ends_at: datetime

    def names(self) -> dict[str, str]:
        """Return what tells it from others, for a log line."""
        return {"ec2_instance_id": self.ec2_instance_id, "action": self.action}

    @property
    def hasty(self) -> bool:
        """Whether two minutes are all there is."""
        return self.action != "recommend"

    @property
    def returns(self) -> bool:
        """Whether the same instance may come back, with its container instance."""
        return self.action in {"stop", "hibernate"}

    @property
    def key(self) -> str:
        """What tells the instance from all others."""
        return self.ec2_instance_id


@dataclass(frozen=True, slots=True)
class TaskInterruption:
    """
    Fargate Spot takes a task back.

    Attributes:
        cluster: The cluster's ARN.
        service: The name of the service that the task is of.
        task_id: The last part of the task's ARN.
        addresses: The task's private addresses, of both families.
        ends_at: When the two minutes are over.
        warns: Whether this is the warning, and not a later change of the same task.
    """

    cluster: str
    service: str
    task_id: str
    addresses: tuple[str, ...]
    ends_at: datetime
    warns: bool = True

    def names(self) -> dict[str, str]:
        """Return what tells it from others, for a log line."""
        return {"task_id": self.task_id, "ecs_service": self.service, "action": "terminate"}

    @property
    def key(self) -> str:
        """What tells the task from all others."""
        return f"{self.cluster}/{self.task_id}"


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """One target group of a service, and the container and port that it sends requests to."""

    target_group_arn: str
    container_name: str
    container_port: int


@dataclass(frozen=True, slots=True)
class Placed:
    """
    Where a task of a service can be reached.

    Attributes:
        task_id: The last part of the task's ARN.
        service: Its service's name.
        addresses: Its own addresses, where its network mode gives it any (awsvpc).
        host_ports: The host's ports by container name and container port (bridge): two where
            the container listens there by TCP and by UDP.
        ended: Whether its containers have, so that another task may have its addresses.
    """

    task_id: str
    service: str
    addresses: tuple[str, ...]
    host_ports: Mapping[tuple[str, int], tuple[int, ...]]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A target as ECS registers it: an EC2 instance or an address, always with its port."""

    id: str
    port: int


def read(event: Mapping[str, Any], now: datetime) -> Interruption | TaskInterruption:
    """
    Read an event of EventBridge.

    Raises:
        QuietError: It is a task's state change that is no interruption.
        NotForUsError: It is too old to be acted upon.
        MalformedEventError: A field is missing or wrong; names it.
    """
    kind, detail = event.get("detail-type"), event.get("detail")
    source = "aws.ecs" if kind == TASK_CHANGE else "aws.ec2"
    if event.get("source") != source or not isinstance(detail, dict):
        raise MalformedEventError(f"The source of {quoted(kind)} is {quoted(event.get('source'))}")
    # A task's event comes again at each of its changes; its two minutes began when it was stopped.
    told_at = instant(detail.get("stoppingAt")) or instant(event.get("time")) or now
    ends_at = min(now, told_at) + WARNING_TIME
    if now >= ends_at + (ADVICE if kind == REBALANCE else timedelta(0)):
        # A late event must not change anything: an address may be another task's now.
        raise NotForUsError(f"{quoted(kind)}: its time is over")
    if kind == TASK_CHANGE:
        return _task_interruption(detail, ends_at)
    ec2_instance_id = detail.get("instance-id")
    if not isinstance(ec2_instance_id, str) or not PATTERNS["EC2InstanceId"].fullmatch(
        ec2_instance_id
    ):
        raise MalformedEventError(f"instance-id is {quoted(ec2_instance_id)}")
    action = "recommend" if kind == REBALANCE else detail.get("instance-action")
    return Interruption(ec2_instance_id, quoted(action).strip("'"), ends_at)


def _task_interruption(detail: Mapping[str, Any], ends_at: datetime) -> TaskInterruption:
    reason = detail.get("stoppedReason")
    interrupted = str(detail.get("stopCode")) in STOP_CODES or (
        isinstance(reason, str) and reason.startswith(STOPPED_REASON)
    )
    group = detail.get("group")
    if not interrupted or detail.get("desiredStatus") != "STOPPED":
        raise QuietError("a task that Spot does not take back")
    if detail.get("lastStatus") == "STOPPED":
        raise QuietError("a task that has stopped already")
    if not isinstance(group, str) or not group.startswith("service:"):
        raise QuietError("an interrupted task of no service: no load balancer knows it")
    cluster, service = detail.get("clusterArn"), group.removeprefix("service:")
    if not isinstance(cluster, str) or not CLUSTER.fullmatch(cluster):
        raise MalformedEventError(f"clusterArn is {quoted(cluster)}")
    if not CLUSTER.fullmatch(service):
        raise MalformedEventError(f"group is {quoted(group)}")
    addresses = tuple(addresses_of(detail))
    task_id = str(detail.get("taskArn", "")).rpartition("/")[2][:64]
    if not addresses:
        raise MalformedEventError(f"The event has no address of task {quoted(task_id)}")
    # ECS tells of the same task again when it is DEACTIVATING and when it is STOPPING.
    warns = str(detail.get("lastStatus")) in {"ACTIVATING", "RUNNING"}
    return TaskInterruption(cluster, service, task_id, addresses, ends_at, warns)


def addresses_of(task: Mapping[str, Any]) -> list[str]:
    """
    Return a task's private addresses, from its attachments and its containers.

    An attachment's detail is named privateIPv4Address, a container's key privateIpv4Address.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
    """
    found: dict[str, None] = {}
    for name, value in _named_values(task):
        if name.lower() in {"privateipv4address", "ipv6address"} and _is_address(value):
            found[value] = None
    return list(found)[:ADDRESSES_MAX]


def _named_values(task: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for attachment in _objects(task.get("attachments")):
        for detail in _objects(attachment.get("details")):
            yield str(detail.get("name")), detail.get("value")
    for container in _objects(task.get("containers")):
        for interface in _objects(container.get("networkInterfaces")):
            yield from ((str(name), value) for name, value in interface.items())


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_address(value: Any) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return isinstance(value, str)


def targets_of_task(gone: TaskInterruption, balancer: LoadBalancer) -> list[Target]:
    """Return the targets of a Fargate task in one target group: its addresses, at its port."""
    return [Target(address, balancer.container_port) for address in gone.addresses]


def targets_of(placed: Placed, balancer: LoadBalancer, ec2_instance_id: str) -> list[Target]:
    """
    Return the targets that ECS has registered for a task in one target group.

    With awsvpc the target is the task's address and the container's port; else the instance and
    the port of the host that is bound to the container's, which is the same one in host mode.
    Where TCP and UDP have a port of the host each, both are returned: which of them the target
    group has is not known here, and the instance leaves with both.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html
    """
    if placed.addresses:
        return [Target(address, balancer.container_port) for address in placed.addresses]
    wanted = (balancer.container_name, balancer.container_port)
    ports = placed.host_ports.get(wanted, (balancer.container_port,))
    return [Target(ec2_instance_id, port) for port in ports]
