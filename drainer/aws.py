"""
The gateways to AWS: paging, batching to each API's maximum, and AWS's errors turned into ours.

The only production module that knows boto3; it decides nothing.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from drainer import mark as marks
from drainer.errors import (
    ClusterMissingError,
    FleetMissingError,
    LifecycleActionOverError,
    MisconfiguredError,
    OvertakenError,
    RefusedError,
    UnavailableError,
)
from drainer.model import (
    ContainerInstance,
    Hook,
    LifecycleAction,
    LifecycleActionResult,
    Owner,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from drainer.errors import DrainerError

Item = TypeVar("Item")
Parameters = ParamSpec("Parameters")

# Every operation that the function calls, and no other: infra/drainer.yaml grants exactly these,
# and a test holds the two together. (PublishBatch is granted by the action sns:Publish.)
CALLS = {
    "autoscaling": (
        "CompleteLifecycleAction",
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingInstances",
        "DescribeLifecycleHooks",
        "DescribeWarmPool",
        "RecordLifecycleActionHeartbeat",
    ),
    "ecs": (
        "DeregisterContainerInstance",
        "DescribeContainerInstances",
        "DescribeTasks",
        "ListClusters",
        "ListContainerInstances",
        "ListTasks",
        "PutAttributes",
        "StopTask",
        "UpdateContainerInstancesState",
    ),
    "sns": ("PublishBatch",),
}

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

# Each API's own maximum for one call.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
AUTO_SCALING_INSTANCES_MAX = 50
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
AUTO_SCALING_GROUPS_MAX = 100
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
DESCRIBE_MAX = 100
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
UPDATE_STATE_MAX = 10
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
ATTRIBUTES_MAX = 10
# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
PUBLISH_MAX = 10
# Two hundred pages hold 20,000 tasks or clusters, and 10,000 instances of Auto Scaling groups; an
# answer that never ends must not hold an invocation.
PAGES_MAX = 200

# One call must not use up the invocation (30 s in infra/drainer.yaml): three attempts of at most
# 5 s, and up to 3 s of back-off between them. What fails is done again by the next pass.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
CLIENT_CONFIG = BotoConfig(
    connect_timeout=1,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 3},
)

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RateExceeded",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
    }
)
REFUSALS = frozenset(
    {"ClientException", "InvalidParameterException", "InvalidTarget", "ValidationError"}
)
# What each of these means is decided by what was asked, so that each is an error of its own.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
NAMED = {
    "ClusterNotFoundException": ClusterMissingError,
    "ConditionalCheckFailedException": OvertakenError,
    "InvalidSpotFleetRequestId.NotFound": FleetMissingError,
}


def client(service: str) -> Any:
    """Return boto3's client for a service, with our bounds on time and attempts."""
    return boto3.client(service, config=CLIENT_CONFIG)


