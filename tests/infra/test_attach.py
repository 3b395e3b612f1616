"""
The lifecycle hook of attach.yaml and of the example: metadata, results and bounds.
"""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import METADATA, Config
from tests.infra.test_guards import before

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

SETTINGS: dict[str, tuple[str, str, Any]] = {
    "Cluster": ("cluster", "payments", "payments"),
    "DrainTimeoutSeconds": ("drain_timeout_seconds", "7200", 7200),
    "DeadlineResult": ("deadline_result", "ABANDON", "ABANDON"),
    "StandaloneTasks": ("standalone_tasks", "stop", "stop"),
    "StandaloneGraceSeconds": ("standalone_grace_seconds", "0", 0),
}
# "Length Constraints: Minimum length of 1. Maximum length of 4000."
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
METADATA_LENGTH_MAX = 4000


def hook(stack: DeployedStack) -> dict[str, Any]:
    hooks = [properties for _, properties in stack.resources("AWS::AutoScaling::LifecycleHook")]
    for _, group in stack.resources("AWS::AutoScaling::AutoScalingGroup"):
        hooks += group.get("LifecycleHookSpecificationList", [])
    (found,) = hooks
    return found


@pytest.mark.parametrize("given", list(product([False, True], repeat=5)))
def test_metadata_is_json_of_exactly_what_is_given(render: Render, given: tuple[bool, ...]) -> None:
    # Broken JSON would leave the drain with the drainer's defaults, or with the wrong cluster.
    chosen = [name for name, is_given in zip(SETTINGS, given, strict=True) if is_given]
    stack = render("attach.yaml", **{name: SETTINGS[name][1] for name in chosen})

    metadata = hook(stack).get("NotificationMetadata", "{}")

    assert {SETTINGS[name][0]: SETTINGS[name][2] for name in chosen} == json.loads(metadata)
    # Auto Scaling refuses metadata of no length, and {} would say nothing.
    assert ("NotificationMetadata" in hook(stack)) is bool(chosen)


@pytest.mark.parametrize(
    ("template", "parameters"),
    [
        ("attach.yaml", {name: value for name, (_, value, _) in SETTINGS.items()}),
        ("examples/cluster.yaml", {}),
    ],
)
def test_the_program_understands_all_of_the_metadata(
    render: Render, template: str, parameters: dict[str, str]
) -> None:
    # A key under another name is a setting that silently does nothing.
    metadata = hook(render(template, **parameters))["NotificationMetadata"]

    _, problems = Config(topic_arn="").policy(metadata)

    assert set(METADATA) == set(json.loads(metadata))
    assert problems == ()
    assert len(metadata) <= METADATA_LENGTH_MAX
    assert metadata.isascii()
    assert metadata.isprintable()


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        (
            "DrainTimeoutSeconds",
            (60, 99, 100, 3600, 99999, 172799, 172800),
            (0, 59, 172801, 999999),
        ),
        ("StandaloneGraceSeconds", (0, 9, 300, 99999, 169999, 172800), (172801, 180000, 999999)),
    ],
)
def test_an_optional_number_keeps_its_bounds(
    render: Render, name: str, accepted: tuple[int, ...], refused: tuple[int, ...]
) -> None:
    # As text it has no MinValue and MaxValue; a typo must not become a three-day drain.
    pattern = re.compile(render("attach.yaml").template["Parameters"][name]["AllowedPattern"])

    assert all(pattern.fullmatch(str(value)) for value in accepted)
    assert not any(pattern.fullmatch(str(value)) for value in refused)
    assert pattern.fullmatch("")
    assert not pattern.fullmatch("0060")
    assert not pattern.fullmatch("-1")


@pytest.mark.parametrize(
    "template", ["attach.yaml", "examples/cluster.yaml", "examples/group-with-hook.yaml"]
)
def test_defect_26_the_hook_lets_the_groups_other_hooks_go_on(
    render: Render, template: str
) -> None:
    # ABANDON from one hook skips all the others, ECS's own among them.
    stack = render(template)
    properties = hook(stack)

    assert properties["DefaultResult"] == "CONTINUE"
    assert properties["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert stack.exports["drainer-TopicArn"] == properties["NotificationTargetARN"]
    assert properties["RoleARN"].endswith(stack.physical_ids["NotificationRole"])


def test_defect_26_the_example_retains_an_instance_that_was_abandoned(render: Render) -> None:
    # Without the retention trigger ABANDON terminates as CONTINUE does, and kills what is left.
    ((_, group),) = render("examples/cluster.yaml").resources("AWS::AutoScaling::AutoScalingGroup")

    assert group["InstanceLifecyclePolicy"]["RetentionTriggers"] == {
        "TerminateHookAbandon": "retain"
    }


def test_the_example_can_move_its_tasks(render: Render) -> None:
    # At a minimum and maximum of 100 percent a drain never moves a task.
    services = dict(render("examples/cluster.yaml").resources("AWS::ECS::Service"))
    rollout = services["WebService"]["DeploymentConfiguration"]

    assert (rollout["MinimumHealthyPercent"], rollout["MaximumPercent"]) == (100, 200)
    assert services["DaemonService"]["SchedulingStrategy"] == "DAEMON"


def test_a_hook_inside_its_group_goes_no_earlier_than_the_group(render: Render) -> None:
    # A hook that is a resource of its own is deleted before its group, whose instances then go
    # undrained.
    stack = render("examples/group-with-hook.yaml")
    ((name, group),) = stack.resources("AWS::AutoScaling::AutoScalingGroup")
    (inside,) = group["LifecycleHookSpecificationList"]

    assert list(stack.resources("AWS::AutoScaling::LifecycleHook")) == []
    # What the hook notifies with must still be there: the role is made before the group and deleted
    # after it, and its permission is a part of it.
    assert "NotificationRole" in before(dict(stack.template), name)
    assert inside["RoleARN"].endswith(stack.physical_ids["NotificationRole"])
    assert not any(
        one["Type"] == "AWS::IAM::Policy" for one in stack.template["Resources"].values()
    )
    assert inside["NotificationTargetARN"] == stack.exports["drainer-TopicArn"]
    _, problems = Config(topic_arn="").policy(inside["NotificationMetadata"])
    assert problems == ()
