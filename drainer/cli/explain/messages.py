"""
Service events and stop reasons of ECS, matched to a kind.

ECS writes an event with parentheses around each name, its console and its documentation without.
So parentheses and line breaks go first, then each pattern is tried in order and the first that
matches wins. The texts were collected from AWS's pages and from captures of real services.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What a service event says."""

    PLACE_MEMORY = "place_mem"
    PLACE_CPU = "place_cpu"
    PLACE_PORT = "place_port"
    PLACE_ATTRIBUTE = "place_attr"
    PLACE_AGENT = "place_agent"
    PLACE_ENI = "place_eni"
    PLACE_GPU = "place_gpu"
    PLACE_DISTINCT = "place_distinct"
    PLACE_CONSTRAINT = "place_constraint"
    PLACE_EMPTY = "place_empty"
    PLACE_ZONE = "place_az"
    QUOTA = "quota"
    CAPACITY = "capacity"
    SERVICE_ROLE = "service_role"
    IMAGE_PULL = "image_pull"
    START_ERROR = "init_error"
    LAUNCH_ERROR = "launch_error"
    PARTIAL_LAUNCH = "partial_launch"
    PLACE_BARE = "place_bare"
    TARGET_GROUP_MISSING = "tg_missing"
    UNHEALTHY_TARGET = "unhealthy_tg"
    CONTAINER_UNHEALTHY = "container_unhealthy"
    IMPAIRED = "impaired"
    THROTTLED = "throttled"
    DEPLOYMENT_CONFIGURATION = "dep_config"
    ZONE_REBALANCING = "az_rebalance"
    PROTECTED = "protected"
    DEPLOYMENT_FAILED = "dep_failed"
    ROLLBACK = "rollback"
    CONNECTIONS = "draining_conn"
    DEREGISTERED = "deregistered"
    REGISTERED = "registered"
    STARTED = "started"
    STOPPED = "stopped"
    STOPPED_PENDING = "stopped_pending"
    DEPLOYMENT_COMPLETED = "dep_completed"
    STEADY = "steady"
    OTHER = "other"


_PLACE = "unable to place a task .*"
PATTERNS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.PLACE_MEMORY, _PLACE + "has insufficient memory available"),
        (Kind.PLACE_CPU, _PLACE + "has insufficient CPU units available"),
        (Kind.PLACE_PORT, _PLACE + "(already using a port required|RESOURCE:PORTS)"),
        (
            Kind.PLACE_ATTRIBUTE,
            _PLACE + "missing an attribute required|encountered error .ATTRIBUTE",
        ),
        (
            Kind.PLACE_AGENT,
            _PLACE + "(encountered error .AGENT|doesn.t have the agent connected)"
            "|Timed out waiting for Amazon ECS Agent",
        ),
        (Kind.PLACE_ENI, _PLACE + "RESOURCE:ENI"),
        (Kind.PLACE_GPU, _PLACE + "(RESOURCE:GPU|insufficient GPU)"),
        (Kind.PLACE_DISTINCT, "(?i)" + _PLACE + "distinct ?instance"),
        (Kind.PLACE_CONSTRAINT, "(?i)" + _PLACE + "constraint unsatisfied"),
        (
            Kind.PLACE_EMPTY,
            (
                "No Container Instances were found in your (cluster|capacity provider)"
                "|EMPTY CAPACITY PROVIDER|NO ACTIVE INSTANCES"
            ),
        ),
        (
            Kind.PLACE_ZONE,
            r"is unable to place a task in (?P<zone>[a-z0-9-]+)|encountered error .LOCATION",
        ),
        (
            Kind.QUOTA,
            (
                "reached the limit on the number of|configuration is above your limit"
                "|provisioning capacity limit was exceeded"
            ),
        ),
        (Kind.CAPACITY, "Capacity is unavailable at this time"),
        (
            Kind.SERVICE_ROLE,
            (
                "unable to assume the role"
                "|IAM (permissions policies|trust relationship) ha(s|ve) been misconfigured"
            ),
        ),
        (Kind.IMAGE_PULL, "CannotPull"),
        (Kind.START_ERROR, "ResourceInitializationError"),
        (Kind.LAUNCH_ERROR, "failed to launch a task with error (?P<why>.+)"),
        (Kind.PARTIAL_LAUNCH, r"could not launch \d+ tasks? for deployment"),
        (Kind.PLACE_BARE, "unable to place a task"),
        (Kind.TARGET_GROUP_MISSING, "TARGET(?: GROUP)? IS NOT FOUND"),
        (
            Kind.UNHEALTHY_TARGET,
            (
                r"is (?:unhealthy|not healthy) in (?:target-group|elb) (?P<target>\S+)"
                r" due to (?:reason )?(?P<why>.+?)\.?$"
            ),
        ),
        (Kind.CONTAINER_UNHEALTHY, "failed container health checks"),
        (Kind.IMPAIRED, "is unable to consistently start tasks successfully"),
        (Kind.THROTTLED, "operations are being throttled"),
        (Kind.DEPLOYMENT_CONFIGURATION, "unable to stop or start tasks during a deployment"),
        (Kind.ZONE_REBALANCING, "(?i)AZ (re)?balanc"),
        (
            Kind.PROTECTED,
            (
                r"unable to scale in( due to reason \d+ tasks under protection"
                r"|\. Reason: The number of protected tasks)"
            ),
        ),
        (Kind.DEPLOYMENT_FAILED, r"deployment failed: (?P<why>.+?)\.?$"),
        (Kind.ROLLBACK, r"rolling back to deployment (?P<deployment>ecs-svc/\d+)"),
        (Kind.CONNECTIONS, r"has begun draining connections on (?P<count>\d+) tasks"),
        (Kind.DEREGISTERED, r"deregistered (?P<count>\d+) (targets|instances) in"),
        (Kind.REGISTERED, r"registered (?P<count>\d+) (targets|instances) in"),
        (Kind.STARTED, r"has started (?P<count>\d+) tasks"),
        (Kind.STOPPED, r"has stopped (?P<count>\d+) running tasks"),
        (Kind.STOPPED_PENDING, r"stopped (?P<count>\d+) pending tasks"),
        (Kind.DEPLOYMENT_COMPLETED, "deployment completed"),
        (Kind.STEADY, "has reached a steady state"),
    )
)
# What ends "unable to place": a later event of one of these.
PLACED = frozenset({Kind.STARTED, Kind.STEADY})
_TAIL = re.compile(r" For more information, see the Troubleshooting section.*$|\|?Learn more$")


