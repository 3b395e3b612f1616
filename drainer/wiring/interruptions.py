"""
The controller for interruptions of Spot on its gateways.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from drainer.aws.custom_resource import TargetGateway
from drainer.aws.spot import SpotGateway
from drainer.spot.controller import InterruptionController

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.aws.auto_scaling import AutoScalingGateway
    from drainer.aws.ecs import EcsGateway
    from drainer.aws.records import RecordTable
    from drainer.config import Config
    from drainer.drain.record import DrainRecord


def controller(
    client: Callable[[str], Any],
    *,
    auto_scaling: AutoScalingGateway,
    ecs: EcsGateway,
    records: RecordTable[DrainRecord],
    config: Config,
    sleep: Callable[[float], None] | None,
) -> InterruptionController:
    """Return the controller."""
    spot, targets = SpotGateway(client("ecs"), client("elbv2")), TargetGateway(cache(client))
    return InterruptionController(
        auto_scaling, ecs, spot, targets, config, drains=records, sleep=sleep
    )
