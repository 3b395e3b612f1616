"""
The shape of a cluster as its template gives it, so that what is simulated is what is shipped.

It reads the resources of deployed stacks. What a template does not say (how fast a container
starts, how long until it counts as healthy) is `Physics`, and is stated by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.ecs.model import Service
    from drainer.simulation.template import DeployedStack

# "default value is 300 seconds"
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
DEREGISTRATION_DELAY_SECONDS = 300
# "If the stopTimeout parameter isn't specified ... the default value of 30 seconds is used"
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
STOP_TIMEOUT_SECONDS = 30
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
HEARTBEAT_TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Physics:
    """
    What happens in containers, which no template says.

    Attributes:
        start_seconds: from a task's placement to RUNNING.
        healthy_after_seconds: from RUNNING until the service counts the task as healthy.
        stop_seconds: how long a container of a service takes to stop, if its stop timeout allows.
        daemon_stop_seconds: the same for a daemon, which may have logs to send. Longer than a pass
            interval, so that letting an instance go while its last task is leaving cannot pass
            unseen.

    """

    start_seconds: float = 10.0
    healthy_after_seconds: float = 50.0
    stop_seconds: float = 30.0
    daemon_stop_seconds: float = 20.0


@dataclass(frozen=True)
class ServiceShape:
    """A service of the template."""

    name: str
    daemon: bool
    desired_count: int
    minimum_healthy_percent: int
    maximum_percent: int
    deregistration_delay_seconds: int | None
    stop_timeout_seconds: int


@dataclass(frozen=True)
class GroupShape:
    """An Auto Scaling group of the template, with its lifecycle hooks as PutLifecycleHook takes."""

    name: str
    minimum: int
    maximum: int
    desired: int
    retain_on_abandon: bool
    hooks: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class ClusterShape:
    """An ECS cluster of the template and what runs on it."""

    name: str
    group: GroupShape
    services: tuple[ServiceShape, ...]


def shape_of(stack: DeployedStack) -> ClusterShape:
    """Return the shape of a stack's one cluster, its Auto Scaling group and its services."""
    ((cluster_id, cluster),) = stack.resources("AWS::ECS::Cluster")
    (group,) = groups_of(stack)
    return ClusterShape(
        name=cluster.get("ClusterName") or stack.physical_ids[cluster_id],
        group=group,
        services=tuple(services_of(stack)),
    )


def groups_of(stack: DeployedStack) -> Iterator[GroupShape]:
    """Yield the shape of each Auto Scaling group that a stack holds."""
    for name, group in stack.resources("AWS::AutoScaling::AutoScalingGroup"):
        group_name = stack.physical_ids[name]
        yield GroupShape(
            name=group_name,
            minimum=int(group["MinSize"]),
            maximum=int(group["MaxSize"]),
            desired=int(group.get("DesiredCapacity") or group["MinSize"]),
            retain_on_abandon=_retains(group),
            hooks=tuple(_hooks(stack, group_name, group)),
        )


def build(account: Aws, shape: ClusterShape, physics: Physics) -> None:
    """Make what the shape says in the simulated account, as if it had been running for long."""
    build_group(account, shape.name, shape.group)
    for service in shape.services:
        build_service(account, shape.name, service, physics)


def build_group(account: Aws, cluster_name: str, shape: GroupShape) -> None:
    """Make a group in the simulated account, its instances in service and in the cluster."""
    account.auto_scaling.create_group(
        shape.name,
        desired=shape.desired,
        cluster=cluster_name,
        minimum=shape.minimum,
        maximum=shape.maximum,
        retain_on_abandon=shape.retain_on_abandon,
    )
    for hook in shape.hooks:
        account.call("autoscaling", "PutLifecycleHook", hook)


def build_service(
    account: Aws, cluster_name: str, shape: ServiceShape, physics: Physics
) -> Service:
    """Make a service in the simulated account, as if it had been running for long."""
    profile = TaskProfile(
        start_seconds=physics.start_seconds,
        healthy_after_seconds=physics.healthy_after_seconds,
        stop_seconds=(physics.daemon_stop_seconds if shape.daemon else physics.stop_seconds),
        stop_timeout_seconds=shape.stop_timeout_seconds,
    )
    if shape.daemon:
        return account.ecs.create_daemon(cluster_name, shape.name, profile=profile)
    return account.ecs.create_service(
        cluster_name,
        shape.name,
        desired=shape.desired_count,
        minimum_healthy_percent=shape.minimum_healthy_percent,
        maximum_percent=shape.maximum_percent,
        deregistration_delay_seconds=shape.deregistration_delay_seconds,
        profile=profile,
    )


def _hooks(
    stack: DeployedStack, group_name: str, group: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the hooks of a group: those inside it, and those that are resources of their own."""
    for inside in group.get("LifecycleHookSpecificationList", ()):
        yield _hook(inside, group_name)
    for name, properties in stack.resources("AWS::AutoScaling::LifecycleHook"):
        if properties["AutoScalingGroupName"] == group_name:
            named = {"LifecycleHookName": stack.physical_ids[name], **properties}
            yield _hook(named, group_name)


def _hook(properties: Mapping[str, Any], group_name: str) -> dict[str, Any]:
    timeout = int(properties.get("HeartbeatTimeout", HEARTBEAT_TIMEOUT_SECONDS))
    return {**properties, "AutoScalingGroupName": group_name, "HeartbeatTimeout": timeout}


def _retains(group: dict[str, Any]) -> bool:
    policy = group.get("InstanceLifecyclePolicy", {})
    return bool(policy.get("RetentionTriggers", {}).get("TerminateHookAbandon") == "retain")


def services_of(stack: DeployedStack) -> Iterator[ServiceShape]:
    """Yield the shape of each service that a stack holds."""
    target_groups = {
        stack.physical_ids[name]: properties
        for name, properties in stack.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
    }
    task_definitions = {
        stack.physical_ids[name]: properties
        for name, properties in stack.resources("AWS::ECS::TaskDefinition")
    }
    for name, service in stack.resources("AWS::ECS::Service"):
        rollout = service.get("DeploymentConfiguration", {})
        daemon = service.get("SchedulingStrategy", "REPLICA") == "DAEMON"
        balanced = service.get("LoadBalancers", [])
        yield ServiceShape(
            name=service.get("ServiceName") or stack.physical_ids[name].rsplit("/", 1)[-1],
            daemon=daemon,
            desired_count=0 if daemon else int(service.get("DesiredCount", 1)),
            minimum_healthy_percent=int(rollout.get("MinimumHealthyPercent", 0 if daemon else 100)),
            maximum_percent=int(rollout.get("MaximumPercent", 100 if daemon else 200)),
            deregistration_delay_seconds=(
                deregistration_delay(target_groups[balanced[0]["TargetGroupArn"]])
                if balanced
                else None
            ),
            stop_timeout_seconds=stop_timeout(task_definitions[service["TaskDefinition"]]),
        )


def deregistration_delay(target_group: Mapping[str, Any]) -> int:
    """Return a target group's deregistration delay in seconds."""
    for attribute in target_group.get("TargetGroupAttributes", []):
        if attribute["Key"] == "deregistration_delay.timeout_seconds":
            return int(attribute["Value"])
    return DEREGISTRATION_DELAY_SECONDS


def stop_timeout(task_definition: Mapping[str, Any]) -> int:
    """Return the longest stop timeout of a task definition's containers in seconds."""
    return max(
        int(container.get("StopTimeout", STOP_TIMEOUT_SECONDS))
        for container in task_definition["ContainerDefinitions"]
    )
