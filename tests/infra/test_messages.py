"""
The filter policies: each real message reaches its queue, and nothing else reaches any.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from drainer.drain.envelope import encode
from drainer.drain.model import Drain, LifecycleAction
from tests.infra.filters import wants
from tests.loops import some

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack

# As Auto Scaling publishes it when an instance is to terminate.
NOTIFICATION = {
    "Origin": "AutoScalingGroup",
    "LifecycleHookName": "drainer",
    "Destination": "EC2",
    "AccountId": "123456789012",
    "RequestId": "f02639a5-62b9-0772-d50e-09647ae07b49",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "AutoScalingGroupName": "web",
    "Service": "AWS Auto Scaling",
    "Time": "2024-03-23T03:26:43.904Z",
    "EC2InstanceId": "i-0123456789abcdef0",
    "LifecycleActionToken": "465e0162-e6af-4786-b4e8-bb544ae58790",
}
# As Auto Scaling publishes it once whenever a hook is made.
TEST_NOTIFICATION = {
    "AccountId": "123456789012",
    "RequestId": "585ad5cd-8a1d-11e4-b467-4194aad3947b",
    "AutoScalingGroupARN": (
        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:"
        "c1d2e3f4-0000-4000-8000-000000000000:autoScalingGroupName/web"
    ),
    "AutoScalingGroupName": "web",
    "Service": "AWS Auto Scaling",
    "Event": "autoscaling:TEST_NOTIFICATION",
    "Time": "2014-12-22T20:58:56.930Z",
}
LAUNCH = {**NOTIFICATION, "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DRAIN = Drain(
    action=LifecycleAction(
        auto_scaling_group_name="web",
        lifecycle_hook_name="drainer",
        ec2_instance_id="i-0123456789abcdef0",
        lifecycle_action_token="465e0162-e6af-4786-b4e8-bb544ae58790",
    ),
    started_at=NOON,
    last_heartbeat_at=NOON,
    hop=1,
)
ENVELOPE, QUIET = encode(DRAIN), encode(replace(DRAIN, quiet=True))


@pytest.mark.parametrize(
    ("message", "queues"),
    [
        pytest.param(json.dumps(NOTIFICATION), ["NoticeQueue"], id="a notification"),
        pytest.param(ENVELOPE, ["WaitQueue"], id="an envelope"),
        pytest.param(QUIET, ["QuietQueue"], id="a quiet one"),
        pytest.param(json.dumps(TEST_NOTIFICATION), [], id="a test notification"),
        pytest.param(json.dumps(LAUNCH), [], id="a launch"),
        pytest.param('{"drainer": "something else"}', [], id="a foreign message"),
    ],
)
def test_defect_16_each_message_reaches_its_queue_and_no_other(
    stack: DeployedStack, message: str, queues: list[str]
) -> None:
    # In the wrong queue a notification would wait undrained, and an envelope would come back
    # without a pause, ten times a second.
    reached = [
        subscription["Endpoint"].rpartition("-")[2]
        for _, subscription in stack.resources("AWS::SNS::Subscription")
        if wants(subscription, message)
    ]

    assert queues == reached


def test_defect_17_every_subscription_is_filtered_by_the_body(stack: DeployedStack) -> None:
    # An unfiltered subscriber would be flooded with our re-invocations.
    for _, subscription in some(stack.resources("AWS::SNS::Subscription")):
        assert subscription["FilterPolicy"]
        assert subscription["FilterPolicyScope"] == "MessageBody"
        # The program reads the SNS envelope in the record's body.
        assert not subscription.get("RawMessageDelivery", False)


def test_no_queue_is_subscribed_twice(stack: DeployedStack) -> None:
    # SNS answers the second one "Subscription already exists with different attributes", and the
    # whole stack is rolled back. The emulator's CloudFormation makes both.
    endpoints = [one["Endpoint"] for _, one in stack.resources("AWS::SNS::Subscription")]

    assert len(endpoints) == len(set(endpoints)) == 3
