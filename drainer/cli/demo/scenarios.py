"""
What the demo can show: the cluster, what leaves it, and what has to come of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ScenarioName(StrEnum):
    """The scenarios by the names people type."""

    DRAIN = "drain"
    STUCK = "stuck"
    CROWD = "crowd"
    SPOT = "spot"
    FARGATE_SPOT = "fargate-spot"
    SPOT_FLEET = "spot-fleet"


@dataclass(frozen=True)
class Scenario:
    """
    One thing to show.

    Attributes:
        title: what happens, in one line.
        instances: EC2 instances in the group.
        leaving: how many of them leave at once.
        tasks: tasks of the service behind the load balancer.
        standalone_seconds: how long the standalone task on the instance that leaves runs; None for
            ever; 0 for no such task.
        parameters: further parameters of `infra/examples/cluster.yaml`; all others keep their
            defaults.
        result: the answer that the lifecycle actions have to get.
        limit_seconds: within how many of the account's seconds.

    """

    title: str
    instances: int
    leaving: int
    tasks: int
    standalone_seconds: float | None
    parameters: dict[str, str]
    result: str
    limit_seconds: float

    def cluster_parameters(self) -> dict[str, str]:
        """Return the parameters that the example cluster is deployed with."""
        return {
            "InstanceCount": str(self.instances),
            "InstanceCountMax": str(self.instances),
            "TaskCount": str(self.tasks),
            **self.parameters,
        }


SCENARIOS = {
    ScenarioName.DRAIN: Scenario(
        title="one of three instances leaves; its tasks are moved, finished and waited for",
        instances=3,
        leaving=1,
        tasks=6,
        standalone_seconds=200.0,
        parameters={},
        result="CONTINUE",
        limit_seconds=900.0,
    ),
    ScenarioName.STUCK: Scenario(
        title="a standalone task never ends; at the deadline ABANDON keeps the instance",
        instances=3,
        leaving=1,
        tasks=6,
        standalone_seconds=None,
        parameters={
            "DrainTimeoutSeconds": "600",
            "DeadlineResult": "ABANDON",
            "HeartbeatTimeoutSeconds": "300",
        },
        result="ABANDON",
        limit_seconds=900.0,
    ),
    ScenarioName.CROWD: Scenario(
        title="fifty of a hundred instances leave at once",
        instances=100,
        leaving=50,
        tasks=200,
        standalone_seconds=0.0,
        parameters={},
        result="CONTINUE",
        limit_seconds=1_000.0,
    ),
}


@dataclass(frozen=True)
class SpotScenario:
    """
    One interruption to show.

    Attributes:
        title: what happens, in one line.
        example: the template that is interrupted, in infra/.
        fargate: whether a task of Fargate Spot is taken back, and not an EC2 instance.
        parameters: of the example; all others keep their defaults.

    """

    title: str
    example: str
    fargate: bool
    parameters: dict[str, str]


SPOT_SCENARIOS = {
    ScenarioName.SPOT: SpotScenario(
        title="Spot takes back one of three instances; no replacement will be there in time",
        example="examples/cluster.yaml",
        fargate=False,
        parameters={
            "InstanceCount": "3",
            "InstanceCountMax": "3",
            "TaskCount": "6",
            # Within the two minutes, and longer than any request.
            "DeregistrationDelaySeconds": "60",
        },
    ),
    ScenarioName.FARGATE_SPOT: SpotScenario(
        title="Fargate Spot takes back one of six tasks; ECS itself deregisters it too late",
        example="examples/fargate-spot.yaml",
        fargate=True,
        parameters={"TaskCount": "6"},
    ),
}


@dataclass(frozen=True)
class FleetScenario:
    """
    One replacement to show.

    Attributes:
        title: what happens, in one line.
        parameters: of `infra/examples/spot-fleet.yaml`; all others keep their defaults.
        standalone_seconds: how long the standalone task on the old fleet runs.

    """

    title: str
    parameters: dict[str, str]
    standalone_seconds: float


FLEET_SCENARIOS = {
    ScenarioName.SPOT_FLEET: FleetScenario(
        title="CloudFormation replaces a Spot Fleet; the old one is drained before it goes",
        parameters={
            "InstanceCount": "3",
            "TaskCount": "6",
            # Longer than any request.
            "DeregistrationDelaySeconds": "60",
        },
        standalone_seconds=400.0,
    ),
}
