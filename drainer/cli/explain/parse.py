"""
AWS's answers as facts: pure, and strict about nothing that AWS may leave out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.explain.facts import (
    Container,
    ContainerInstance,
    Deployment,
    Resources,
    Service,
    ServiceDeployment,
    ServiceEvent,
    StageHook,
    Target,
    Task,
    TaskDefinition,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STOP_SECONDS_DEFAULT = 30
# The longest chain of containers that depend on each other; ECS refuses circles.
CONTAINERS_MAX = 10


def container_instance(found: Mapping[str, Any], cluster: str) -> ContainerInstance:
    """Return a container instance in an answer of DescribeContainerInstances."""
    details = found.get("healthStatus", {}).get("details", ())
    heard = [one["lastUpdated"] for one in details if "lastUpdated" in one]
    return ContainerInstance(
        arn=found["containerInstanceArn"],
        ec2_instance_id=found.get("ec2InstanceId", ""),
        cluster=cluster,
        status=found.get("status", ""),
        agent_connected=bool(found.get("agentConnected")),
        agent_version=found.get("versionInfo", {}).get("agentVersion", ""),
        heard_at=max(heard, default=None),
        capacity_provider=found.get("capacityProviderName", ""),
        counted_tasks=found.get("runningTasksCount", 0) + found.get("pendingTasksCount", 0),
        remaining=_resources(found.get("remainingResources", ())),
        attributes={one["name"]: one.get("value", "") for one in found.get("attributes", ())},
    )


def _resources(found: Sequence[Mapping[str, Any]]) -> Resources:
    numbers = {one["name"]: one.get("integerValue", 0) for one in found}
    texts = {one["name"]: one.get("stringSetValue", ()) for one in found}
    ports = {*texts.get("PORTS", ()), *texts.get("PORTS_UDP", ())}
    return Resources(
        cpu=numbers.get("CPU", 0),
        memory=numbers.get("MEMORY", 0),
        gpus=len(texts.get("GPU", ())),
        ports=frozenset(int(port) for port in ports if port.isdigit()),
    )


def task(found: Mapping[str, Any]) -> Task:
    """Return a task in an answer of DescribeTasks."""
    return Task(
        arn=found["taskArn"],
        group=found.get("group", ""),
        desired=found.get("desiredStatus", ""),
        last=found.get("lastStatus", ""),
        definition=found.get("taskDefinitionArn", ""),
        started_by=found.get("startedBy", ""),
        instance_arn=found.get("containerInstanceArn", ""),
        capacity_provider=found.get("capacityProviderName", ""),
        created_at=found.get("createdAt"),
        started_at=found.get("startedAt"),
        stopping_at=found.get("stoppingAt"),
        stopped_at=found.get("stoppedAt"),
        pull_started_at=found.get("pullStartedAt"),
        pull_stopped_at=found.get("pullStoppedAt"),
        health=found.get("healthStatus", ""),
        stop_code=found.get("stopCode", ""),
        stopped_reason=found.get("stoppedReason", ""),
        containers=tuple(
            Container(
                name=one.get("name", ""),
                image=one.get("image", ""),
                reason=one.get("reason", ""),
                exit_code=one.get("exitCode"),
            )
            for one in found.get("containers", ())
        ),
    )


def service(found: Mapping[str, Any]) -> Service:
    """Return a service in an answer of DescribeServices."""
    limits = found.get("deploymentConfiguration", {})
    scheduling = found.get("schedulingStrategy", "REPLICA")
    # A daemon's defaults are 0 and 100.
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    lowest, highest = (0, 100) if scheduling == "DAEMON" else (100, 200)
    events = (
        ServiceEvent(one["createdAt"], one.get("message", "")) for one in found.get("events", ())
    )
    # A service that CodeDeploy or another controller steers has task sets for deployments.
    sets = found.get("taskSets", ())
    balancers = [*found.get("loadBalancers", ())]
    balancers += [balancer for one in sets for balancer in one.get("loadBalancers", ())]
    return Service(
        name=found["serviceName"],
        arn=found.get("serviceArn", ""),
        status=found.get("status", ""),
        desired=found.get("desiredCount", 0),
        running=found.get("runningCount", 0),
        pending=found.get("pendingCount", 0),
        minimum_percent=limits.get("minimumHealthyPercent", lowest),
        maximum_percent=limits.get("maximumPercent", highest),
        scheduling=scheduling,
        controller=found.get("deploymentController", {}).get("type", "ECS"),
        strategy=limits.get("strategy", "ROLLING"),
        bake_minutes=limits.get("bakeTimeInMinutes", 0),
        grace_seconds=found.get("healthCheckGracePeriodSeconds", 0),
        definition=found.get("taskDefinition", ""),
        constraints=tuple(
            (one.get("type", ""), one.get("expression", ""))
            for one in found.get("placementConstraints", ())
        ),
        target_groups=tuple(dict.fromkeys(_target_groups(balancers))),
        deployments=tuple(_deployment(one) for one in found.get("deployments", ()))
        or _of_task_sets(sets),
        events=tuple(sorted(events, key=lambda one: one.at, reverse=True)),
        service_deployment=found.get("currentServiceDeployment", ""),
    )


def _target_groups(load_balancers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return both target groups of each load balancer: a blue/green service has two."""
    found = []
    for one in load_balancers:
        advanced = one.get("advancedConfiguration", {})
        found += [one.get("targetGroupArn"), advanced.get("alternateTargetGroupArn")]
    return [arn for arn in found if arn]


