"""
Auto Scaling: lifecycle states, hooks, heartbeats and answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from drainer.aws.auto_scaling import AUTO_SCALING_INSTANCES_MAX
from drainer.drain.model import Hook, LifecycleActionResult
from drainer.errors import LifecycleActionOverError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.aws.auto_scaling import AutoScalingGateway
    from drainer.drain.model import LifecycleAction
    from tests.contract.faces import Face, SimulationFace

GROUP = "payments-asg"
ABSENT = "i-0abcdef0123456789"
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer-Topic"
METADATA = '{"cluster": "payments", "drain_timeout_seconds": 600}'


@pytest.fixture
def action(simulation: SimulationFace) -> LifecycleAction:
    """
    The action of an instance that waits, in a group of three.
    """
    simulation.group(GROUP, 3)
    simulation.hook(GROUP, "drainer")
    return simulation.scale_in(GROUP)


def test_each_instance_says_its_group_and_state(face: Face) -> None:
    first = face.group("payments-asg")
    second = face.group("orders-asg", 2)

    assert face.auto_scaling.lifecycle_states([*first, *second]) == {
        first[0]: ("payments-asg", "InService"),
        second[0]: ("orders-asg", "InService"),
        second[1]: ("orders-asg", "InService"),
    }


# Fifty is the API's maximum: a hundred at once would blind the pass to all of them.
def test_defect_02_120_instances_are_described_by_fifties(face: Face) -> None:
    ids = face.group(GROUP, 120)

    states = face.auto_scaling.lifecycle_states(ids)

    assert states == dict.fromkeys(ids, (GROUP, "InService"))
    assert [len(one.parameters["InstanceIds"]) for one in face.asked] == [
        AUTO_SCALING_INSTANCES_MAX,
        AUTO_SCALING_INSTANCES_MAX,
        20,
    ]


# "Looking up a terminated EC2 instance raises" elsewhere; here it is in no group, that is all.
def test_defect_18_an_instance_in_no_group_is_left_out(face: Face) -> None:
    (there,) = face.group(GROUP)

    assert set(face.auto_scaling.lifecycle_states([ABSENT, there])) == {there}
    assert face.auto_scaling.lifecycle_states([ABSENT]) == {}


def test_defect_02_all_groups_are_read_page_by_page_with_all_of_their_instances(
    face: Face,
) -> None:
    # What is on no page that is read is never found by the sweep.
    ids = face.group(GROUP, 120)
    names = [f"group-{number:03}" for number in range(104)]
    others = {name: face.group(name)[0] for name in names}

    assert sorted(face.auto_scaling.group_names()) == sorted([GROUP, *names])

    states, pools = face.auto_scaling.states_in_groups([GROUP, *names])
    assert states == {
        **dict.fromkeys(ids, (GROUP, "InService")),
        **{one: (name, "InService") for name, one in others.items()},
    }
    assert pools == []


def test_of_no_groups_nothing_is_asked(face: Face) -> None:
    # DescribeAutoScalingGroups with an empty list describes every group of the account.
    face.group(GROUP)

    assert face.auto_scaling.states_in_groups([]) == ({}, [])
    assert face.auto_scaling.retaining([]) == set()
    assert face.operations() == []


def test_the_groups_that_retain_abandoned_instances_are_told_apart(
    simulation: SimulationFace,
) -> None:
    # Of a retained instance operators are told that it is billed until somebody frees it.
    simulation.group(GROUP)
    simulation.group("batch-asg")
    simulation.account.auto_scaling.groups["batch-asg"].retain_on_abandon = True

    assert simulation.auto_scaling.retaining([GROUP, "batch-asg", "gone"]) == {"batch-asg"}


def test_a_waiting_instance_is_seen_waiting(
    simulation: SimulationFace, action: LifecycleAction
) -> None:
    states = simulation.auto_scaling.lifecycle_states([action.ec2_instance_id])

    assert states == {action.ec2_instance_id: (GROUP, "Terminating:Wait")}


# A drainer that knows one wait state only lets the other two time out over running tasks.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
def test_an_instance_that_will_come_back_is_seen_waiting(simulation: SimulationFace) -> None:
    replaced, _ = simulation.group(GROUP, 2)
    simulation.hook(GROUP, "drainer")
    scaling = simulation.account.auto_scaling
    scaling.root_volumes.replace(scaling.instances[replaced])
    scaling.warm_pools.create(scaling.groups[GROUP], minimum=1, reuse=True)
    returning = simulation.scale_in(GROUP).ec2_instance_id

    states, pools = simulation.auto_scaling.states_in_groups([GROUP])
    warm = simulation.auto_scaling.states_in_warm_pool(GROUP)

    assert states == {replaced: (GROUP, "ReplacingRootVolume:Wait")}
    assert pools == [GROUP]
    assert warm.pop(returning) == (GROUP, "Warmed:Pending:Wait")
    assert [*warm.values()] == [(GROUP, "Warmed:Stopped")]


@pytest.mark.moto_fault(
    "put/describe_lifecycle_hook hard-code NotificationTargetARN and drop NotificationMetadata"
)
def test_hooks_tell_their_timeouts_target_and_metadata(face: Face) -> None:
    face.group(GROUP)
    face.hook(
        GROUP,
        "drainer",
        heartbeat_timeout_seconds=300,
        metadata=METADATA,
        target=TOPIC_ARN,
    )
    face.hook(GROUP, "other")

    assert face.auto_scaling.lifecycle_hooks(GROUP) == {
        "drainer": Hook("drainer", 300, 30_000, TOPIC_ARN, METADATA),
        "other": Hook("other", 1800, 172_800, None, None),
    }


def test_hooks_tell_their_names_and_heartbeat_timeouts(face: Face) -> None:
    face.group(GROUP)
    face.hook(GROUP, "drainer", heartbeat_timeout_seconds=300)
    face.hook(GROUP, "other", heartbeat_timeout_seconds=7200)

    hooks = face.auto_scaling.lifecycle_hooks(GROUP)

    timeouts = {name: hook.heartbeat_timeout_seconds for name, hook in hooks.items()}
    assert timeouts == {"drainer": 300, "other": 7200}


def test_a_group_without_hooks_has_none(face: Face) -> None:
    face.group(GROUP)

    assert face.auto_scaling.lifecycle_hooks(GROUP) == {}


@pytest.mark.moto_fault("describe_lifecycle_hooks of an unknown group returns []")
def test_the_hooks_of_a_missing_group_are_refused(face: Face) -> None:
    with pytest.raises(RefusedError, match="ValidationError"):
        face.auto_scaling.lifecycle_hooks("slip")


def test_a_heartbeat_reaches_its_action(
    simulation: SimulationFace, action: LifecycleAction
) -> None:
    simulation.auto_scaling.record_heartbeat(action)

    assert simulation.heartbeats() == [action.lifecycle_action_token]


def test_the_answer_ends_the_wait(simulation: SimulationFace, action: LifecycleAction) -> None:
    simulation.auto_scaling.complete(action, LifecycleActionResult.CONTINUE)

    states = simulation.auto_scaling.lifecycle_states([action.ec2_instance_id])
    assert states == {action.ec2_instance_id: (GROUP, "Terminating:Proceed")}
    assert [one.result for one in simulation.account.auto_scaling.actions] == ["CONTINUE"]


# CONTINUE where the policy says ABANDON terminates an instance that was to be retained.
def test_defect_26_abandon_is_answered_as_such(
    simulation: SimulationFace, action: LifecycleAction
) -> None:
    simulation.auto_scaling.complete(action, LifecycleActionResult.ABANDON)

    assert [one.result for one in simulation.account.auto_scaling.actions] == ["ABANDON"]


def heartbeat(gateway: AutoScalingGateway, action: LifecycleAction) -> None:
    gateway.record_heartbeat(action)


def complete(gateway: AutoScalingGateway, action: LifecycleAction) -> None:
    gateway.complete(action, LifecycleActionResult.CONTINUE)


Answer = pytest.mark.parametrize("answer", [heartbeat, complete])


# Taken for a failure, it would be retried for ever over an instance that has long gone.
@Answer
def test_defect_09_an_action_that_was_answered_is_over(
    simulation: SimulationFace,
    action: LifecycleAction,
    answer: Callable[[AutoScalingGateway, LifecycleAction], None],
) -> None:
    simulation.auto_scaling.complete(action, LifecycleActionResult.CONTINUE)

    with pytest.raises(LifecycleActionOverError, match="No active Lifecycle Action found"):
        answer(simulation.auto_scaling, action)


@Answer
def test_defect_09_an_action_whose_instance_has_gone_is_over(
    simulation: SimulationFace,
    action: LifecycleAction,
    answer: Callable[[AutoScalingGateway, LifecycleAction], None],
) -> None:
    simulation.auto_scaling.complete(action, LifecycleActionResult.CONTINUE)
    simulation.account.run_for(3600)
    assert simulation.auto_scaling.lifecycle_states([action.ec2_instance_id]) == {}

    with pytest.raises(LifecycleActionOverError):
        answer(simulation.auto_scaling, action)


# Taken for "over", a typo would end the drain quietly and leave the instance to the timeout.
@Answer
@pytest.mark.parametrize("wrong", ["auto_scaling_group_name", "lifecycle_hook_name"])
def test_defect_09_another_validation_error_is_a_refusal(
    simulation: SimulationFace,
    action: LifecycleAction,
    answer: Callable[[AutoScalingGateway, LifecycleAction], None],
    wrong: str,
) -> None:
    typo = replace(action, **{wrong: "slip"})

    with pytest.raises(RefusedError, match="ValidationError"):
        answer(simulation.auto_scaling, typo)


# Both are optional to the API: without the token, a duplicate of an old message answers a new
# action.
@Answer
def test_defect_23_all_four_identifiers_are_sent(
    simulation: SimulationFace,
    action: LifecycleAction,
    answer: Callable[[AutoScalingGateway, LifecycleAction], None],
) -> None:
    answer(simulation.auto_scaling, action)

    (asked,) = simulation.asked
    sent = {key: value for key, value in asked.parameters.items() if "Result" not in key}
    assert sent == {
        "AutoScalingGroupName": action.auto_scaling_group_name,
        "LifecycleHookName": action.lifecycle_hook_name,
        "InstanceId": action.ec2_instance_id,
        "LifecycleActionToken": action.lifecycle_action_token,
    }


@Answer
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lifecycle_action_token", "87654321-4321-4321-4321-210987654321"),
        ("ec2_instance_id", ABSENT),
    ],
)
def test_defect_23_an_old_token_or_another_instance_answers_nothing(
    simulation: SimulationFace,
    action: LifecycleAction,
    answer: Callable[[AutoScalingGateway, LifecycleAction], None],
    field: str,
    value: str,
) -> None:
    with pytest.raises(LifecycleActionOverError):
        answer(simulation.auto_scaling, replace(action, **{field: value}))

    states = simulation.auto_scaling.lifecycle_states([action.ec2_instance_id])
    assert states == {action.ec2_instance_id: (GROUP, "Terminating:Wait")}
    assert simulation.heartbeats() == []


# An empty token is refused by the API; what the sweep finds has none, and must be answerable.
@Answer
def test_defect_23_an_unknown_token_is_left_out_and_the_other_three_are_sent(
    simulation: SimulationFace,
    action: LifecycleAction,
    answer: Callable[[AutoScalingGateway, LifecycleAction], None],
) -> None:
    answer(simulation.auto_scaling, replace(action, lifecycle_action_token=""))

    (asked,) = simulation.asked
    assert "LifecycleActionToken" not in asked.parameters
    assert asked.parameters["InstanceId"] == action.ec2_instance_id
