"""EC2 Auto Scaling's operations, in AWS's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.paging import page
from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING, TERMINATING, LifecycleHook
from drainer.simulation.services.auto_scaling.refresh_api import RefreshApi
from drainer.simulation.services.auto_scaling.shapes import (
    describe_group,
    describe_hook,
    describe_instance,
    describe_pool,
)

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.groups import AutoScaling
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Group, Instance

# "Array Members: Maximum number of 50 items" for InstanceIds, and the default and largest page.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
INSTANCES_MAX = 50
GROUPS_DEFAULT = 50
GROUPS_MAX = 100
# "Lifecycle hooks per Auto Scaling group: 50"
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html
HOOKS_MAX = 50


class AutoScalingApi(RefreshApi):
    """One method for each operation; each takes and returns what AWS would."""

    def __init__(self, account: Account, scaling: AutoScaling) -> None:
        self._account = account
        self._scaling = scaling

    # Lifecycle hooks

    def put_lifecycle_hook(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Create a hook, or change what is given of one that exists."""
        group = self._group(parameters["AutoScalingGroupName"])
        name = parameters["LifecycleHookName"]
        known = group.hooks.get(name)
        if known is None and len(group.hooks) >= HOOKS_MAX:
            raise ApiError("LimitExceeded", f"A group may have {HOOKS_MAX} lifecycle hooks")
        if known is None and "LifecycleTransition" not in parameters:
            raise _invalid("LifecycleTransition is required for a new lifecycle hook")
        hook = known or LifecycleHook(name, group.name)
        given = {
            "transition": parameters.get("LifecycleTransition", hook.transition),
            "heartbeat_timeout_seconds": parameters.get(
                "HeartbeatTimeout", hook.heartbeat_timeout_seconds
            ),
            "default_result": parameters.get("DefaultResult", hook.default_result),
            "notification_metadata": parameters.get(
                "NotificationMetadata", hook.notification_metadata
            ),
            "notification_target_arn": parameters.get(
                "NotificationTargetARN", hook.notification_target_arn
            ),
            "role_arn": parameters.get("RoleARN", hook.role_arn),
        }
        if given["transition"] not in (TERMINATING, LAUNCHING):
            raise _invalid("LifecycleTransition is not one of the valid transitions")
        if not 30 <= given["heartbeat_timeout_seconds"] <= 7_200:
            raise _invalid("HeartbeatTimeout must be between 30 and 7200 seconds")
        if given["default_result"] not in ("CONTINUE", "ABANDON"):
            raise _invalid("DefaultResult must be CONTINUE or ABANDON")
        self._scaling.put_hook(LifecycleHook(name, group.name, **given))
        return {}

    def describe_lifecycle_hooks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe a group's hooks, all or by name."""
        group = self._group(parameters["AutoScalingGroupName"])
        names = parameters.get("LifecycleHookNames") or group.hooks
        found = [group.hooks[name] for name in names if name in group.hooks]
        return {"LifecycleHooks": [describe_hook(hook) for hook in found]}

    def delete_lifecycle_hook(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Delete a hook."""
        group = self._group(parameters["AutoScalingGroupName"])
        self._scaling.delete_hook(self._hook(group, parameters["LifecycleHookName"]))
        return {}

    def complete_lifecycle_action(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Answer an open action."""
        if parameters["LifecycleActionResult"] not in ("CONTINUE", "ABANDON"):
            raise _invalid("LifecycleActionResult must be CONTINUE or ABANDON")
        action = self._action(parameters)
        self._scaling.lifecycle.end(action, parameters["LifecycleActionResult"], "completed")
        return {}

    def record_lifecycle_action_heartbeat(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Restart an open action's timeout."""
        self._scaling.lifecycle.heartbeat(self._action(parameters))
        return {}

    # Instances and groups

    def describe_auto_scaling_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe instances; ids that are in no group are left out without an error."""
        ids = parameters.get("InstanceIds") or []
        size = parameters.get("MaxRecords") or INSTANCES_MAX
        if len(ids) > INSTANCES_MAX or size > INSTANCES_MAX:
            raise _invalid(f"At most {INSTANCES_MAX} instances can be described at a time")
        known = self._scaling.instances
        wanted = [known[one] for one in ids if one in known] if ids else [*known.values()]
        found, token = _page(wanted, parameters, size)
        return {"AutoScalingInstances": [describe_instance(one) for one in found], **token}

    def describe_auto_scaling_groups(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe groups; names that do not exist are left out without an error."""
        names = parameters.get("AutoScalingGroupNames") or self._scaling.groups
        wanted = [self._scaling.groups[name] for name in names if name in self._scaling.groups]
        size = min(parameters.get("MaxRecords") or GROUPS_DEFAULT, GROUPS_MAX)
        found, token = _page(wanted, parameters, size)
        with_instances = parameters.get("IncludeInstances", True)
        described = [describe_group(group, with_instances=with_instances) for group in found]
        return {"AutoScalingGroups": described, **token}

    def describe_warm_pool(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Describe a group's warm pool and what is in it; a group without one has no instances there.

        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeWarmPool.html
        """
        group = self._group(parameters["AutoScalingGroupName"])
        size = parameters.get("MaxRecords") or INSTANCES_MAX
        warm = [one for one in group.instances.values() if one.is_warm]
        found, token = _page(warm, parameters, size)
        pool = {"WarmPoolConfiguration": describe_pool(group.warm_pool)} if group.warm_pool else {}
        rows = [
            {
                "InstanceId": instance.ec2_instance_id,
                "AvailabilityZone": instance.availability_zone,
                "LifecycleState": instance.lifecycle_state,
                "HealthStatus": "Healthy",
                "ProtectedFromScaleIn": False,
            }
            for instance in found
        ]
        return {**pool, "Instances": rows, **token}

    def set_desired_capacity(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Set a group's desired capacity, within its bounds."""
        group = self._group(parameters["AutoScalingGroupName"])
        desired = parameters["DesiredCapacity"]
        if not group.minimum <= desired <= group.maximum:
            raise _invalid(
                f"New SetDesiredCapacity value {desired} is not between {group.minimum} and "
                f"{group.maximum}"
            )
        self._scaling.set_desired(group, desired)
        return {}

    def terminate_instance_in_auto_scaling_group(
        self, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """Let one instance go, through its group's hooks."""
        instance = self._scaling.instances.get(parameters["InstanceId"])
        if instance is None:
            raise _invalid(
                "Instance Id not found - No managed instance found for instance ID: "
                f"{parameters['InstanceId']}"
            )
        decrement = parameters["ShouldDecrementDesiredCapacity"]
        retained = instance.lifecycle_state == "Terminating:Retained"
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/manage-retained-instances.html
        if retained and decrement:
            raise _invalid("A retained instance can only be terminated without decrement")
        if decrement and instance.group.desired <= instance.group.minimum:
            raise _invalid("Decrementing the desired capacity would go below the minimum size")
        self._scaling.terminate(instance, decrement=decrement)
        return {"Activity": self._activity(instance)}

    # Private

    def _group(self, name: str) -> Group:
        group = self._scaling.groups.get(name)
        if group is None:
            raise _invalid(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return group

    def _hook(self, group: Group, name: str) -> LifecycleHook:
        hook = group.hooks.get(name)
        if hook is None:
            raise _invalid(f"No Lifecycle Hook found with name {name} for group {group.name}")
        return hook

    def _action(self, parameters: dict[str, Any]) -> LifecycleAction:
        """
        Find the open action that a call means, by token or by instance id; both are optional.

        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html
        """
        group = self._group(parameters["AutoScalingGroupName"])
        hook_name = parameters["LifecycleHookName"]
        self._hook(group, hook_name)
        token, instance_id = parameters.get("LifecycleActionToken"), parameters.get("InstanceId")
        if token is None and instance_id is None:
            raise _invalid("Either InstanceId or LifecycleActionToken must be given")
        for action in self._candidates(token, instance_id):
            mine = action.hook.auto_scaling_group_name == group.name
            agrees = instance_id in (None, action.ec2_instance_id)
            if mine and agrees and action.hook.name == hook_name:
                return action
        named = f"instance ID {instance_id}" if token is None else f"token {token}"
        raise _invalid(f"No active Lifecycle Action found with {named}")

    def _candidates(self, token: str | None, instance_id: str | None) -> list[LifecycleAction]:
        if token is not None:
            action = self._scaling.lifecycle.open.get(token)
            return [action] if action is not None else []
        instance = self._scaling.instances.get(instance_id or "")
        return [one for one in instance.actions if one.is_open] if instance else []

    def _activity(self, instance: Instance) -> dict[str, Any]:
        return {
            "ActivityId": self._account.uuid(),
            "AutoScalingGroupName": instance.group.name,
            "Description": f"Terminating EC2 instance: {instance.ec2_instance_id}",
            "Cause": f"instance {instance.ec2_instance_id} was taken out of service by a user",
            "StartTime": self._account.now,
            "StatusCode": "InProgress",
            "Progress": 0,
        }


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message)


def _page(
    wanted: list[Any], parameters: dict[str, Any], size: int
) -> tuple[list[Any], dict[str, str]]:
    found, token = page(
        wanted,
        token=parameters.get("NextToken"),
        size=size,
        invalid=ApiError("InvalidNextToken", "The token is not valid"),
    )
    return found, {"NextToken": token} if token else {}
