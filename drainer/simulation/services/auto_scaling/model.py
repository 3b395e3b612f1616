"""What an Auto Scaling group consists of, without any behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from drainer.simulation.services.auto_scaling.lifecycle import TERMINATING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.simulation.services.auto_scaling.lifecycle import (
        LifecycleAction,
        LifecycleHook,
        Result,
    )

# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingInstanceDetails.html
LifecycleState = Literal[
    "Pending",
    "Pending:Wait",
    "Pending:Proceed",
    "InService",
    "EnteringStandby",
    "Standby",
    "ReplacingRootVolume",
    "ReplacingRootVolume:Wait",
    "ReplacingRootVolume:Proceed",
    "RootVolumeReplaced",
    "Terminating:Wait",
    "Terminating:Proceed",
    "Terminating:Retained",
    "Terminated",
    "Warmed:Pending",
    "Warmed:Pending:Wait",
    "Warmed:Pending:Proceed",
    "Warmed:Pending:Retained",
    "Warmed:Stopped",
    "Warmed:Running",
    "Warmed:Hibernated",
    "Warmed:Terminating:Wait",
    "Warmed:Terminating:Proceed",
    "Warmed:Terminating:Retained",
    "Warmed:Terminated",
]
# What counts towards the desired capacity; an instance that is leaving or retained does not.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
COUNTED: tuple[LifecycleState, ...] = (
    "Pending",
    "Pending:Wait",
    "Pending:Proceed",
    "InService",
    "ReplacingRootVolume",
    "ReplacingRootVolume:Wait",
    "ReplacingRootVolume:Proceed",
    "RootVolumeReplaced",
)
PoolState = Literal["Stopped", "Running", "Hibernated"]


@dataclass(frozen=True, slots=True)
class WarmPool:
    """
    How a group keeps instances ready.

    Attributes:
        state: what they rest in.
        minimum: how many there are at least.
        reuse: whether instances go back to it on scale-in (`ReuseOnScaleIn`).
    """

    state: PoolState
    minimum: int
    reuse: bool


@dataclass(slots=True, eq=False)
class Instance:
    """
    An EC2 instance as its group knows it.

    Attributes:
        actions: those of the hooks that it met last.
        past: all that it ever met.
        waits_in: the state in which it waits for its hooks; None for not.
        then: what follows the hooks.
        forgets_agent: whether its next boot is from a volume that holds no agent's state.
        launch_template: what it was launched from, or got its root volume from.
    """

    ec2_instance_id: str
    group: Group
    availability_zone: str
    launched_at: datetime
    lifecycle_state: LifecycleState = "Pending"
    actions: list[LifecycleAction] = field(default_factory=list)
    past: list[LifecycleAction] = field(default_factory=list)
    waits_in: LifecycleState | None = None
    then: Callable[[Instance, Result], None] | None = None
    forgets_agent: bool = False
    launch_template: str = ""

    @property
    def is_warm(self) -> bool:
        """Whether it is in its group's warm pool, or on its way there or from there to its end."""
        return self.lifecycle_state.startswith("Warmed:")

    @property
    def waits_to_leave(self) -> bool:
        """Whether it waits for terminating hooks, wherever it then goes."""
        return self.lifecycle_state == self.waits_in and any(
            action.route.transition == TERMINATING for action in self.actions
        )


@dataclass(slots=True, eq=False)
class Group:
    """
    An Auto Scaling group.

    Attributes:
        cluster: the ECS cluster that its instances register with; None for none.
        launch_seconds: from launch to InService.
        terminate_seconds: from Terminating:Proceed to the end of the instance.
        retain_on_abandon: the retention trigger `TerminateHookAbandon` is set to `retain`.
        tasks_max: the room for tasks on each instance; None is without limit.
        attributes: what its agents set on their container instances.
        launch_template: what it launches from, as `id:version`.
    """

    name: str
    arn: str
    created_at: datetime
    desired: int
    minimum: int
    maximum: int
    cluster: str | None
    launch_seconds: float
    terminate_seconds: float
    retain_on_abandon: bool
    tasks_max: int | None
    availability_zones: list[str]
    hooks: dict[str, LifecycleHook] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    launched: int = 0
    warm_pool: WarmPool | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    launch_template: str = ""
