"""What Auto Scaling tells of its groups, instances, hooks and pools, in AWS's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
    from drainer.simulation.services.auto_scaling.model import Group, Instance, WarmPool


def describe_hook(hook: LifecycleHook) -> dict[str, Any]:
    """Describe a lifecycle hook."""
    described = {
        "LifecycleHookName": hook.name,
        "AutoScalingGroupName": hook.auto_scaling_group_name,
        "LifecycleTransition": hook.transition,
        "HeartbeatTimeout": hook.heartbeat_timeout_seconds,
        "GlobalTimeout": hook.global_timeout_seconds,
        "DefaultResult": hook.default_result,
    }
    optional = {
        "NotificationMetadata": hook.notification_metadata,
        "NotificationTargetARN": hook.notification_target_arn,
        "RoleARN": hook.role_arn,
    }
    return described | {name: value for name, value in optional.items() if value is not None}


def describe_instance(instance: Instance) -> dict[str, Any]:
    """Describe an instance beside its group."""
    return {
        "InstanceId": instance.ec2_instance_id,
        "InstanceType": "m7g.large",
        "AutoScalingGroupName": instance.group.name,
        "AvailabilityZone": instance.availability_zone,
        "LifecycleState": instance.lifecycle_state,
        "HealthStatus": "HEALTHY",
        "ProtectedFromScaleIn": False,
    }


def describe_group(group: Group, *, with_instances: bool) -> dict[str, Any]:
    """Describe a group, and what is in service or on its way there."""
    described: dict[str, Any] = {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": 300,
        "AvailabilityZones": group.availability_zones,
        "HealthCheckType": "EC2",
        "CreatedTime": group.created_at,
    }
    if group.tags:
        described["Tags"] = [
            {
                "ResourceId": group.name,
                "ResourceType": "auto-scaling-group",
                "Key": key,
                "Value": value,
                "PropagateAtLaunch": True,
            }
            for key, value in group.tags.items()
        ]
    if group.retain_on_abandon:
        triggers = {"TerminateHookAbandon": "retain"}
        described["InstanceLifecyclePolicy"] = {"RetentionTriggers": triggers}
    # What is in the warm pool, or on its way there, is counted here and listed there.
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeWarmPool.html
    if group.warm_pool is not None:
        described["WarmPoolSize"] = sum(one.is_warm for one in group.instances.values())
        described["WarmPoolConfiguration"] = describe_pool(group.warm_pool)
    if with_instances:
        described["Instances"] = [
            {
                "InstanceId": instance.ec2_instance_id,
                "AvailabilityZone": instance.availability_zone,
                "LifecycleState": instance.lifecycle_state,
                "HealthStatus": "Healthy",
                "ProtectedFromScaleIn": False,
            }
            for instance in group.instances.values()
            if not instance.is_warm
        ]
    return described


def describe_pool(pool: WarmPool) -> dict[str, Any]:
    """Describe how a group keeps instances ready."""
    return {
        "MinSize": pool.minimum,
        "PoolState": pool.state,
        "InstanceReusePolicy": {"ReuseOnScaleIn": pool.reuse},
    }
