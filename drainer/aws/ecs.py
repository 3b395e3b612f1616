"""The gateway to Amazon ECS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, chunks, pages, understood
from drainer.drain.attributes import DRAINED_BY, DRAINED_FOR, INTERRUPTED
from drainer.drain.model import ContainerInstance, Owner, Task
from drainer.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
DESCRIBE_MAX = 100

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
UPDATE_STATE_MAX = 10

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
ATTRIBUTES_MAX = 10


class EcsGateway:
    """
    Amazon ECS, as far as a drain needs it.

    Every method raises UnavailableError or MisconfiguredError for a call that did not succeed.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    @understood
    def clusters(self) -> list[str]:
        """Return the ARNs of the account's clusters in this Region."""
        return list(pages(self._client.list_clusters, "clusterArns", "nextToken"))

    @understood
    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        """Return the ARNs of the container instances that the EC2 instances are in a cluster."""
        # One filtered look-up replaces paging the cluster.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
        return [
            arn
            for ids in chunks(ec2_instance_ids, DESCRIBE_MAX)
            for arn in pages(
                self._client.list_container_instances,
                "containerInstanceArns",
                "nextToken",
                cluster=cluster,
                filter=f"ec2InstanceId in [{', '.join(ids)}]",
            )
        ]

    @understood
    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        """Return the container instances that still are; those that are not are left out."""
        found = []
        for chunk in chunks(arns, DESCRIBE_MAX):
            answer = ask(
                self._client.describe_container_instances,
                cluster=cluster,
                containerInstances=list(chunk),
            )
            only_missing(answer)
            found += [_container_instance(row) for row in answer["containerInstances"]]
        return found

    @understood
    def draining(self, cluster: str) -> list[str]:
        """Return the ARNs of the cluster's container instances that are DRAINING."""
        return list(
            pages(
                self._client.list_container_instances,
                "containerInstanceArns",
                "nextToken",
                cluster=cluster,
                status="DRAINING",
            )
        )

    @understood
    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set at most UPDATE_STATE_MAX container instances ACTIVE; return refusals by ARN."""
        return set_status(self._client, cluster, arns, "ACTIVE")

    def deregister(self, cluster: str, arn: str) -> None:
        """Take a container instance without tasks out of its cluster; with tasks ECS refuses."""
        ask(
            self._client.deregister_container_instance,
            cluster=cluster,
            containerInstance=arn,
            force=False,
        )

    @understood
    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set at most UPDATE_STATE_MAX container instances DRAINING; return refusals by ARN."""
        return set_status(self._client, cluster, arns, "DRAINING")

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        """Put at most ATTRIBUTES_MAX attributes: a container instance's ARN, name and value."""
        ask(
            self._client.put_attributes,
            cluster=cluster,
            attributes=[
                {
                    "name": name,
                    "value": value,
                    "targetType": "container-instance",
                    "targetId": arn.rpartition("/")[2],
                }
                for arn, name, value in values
            ],
        )

    @understood
    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        """
        Return the ids of its tasks of one desired status, RUNNING or STOPPED.

        Args:
            cluster: Where the container instance is.
            container_instance_arn: Its ARN.
            desired_status: Which tasks.
            go_on: Asked before each page but the first; a listing that it ends is a failed one.

        "The default status filter is RUNNING", which hides every task that is stopping; and
        PENDING finds nothing, since ECS never desires it.
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
        """
        return [
            arn.rpartition("/")[2]
            for arn in pages(
                self._client.list_tasks,
                "taskArns",
                "nextToken",
                cluster=cluster,
                go_on=go_on,
                containerInstance=container_instance_arn,
                desiredStatus=desired_status,
            )
        ]

    @understood
    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks that ECS still knows, by id."""
        found = {}
        for chunk in chunks(task_ids, DESCRIBE_MAX):
            answer = ask(self._client.describe_tasks, cluster=cluster, tasks=list(chunk))
            only_missing(answer)
            tasks = [_task(row, cluster) for row in answer["tasks"]]
            found.update({task.id: task for task in tasks})
        return found

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        """Stop a task; its owner finds the reason in the task's description."""
        ask(self._client.stop_task, cluster=cluster, task=task_id, reason=reason)


def set_status(client: Any, cluster: str, arns: Sequence[str], status: str) -> dict[str, str]:
    """Set at most UPDATE_STATE_MAX container instances DRAINING or ACTIVE; return refusals."""
    answer = ask(
        client.update_container_instances_state,
        cluster=cluster,
        containerInstances=list(arns),
        status=status,
    )
    return {
        failure.get("arn", ""): failure.get("reason", "") for failure in answer.get("failures", ())
    }


def only_missing(answer: dict[str, Any]) -> None:
    """
    Take failures other than MISSING for a failed look.

    Raises:
        UnavailableError: Names the first of them.
    """
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
    others = [f for f in answer.get("failures", ()) if f.get("reason") != "MISSING"]
    if others:
        raise UnavailableError(f"{others[0].get('arn')}: {others[0].get('reason')}")


def _container_instance(row: dict[str, Any]) -> ContainerInstance:
    attributes = {item["name"]: item.get("value", "") for item in row.get("attributes", ())}
    return ContainerInstance(
        arn=row["containerInstanceArn"],
        ec2_instance_id=row.get("ec2InstanceId", ""),
        status=row["status"],
        agent_connected=row.get("agentConnected", False),
        running_tasks=row["runningTasksCount"],
        pending_tasks=row["pendingTasksCount"],
        drained_for=attributes.get(DRAINED_FOR, ""),
        interrupted=attributes.get(INTERRUPTED, ""),
        drained_by=attributes.get(DRAINED_BY, ""),
        memory_is_free=_memory_is_free(row),
        registered_at=row.get("registeredAt"),
    )


def _memory_is_free(row: dict[str, Any]) -> bool:
    # Each task takes memory: "If using the EC2 launch type, you must specify either a task-level
    # memory value or a container-level memory value".
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
    registered, remaining = (
        [one.get("integerValue") for one in row.get(name, ()) if one.get("name") == "MEMORY"]
        for name in ("registeredResources", "remainingResources")
    )
    return bool(registered) and remaining == registered


def _task(row: dict[str, Any], cluster: str) -> Task:
    group, started_by = row.get("group", ""), row.get("startedBy", "")
    of_service = group.startswith("service:") or started_by.startswith("ecs-svc/")
    return Task(
        id=row["taskArn"].rpartition("/")[2],
        owner=Owner.SERVICE if of_service else Owner.STANDALONE,
        group=group,
        desired_status=row["desiredStatus"],
        last_status=row["lastStatus"],
        cluster=cluster,
        container_instance_arn=row.get("containerInstanceArn", ""),
    )
