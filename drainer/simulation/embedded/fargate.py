"""
The service of `infra/examples/fargate-spot.yaml` in the embedded account, as its template has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.embedded.shape import deregistration_delay, stop_timeout
from drainer.simulation.services.ecs.definitions import CapacityProvider, TaskProfile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.ecs.model import Service
    from drainer.simulation.services.elb.target_groups import TargetGroup
    from drainer.simulation.template import DeployedStack

TERMINATES = "deregistration_delay.connection_termination.enabled"
# What nginx takes to finish once it is told to, and what a task takes to start on Fargate.
FINISH_SECONDS = 5.0
START_SECONDS = 30.0


def build_fargate(account: Aws, stack: DeployedStack) -> Service:
    """Make the stack's one service in the simulated account, as if it had been running for long."""
    ((name, service),) = stack.resources("AWS::ECS::Service")
    ((cluster, _),) = stack.resources("AWS::ECS::Cluster")
    groups = {
        stack.physical_ids[group]: properties
        for group, properties in stack.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
    }
    ((_, definition),) = stack.resources("AWS::ECS::TaskDefinition")
    balanced = [one["TargetGroupArn"] for one in service["LoadBalancers"]]
    # The container's command goes on serving for this long after SIGTERM.
    serves = float(stack.parameters["DeregistrationDelaySeconds"])
    return account.ecs.create_service(
        stack.physical_ids[cluster],
        stack.physical_ids[name].rsplit("/", 1)[-1],
        desired=int(service["DesiredCount"]),
        target_groups=[_target_group(account, arn, groups[arn]) for arn in balanced],
        container_port=int(service["LoadBalancers"][0]["ContainerPort"]),
        capacity_providers=[
            CapacityProvider(
                one["CapacityProvider"], int(one.get("Base", 0)), int(one.get("Weight", 0))
            )
            for one in service["CapacityProviderStrategy"]
        ],
        profile=TaskProfile(
            start_seconds=START_SECONDS,
            network_mode=definition["NetworkMode"],
            stop_seconds=serves + FINISH_SECONDS,
            stop_timeout_seconds=float(stop_timeout(definition)),
            accepts_after_signal_seconds=serves,
        ),
    )


def _target_group(account: Aws, arn: str, properties: Mapping[str, Any]) -> TargetGroup:
    attributes = {one["Key"]: one["Value"] for one in properties["TargetGroupAttributes"]}
    group = account.load_balancing.create_target_group(
        arn.split("/")[1],
        arn=arn,
        target_type=properties["TargetType"],
        port=int(properties["Port"]),
        deregistration_delay_seconds=deregistration_delay(properties),
        balancer="application" if properties["Protocol"] == "HTTP" else "network",
    )
    group.connection_termination = attributes.get(TERMINATES) == "true"
    return group
