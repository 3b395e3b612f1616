"""
Reads of one cluster: tasks, services, and what their replacements need and have.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.explain import parse
from drainer.cli.explain.facts import DAEMON, TargetGroup
from drainer.cli.explain.reads import PAGES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.cli.explain.facts import (
        ContainerInstance,
        Service,
        ServiceDeployment,
        Task,
        TaskDefinition,
    )
    from drainer.cli.explain.reads import Reads

ECS = "ecs"
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
HUNDRED = 100
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
TEN = 10
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceDeployments.html
TWENTY = 20
# Of how many services of an instance the replacements are read: two to four reads each.
SERVICES_MAX = 25
TARGET_GROUPS_MAX = 10
# ECS shows stopped tasks for an hour or longer; a failure of an older one is not this drain's.
STOPPED_SINCE = timedelta(hours=2)
DELAY = "deregistration_delay.timeout_seconds"
# The desired statuses that ListTasks filters by; a task that stops is only in the second.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
DESIRED = ("RUNNING", "STOPPED")


class ClusterReader:
    """
    Reads what an explanation needs of one cluster.

    Args:
        reads: Makes and counts the calls.
        cluster: The cluster's name or ARN.
    """

    def __init__(self, reads: Reads, cluster: str) -> None:
        self._reads = reads
        self._cluster = cluster

    def tasks_of(self, container_instance_arn: str) -> tuple[Task, ...] | None:
        """Return the tasks of an instance, also those that are stopping: 3 reads or more."""
        arns = self.task_arns(container_instance_arn)
        return None if arns is None else self.described(arns)

    def task_arns(self, container_instance_arn: str) -> list[str] | None:
        """Return the ARNs of the same tasks: 2 reads or more."""
        return self._listed(containerInstance=container_instance_arn)

    def tasks_of_service(self, service: str, now: datetime) -> tuple[Task, ...] | None:
        """Return a service's tasks; of those that stopped, the ones of the last two hours."""
        arns = self._listed(most=1, serviceName=service)
        found = None if arns is None else self.described(arns)
        if found is None:
            return None
        old = now - STOPPED_SINCE
        return tuple(one for one in found if one.stopped_at is None or one.stopped_at > old)

    def _listed(self, most: int = PAGES_MAX, **of: Any) -> list[str] | None:
        arns: list[str] = []
        for desired in DESIRED:
            found = self._reads.pages(
                ECS,
                "list_tasks",
                "taskArns",
                most=most,
                cluster=self._cluster,
                desiredStatus=desired,
                whole=True,
                **of,
            )
            # Half of the tasks would look like a drain that has finished.
            if found is None:
                return None
            arns += found
        return arns

    def described(self, arns: Iterable[str]) -> tuple[Task, ...] | None:
        """Return the tasks of these ARNs: 1 read for each 100."""
        answers = self._reads.batches(
            ECS,
            "describe_tasks",
            "tasks",
            by="tasks",
            values=list(dict.fromkeys(arns)),
            size=HUNDRED,
            # The tasks of a batch that was not read would look as if they had ended.
            whole=True,
            cluster=self._cluster,
        )
        return None if answers is None else tuple(parse.task(one) for one in answers)

    def services(self, names: Sequence[str]) -> dict[str, Service]:
        """Return the services of these names: 1 read for each 10."""
        answers = self._reads.batches(
            ECS,
            "describe_services",
            "services",
            by="services",
            values=names,
            size=TEN,
            cluster=self._cluster,
        )
        return {one["serviceName"]: parse.service(one) for one in answers or ()}

    def definitions(self, arns: Iterable[str]) -> dict[str, TaskDefinition]:
        """Return task definitions: 1 read each."""
        found = {}
        for arn in dict.fromkeys(one for one in arns if one):
            answer = self._reads.ask(ECS, "describe_task_definition", taskDefinition=arn)
            if answer:
                one = parse.task_definition(answer["taskDefinition"])
                found[arn] = found[one.arn] = one
        return found

    def protected(self, tasks: Sequence[Task]) -> dict[str, datetime | None] | None:
        """Return until when which of these tasks is protected: 1 read for each 100."""
        answers = self._reads.batches(
            ECS,
            "get_task_protection",
            "protectedTasks",
            by="tasks",
            values=[one.id for one in tasks],
            size=HUNDRED,
            cluster=self._cluster,
        )
        if answers is None:
            return None
        return {
            one["taskArn"].rpartition("/")[2]: one.get("expirationDate")
            for one in answers
            if one.get("protectionEnabled")
        }

    def service_deployments(self, services: Sequence[Service]) -> dict[str, ServiceDeployment]:
        """Return the deployments in progress that are not rolling: 1 read for each 20."""
        names = {
            one.service_deployment: one.name
            for one in services
            if one.service_deployment and one.strategy != "ROLLING"
        }
        answers = self._reads.batches(
            ECS,
            "describe_service_deployments",
            "serviceDeployments",
            by="serviceDeploymentArns",
            values=list(names),
            size=TWENTY,
        )
        return {
            names[one["serviceDeploymentArn"]]: parse.service_deployment(one)
            for one in answers or ()
            if one["serviceDeploymentArn"] in names
        }

    def active_instances(self) -> tuple[ContainerInstance, ...] | None:
        """Return the cluster's ACTIVE container instances: 2 reads for each 100."""
        return self.instances("ACTIVE")

    def instances(self, status: str) -> tuple[ContainerInstance, ...] | None:
        """Return the container instances of a status: 2 reads for each 100."""
        arns = self._reads.pages(
            ECS,
            "list_container_instances",
            "containerInstanceArns",
            cluster=self._cluster,
            status=status,
        )
        return None if arns is None else self.described_instances(arns)

    def described_instances(self, arns: Sequence[str]) -> tuple[ContainerInstance, ...] | None:
        """Return the container instances of these ARNs: 1 read for each 100."""
        answers = self._reads.batches(
            ECS,
            "describe_container_instances",
            "containerInstances",
            by="containerInstances",
            values=arns,
            size=HUNDRED,
            cluster=self._cluster,
            include=["CONTAINER_INSTANCE_HEALTH"],
        )
        if answers is None:
            return None
        name = self._cluster.rpartition("/")[2]
        return tuple(parse.container_instance(one, name) for one in answers)

    def target_groups(self, services: Iterable[Service]) -> dict[str, TargetGroup]:
        """Return the target groups of services: 2 reads each, at most ten of them."""
        arns = dict.fromkeys(arn for one in services for arn in one.target_groups)
        found = {}
        for arn in [*arns][:TARGET_GROUPS_MAX]:
            found[arn] = self._target_group(arn)
        for arn in [*arns][TARGET_GROUPS_MAX:]:
            self._reads.missed("DescribeTargetHealth", f"more than {TARGET_GROUPS_MAX}: {arn}")
        return found

    def _target_group(self, arn: str) -> TargetGroup:
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html
        absent = ("TargetGroupNotFound", "TargetGroupNotFoundException")
        health = self._reads.ask(
            "elbv2", "describe_target_health", absent=absent, TargetGroupArn=arn
        )
        if health == {}:
            return TargetGroup(arn=arn, targets=(), exists=False)
        answer = self._reads.ask("elbv2", "describe_target_group_attributes", TargetGroupArn=arn)
        delays = [
            one["Value"] for one in (answer or {}).get("Attributes", ()) if one["Key"] == DELAY
        ]
        return TargetGroup(
            arn=arn,
            targets=None
            if health is None
            else tuple(parse.target(one) for one in health["TargetHealthDescriptions"]),
            delay_seconds=int(delays[0]) if delays else None,
        )


def needing(services: Iterable[Service]) -> list[Service]:
    """Return the services whose replacements say why a task stays."""
    return [one for one in services if one.scheduling != DAEMON and one.status == "ACTIVE"]