@dataclass(frozen=True, slots=True)
class Matched:
    """A text's kind, and what it names."""

    kind: Kind
    names: Mapping[str, str] = field(default_factory=dict)


def normalised(text: str) -> str:
    """Return an event in the one form that the patterns are written for."""
    bare = re.sub(r"[()]", "", text)
    return _TAIL.sub("", re.sub(r"\s+", " ", bare)).strip()


def matched(message: str) -> Matched:
    """Return the kind of a service event."""
    text = normalised(message)
    for kind, pattern in PATTERNS:
        if found := pattern.search(text):
            named = {name: value for name, value in found.groupdict().items() if value}
            return Matched(kind, named)
    return Matched(Kind.OTHER)


class Failure(StrEnum):
    """Why a task has ended that should run."""

    IMAGE_PULL = "image pull"
    START_ERROR = "start error"
    NO_ENI = "no network interface"
    NO_MEMORY = "no memory"
    NO_CPU = "no CPU"
    NO_GPU = "no GPU"
    PORT_TAKEN = "port taken"
    CONSTRAINT = "placement constraint"
    ATTRIBUTE = "missing attribute"
    NO_INSTANCES = "no instances"
    UNHEALTHY = "unhealthy"
    EXITED = "exited"
    NORMAL = "stopped as intended"


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
FAILURES = tuple(
    (failure, re.compile(pattern))
    for failure, pattern in (
        (Failure.IMAGE_PULL, "CannotPull"),
        (
            Failure.NO_ENI,
            (
                "RESOURCE:ENI|Unable to attach network interface|network interface provisioning"
                "|Create Network Interface"
            ),
        ),
        (
            Failure.START_ERROR,
            (
                "ResourceInitializationError|CannotCreate|CannotStartContainerError"
                "|CannotInspect|DockerTimeoutError|ContainerRuntimeTimeoutError"
            ),
        ),
        (Failure.NO_MEMORY, "RESOURCE:MEMORY"),
        (Failure.NO_CPU, "RESOURCE:CPU"),
        (Failure.NO_GPU, "RESOURCE:GPU"),
        (Failure.PORT_TAKEN, "RESOURCE:PORTS"),
        (Failure.CONSTRAINT, "(?i)constraint unsatisfied"),
        (Failure.ATTRIBUTE, "TaskFailedToStart: ATTRIBUTE"),
        (Failure.NO_INSTANCES, "NO ACTIVE INSTANCES|EMPTY CAPACITY PROVIDER"),
        (Failure.UNHEALTHY, "failed (ELB|container) health checks"),
        (Failure.EXITED, "OutOfMemoryError|Essential container in task exited"),
    )
)


def failure_of(stop_code: str, reasons: tuple[str, ...]) -> Failure:
    """Return why a task has ended, by its stop code and the reasons of it and its containers."""
    text = normalised(" | ".join(reasons))
    for failure, pattern in FAILURES:
        if pattern.search(text):
            return failure
    if stop_code == "EssentialContainerExited":
        return Failure.EXITED
    return Failure.START_ERROR if stop_code == "TaskFailedToStart" else Failure.NORMAL