def ask(call: Callable[..., dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    """Make a call, with AWS's errors turned into ours."""
    try:
        return call(**parameters)
    except ClientError as error:
        raise translated(error) from error
    except ParamValidationError as error:
        raise MisconfiguredError(str(error)) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise UnavailableError(f"{type(error).__name__}: {error}") from error


def understood(read: Callable[Parameters, Item]) -> Callable[Parameters, Item]:
    """Take an answer that lacks what AWS documents for a failed look, never for an empty one."""

    @wraps(read)
    def reading(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Item:
        try:
            return read(*args, **kwargs)
        except (AttributeError, KeyError, TypeError) as error:
            message = f"{read.__name__}: an odd answer: {type(error).__name__}: {error}"
            raise UnavailableError(message) from error

    return reading


def translated(error: ClientError) -> DrainerError:
    """Return AWS's error as the one of ours that says what can be done about it."""
    details = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    sentence = f"{error.operation_name}: {code}: {message}"
    # Not a modelled error: "ValidationError ... No active Lifecycle Action found with token ..."
    # is how Auto Scaling says that the action was answered, timed out, or went with its instance.
    # Every other ValidationError is a fault of the request.
    if code == "ValidationError" and "No active Lifecycle Action found" in message:
        return LifecycleActionOverError(sentence)
    # ResourceContention comes with HTTP status 500.
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html
    if code in THROTTLES or status >= 500:  # noqa: PLR2004 (HTTP's own border)
        return UnavailableError(sentence)
    otherwise = RefusedError if code in REFUSALS else MisconfiguredError
    return NAMED.get(code, otherwise)(sentence)


def pages(
    call: Callable[..., dict[str, Any]],
    key: str,
    token: str,
    *,
    into: str | None = None,
    go_on: Callable[[], bool] | None = None,
    **parameters: Any,
) -> Iterator[Any]:
    """
    Yield the items of all pages.

    Args:
        call: The operation.
        key: Where an answer has its items.
        token: Where it has the way to the next page.
        into: Which parameter takes that; by default the one of the same name.
        go_on: Asked before each page but the first, whether there is time for it.
        parameters: Of every call.

    Raises:
        UnavailableError: There are more than PAGES_MAX pages, or there was no time for all.
    """
    cursor: dict[str, Any] = {}
    for _ in range(PAGES_MAX):
        if cursor and go_on is not None and not go_on():
            raise UnavailableError(f"{key}: no time was left for all pages")
        answer = ask(call, **parameters, **cursor)
        yield from answer[key]
        if not answer.get(token):
            return
        cursor = {into or token: answer[token]}
    raise UnavailableError(f"{key}: more than {PAGES_MAX} pages")


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in runs of at most `size`; nothing for no items, as AWS refuses nothing."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class AutoScalingGateway:
    """
    Auto Scaling, as far as a drain needs it.

    Every method raises UnavailableError or MisconfiguredError for a call that did not succeed.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    @understood
    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance that is in a group."""
        return {
            row["InstanceId"]: (row["AutoScalingGroupName"], row["LifecycleState"])
            for ids in chunks(ec2_instance_ids, AUTO_SCALING_INSTANCES_MAX)
            for row in pages(
                self._client.describe_auto_scaling_instances,
                "AutoScalingInstances",
                "NextToken",
                InstanceIds=list(ids),
            )
        }

    @understood
    def group_names(self) -> list[str]:
        """Return the names of all groups."""
        return [
            row["AutoScalingGroupName"]
            for row in pages(
                self._client.describe_auto_scaling_groups,
                "AutoScalingGroups",
                "NextToken",
                IncludeInstances=False,
                MaxRecords=AUTO_SCALING_GROUPS_MAX,
            )
        ]

    @understood
    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """Return group and lifecycle state of the groups' instances, and who has a warm pool."""
        rows = [
            row
            for names in chunks(auto_scaling_group_names, AUTO_SCALING_GROUPS_MAX)
            for row in pages(
                self._client.describe_auto_scaling_groups,
                "AutoScalingGroups",
                "NextToken",
                AutoScalingGroupNames=list(names),
                MaxRecords=AUTO_SCALING_GROUPS_MAX,
            )
        ]
        states = {
            one["InstanceId"]: (row["AutoScalingGroupName"], one["LifecycleState"])
            for row in rows
            for one in row["Instances"]
        }
        pools = [row["AutoScalingGroupName"] for row in rows if row.get("WarmPoolSize")]
        return states, pools

    @understood
    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance of a group's warm pool."""
        return {
            row["InstanceId"]: (auto_scaling_group_name, row["LifecycleState"])
            for row in pages(
                self._client.describe_warm_pool,
                "Instances",
                "NextToken",
                AutoScalingGroupName=auto_scaling_group_name,
            )
        }

    @understood
    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        """Return the group's hooks by name; at most 50, in one answer."""
        answer = ask(
            self._client.describe_lifecycle_hooks, AutoScalingGroupName=auto_scaling_group_name
        )
        return {
            row["LifecycleHookName"]: Hook(
                name=row["LifecycleHookName"],
                heartbeat_timeout_seconds=row["HeartbeatTimeout"],
                global_timeout_seconds=row.get("GlobalTimeout", 100 * row["HeartbeatTimeout"]),
                notification_target_arn=row.get("NotificationTargetARN") or None,
                notification_metadata=row.get("NotificationMetadata") or None,
                terminating=row["LifecycleTransition"] == TERMINATING,
            )
            for row in answer["LifecycleHooks"]
        }

    @understood
    def record_heartbeat(self, action: LifecycleAction) -> None:
        """
        Restart the hook's heartbeat timeout.

        Raises:
            LifecycleActionOverError: Auto Scaling no longer waits.
        """
        ask(self._client.record_lifecycle_action_heartbeat, **_named(action))

    @understood
    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        """
        Answer the lifecycle action.

        Raises:
            LifecycleActionOverError: Auto Scaling no longer waits.
        """
        ask(
            self._client.complete_lifecycle_action,
            LifecycleActionResult=result.value,
            **_named(action),
        )


def _named(action: LifecycleAction) -> dict[str, str]:
    # Token and instance are optional to the API, which then takes another action's word for ours;
    # so all that is known is always sent. Only what a hint or the sweep has found has no token.
    named = {
        "AutoScalingGroupName": action.auto_scaling_group_name,
        "LifecycleHookName": action.lifecycle_hook_name,
        "InstanceId": action.ec2_instance_id,
    }
    token = action.lifecycle_action_token
    return {**named, "LifecycleActionToken": token} if token else named


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
        marks=marks.read(attributes),
        ended=marks.read_ended(attributes),
        returned=marks.read_returned(attributes),
        drained_for=attributes.get(marks.DRAINED_FOR, ""),
        interrupted=attributes.get(marks.INTERRUPTED, ""),
    )


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
    )


class TopicGateway:
    """Our topic, and no other."""

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    @understood
    def publish(self, messages: Sequence[str]) -> dict[int, str]:
        """Publish at most PUBLISH_MAX messages; return refusals by position."""
        answer = ask(
            self._client.publish_batch,
            TopicArn=self._topic_arn,
            PublishBatchRequestEntries=[
                {"Id": str(position), "Message": message}
                for position, message in enumerate(messages)
            ],
        )
        taken = {entry["Id"] for entry in answer["Successful"]}
        reasons = {
            failure["Id"]: f"{failure.get('Code')}: {failure.get('Message', '')}"
            for failure in answer.get("Failed", ())
        }
        return {
            position: reasons.get(str(position), "SNS did not confirm it")
            for position in range(len(messages))
            if str(position) not in taken
        }
