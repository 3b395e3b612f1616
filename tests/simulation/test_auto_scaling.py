"""The simulated Auto Scaling behaves as the documentation of lifecycle hooks says."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from drainer.simulation.aws import Aws
from drainer.simulation.records import ApiError, NotReachedError
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from drainer.simulation.protocol.client import InProcessClient
    from drainer.simulation.records import Notification
    from drainer.simulation.services.auto_scaling.model import Instance

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer"


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.ecs.create_cluster("payments")
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    return account


@pytest.fixture
def scaling(account: Aws) -> InProcessClient:
    return account.client("autoscaling")


def hook(name: str = "drainer", **given: Any) -> LifecycleHook:
    settings = {"heartbeat_timeout_seconds": 300, "default_result": "CONTINUE", **given}
    return LifecycleHook(name, "payments-asg", **settings)


def leave(account: Aws) -> Instance:
    return account.auto_scaling.scale_in("payments-asg", 1)[0]


def state(instance: Instance) -> str:
    return instance.lifecycle_state


def elapsed_seconds(account: Aws) -> float:
    return (account.now - START).total_seconds()


def answer(
    scaling: InProcessClient, instance: Instance, result: str = "CONTINUE", hook: str = "drainer"
) -> None:
    scaling.complete_lifecycle_action(
        AutoScalingGroupName="payments-asg",
        LifecycleHookName=hook,
        InstanceId=instance.ec2_instance_id,
        LifecycleActionResult=result,
    )


def beat(scaling: InProcessClient, token: str) -> None:
    scaling.record_lifecycle_action_heartbeat(
        AutoScalingGroupName="payments-asg",
        LifecycleHookName="drainer",
        LifecycleActionToken=token,
    )


# Without hooks there is nothing to wait for: a simulation that waited would prove nothing.
def test_an_instance_without_a_hook_is_terminated_within_seconds(account: Aws) -> None:
    instance = leave(account)

    account.run_until(lambda: instance.lifecycle_state == "Terminated", timedelta(seconds=10))


# A released instance that stayed would hide tasks killed by a drainer that answers early.
def test_continue_releases_the_instance_and_kills_what_still_runs(
    account: Aws, scaling: InProcessClient
) -> None:
    account.ecs.create_service("payments", "web", desired=3)
    account.auto_scaling.put_hook(hook())
    instance = leave(account)
    account.run_for(60)

    answer(scaling, instance)
    assert state(instance) == "Terminating:Proceed"
    account.run_for(10)

    assert state(instance) == "Terminated"
    assert len(account.facts("killed")) == 1
    assert account.facts("killed")[0].about["last_status"] == "RUNNING"
    assert len(account.facts("released")[0].about["remaining"]) == 1
    container_instance = account.ecs.container_instance(instance.ec2_instance_id)
    assert container_instance is not None
    assert not container_instance.agent_connected


# Silence must cost what it costs on AWS, or a dead drainer would go unnoticed here.
@pytest.mark.parametrize("default", ["CONTINUE", "ABANDON"])
def test_silence_ends_in_the_default_result_after_the_heartbeat_timeout(
    account: Aws, default: str
) -> None:
    account.auto_scaling.put_hook(hook(default_result=default))
    instance = leave(account)

    account.run_until(lambda: not instance.actions[0].is_open, timedelta(hours=1))

    assert elapsed_seconds(account) == 300
    assert (instance.actions[0].result, instance.actions[0].ended_by) == (default, "timeout")


# A heartbeat that added up instead of restarting would let a slow drainer pass.
def test_a_heartbeat_restarts_the_timeout(account: Aws, scaling: InProcessClient) -> None:
    account.auto_scaling.put_hook(hook())
    action = leave(account).actions[0]

    account.run_for(100)
    beat(scaling, action.token)
    account.run_for(100)
    beat(scaling, action.token)
    account.run_until(lambda: not action.is_open, timedelta(hours=1))

    assert elapsed_seconds(account) == 500
    assert len(action.heartbeats) == 2


# The global timeout is what ends a drain that beats for ever.
def test_early_heartbeats_do_not_pass_the_global_timeout(
    account: Aws, scaling: InProcessClient
) -> None:
    account.auto_scaling.put_hook(hook(heartbeat_timeout_seconds=30))
    action = leave(account).actions[0]

    for _ in range(149):
        account.run_for(20)
        beat(scaling, action.token)
    account.run_until(lambda: not action.is_open, timedelta(hours=1))

    assert elapsed_seconds(account) == 3_000
    assert action.result == "CONTINUE"


@pytest.mark.parametrize(
    ("heartbeat_timeout_seconds", "global_timeout_seconds"),
    [(30, 3_000), (1_727, 172_700), (1_728, 172_800), (7_200, 172_800)],
)
def test_the_global_timeout_is_the_smaller_of_48_hours_and_100_heartbeats(
    account: Aws,
    scaling: InProcessClient,
    heartbeat_timeout_seconds: int,
    global_timeout_seconds: int,
) -> None:
    account.auto_scaling.put_hook(hook(heartbeat_timeout_seconds=heartbeat_timeout_seconds))

    described = scaling.describe_lifecycle_hooks(AutoScalingGroupName="payments-asg")

    assert global_timeout_seconds == described["LifecycleHooks"][0]["GlobalTimeout"]


# Hooks in a row would give the second one time that it does not have.
def test_two_hooks_wait_in_parallel_and_the_instance_for_both(
    account: Aws, scaling: InProcessClient
) -> None:
    account.auto_scaling.put_hook(hook())
    account.auto_scaling.put_hook(hook("other"))
    instance = leave(account)
    first, second = instance.actions
    assert first.token != second.token

    answer(scaling, instance)
    assert state(instance) == "Terminating:Wait"
    answer(scaling, instance, hook="other")

    assert state(instance) == "Terminating:Proceed"
    assert elapsed_seconds(account) == 0


# "abandon stops any remaining actions": whoever answers ABANDON takes the others' time away.
def test_abandon_skips_the_other_hooks(account: Aws, scaling: InProcessClient) -> None:
    account.auto_scaling.put_hook(hook())
    account.auto_scaling.put_hook(hook("other"))
    instance = leave(account)

    answer(scaling, instance, "ABANDON")

    assert state(instance) == "Terminating:Proceed"
    assert [action.ended_by for action in instance.actions] == ["completed", "skipped"]
    with pytest.raises(ClientError, match="No active Lifecycle Action found with instance ID"):
        answer(scaling, instance, hook="other")


# The retention trigger is what makes ABANDON save the instance.
def test_abandon_retains_the_instance_where_the_group_says_so(
    account: Aws, scaling: InProcessClient
) -> None:
    group = account.auto_scaling.groups["payments-asg"]
    group.retain_on_abandon = True
    account.auto_scaling.put_hook(hook())
    instance = leave(account)
    first_token = instance.actions[0].token

    answer(scaling, instance, "ABANDON")
    account.run_for(3_600)
    assert state(instance) == "Terminating:Retained"

    with pytest.raises(ClientError, match="without decrement"):
        scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance.ec2_instance_id, ShouldDecrementDesiredCapacity=True
        )
    scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=instance.ec2_instance_id, ShouldDecrementDesiredCapacity=False
    )
    assert state(instance) == "Terminating:Wait"
    assert instance.actions[0].token != first_token


def test_a_retained_instance_is_replaced(account: Aws, scaling: InProcessClient) -> None:
    group = account.auto_scaling.groups["payments-asg"]
    group.retain_on_abandon = True
    account.auto_scaling.put_hook(hook())
    instance = account.auto_scaling.instances[next(iter(group.instances))]
    account.auto_scaling.terminate(instance, decrement=False)
    answer(scaling, instance, "ABANDON")

    account.run_for(60)

    states = sorted(one.lifecycle_state for one in group.instances.values())
    assert states == ["InService", "InService", "InService", "Terminating:Retained"]


# The answer to an action that is over is what a late duplicate of a message meets.
def test_an_action_is_answered_once(account: Aws, scaling: InProcessClient) -> None:
    account.auto_scaling.put_hook(hook())
    instance = leave(account)
    token = instance.actions[0].token
    answer(scaling, instance)

    with pytest.raises(ClientError) as refusal:
        beat(scaling, token)

    assert refusal.value.response["Error"] == {
        "Code": "ValidationError",
        "Message": f"No active Lifecycle Action found with token {token}",
    }
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_token_of_another_instance_or_hook_answers_nothing(
    account: Aws, scaling: InProcessClient
) -> None:
    account.auto_scaling.put_hook(hook())
    account.auto_scaling.put_hook(hook("other"))
    one, two = account.auto_scaling.scale_in("payments-asg", 2)

    with pytest.raises(ClientError, match="No active Lifecycle Action found with token"):
        scaling.complete_lifecycle_action(
            AutoScalingGroupName="payments-asg",
            LifecycleHookName="drainer",
            InstanceId=two.ec2_instance_id,
            LifecycleActionToken=one.actions[0].token,
            LifecycleActionResult="CONTINUE",
        )
    with pytest.raises(ClientError, match="No active Lifecycle Action found with token"):
        scaling.complete_lifecycle_action(
            AutoScalingGroupName="payments-asg",
            LifecycleHookName="other",
            LifecycleActionToken=one.actions[0].token,
            LifecycleActionResult="CONTINUE",
        )
    assert all(action.is_open for action in (*one.actions, *two.actions))


@pytest.mark.parametrize(
    ("group", "hook_name"), [("nobody", "drainer"), ("payments-asg", "nobody")]
)
def test_an_unknown_group_or_hook_is_a_validation_error_of_another_text(
    account: Aws, scaling: InProcessClient, group: str, hook_name: str
) -> None:
    account.auto_scaling.put_hook(hook())

    with pytest.raises(ClientError) as refusal:
        scaling.complete_lifecycle_action(
            AutoScalingGroupName=group,
            LifecycleHookName=hook_name,
            LifecycleActionToken="0" * 36,
            LifecycleActionResult="CONTINUE",
        )

    error = refusal.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert "No active Lifecycle Action" not in error["Message"]


# The message is what production parses; a key too many or too few would train it wrongly.
@pytest.mark.parametrize("metadata", [None, '{"cluster": "payments"}'])
def test_the_notification_has_the_shape_that_auto_scaling_sends(
    account: Aws, metadata: str | None
) -> None:
    sent: list[Notification] = []
    account.auto_scaling.put_hook(
        hook(notification_target_arn=TOPIC_ARN, notification_metadata=metadata)
    )
    account.on_notification.append(sent.append)
    instance = leave(account)

    (notification,) = sent
    expected = {
        "Origin": "AutoScalingGroup",
        "Destination": "EC2",
        "LifecycleHookName": "drainer",
        "AccountId": "123456789012",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": "payments-asg",
        "Service": "AWS Auto Scaling",
        "Time": "2026-11-20T12:00:00.000Z",
        "EC2InstanceId": instance.ec2_instance_id,
        "LifecycleActionToken": instance.actions[0].token,
        "RequestId": notification.message["RequestId"],
    }
    if metadata is not None:
        expected["NotificationMetadata"] = metadata
    assert expected == notification.message
    assert len(instance.actions[0].token) == 36
    assert notification.target_arn == TOPIC_ARN
    assert notification.subject.startswith("Auto Scaling:  Lifecycle action 'TERMINATING'")


def test_a_new_target_gets_the_test_notification(account: Aws) -> None:
    sent: list[Notification] = []
    account.on_notification.append(sent.append)

    account.auto_scaling.put_hook(hook(notification_target_arn=TOPIC_ARN))
    account.auto_scaling.put_hook(hook(notification_target_arn=TOPIC_ARN))

    (notification,) = sent
    assert notification.message["Event"] == "autoscaling:TEST_NOTIFICATION"
    assert "LifecycleTransition" not in notification.message


def test_the_event_bridge_twin_goes_out_as_well(account: Aws) -> None:
    events: list[dict[str, Any]] = []
    account.auto_scaling.put_hook(hook())
    account.on_event.append(events.append)

    instance = leave(account)

    (event,) = [event for event in events if event["source"] == "aws.autoscaling"]
    assert event["detail-type"] == "EC2 Instance-terminate Lifecycle Action"
    assert event["detail"]["LifecycleActionToken"] == instance.actions[0].token
    assert "Time" not in event["detail"]


# A topic that rejects the notification makes an undrained termination: the trap behind a broken
# key.
def test_a_rejected_notification_applies_the_default_result_at_once(account: Aws) -> None:
    def reject(_: Notification) -> None:
        raise ApiError("KMSAccessDenied", "denied")

    account.auto_scaling.put_hook(hook(notification_target_arn=TOPIC_ARN))
    account.on_notification.append(reject)

    instance = leave(account)

    assert state(instance) == "Terminating:Proceed"
    assert instance.actions[0].ended_by == "rejected"


def test_deleting_a_hook_continues_its_open_actions(account: Aws, scaling: InProcessClient) -> None:
    account.auto_scaling.put_hook(hook())
    instance = leave(account)

    scaling.delete_lifecycle_hook(AutoScalingGroupName="payments-asg", LifecycleHookName="drainer")

    assert instance.actions[0].result == "CONTINUE"
    assert state(instance) == "Terminating:Proceed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"HeartbeatTimeout": 29},
        {"HeartbeatTimeout": 7_201},
        {"DefaultResult": "RETRY"},
        {"LifecycleTransition": "autoscaling:EC2_INSTANCE_LEAVING"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_hook_outside_the_bounds_is_refused(
    scaling: InProcessClient, wrong: dict[str, Any]
) -> None:
    request = {
        "AutoScalingGroupName": "payments-asg",
        "LifecycleHookName": "drainer",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        **wrong,
    }

    with pytest.raises(ClientError, match="ValidationError"):
        scaling.put_lifecycle_hook(**request)


def test_changing_a_hook_keeps_what_is_not_given(scaling: InProcessClient) -> None:
    names = {"AutoScalingGroupName": "payments-asg", "LifecycleHookName": "drainer"}
    scaling.put_lifecycle_hook(
        **names,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        NotificationMetadata="payments",
    )

    scaling.put_lifecycle_hook(**names, HeartbeatTimeout=600)

    (described,) = scaling.describe_lifecycle_hooks(AutoScalingGroupName="payments-asg")[
        "LifecycleHooks"
    ]
    assert described["NotificationMetadata"] == "payments"
    assert described["HeartbeatTimeout"] == 600
    assert described["DefaultResult"] == "ABANDON"


def test_scale_in_takes_the_oldest_and_keeps_the_desired_capacity_low(account: Aws) -> None:
    group = account.auto_scaling.groups["payments-asg"]
    oldest = [*group.instances][:2]

    account.auto_scaling.set_desired(group, 1)
    account.run_for(600)

    gone = [fact.about["ec2_instance_id"] for fact in account.facts("terminated")]
    assert oldest == gone
    assert len(group.instances) == 1


# The replacement is where the tasks go; one that never came would make every drain hang.
def test_an_instance_terminated_without_decrement_is_replaced(
    account: Aws, scaling: InProcessClient
) -> None:
    group = account.auto_scaling.groups["payments-asg"]
    leaving = next(iter(group.instances))

    scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=leaving, ShouldDecrementDesiredCapacity=False
    )
    account.run_for(61)

    assert len(group.instances) == 3
    assert leaving not in group.instances
    newest = [*group.instances][-1]
    assert account.ecs.container_instance(newest) is not None


def test_unknown_instances_are_left_out_of_the_description(
    account: Aws, scaling: InProcessClient
) -> None:
    known = next(iter(account.auto_scaling.instances))

    described = scaling.describe_auto_scaling_instances(InstanceIds=[known, "i-00000000000000000"])

    assert [known] == [one["InstanceId"] for one in described["AutoScalingInstances"]]


def test_no_more_than_fifty_instances_are_described_at_a_time(scaling: InProcessClient) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        scaling.describe_auto_scaling_instances(InstanceIds=["i-1"] * 51)


def test_three_hundred_and_fifty_instances_come_in_seven_pages() -> None:
    account = Aws(now=START)
    account.auto_scaling.create_group("crowd", desired=350)

    pages = [
        *account.client("autoscaling").get_paginator("describe_auto_scaling_instances").paginate()
    ]

    ids = [one["InstanceId"] for page in pages for one in page["AutoScalingInstances"]]
    assert len(pages) == 7
    assert len(set(ids)) == 350


def test_the_desired_capacity_stays_within_the_group_s_bounds(scaling: InProcessClient) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        scaling.set_desired_capacity(AutoScalingGroupName="payments-asg", DesiredCapacity=1_000)


# botocore is the judge of parameters in process as well, or a typing mistake would pass here.
def test_a_parameter_that_the_api_does_not_know_is_refused(scaling: InProcessClient) -> None:
    with pytest.raises(ParamValidationError):
        scaling.describe_lifecycle_hooks(GroupName="payments-asg")


# What one call was judged to be says nothing about another of another form.
@pytest.mark.parametrize(
    "wrong",
    [
        {"AutoScalingGroupName": "payments-asg", "Name": "one"},
        {"AutoScalingGroupName": ["payments-asg"]},
        {"AutoScalingGroupName": ""},
        {"AutoScalingGroupName": 12},
        {"AutoScalingGroupName": None},
        {"AutoScalingGroupName": "payments-asg", "LifecycleHookNames": [12]},
        {"AutoScalingGroupName": "payments-asg", "LifecycleHookNames": {"drainer": 1}},
        {"LifecycleHookNames": ["drainer"]},
        {},
    ],
    ids=str,
)
def test_what_was_right_once_does_not_let_through_what_is_wrong(
    scaling: InProcessClient, wrong: dict[str, Any]
) -> None:
    right = {"AutoScalingGroupName": "payments-asg", "LifecycleHookNames": ["drainer"]}
    for parameters in ({"AutoScalingGroupName": "payments-asg"}, right):
        with suppress(ClientError):
            scaling.describe_lifecycle_hooks(**parameters)

    with pytest.raises(ParamValidationError):
        scaling.describe_lifecycle_hooks(**wrong)


def test_what_never_happens_is_told_and_not_waited_for(account: Aws) -> None:
    with pytest.raises(NotReachedError):
        account.run_until(lambda: False, timedelta(hours=1))


# A run that cannot be repeated cannot be debugged.
def test_the_same_seed_gives_the_same_history() -> None:
    def history(seed: int) -> list[Any]:
        account = Aws(now=START, seed=seed)
        account.auto_scaling.create_group("g", cluster="c", desired=3)
        account.ecs.create_service("c", "web", desired=3)
        account.auto_scaling.scale_in("g", 1)
        account.run_for(600)
        return [*account.history]

    assert history(7) == history(7)
    assert history(7) != history(8)
