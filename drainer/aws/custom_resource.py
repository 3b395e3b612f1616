"""
The gateways to what `Custom::ECSDrain` needs beyond a drain; they decide nothing.

They say which instances the target has and what its stack is at, and bring instances back to their
former state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, pages, understood
from drainer.aws.ecs import only_missing, set_status
from drainer.custom_resource.properties import TargetKind
from drainer.custom_resource.stack import Row, Stack
from drainer.errors import FleetMissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.custom_resource.properties import DrainTarget

# What infra/drainer.yaml grants for it beyond drainer.aws.CALLS.
CUSTOM_RESOURCE_CALLS = {
    "autoscaling": ("DescribeAutoScalingGroups",),
    "cloudformation": ("DescribeStacks", "ListStackResources"),
    "ec2": ("DescribeSpotFleetInstances",),
    "ecs": ("DeleteAttributes", "DescribeCapacityProviders", "DescribeClusters"),
}

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html
FLEET_PAGE_MAX = 1_000
# "CloudFormation automatically creates the following stack-level tags with the prefix aws:".
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-resource-tags.html
STACK_TAG = "aws:cloudformation:stack-id"
GONE_STATUS = "INACTIVE"
# As many as one page of the answer has.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeCapacityProviders.html
PROVIDERS_MAX = 10


class TargetGateway:
    """
    The instances of a custom resource's target, and the state of its stack.

    Every method raises UnavailableError or MisconfiguredError for a call that did not succeed.

    Args:
        client: Returns boto3's client for a service's name; each is made when it is needed.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    @understood
    def stack(self, stack_id: str) -> Stack:
        """Return a stack and its resources; one without a status where there is none."""
        client = self._client("cloudformation")
        try:
            (described,) = ask(client.describe_stacks, StackName=stack_id)["Stacks"]
            summaries = list(
                pages(
                    client.list_stack_resources,
                    "StackResourceSummaries",
                    "NextToken",
                    StackName=stack_id,
                )
            )
        except RefusedError:
            # "If the stack doesn't exist, a ValidationError is returned."
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
            return Stack("")
        rows = tuple(
            Row(
                logical_id=row["LogicalResourceId"],
                physical_id=row.get("PhysicalResourceId", ""),
                resource_type=row["ResourceType"],
                status=row["ResourceStatus"],
                changed_at=row["LastUpdatedTimestamp"],
            )
            for row in summaries
        )
        return Stack(described["StackStatus"], described.get("LastUpdatedTime"), rows)

    @understood
    def cluster_exists(self, cluster: str) -> bool:
        """Whether there is such a cluster."""
        answer = ask(self._client("ecs").describe_clusters, clusters=[cluster])
        only_missing(answer)
        return any(row["status"] != GONE_STATUS for row in answer["clusters"])

    def instances(self, target: DrainTarget) -> list[str] | None:
        """Return the ids of the target's EC2 instances; None where there is no such target."""
        if target.kind == TargetKind.SPOT_FLEET:
            return self._of_fleet(target.name)
        group = self.group(target)
        return self._of_group(group) if group else None

    def group(self, target: DrainTarget) -> str:
        """Return the name of the group that has the instances; empty for a fleet, and for none."""
        if target.kind == TargetKind.CAPACITY_PROVIDER:
            return self.groups([target.name]).get(target.name, "")
        return target.name if target.kind == TargetKind.AUTO_SCALING_GROUP else ""

    @understood
    def groups(self, capacity_providers: Sequence[str]) -> dict[str, str]:
        """Return the name of the group of each capacity provider that there is."""
        found: dict[str, str] = {}
        for start in range(0, len(capacity_providers), PROVIDERS_MAX):
            answer = ask(
                self._client("ecs").describe_capacity_providers,
                capacityProviders=capacity_providers[start : start + PROVIDERS_MAX],
            )
            only_missing(answer)
            for row in answer["capacityProviders"]:
                if row.get("status") != GONE_STATUS and "autoScalingGroupProvider" in row:
                    arn: str = row["autoScalingGroupProvider"]["autoScalingGroupArn"]
                    found[row["name"]] = arn.rpartition("autoScalingGroupName/")[2]
        return found

    @understood
    def made_by(self, auto_scaling_group_name: str) -> str:
        """Return the id of the stack that has made a group, by its tag; empty for none."""
        for group in self._described(auto_scaling_group_name):
            for tag in group.get("Tags", ()):
                if tag["Key"] == STACK_TAG:
                    return str(tag["Value"])
        return ""

    @understood
    def _of_fleet(self, fleet_id: str) -> list[str] | None:
        try:
            return [
                row["InstanceId"]
                for row in pages(
                    self._client("ec2").describe_spot_fleet_instances,
                    "ActiveInstances",
                    "NextToken",
                    SpotFleetRequestId=fleet_id,
                    MaxResults=FLEET_PAGE_MAX,
                )
            ]
        except FleetMissingError:
            return None

    @understood
    def _of_group(self, auto_scaling_group_name: str) -> list[str] | None:
        for group in self._described(auto_scaling_group_name):
            return [row["InstanceId"] for row in group["Instances"]]
        return None

    def _described(self, auto_scaling_group_name: str) -> list[dict[str, Any]]:
        answer = ask(
            self._client("autoscaling").describe_auto_scaling_groups,
            AutoScalingGroupNames=[auto_scaling_group_name],
        )
        groups: list[dict[str, Any]] = answer["AutoScalingGroups"]
        return groups

    @understood
    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set at most UPDATE_STATE_MAX container instances ACTIVE; return refusals by ARN."""
        return set_status(self._client("ecs"), cluster, arns, "ACTIVE")

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        """Take an attribute off at most ATTRIBUTES_MAX container instances."""
        ask(
            self._client("ecs").delete_attributes,
            cluster=cluster,
            attributes=[
                {
                    "name": name,
                    "targetType": "container-instance",
                    "targetId": arn.rpartition("/")[2],
                }
                for arn in arns
            ],
        )