def _deployment(found: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=found.get("id", ""),
        status=found.get("status", ""),
        rollout=found.get("rolloutState", ""),
        reason=found.get("rolloutStateReason", ""),
        failed_tasks=found.get("failedTasks", 0),
    )


def _of_task_sets(sets: Sequence[Mapping[str, Any]]) -> tuple[Deployment, ...]:
    """Return task sets as deployments: with two of them the newer one is rolled out."""
    rollout = "IN_PROGRESS" if len(sets) > 1 else "COMPLETED"
    return tuple(
        Deployment(id=one.get("id", ""), status=one.get("status", ""), rollout=rollout)
        for one in sets
    )


def service_deployment(found: Mapping[str, Any]) -> ServiceDeployment:
    """Return a deployment in an answer of DescribeServiceDeployments."""
    return ServiceDeployment(
        status=found.get("status", ""),
        stage=found.get("lifecycleStage", ""),
        hooks=tuple(
            StageHook(
                one.get("hookId", ""),
                one.get("status", ""),
                one.get("expiresAt"),
                one.get("timeoutAction", ""),
            )
            for one in found.get("lifecycleHookDetails", ())
        ),
    )


def task_definition(found: Mapping[str, Any]) -> TaskDefinition:
    """Return a task definition in an answer of DescribeTaskDefinition."""
    containers = found.get("containerDefinitions", ())
    mode = found.get("networkMode", "bridge")
    return TaskDefinition(
        arn=found["taskDefinitionArn"],
        needs=Resources(
            cpu=int(found.get("cpu") or sum(one.get("cpu", 0) for one in containers)),
            memory=int(found.get("memory") or sum(_memory(one) for one in containers)),
            gpus=sum(
                int(need["value"])
                for one in containers
                for need in one.get("resourceRequirements", ())
                if need.get("type") == "GPU"
            ),
            ports=frozenset(
                port
                for one in containers
                for port in _host_ports(one.get("portMappings", ()), mode)
            ),
        ),
        network_mode=mode,
        stop_seconds=_stop_seconds(containers),
        attributes=tuple(one["name"] for one in found.get("requiresAttributes", ())),
        constraints=tuple(
            one["expression"]
            for one in found.get("placementConstraints", ())
            if "expression" in one
        ),
        images=tuple(one["image"] for one in containers if "image" in one),
    )


def _memory(container: Mapping[str, Any]) -> int:
    """Return what a container reserves: the soft limit, where there is one."""
    return int(container.get("memoryReservation") or container.get("memory", 0))


def _host_ports(mappings: Sequence[Mapping[str, Any]], mode: str) -> list[int]:
    """Return the ports of the instance that a container needs; awsvpc needs none."""
    if mode == "awsvpc":
        return []
    name = "containerPort" if mode == "host" else "hostPort"
    return [one[name] for one in mappings if one.get(name)]


def _stop_seconds(containers: Sequence[Mapping[str, Any]]) -> int:
    """
    Return how long a task may take to stop.

    Containers stop in the reverse order of dependsOn, so the timeouts along a chain add up.
    """
    own = {one.get("name", ""): one.get("stopTimeout", STOP_SECONDS_DEFAULT) for one in containers}
    needs = {
        one.get("name", ""): [other["containerName"] for other in one.get("dependsOn", ())]
        for one in containers
    }

    def longest(name: str, depth: int = 0) -> int:
        after = (
            []
            if depth > CONTAINERS_MAX
            else [longest(one, depth + 1) for one in needs.get(name, ())]
        )
        return int(own.get(name, 0)) + max(after, default=0)

    return max((longest(name) for name in own), default=STOP_SECONDS_DEFAULT)


def target(found: Mapping[str, Any]) -> Target:
    """Return a target in an answer of DescribeTargetHealth."""
    health = found.get("TargetHealth", {})
    return Target(
        found["Target"]["Id"],
        found["Target"].get("Port", 0),
        health.get("State", ""),
        health.get("Reason", ""),
        health.get("Description", ""),
    )
