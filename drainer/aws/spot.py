"""
The gateway to what Spot interruptions need of ECS and Elastic Load Balancing; it decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, chunks, understood
from drainer.aws.ecs import DESCRIBE_MAX, only_missing
from drainer.spot.events import LoadBalancer, Placed, Target, addresses_of
from drainer.spot.report import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What infra/spot.yaml grants beyond infra/drainer.yaml.
SPOT_CALLS = {
    "ecs": ("DescribeServices", "DescribeTaskDefinition"),
    "elbv2": ("DeregisterTargets", "DescribeTargetGroupAttributes", "DescribeTargetHealth"),
}

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
SERVICES_MAX = 10
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
STOP_SECONDS_DEFAULT = 30
DELAY_ATTRIBUTE = "deregistration_delay.timeout_seconds"
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
DELAY_SECONDS_DEFAULT = 300
# Its containers have ended, and its network interface is deleted or about to be.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
ENDED = frozenset({"DEPROVISIONING", "STOPPED", "DELETED"})
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
HEALTHY = "healthy"


class SpotGateway:
    """
    ECS and Elastic Load Balancing, as far as an interruption needs them.

    Every method raises UnavailableError or MisconfiguredError for a call that did not succeed.
    """

    def __init__(self, ecs: Any, elbv2: Any) -> None:
        self._ecs = ecs
        self._elbv2 = elbv2

    @understood
    def services(self, cluster: str, names: Sequence[str]) -> dict[str, Service]:
        """Return the services that there are, by name."""
        found = {}
        for chunk in chunks(names, SERVICES_MAX):
            answer = ask(self._ecs.describe_services, cluster=cluster, services=list(chunk))
            only_missing(answer)
            found.update({row["serviceName"]: _service(row) for row in answer["services"]})
        return found

    @understood
    def placed(self, cluster: str, task_ids: Sequence[str]) -> list[Placed]:
        """Return where those of the tasks that are of services can be reached."""
        found = []
        for chunk in chunks(task_ids, DESCRIBE_MAX):
            answer = ask(self._ecs.describe_tasks, cluster=cluster, tasks=list(chunk))
            only_missing(answer)
            rows = (row for row in answer["tasks"] if row.get("group", "").startswith("service:"))
            found += [_placed(row) for row in rows]
        return found

    @understood
    def deregister(self, target_group_arn: str, targets: Sequence[Target]) -> None:
        """
        Take up to TARGETS_MAX targets out of a target group, in one call.

        One that is not registered counts too.

        Raises:
            RefusedError: The group cannot have one of them, and all of them are in it as before.
        """
        # "If the target was registered with a port override, you must specify the port", and ECS
        # registers every target with its port.
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html
        ask(
            self._elbv2.deregister_targets,
            TargetGroupArn=target_group_arn,
            Targets=[{"Id": target.id, "Port": target.port} for target in targets],
        )

    @understood
    def healthy(self, target_group_arn: str) -> set[Target]:
        """Return the healthy targets of a target group; the call has no pages."""
        answer = ask(self._elbv2.describe_target_health, TargetGroupArn=target_group_arn)
        return {
            Target(row["Target"]["Id"], row["Target"].get("Port", 0))
            for row in answer["TargetHealthDescriptions"]
            if row["TargetHealth"]["State"] == HEALTHY
        }

    @understood
    def deregistration_seconds(self, target_group_arn: str) -> int:
        """Return how long a target group lets its targets drain."""
        answer = ask(self._elbv2.describe_target_group_attributes, TargetGroupArn=target_group_arn)
        values = {row["Key"]: row["Value"] for row in answer["Attributes"]}
        return int(values.get(DELAY_ATTRIBUTE, DELAY_SECONDS_DEFAULT))

    @understood
    def stop_seconds(self, task_definition: str) -> int:
        """Return the longest time that a container may take to exit."""
        if not task_definition:
            return STOP_SECONDS_DEFAULT
        answer = ask(self._ecs.describe_task_definition, taskDefinition=task_definition)
        containers = answer["taskDefinition"]["containerDefinitions"]
        timeouts = [row.get("stopTimeout") or STOP_SECONDS_DEFAULT for row in containers]
        return max(timeouts, default=STOP_SECONDS_DEFAULT)


def _service(row: dict[str, Any]) -> Service:
    # With an external deployment controller, each task set has its own target groups.
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
    rows = [row, *row.get("taskSets", ())]
    balancers = {
        LoadBalancer(arn, item["containerName"], item["containerPort"]): None
        for one in rows
        for item in one.get("loadBalancers", ())
        for arn in _target_groups(item)
    }
    running = row.get("runningCount", 0)
    return Service(row["serviceName"], row.get("taskDefinition", ""), tuple(balancers), running)


def _target_groups(item: dict[str, Any]) -> Iterator[str]:
    """
    Yield both target groups of ECS's own blue/green deployments, where there are two.

    Which of them has the tasks now is not said: they change places with deployments.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AdvancedConfiguration.html
    """
    alternate = (item.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
    yield from (arn for arn in (item.get("targetGroupArn"), alternate) if arn)


def _placed(row: dict[str, Any]) -> Placed:
    ports: dict[tuple[str, int], set[int]] = defaultdict(set)
    for container in row.get("containers", ()):
        for binding in container.get("networkBindings", ()):
            if "containerPort" in binding and "hostPort" in binding:
                ports[container["name"], binding["containerPort"]].add(binding["hostPort"])
    return Placed(
        task_id=row["taskArn"].rpartition("/")[2],
        service=row["group"].removeprefix("service:"),
        addresses=tuple(addresses_of(row)),
        host_ports={key: tuple(sorted(found)) for key, found in ports.items()},
        ended=row.get("lastStatus") in ENDED,
    )
