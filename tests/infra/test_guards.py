"""
The examples of Custom::ECSDrain: what is guarded goes after it is drained, and not before.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.custom_resource.properties import (
    KNOWN_PROPERTIES,
    SERVICE_TIMEOUT_SECONDS_MAX,
    DrainTarget,
    Status,
    TargetKind,
    target_of,
)
from drainer.custom_resource.request import RESPONSE_MARGIN_SECONDS, Request, RequestType
from tests.infra.conftest import TOPIC_ARN
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

FLEET, GROUP = "examples/spot-fleet.yaml", "examples/guarded-group.yaml"
GUARDED = {FLEET: "Fleet", GROUP: "Group"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FUNCTION_ARN = "arn:aws:lambda:eu-west-1:111122223333:function:drainer-Function"
SUB_NAME = re.compile(r"\$\{([A-Za-z0-9]+)")

EachExample = pytest.mark.parametrize("example", GUARDED)


def named(value: Any) -> Iterator[str]:
    """
    Yield the names that a value refers to.
    """
    if isinstance(value, list):
        for item in value:
            yield from named(item)
    if not isinstance(value, dict):
        return
    for key, argument in value.items():
        if key == "Ref":
            yield argument
        elif key == "Fn::GetAtt":
            yield argument[0]
        elif key == "Fn::Sub":
            yield from SUB_NAME.findall(argument)
        else:
            yield from named(argument)


def before(template: dict[str, Any], name: str) -> set[str]:
    """
    Return the resources that CloudFormation makes before one, and deletes after it.
    """
    resources = template["Resources"]
    found: set[str] = set()
    frontier = {name}
    # Each round goes one step further, and no chain is longer than there are resources.
    for _ in resources:
        steps = set()
        for one in frontier:
            explicit = resources[one].get("DependsOn", [])
            steps |= {explicit} if isinstance(explicit, str) else set(explicit)
            steps |= set(named(resources[one].get("Properties", {})))
        frontier = (steps & set(resources)) - found
        found |= frontier
    return found


def properties(stack: DeployedStack) -> dict[str, Any]:
    """
    Return the custom resource's properties as they arrive: every value a string.
    """
    ((_, found),) = stack.resources("Custom::ECSDrain")
    return {key: str(value) for key, value in found.items()}


def target(stack: DeployedStack) -> DrainTarget:
    found, problems = target_of(properties(stack), Config(topic_arn=TOPIC_ARN))
    assert problems == ()
    assert found is not None
    return found


@EachExample
def test_the_drain_is_made_after_what_it_guards_and_deleted_before_it(
    render: Render, example: str
) -> None:
    # The other way round the instances would be gone when they are to be drained.
    template = dict(render(example).template)
    guarded = GUARDED[example]

    assert guarded in before(template, "Drain")
    assert "Drain" not in before(template, guarded)


def test_the_service_is_made_after_the_drain_and_deleted_before_it(render: Render) -> None:
    # A service that is still there when its fleet is drained permanently waits for a place that
    # never comes, and the stack waits with it until the deadline.
    template = dict(render(FLEET).template)

    assert {"Drain", "Fleet", "Cluster"} <= before(template, "WebService")
    assert "WebService" not in before(template, "Drain")


def test_a_new_image_makes_a_new_fleet_whatever_can_be_changed_in_place(render: Render) -> None:
    # A fleet that is modified keeps its old instances, and the update would have done nothing.
    template = dict(render(FLEET).template)
    fleet = template["Resources"]["Fleet"]["Properties"]["SpotFleetRequestConfigData"]
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # takes most of a second

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::EC2::SpotFleet").schema
    replacing = {one.rpartition("/")[2] for one in schema["createOnlyProperties"]}

    changed = {key for key, value in fleet.items() if "LaunchTemplate" in named(value)}

    assert "ImageId" in named(template["Resources"]["LaunchTemplate"])
    assert changed & replacing == {"TagSpecifications"}
    ((tag,),) = (one["Tags"] for one in fleet["TagSpecifications"])
    assert "LatestVersionNumber" in tag["Value"]["Fn::Sub"]


def test_another_launch_template_makes_another_group(render: Render) -> None:
    # A group that is updated in place is not replaced, and nothing is drained here.
    group = render(GROUP).template["Resources"]["Group"]

    assert group["UpdatePolicy"] == {"AutoScalingReplacingUpdate": {"WillReplace": True}}
    # Two groups of one name cannot be.
    assert "AutoScalingGroupName" not in group["Properties"]
    assert {"LaunchTemplateId", "LaunchTemplateVersion"} <= set(named(group))


@EachExample
def test_the_program_takes_every_property_of_the_example(render: Render, example: str) -> None:
    # A property that the program does not know fails the first stack of whoever tries it.
    stack = render(example)

    assert set(properties(stack)) <= set(KNOWN_PROPERTIES)
    assert target(stack).name == stack.physical_ids[GUARDED[example]]
    assert target(stack).on_timeout == Status.FAILED


def test_each_example_guards_its_own_kind(render: Render) -> None:
    assert target(render(FLEET)).kind == TargetKind.SPOT_FLEET
    assert target(render(GROUP)).kind == TargetKind.AUTO_SCALING_GROUP


@EachExample
@pytest.mark.parametrize("bound", ["MinValue", "MaxValue"])
def test_the_program_takes_what_the_example_takes(render: Render, example: str, bound: str) -> None:
    # A value that deploys and then is refused fails the stack.
    settings = {
        name: str(parameter[bound])
        for name, parameter in render(example).template["Parameters"].items()
        if name.endswith("Seconds") and name in KNOWN_PROPERTIES
    }
    policy = target(render(example, **settings)).policy

    assert str(policy.drain_timeout_seconds) == settings["DrainTimeoutSeconds"]
    if "StandaloneGraceSeconds" in settings:
        assert str(policy.standalone_grace_seconds) == settings["StandaloneGraceSeconds"]


@pytest.mark.parametrize("setting", ["OnTimeout", "StandaloneTasks"])
def test_the_program_takes_every_choice_of_the_example(render: Render, setting: str) -> None:
    # A choice that the program does not know fails the stack of whoever makes it.
    for value in some(render(FLEET).template["Parameters"][setting]["AllowedValues"]):
        found = target(render(FLEET, **{setting: value}))

        assert value in (found.on_timeout, found.policy.standalone_tasks)


@EachExample
def test_the_longest_drain_is_all_that_is_left_of_cloudformations_hour(
    render: Render, example: str
) -> None:
    # Longer, and the deadline would not be where the parameter says.
    longest = render(example).template["Parameters"]["DrainTimeoutSeconds"]["MaxValue"]
    stack = render(example, DrainTimeoutSeconds=str(longest))
    request = Request(
        request_type=RequestType.DELETE,
        stack_id="stack",
        request_id="request",
        logical_id="Drain",
        physical_id=target(stack).physical_id,
        response_url="https://bucket.s3.amazonaws.com/answer",
        properties=properties(stack),
        started_at=NOON,
    )

    assert longest == SERVICE_TIMEOUT_SECONDS_MAX - RESPONSE_MARGIN_SECONDS
    assert (request.deadline_at(target(stack)) - NOON).total_seconds() == longest


@EachExample
@pytest.mark.parametrize("token", [TOPIC_ARN, FUNCTION_ARN])
def test_topic_and_function_are_taken_as_service_tokens(
    render: Render, example: str, token: str
) -> None:
    # One of the two outputs refused is one of the two ways in closed.
    parameter = render(example).template["Parameters"]["DrainerServiceToken"]

    assert re.fullmatch(parameter["AllowedPattern"], token)
    assert not re.fullmatch(parameter["AllowedPattern"], f"{token}:1")
    assert properties(render(example, DrainerServiceToken=token))["ServiceToken"] == token


def test_the_examples_ask_for_the_same_token_and_time(render: Render) -> None:
    # Two spellings of one setting are two settings to whoever reads the README.
    first, second = (render(example).template["Parameters"] for example in GUARDED)

    for name in ("DrainerServiceToken", "DrainTimeoutSeconds"):
        assert first[name] == second[name]


def test_the_fleet_has_several_pools_and_lets_its_instances_end_with_it(render: Render) -> None:
    # One pool is one interruption for all; instances that outlive their fleet are paid for by
    # nobody's intention.
    ((_, fleet),) = render(FLEET).resources("AWS::EC2::SpotFleet")
    config = fleet["SpotFleetRequestConfigData"]
    (launched,) = config["LaunchTemplateConfigs"]
    pools = {(one["InstanceType"], one["SubnetId"]) for one in launched["Overrides"]}

    assert config["Type"] == "maintain"
    assert config["AllocationStrategy"] == "priceCapacityOptimized"
    assert config["TerminateInstancesWithExpiration"] is True
    assert len({kind for kind, _ in pools}) > 1
    assert len({subnet for _, subnet in pools}) > 1


def test_the_fleets_instances_join_the_cluster_and_drain_when_spot_takes_them(
    render: Render,
) -> None:
    # An instance in another cluster is guarded by nobody.
    stack = render(FLEET)
    ((_, launched),) = stack.resources("AWS::EC2::LaunchTemplate")
    script = launched["LaunchTemplateData"]["UserData"]

    assert f"'ECS_CLUSTER={stack.physical_ids['Cluster']}'" in script
    assert "'ECS_ENABLE_SPOT_INSTANCE_DRAINING=true'" in script
    assert properties(stack)["Cluster"] == stack.physical_ids["Cluster"]


def test_only_spot_fleets_of_this_account_may_take_the_fleets_role(render: Render) -> None:
    # The role launches instances, whoever makes it do so.
    role = dict(render(FLEET).resources("AWS::IAM::Role"))["FleetRole"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "spotfleet.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ec2:eu-west-1:111122223333:spot-fleet-request/sfr-*"},
    }
    assert [one.rpartition("/")[2] for one in role["ManagedPolicyArns"]] == [
        "AmazonEC2SpotFleetTaggingRole"
    ]
