"""
examples/hybrid.yaml: the ratio of its halves, and that neither half ends undrained.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.custom_resource.properties import TargetKind
from tests.infra.test_guards import before, properties, target

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

HYBRID = "examples/hybrid.yaml"


@pytest.fixture
def hybrid(render: Render) -> DeployedStack:
    return render(HYBRID)


def only(stack: DeployedStack, kind: str) -> dict[str, Any]:
    ((_, found),) = stack.resources(kind)
    return found


def fleet(stack: DeployedStack) -> dict[str, Any]:
    found: dict[str, Any] = only(stack, "AWS::EC2::SpotFleet")["SpotFleetRequestConfigData"]
    return found


def test_group_and_fleet_have_their_parts_of_every_count_that_may_be_chosen(
    render: Render,
) -> None:
    # CloudFormation does not compute: one wrong cell is another ratio for one count.
    parameters = render(HYBRID).template["Parameters"]
    found = {}
    for count in parameters["InstanceCount"]["AllowedValues"]:
        for percent in parameters["SpotPercent"]["AllowedValues"]:
            stack = render(HYBRID, InstanceCount=str(count), SpotPercent=str(percent))
            group = only(stack, "AWS::AutoScaling::AutoScalingGroup")
            scaling = only(stack, "AWS::ApplicationAutoScaling::ScalableTarget")
            parts = (int(fleet(stack)["TargetCapacity"]), int(group["MinSize"]))
            found[count, percent] = (*parts, int(scaling["MinCapacity"]))

    assert len(found) == 18
    assert found == {
        (count, percent): (
            count * percent // 100,
            count * (100 - percent) // 100,
            count * percent // 100,
        )
        for count, percent in found
    }


def test_a_fleet_never_shrinks_by_itself(hybrid: DeployedStack) -> None:
    # A fleet that shrinks ends instances at once: no hook holds them, and no request of
    # CloudFormation drains them.
    tracking = only(hybrid, "AWS::ApplicationAutoScaling::ScalingPolicy")
    configuration = tracking["TargetTrackingScalingPolicyConfiguration"]

    assert configuration["DisableScaleIn"] is True
    assert fleet(hybrid)["ExcessCapacityTerminationPolicy"] == "noTermination"
    # Only such a fleet can be scaled at all, and replaces what Spot takes.
    assert fleet(hybrid)["Type"] == "maintain"


def test_both_halves_follow_how_full_the_cluster_is(hybrid: DeployedStack) -> None:
    # Two metrics would let one half grow while the other one shrinks.
    group = only(hybrid, "AWS::AutoScaling::ScalingPolicy")["TargetTrackingConfiguration"]
    of_fleet = only(hybrid, "AWS::ApplicationAutoScaling::ScalingPolicy")
    configuration = of_fleet["TargetTrackingScalingPolicyConfiguration"]

    assert group["CustomizedMetricSpecification"] == configuration["CustomizedMetricSpecification"]
    assert group["TargetValue"] == configuration["TargetValue"]
    metric = group["CustomizedMetricSpecification"]
    assert (metric["Namespace"], metric["MetricName"]) == ("AWS/ECS", "MemoryReservation")
    assert metric["Dimensions"] == [{"Name": "ClusterName", "Value": "drainer-Cluster"}]
    scaling = only(hybrid, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert scaling["ResourceId"] == f"spot-fleet-request/{hybrid.physical_ids['Fleet']}"


def test_the_drain_stands_between_the_fleet_and_all_that_uses_it(hybrid: DeployedStack) -> None:
    # The service must be gone before the fleet is drained permanently, and a fleet that is being
    # drained must not grow.
    template = dict(hybrid.template)

    assert "Fleet" in before(template, "Drain")
    assert {"Drain", "Group"} <= before(template, "WebService")
    assert "Drain" in before(template, "FleetScaling")
    assert target(hybrid).kind == TargetKind.SPOT_FLEET
    assert target(hybrid).name == hybrid.physical_ids["Fleet"]
    assert properties(hybrid)["ServiceToken"] == hybrid.exports["drainer-FunctionArn"]


def test_the_groups_hook_is_inside_it_and_says_the_same_of_standalone_tasks(
    render: Render,
) -> None:
    # One setting, two ways of draining: a job that may run out on one half must not die on the
    # other.
    stack = render(HYBRID, StandaloneTasks="stop", StandaloneGraceSeconds="60")
    group = only(stack, "AWS::AutoScaling::AutoScalingGroup")
    (hook,) = group["LifecycleHookSpecificationList"]
    metadata = json.loads(hook["NotificationMetadata"])
    _, problems = Config(topic_arn="").policy(hook["NotificationMetadata"])

    assert problems == ()
    assert metadata == {
        "cluster": "drainer-Cluster",
        "standalone_tasks": "stop",
        "standalone_grace_seconds": 60,
    }
    assert properties(stack)["StandaloneTasks"] == "stop"
    assert properties(stack)["StandaloneGraceSeconds"] == "60"
    assert hook["DefaultResult"] == "CONTINUE"
    assert hook["NotificationTargetARN"] == stack.exports["drainer-TopicArn"]


def test_a_newer_image_replaces_both_halves(hybrid: DeployedStack) -> None:
    resources = hybrid.template["Resources"]

    for name in ("GroupTemplate", "FleetTemplate"):
        data = resources[name]["Properties"]["LaunchTemplateData"]
        assert data["ImageId"] == {"Ref": "ImageId"}
    assert "AutoScalingInstanceRefresh" in resources["Group"]["UpdatePolicy"]
    assert resources["Group"]["Properties"]["LaunchTemplate"]["Version"] == {
        "Fn::GetAtt": ["GroupTemplate", "LatestVersionNumber"]
    }
    # Only a property that CloudFormation cannot change in place makes another fleet.
    ((tag,),) = (one["Tags"] for one in fleet(hybrid)["TagSpecifications"])
    assert "FleetTemplate.LatestVersionNumber" in tag["Value"]


def test_tasks_are_spread_over_both_kinds_of_capacity(hybrid: DeployedStack) -> None:
    # On Spot alone, all tasks of a service can go within two minutes.
    templates = dict(hybrid.resources("AWS::EC2::LaunchTemplate"))
    scripts = {name: one["LaunchTemplateData"]["UserData"] for name, one in templates.items()}
    service = only(hybrid, "AWS::ECS::Service")

    assert service["PlacementStrategies"][0] == {"Type": "spread", "Field": "attribute:purchase"}
    assert """ECS_INSTANCE_ATTRIBUTES={"purchase": "on-demand"}""" in scripts["GroupTemplate"]
    assert """ECS_INSTANCE_ATTRIBUTES={"purchase": "spot"}""" in scripts["FleetTemplate"]
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in scripts["FleetTemplate"]
    for script in (scripts["GroupTemplate"], scripts["FleetTemplate"]):
        assert "ECS_CLUSTER=drainer-Cluster" in script
