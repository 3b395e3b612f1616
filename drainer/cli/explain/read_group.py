"""
Reads of the Auto Scaling group of an instance: 5 reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.auto_scaling import retains_abandoned
from drainer.cli.explain.drainers import Group, Hook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.cli.explain.reads import Reads

SERVICE = "autoscaling"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
SIMPLE = "SimpleScaling"
ACTIVITIES_MAX = 100


def read_group(reads: Reads, ec2_instance_id: str) -> Group | None:
    """Return the group of an instance; None where it has none, or where it was not read."""
    answer = reads.ask(SERVICE, "describe_auto_scaling_instances", InstanceIds=[ec2_instance_id])
    instances = (answer or {}).get("AutoScalingInstances", [])
    if not instances:
        return None
    name, state = instances[0]["AutoScalingGroupName"], instances[0]["LifecycleState"]
    group = _described(reads, name)
    activities = read_activities(reads, name)
    return Group(
        name=name,
        lifecycle_state=state,
        desired=group.get("DesiredCapacity"),
        maximum=group.get("MaxSize"),
        suspended=tuple(one["ProcessName"] for one in group.get("SuspendedProcesses", ())),
        hooks=read_hooks(reads, name),
        retains=retains_abandoned(group),
        simple_policies=_simple_policies(reads, name),
        terminating_since=terminating_since(activities, ec2_instance_id),
        failed_launch=_failed_launch(activities),
    )


def _described(reads: Reads, name: str) -> Mapping[str, Any]:
    answer = reads.ask(
        SERVICE,
        "describe_auto_scaling_groups",
        AutoScalingGroupNames=[name],
        # "IncludeInstances=false" lowers the cost of the call.
        # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
        IncludeInstances=False,
    )
    groups: Sequence[Mapping[str, Any]] = (answer or {}).get("AutoScalingGroups", [])
    return groups[0] if groups else {}


def read_hooks(reads: Reads, name: str) -> tuple[Hook, ...] | None:
    """Return the terminating hooks of a group: 1 read."""
    answer = reads.ask(SERVICE, "describe_lifecycle_hooks", AutoScalingGroupName=name)
    if answer is None:
        return None
    return tuple(
        Hook(
            name=one["LifecycleHookName"],
            heartbeat_seconds=one.get("HeartbeatTimeout", 3_600),
            global_seconds=one.get("GlobalTimeout", 172_800),
            default_result=one.get("DefaultResult", ""),
            target_arn=one.get("NotificationTargetARN", ""),
        )
        for one in answer["LifecycleHooks"]
        if one.get("LifecycleTransition") == TERMINATING
    )


def _simple_policies(reads: Reads, name: str) -> tuple[str, ...] | None:
    answer = reads.ask(SERVICE, "describe_policies", AutoScalingGroupName=name)
    if answer is None:
        return None
    return tuple(
        one["PolicyName"]
        for one in answer["ScalingPolicies"]
        if one.get("PolicyType") == SIMPLE and one.get("Enabled", True)
    )


def read_activities(reads: Reads, name: str) -> list[Mapping[str, Any]]:
    """Return the newest activities of a group: 1 read."""
    answer = reads.ask(
        SERVICE,
        "describe_scaling_activities",
        AutoScalingGroupName=name,
        MaxRecords=ACTIVITIES_MAX,
    )
    return list((answer or {}).get("Activities", ()))


def terminating_since(
    activities: Sequence[Mapping[str, Any]], ec2_instance_id: str
) -> datetime | None:
    """Return since when an instance is terminating; None where no activity says so."""
    # "Terminating EC2 instance: i-..."; an activity has no other field for the instance.
    started = [
        one["StartTime"]
        for one in activities
        if ec2_instance_id in one.get("Description", "")
        and one["Description"].startswith("Terminating")
    ]
    return max(started, default=None)


def _failed_launch(activities: Sequence[Mapping[str, Any]]) -> str:
    """Return why the newest launch failed; empty if it did not."""
    launches = [one for one in activities if one.get("Description", "").startswith("Launching")]
    failed = launches[0] if launches and launches[0].get("StatusCode") == "Failed" else {}
    return str(failed.get("StatusMessage", ""))
