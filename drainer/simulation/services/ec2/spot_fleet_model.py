"""What a Spot Fleet consists of, without any behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

FleetType = Literal["request", "maintain"]
FleetState = Literal["active", "cancelled_running", "cancelled_terminating", "cancelled"]


@dataclass(slots=True, eq=False)
class FleetInstance:
    """
    An EC2 instance of a fleet.

    Attributes:
        ended_at: when it was no more; None as long as it is there.
    """

    ec2_instance_id: str
    fleet: Fleet
    instance_type: str
    spot_instance_request_id: str
    availability_zone: str
    launched_at: datetime
    ended_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Fleet:
    """
    A Spot Fleet request and its instances.

    Attributes:
        cluster: the ECS cluster that its instances register with.
        boot_seconds: from launch to registration.
        tasks_max: the room for tasks on each instance; None is without limit.
        config: what was asked for, in AWS's shape.
        over_at: when it was cancelled and its last instance gone.
        rows: its instances, those that ended lately included.
        launched: how many there have been.
    """

    fleet_id: str
    cluster: str
    target_capacity: int
    type: FleetType
    boot_seconds: float
    tasks_max: int | None
    created_at: datetime
    config: dict[str, Any]
    state: FleetState = "active"
    over_at: datetime | None = None
    rows: dict[str, FleetInstance] = field(default_factory=dict)
    launched: int = 0

    @property
    def instances(self) -> dict[str, FleetInstance]:
        """The instances that are there, by id."""
        return {key: one for key, one in self.rows.items() if one.ended_at is None}

    @property
    def ec2_instance_ids(self) -> list[str]:
        """The ids of the instances that are there, the oldest first."""
        return [*self.instances]
