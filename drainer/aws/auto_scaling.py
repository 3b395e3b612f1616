"""The gateway to EC2 Auto Scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, chunks, pages, understood
from drainer.drain.model import Hook, LifecycleAction, LifecycleActionResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

# Each API's own maximum for one call.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
AUTO_SCALING_INSTANCES_MAX = 50

# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
AUTO_SCALING_GROUPS_MAX = 100


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
        rows = self._groups(auto_scaling_group_names)
        states = {
            one["InstanceId"]: (row["AutoScalingGroupName"], one["LifecycleState"])
            for row in rows
            for one in row["Instances"]
        }
        pools = [row["AutoScalingGroupName"] for row in rows if row.get("WarmPoolSize")]
        return states, pools

    @understood
    def retaining(self, auto_scaling_group_names: Sequence[str]) -> set[str]:
        """Return which of these groups retain instances whose hook is answered ABANDON."""
        rows = self._groups(auto_scaling_group_names, include_instances=False)
        return {row["AutoScalingGroupName"] for row in rows if retains_abandoned(row)}

    def _groups(
        self, names: Sequence[str], *, include_instances: bool = True
    ) -> list[Mapping[str, Any]]:
        return [
            row
            for some in chunks(names, AUTO_SCALING_GROUPS_MAX)
            for row in pages(
                self._client.describe_auto_scaling_groups,
                "AutoScalingGroups",
                "NextToken",
                AutoScalingGroupNames=list(some),
                MaxRecords=AUTO_SCALING_GROUPS_MAX,
                IncludeInstances=include_instances,
            )
        ]

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


def retains_abandoned(group: Mapping[str, Any]) -> bool:
    """Whether a group, as Auto Scaling describes it, retains what is answered ABANDON."""
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
    triggers = group.get("InstanceLifecyclePolicy", {}).get("RetentionTriggers", {})
    return bool(triggers.get("TerminateHookAbandon") == "retain")


def _named(action: LifecycleAction) -> dict[str, str]:
    # Token and instance are optional to the API, which then takes another action's word for ours;
    # so all that is known is always sent. Only what a wake-up or the sweep has found has no token.
    named = {
        "AutoScalingGroupName": action.auto_scaling_group_name,
        "LifecycleHookName": action.lifecycle_hook_name,
        "InstanceId": action.ec2_instance_id,
    }
    token = action.lifecycle_action_token
    return {**named, "LifecycleActionToken": token} if token else named
