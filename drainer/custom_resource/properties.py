"""
Read the properties of `Custom::ECSDrain`: what it guards, and how that is to be drained: pure.

Values arrive as strings. A wrong one is named, so that Create and Update can say so; a Delete is
never refused for it, or the stack could not be removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drainer.config import CLUSTER
from drainer.drain.model import LifecycleActionResult, Policy, StandaloneTasks
from drainer.fields import PATTERNS, QUOTED_CHARACTERS_MAX, quoted
from drainer.settings import one_of, read, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.config import Config
    from drainer.settings import Problem

# "The maximum time, in seconds, that can elapse before a custom resource operation times out. The
# value must be an integer from 1 to 3600. The default value is 3600 seconds (1 hour)."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
SERVICE_TIMEOUT_SECONDS_MAX = 3_600

# One message and one pass see them all; a larger fleet is divided among several resources.
INSTANCES_MAX = 1_000


class Status(StrEnum):
    """The two answers to a request, and what a drain that meets its deadline is answered with."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class TargetKind(StrEnum):
    """The property that names what is guarded."""

    SPOT_FLEET = "SpotFleet"
    AUTO_SCALING_GROUP = "AutoScalingGroupName"
    CAPACITY_PROVIDER = "CapacityProvider"


_SECONDS = whole(1, SERVICE_TIMEOUT_SECONDS_MAX)
SETTINGS = {
    "DrainTimeoutSeconds": _SECONDS,
    "OnTimeout": one_of(Status),
    "ServiceTimeout": _SECONDS,
    "StandaloneGraceSeconds": whole(0, SERVICE_TIMEOUT_SECONDS_MAX),
    "StandaloneTasks": one_of(StandaloneTasks),
}
KNOWN_PROPERTIES = (
    "ServiceToken",
    "Cluster",
    *(kind.value for kind in TargetKind),
    *SETTINGS,
)
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html
TARGET_PATTERNS = {
    TargetKind.SPOT_FLEET: re.compile(r"sfr-[0-9A-Za-z-]{1,60}"),
    TargetKind.AUTO_SCALING_GROUP: PATTERNS["AutoScalingGroupName"],
    # "The name of the capacity provider. Up to 255 characters are allowed. They include letters,
    # numbers, underscores (_), and hyphens (-)."
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCapacityProvider.html
    TargetKind.CAPACITY_PROVIDER: re.compile(r"[A-Za-z0-9_-]{1,255}"),
}

EXPECTED = {
    TargetKind.SPOT_FLEET: "it must be the id of a Spot Fleet request (sfr-...)",
    TargetKind.AUTO_SCALING_GROUP: "it must be the name of an Auto Scaling group",
    TargetKind.CAPACITY_PROVIDER: "it must be the name of a capacity provider",
}


@dataclass(frozen=True, slots=True)
class DrainTarget:
    """
    What a custom resource guards, and how it is to be drained.

    Attributes:
        cluster: Name or ARN of the ECS cluster; None for those of the function's settings.
        kind: Which property names the target.
        name: The target.
        policy: How to drain.
        on_timeout: The answer once the deadline has passed.
        configured: The clusters of the function's settings, where the property names none.
    """

    cluster: str | None
    kind: TargetKind
    name: str
    policy: Policy
    on_timeout: Status
    configured: tuple[str, ...] = ()

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters in which its instances are searched for first."""
        return (self.cluster,) if self.cluster else self.configured

    @property
    def physical_id(self) -> str:
        """
        The physical resource id: what is guarded, whatever cluster it is said to be in.

        The same target has the same id, so that a change of anything else drains nothing.
        """
        return self.name

    def __str__(self) -> str:
        """Name the target as its property does."""
        return f"{self.kind} {self.name[:QUOTED_CHARACTERS_MAX]}"


def target_of(
    properties: Mapping[str, Any], config: Config
) -> tuple[DrainTarget | None, tuple[str, ...]]:
    """
    Read the properties.

    Args:
        properties: As they came.
        config: Where defaults come from.

    Returns:
        The target, None where none can be read; and a sentence for each wrong property.
    """
    problems = [
        f"{quoted(key)} is no property of Custom::ECSDrain: known are {', '.join(KNOWN_PROPERTIES)}"
        for key in properties
        if key not in KNOWN_PROPERTIES
    ]
    cluster = properties.get("Cluster")
    named = isinstance(cluster, str) and CLUSTER.fullmatch(cluster) is not None
    if "Cluster" in properties and not named:
        problems.append(f"Cluster is {quoted(cluster)}: it must be a cluster's name or ARN")
    elif not named and not config.clusters:
        problems.append("Cluster is not given: give it, or set Clusters in the drainer's stack")
    kind_and_name = _target(properties, problems)
    policy, on_timeout = _settings(properties, config, problems)
    if kind_and_name is None or ("Cluster" in properties and not named):
        return None, tuple(problems)
    configured = () if named else config.clusters
    target = DrainTarget(cluster if named else None, *kind_and_name, policy, on_timeout, configured)
    return target, tuple(problems)


def _settings(
    properties: Mapping[str, Any], config: Config, problems: list[str]
) -> tuple[Policy, Status]:
    wrong: list[Problem] = []
    found = read(SETTINGS, properties, wrong)
    policy = Policy(
        cluster=None,
        drain_timeout_seconds=found.get("DrainTimeoutSeconds", config.drain_timeout_seconds),
        # A custom resource is answered in CloudFormation's words instead.
        deadline_result=LifecycleActionResult.CONTINUE,
        standalone_tasks=found.get("StandaloneTasks", config.standalone_tasks),
        standalone_grace_seconds=found.get(
            "StandaloneGraceSeconds", config.standalone_grace_seconds
        ),
    )
    problems += wrong
    return policy, found.get("OnTimeout", Status.FAILED)


def _target(properties: Mapping[str, Any], problems: list[str]) -> tuple[TargetKind, str] | None:
    kinds = [kind for kind in TargetKind if kind in properties]
    if len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        problems.append(f"exactly one of {', '.join(TargetKind)} must be given: found {found}")
        return None
    (kind,) = kinds
    name = properties[kind]
    known = isinstance(name, str) and name.isprintable()
    if not known or not TARGET_PATTERNS[kind].fullmatch(name):
        problems.append(f"{kind} is {quoted(name)}: {EXPECTED[kind]}")
        return None
    return kind, name
