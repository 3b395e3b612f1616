"""
Reads of Auto Scaling groups: hooks, policies, instances, and what the next one is launched from.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from drainer.aws.auto_scaling import retains_abandoned
from drainer.cli.account.reader import Unread, UnreadError, attempt, got, is_gone
from drainer.cli.doctor.facts import Group, Hook, Image, Instance, OwnResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.cli.account.reader import Reader

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
# "By default, you can only specify up to 50 names."
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
NAMES_MAX = 50
# The hooks of each group take one call. With the pace of the reader these take 100 seconds.
GROUPS_MAX = 500
STACK_TAG = "aws:cloudformation:stack-id"


def listed(reader: Reader, names: Sequence[str]) -> list[dict[str, Any]]:
    """
    Return groups as AWS describes them: those named, or all where none is named.

    Raises:
        UnreadError: They were not read, or are too many.
    """
    if names:
        return reader.batches(
            "autoscaling",
            "describe_auto_scaling_groups",
            "AutoScalingGroups",
            by="AutoScalingGroupNames",
            values=names,
            size=NAMES_MAX,
        )
    found = reader.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups")
    if len(found) > GROUPS_MAX:
        why = f"there are {len(found)} groups, more than {GROUPS_MAX}: name some"
        raise UnreadError(Unread(why))
    return found


def hooks(reader: Reader, group: str) -> tuple[Hook, ...]:
    """Return the terminating hooks of a group; raises an UnreadError."""
    answer = reader.ask("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=group)
    return tuple(
        Hook(
            name=one["LifecycleHookName"],
            target=one.get("NotificationTargetARN", ""),
            role=one.get("RoleARN", ""),
            metadata=one.get("NotificationMetadata"),
            heartbeat_seconds=one["HeartbeatTimeout"],
            global_seconds=one["GlobalTimeout"],
            default_result=one["DefaultResult"],
        )
        for one in answer["LifecycleHooks"]
        if one["LifecycleTransition"] == TERMINATING
    )


def group_of(reader: Reader, body: dict[str, Any], found: tuple[Hook, ...] | Unread) -> Group:
    """Return a group as far as Auto Scaling, EC2 and its own stack tell of it."""
    name = body["AutoScalingGroupName"]
    template = attempt(_template, reader, body)
    policy = body.get("InstanceMaintenancePolicy") or {}
    percentages = policy.get("MinHealthyPercentage"), policy.get("MaxHealthyPercentage")
    return Group(
        name=name,
        hooks=found,
        instances=tuple(
            Instance(one["InstanceId"], one["LifecycleState"], one["ProtectedFromScaleIn"])
            for one in body.get("Instances", ())
        ),
        new_protected=body.get("NewInstancesProtectedFromScaleIn", False),
        suspended=tuple(one["ProcessName"] for one in body.get("SuspendedProcesses", ())),
        # -1 clears a value, so that there is no policy.
        maintenance=None if None in percentages or -1 in percentages else percentages,  # type: ignore[arg-type]
        retains=retains_abandoned(body),
        uses_spot=_uses_spot(body, template),
        policies=attempt(_policies, reader, name),
        image=attempt(_image, reader, template),
        own_stack=attempt(_own_stack, reader, body),
    )


def _template(reader: Reader, body: dict[str, Any]) -> dict[str, Any]:
    """Return what instances are launched from: the template's data, or a launch configuration."""
    if name := body.get("LaunchConfigurationName"):
        answer = reader.ask(
            "autoscaling", "describe_launch_configurations", LaunchConfigurationNames=[name]
        )
        key = "LaunchConfigurations"
    else:
        mixed = body.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
        chosen = body.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification", {})
        if "LaunchTemplateId" not in chosen:
            raise UnreadError(Unread("the group names no launch template"))
        answer = reader.ask(
            "ec2",
            "describe_launch_template_versions",
            LaunchTemplateId=chosen["LaunchTemplateId"],
            Versions=[chosen.get("Version", "$Default")],
            ResolveAlias=True,
        )
        key = "LaunchTemplateVersions"
    if not answer[key]:
        raise UnreadError(Unread("the launch template or its version does not exist"))
    whole: dict[str, Any] = answer[key][0]
    data: dict[str, Any] = whole.get("LaunchTemplateData", whole)
    return data


def _uses_spot(body: dict[str, Any], template: dict[str, Any] | Unread) -> bool | Unread:
    distribution = body.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
    # "The default is 100": on-demand alone.
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html
    if distribution.get("OnDemandPercentageAboveBaseCapacity", 100) < 100:  # noqa: PLR2004
        return True
    if isinstance(template, Unread):
        return template
    market = template.get("InstanceMarketOptions", {}).get("MarketType")
    return market == "spot" or "SpotPrice" in template


def _image(reader: Reader, template: dict[str, Any] | Unread) -> Image | None:
    image_id = got(template).get("ImageId", "")
    if not image_id:
        return None
    try:
        answer = reader.ask("ec2", "describe_images", ImageIds=[image_id], IncludeDeprecated=True)
    except UnreadError as error:
        if not is_gone(error.value):
            raise
        answer = {"Images": []}
    images = answer["Images"]
    made = images[0].get("CreationDate") if images else None
    return Image(image_id, datetime.fromisoformat(made) if made else None)


def _policies(reader: Reader, group: str) -> tuple[tuple[str, str], ...]:
    found = reader.pages(
        "autoscaling", "describe_policies", "ScalingPolicies", AutoScalingGroupName=group
    )
    return tuple((one["PolicyName"], one["PolicyType"]) for one in found)


def _own_stack(reader: Reader, body: dict[str, Any]) -> tuple[OwnResource, ...] | None:
    tags = {one["Key"]: one["Value"] for one in body.get("Tags", ())}
    if STACK_TAG not in tags:
        return None
    found = reader.pages(
        "cloudformation",
        "list_stack_resources",
        "StackResourceSummaries",
        StackName=tags[STACK_TAG],
    )
    return tuple(
        OwnResource(one["ResourceType"], one.get("PhysicalResourceId", ""))
        for one in found
        if one["ResourceStatus"] != "DELETE_COMPLETE"
    )
