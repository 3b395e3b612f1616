"""
The account as it was a while ago: what an eventually consistent read may still answer.

"The Amazon ECS API follows an eventual consistency model": what a command did "might not be
immediately visible to all subsequent commands you run".
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.aws import Aws

EC2_INSTANCE_ID = re.compile(r"i-[0-9a-z]+")
# Each read is one page here: the account of a seed is far smaller than one.
PAGE_MAX = 100


class Past:
    """
    Answers reads as of the instant it was made.

    Attributes:
        at: that instant.
    """

    def __init__(self, account: Aws) -> None:
        self.at = account.now
        self._instances = {
            row["InstanceId"]: row
            for row in account.apis["autoscaling"].describe_auto_scaling_instances({})[  # type: ignore[attr-defined]
                "AutoScalingInstances"
            ]
        }
        # What is so: an answer from here is old enough without the lag of an answer.
        with account.ecs.lags.present():
            self._clusters = {
                name: _ClusterPast(account.apis["ecs"], name) for name in account.ecs.clusters
            }
        self._answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "DescribeAutoScalingInstances": self._describe_auto_scaling_instances,
            "ListContainerInstances": self._list_container_instances,
            "DescribeContainerInstances": self._describe_container_instances,
            "ListTasks": self._list_tasks,
            "DescribeTasks": self._describe_tasks,
        }

    def knows(self, operation: str) -> bool:
        """Whether a read of this kind can be answered from here."""
        return operation in self._answers

    def answer(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Answer a read.

        Raises:
            ApiError: as the service would have then.
        """
        return self._answers[operation](parameters)

    def _describe_auto_scaling_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        ids = parameters.get("InstanceIds") or [*self._instances]
        return {"AutoScalingInstances": [self._instances[i] for i in ids if i in self._instances]}

    def _list_container_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        wanted = EC2_INSTANCE_ID.findall(parameters.get("filter", ""))
        rows = self._cluster(parameters).instances.values()
        status = parameters.get("status")
        arns = [
            row["containerInstanceArn"]
            for row in rows
            if (not wanted or row["ec2InstanceId"] in wanted) and status in (None, row["status"])
        ]
        return {"containerInstanceArns": arns}

    def _describe_container_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        found, failures = _look_up(
            self._cluster(parameters).instances, parameters["containerInstances"]
        )
        return {"containerInstances": found, "failures": failures}

    def _list_tasks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        cluster = self._cluster(parameters)
        reference = parameters.get("containerInstance")
        if reference is not None and reference.rpartition("/")[2] not in cluster.instances:
            raise ApiError(
                "InvalidParameterException", "Referenced container instance was not found."
            )
        arns = [
            row["taskArn"]
            for row in cluster.tasks.values()
            if reference in (None, row["containerInstanceArn"])
            and row["desiredStatus"] == parameters.get("desiredStatus", "RUNNING")
        ]
        return {"taskArns": arns[:PAGE_MAX]}

    def _describe_tasks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        found, failures = _look_up(self._cluster(parameters).tasks, parameters["tasks"])
        return {"tasks": found, "failures": failures}

    def _cluster(self, parameters: dict[str, Any]) -> _ClusterPast:
        name = (parameters.get("cluster") or "default").rpartition("/")[2]
        if name not in self._clusters:
            raise ApiError("ClusterNotFoundException", "Cluster not found.")
        return self._clusters[name]


class _ClusterPast:
    """A cluster's container instances and tasks, by the last part of their ARNs."""

    def __init__(self, api: Any, name: str) -> None:
        arns = api.list_container_instances({"cluster": name})["containerInstanceArns"]
        rows = (
            api.describe_container_instances({"cluster": name, "containerInstances": arns})[
                "containerInstances"
            ]
            if arns
            else []
        )
        self.instances = {_id(row["containerInstanceArn"]): row for row in rows}
        listed = [
            arn
            for arn_of_instance in arns
            for desired in ("RUNNING", "STOPPED")
            for arn in api.list_tasks(
                {"cluster": name, "containerInstance": arn_of_instance, "desiredStatus": desired}
            )["taskArns"]
        ]
        self.tasks: dict[str, dict[str, Any]] = {}
        for start in range(0, len(listed), PAGE_MAX):
            page = listed[start : start + PAGE_MAX]
            for row in api.describe_tasks({"cluster": name, "tasks": page})["tasks"]:
                self.tasks[_id(row["taskArn"])] = row


def _look_up(
    rows: dict[str, dict[str, Any]], references: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    found = [rows[_id(one)] for one in references if _id(one) in rows]
    failures = [{"arn": one, "reason": "MISSING"} for one in references if _id(one) not in rows]
    return found, failures


def _id(reference: str) -> str:
    return reference.rpartition("/")[2]
