"""
What the demo can show: what is deployed, what leaves it, and what has to come of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class ScenarioName(StrEnum):
    """The scenarios by the names people type."""

    DRAIN = "drain"
    STUCK = "stuck"
    CROWD = "crowd"
    SPOT = "spot"
    FARGATE_SPOT = "fargate-spot"
    SPOT_FLEET = "spot-fleet"
    REFRESH = "refresh"


@dataclass(frozen=True)
class Scenario:
    """
    One thing to show.

    Attributes:
        title: what happens, in one line.
        parameters: of the example; all others keep their defaults.
        kind: a scale-in, an instance or a task that Spot takes back, a fleet that is replaced, or a
            group that is refreshed.
        deploys: what is deployed for it, as it is told.
        kept: what is said if nothing was wrong.
        limit_seconds: within how many of the account's seconds it has to be over.
        leaving: how many EC2 instances leave a group at once.
        standalone_seconds: how long the standalone task on the instance that leaves runs; None for
            ever; 0 for no such task.
        result: the answer that the lifecycle actions have to get.
    """

    title: str
    parameters: dict[str, str]
    kind: Literal["drain", "spot", "fargate", "fleet", "refresh"] = "drain"
    deploys: str = "infra/drainer.yaml, the zip and infra/examples/cluster.yaml"
    kept: str = "no instance was released early"
    limit_seconds: float = 900.0
    leaving: int = 1
    standalone_seconds: float | None = 0.0
    result: str = "CONTINUE"


SPOT_KEPT = "no request was cut that could have ended in two minutes"
CLUSTER = {"InstanceCount": "3", "InstanceCountMax": "3", "TaskCount": "6"}
# Within the two minutes of Spot, and longer than any request.
DELAY = {"DeregistrationDelaySeconds": "60"}

SCENARIOS = {
    ScenarioName.DRAIN: Scenario(
        title="one of three instances leaves, after its tasks have been moved or have ended",
        parameters=CLUSTER,
        standalone_seconds=200.0,
    ),
    ScenarioName.STUCK: Scenario(
        title="a standalone task never ends, and at the deadline ABANDON keeps the instance",
        parameters={
            **CLUSTER,
            "DrainTimeoutSeconds": "600",
            "DeadlineResult": "ABANDON",
            "HeartbeatTimeoutSeconds": "300",
        },
        kept="the deadline was answered ABANDON, and no task was killed",
        standalone_seconds=None,
        result="ABANDON",
    ),
    ScenarioName.CROWD: Scenario(
        title="fifty of a hundred instances leave at once",
        parameters={
            "InstanceCount": "100",
            "InstanceCountMax": "100",
            "TaskCount": "200",
            "TaskCountMax": "400",
        },
        limit_seconds=1_000.0,
        leaving=50,
    ),
    ScenarioName.SPOT: Scenario(
        kind="spot",
        title="Spot takes back one of three instances, and no replacement is there in time",
        deploys="drainer.yaml, spot.yaml and examples/cluster.yaml",
        kept=SPOT_KEPT,
        parameters={**CLUSTER, **DELAY},
        limit_seconds=600.0,
    ),
    ScenarioName.FARGATE_SPOT: Scenario(
        kind="fargate",
        title="Fargate Spot takes back one of six tasks, and ECS itself deregisters it too late",
        deploys="drainer.yaml, spot.yaml and examples/fargate-spot.yaml",
        kept=SPOT_KEPT,
        parameters={"TaskCount": "6"},
        limit_seconds=600.0,
    ),
    ScenarioName.SPOT_FLEET: Scenario(
        kind="fleet",
        title="CloudFormation replaces a Spot Fleet, after the old one is drained",
        deploys="drainer.yaml and examples/spot-fleet.yaml",
        kept="the old fleet was cancelled after its last task, and no request was cut",
        parameters={"InstanceCount": "3", "TaskCount": "6", **DELAY},
        standalone_seconds=400.0,
    ),
    ScenarioName.REFRESH: Scenario(
        kind="refresh",
        title="a stack update with a newer image replaces four instances, two at a time",
        deploys="drainer.yaml and examples/cluster.yaml",
        kept="every instance is new, and no request was cut",
        parameters={
            "InstanceCount": "4",
            "InstanceCountMax": "8",
            "TaskCount": "6",
            "InstanceWarmupSeconds": "30",
            **DELAY,
        },
        leaving=4,
    ),
}
