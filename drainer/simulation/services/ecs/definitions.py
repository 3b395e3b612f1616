"""What the users of ECS define: the lives of tasks, where they run, and what balances them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from drainer.simulation.services.elb.target_groups import TargetGroup


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
        accepts_after_signal_seconds: how long the container still takes new requests once it is
            told to stop.
    """

    start_seconds: float = 10.0
    activate_seconds: float = 0.0
    healthy_after_seconds: float = 50.0
    stop_seconds: float = 30.0
    stop_timeout_seconds: float = 30.0
    run_seconds: float | None = None
    network_mode: Literal["bridge", "awsvpc"] = "bridge"
    interface_seconds: float = 5.0
    accepts_after_signal_seconds: float = 0.0

    @property
    def leaving_seconds(self) -> float:
        """The time from the stop signal to the container's end."""
        # "Time duration (in seconds) to wait before the container is forcefully killed if it
        # doesn't exit normally on its own."
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
        return min(self.stop_seconds, self.stop_timeout_seconds)


NEVER_STOPS = TaskProfile(stop_seconds=math.inf, stop_timeout_seconds=math.inf)
# Ignores the stop signal, as a shell that is process 1 does, and is killed at its timeout.
DEAF = TaskProfile(stop_seconds=math.inf, stop_timeout_seconds=120.0)


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    """
    A share of a service's capacity provider strategy.

    Attributes:
        name: FARGATE or FARGATE_SPOT.
        base: how many tasks it gets before any weight counts.
        weight: its share of the others.
    """

    name: Literal["FARGATE", "FARGATE_SPOT"]
    base: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Balanced:
    """A target group of a service, and the container port that it sends requests to."""

    target_group: TargetGroup
    container_port: int


@dataclass(frozen=True, slots=True)
class GroupProvider:
    """A capacity provider that is an Auto Scaling group."""

    name: str
    arn: str
    auto_scaling_group_arn: str
