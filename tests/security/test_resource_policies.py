"""
Who may publish to the topic, put messages into the queues, and invoke the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.scenario.shipped import shipped_stack
from drainer.simulation.services.iam.policy import Policy, Request
from tests.loops import some

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack

ACCOUNT_ID, REGION = "123456789012", "us-east-1"
PLACE = f"{REGION}:{ACCOUNT_ID}"
TOPIC = f"arn:aws:sns:{PLACE}:drainer"
SNS, EVENTS = "sns.amazonaws.com", "events.amazonaws.com"
FAST_PATH, STOPPED_TASKS, SWEEP, NOTIFICATIONS = (
    f"arn:aws:events:{PLACE}:rule/drainer-{name}"
    for name in ("FastPath", "StoppedTasks", "Sweep", "EventBridgeNotices")
)
# Whoever asks, and what the request says of its source.
OUTSIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "nobody known": ("", {}),
    "everybody": ("*", {}),
    "a role of another account": ("arn:aws:iam::999999999999:role/drainer", {}),
    "the root of another account": ("arn:aws:iam::999999999999:root", {}),
    "SNS without a topic": (SNS, {}),
    "another topic": (SNS, {"aws:SourceArn": f"arn:aws:sns:{PLACE}:another"}),
    "a topic whose name begins alike": (SNS, {"aws:SourceArn": f"{TOPIC}-2"}),
    "a topic of that name elsewhere": (
        SNS,
        {"aws:SourceArn": f"arn:aws:sns:{REGION}:999999999999:drainer"},
    ),
    "EventBridge without a rule": (EVENTS, {}),
    "another rule": (EVENTS, {"aws:SourceArn": f"arn:aws:events:{PLACE}:rule/another"}),
    "a rule of that name elsewhere": (
        EVENTS,
        {"aws:SourceArn": f"arn:aws:events:{REGION}:999999999999:rule/drainer-FastPath"},
    ),
    "Lambda": ("lambda.amazonaws.com", {"aws:SourceArn": TOPIC}),
    "S3 in the topic's name": ("s3.amazonaws.com", {"aws:SourceArn": TOPIC}),
    "CloudFormation for a stack elsewhere": (
        "cloudformation.amazonaws.com",
        {"aws:SourceArn": f"arn:aws:cloudformation:{REGION}:999999999999:stack/web/1"},
    ),
}
INSIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "a role of this account": (f"arn:aws:iam::{ACCOUNT_ID}:role/hook", {}),
    # CloudFormation asks as they do.
    "who runs a stack": (f"arn:aws:iam::{ACCOUNT_ID}:user/operator", {}),
    "the topic": (SNS, {"aws:SourceArn": TOPIC}),
    "the fast path": (EVENTS, {"aws:SourceArn": FAST_PATH}),
    "the stopped tasks": (EVENTS, {"aws:SourceArn": STOPPED_TASKS}),
    "the sweep": (EVENTS, {"aws:SourceArn": SWEEP}),
    "the notifications": (EVENTS, {"aws:SourceArn": NOTIFICATIONS}),
}
# Each place that takes messages, and who of all these may send there.
ADMITTED = {
    "Topic": {"a role of this account", "who runs a stack"},
    "NoticeQueue": {"the topic"},
    "WakeUpQueue": {"the fast path", "the stopped tasks"},
    "WaitQueue": {"the topic"},
    "QuietQueue": {"the topic"},
    # SQS itself moves messages here too, and asks no policy.
    "DeadLetterQueue": {
        "the topic",
        "the fast path",
        "the stopped tasks",
        "the sweep",
        "the notifications",
    },
}
SENDING = {"AWS::SNS::Topic": "sns:Publish", "AWS::SQS::Queue": "sqs:SendMessage"}
# What only an owner may do: read on, silence, or change who may do what.
OWNING = (
    "sns:Subscribe",
    "sns:SetTopicAttributes",
    "sns:AddPermission",
    "sns:DeleteTopic",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:PurgeQueue",
    "sqs:SetQueueAttributes",
    "sqs:AddPermission",
)


@pytest.fixture(scope="module")
def stack() -> DeployedStack:
    return shipped_stack(ACCOUNT_ID, REGION, ServeEventBridgeNotices="true")


def policies(stack: DeployedStack) -> dict[str, Policy]:
    """The statements about each place, by the place's ARN."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, names in (("AWS::SNS::TopicPolicy", "Topics"), ("AWS::SQS::QueuePolicy", "Queues")):
        for _, one in stack.resources(kind):
            for place in one[names]:
                found.setdefault(place, []).extend(one["PolicyDocument"]["Statement"])
    return {place: Policy(statements) for place, statements in found.items()}


def asking(who: str, action: str, resource: str) -> Request:
    principal, context = {**OUTSIDERS, **INSIDERS}[who]
    return Request(action, resource, principal, context)


@pytest.mark.parametrize("place", ADMITTED)
def test_a_place_takes_messages_from_its_own_senders_only(stack: DeployedStack, place: str) -> None:
    # A second door to the function: whoever gets in can let instances be looked at, and drained.
    arn = stack.physical_ids[place]
    policy = policies(stack).get(arn, Policy([]))
    action = SENDING[stack.template["Resources"][place]["Type"]]

    admitted = {who for who in [*OUTSIDERS, *INSIDERS] if policy.allowing(asking(who, action, arn))}

    assert admitted == ADMITTED[place]


@pytest.mark.parametrize("who", [*OUTSIDERS, *INSIDERS])
def test_nobody_is_given_more_than_to_send(stack: DeployedStack, who: str) -> None:
    # Who may subscribe reads the tokens; who may delete loses the drains.
    for arn, policy in some(policies(stack).items()):
        allowed = [one for one in OWNING if policy.allowing(asking(who, one, arn))]
        assert allowed == []


def test_every_queue_and_topic_of_the_stack_is_in_the_table(stack: DeployedStack) -> None:
    places = {name for kind in SENDING for name, _ in stack.resources(kind)}

    assert places == set(ADMITTED)


def test_the_function_is_invoked_by_the_rules_of_this_stack_and_account(
    stack: DeployedStack,
) -> None:
    # A permission without a source would let any rule of any account in.
    found = {
        (one["Principal"], one["SourceArn"], one["Action"])
        for _, one in stack.resources("AWS::Lambda::Permission")
    }

    # Each ARN names its account.
    assert found == {(EVENTS, source, "lambda:InvokeFunction") for source in (SWEEP, NOTIFICATIONS)}
    assert all(f":{ACCOUNT_ID}:" in source for _, source, _ in found)


def test_the_tables_are_opened_to_nobody_by_policies_of_their_own(stack: DeployedStack) -> None:
    # They hold secrets; who may read them is for the identity policies of this account to say.
    tables = dict(stack.resources("AWS::DynamoDB::Table"))

    assert len(tables) == 2
    assert [name for name, table in tables.items() if "ResourcePolicy" in table] == []


def test_only_lambda_may_take_the_role(stack: DeployedStack) -> None:
    role = dict(stack.resources("AWS::IAM::Role"))["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
