"""
The roles: what the program calls and nothing else, as tightly as AWS can express it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import parliament
import pytest

from drainer.aws.calls import CALLS
from drainer.aws.custom_resource import CUSTOM_RESOURCE_CALLS
from drainer.aws.former_requests import FORMER_CALLS
from drainer.aws.queue import QUEUE_CALLS
from drainer.aws.records import INDEX, RECORD_CALLS
from drainer.aws.x_ray import TRACE_CALLS
from tests.loops import some

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

PLACE = "eu-west-1:111122223333"
KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# IAM knows one action for both of SNS's publishing calls.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
ACTION_OF_CALL = {"PublishBatch": "Publish"}
# What Lambda itself does as the function: queues, dead letters, log, traces of invocations.
CALLS_OF_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
    "xray:PutTelemetryRecords",
}
# The service authorization reference names no resource type for these.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
ACTIONS_WITHOUT_RESOURCE = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribeWarmPool",
    "ecs:ListClusters",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


def statements(stack: DeployedStack, role: str) -> list[dict[str, Any]]:
    roles = dict(stack.resources("AWS::IAM::Role"))
    policies = roles[role]["Policies"]
    return [item for policy in policies for item in policy["PolicyDocument"]["Statement"]]


def test_defect_24_the_role_grants_exactly_the_calls_that_the_program_makes(
    stack: DeployedStack,
) -> None:
    # One action too few and a drain is blind for ever; one too many is a gift to an attacker.
    called = {
        f"{service}:{ACTION_OF_CALL.get(call, call)}"
        for service, calls in (
            *CALLS.items(),
            *CUSTOM_RESOURCE_CALLS.items(),
            *FORMER_CALLS.items(),
            *QUEUE_CALLS.items(),
            *RECORD_CALLS.items(),
            *TRACE_CALLS.items(),
        )
        for call in calls
    }
    granted = [item["Action"] for item in statements(stack, "Role")]

    assert called | CALLS_OF_LAMBDA == set(granted)
    assert len(granted) == len(set(granted))


def test_defect_24_only_actions_without_a_resource_type_are_granted_on_everything(
    stack: DeployedStack,
) -> None:
    # "*" on StopTask would stop any task of the account.
    for item in some(statements(stack, "Role")):
        assert (item["Resource"] == "*") == (item["Action"] in ACTIONS_WITHOUT_RESOURCE)


def test_defect_24_every_statement_is_one_call_with_its_reason(stack: DeployedStack) -> None:
    # A statement of many actions hides the one that nobody needs any more.
    found = statements(stack, "Role")
    reasons = [item["Sid"] for item in found]

    assert len(reasons) == len(set(reasons))
    for item in found:
        assert isinstance(item["Action"], str)
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", item["Sid"])


@pytest.mark.parametrize("key_arn", ["", KEY_ARN], ids=["plain topic", "encrypted topic"])
@pytest.mark.parametrize(
    ("template", "role"),
    [
        ("drainer.yaml", "Role"),
        ("attach.yaml", "NotificationRole"),
        ("examples/cluster.yaml", "NotificationRole"),
    ],
)
def test_defect_24_parliament_finds_nothing(
    render: Render, template: str, role: str, key_arn: str
) -> None:
    # An ARN of the wrong kind for an action denies it, and no emulator would say so.
    stack = render(template, TopicKmsKeyArn=key_arn)
    document = {"Version": "2012-10-17", "Statement": statements(stack, role)}

    findings = parliament.analyze_policy_string(json.dumps(document)).findings

    assert [str(finding) for finding in findings] == []
    assert bool(key_arn) is ("kms:Decrypt" in json.dumps(document))


def test_the_patterns_bound_what_the_role_may_touch(render: Render) -> None:
    # Who lets the drainer into one team's clusters must not let it into all.
    stack = render("drainer.yaml", ClusterNamePattern="team-*", AutoScalingGroupNamePattern="web-*")

    bounded = {
        item["Action"]: item["Resource"].partition("111122223333:")[2]
        for item in statements(stack, "Role")
        if item["Action"].startswith(("ecs:", "autoscaling:")) and item["Resource"] != "*"
    }

    # A capacity provider is of an account, and of no cluster.
    assert bounded.pop("ecs:DescribeCapacityProviders") == "capacity-provider/*"
    for action, tail in some(bounded.items()):
        assert "/team-*" in tail if action.startswith("ecs:") else tail.endswith("/web-*")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("cloudformation:DescribeStacks", f"cloudformation:{PLACE}:stack/*/*"),
        ("cloudformation:ListStackResources", f"cloudformation:{PLACE}:stack/*/*"),
        ("dynamodb:GetItem", f"dynamodb:{PLACE}:table/drainer-RequestsTable"),
        ("dynamodb:Scan", f"dynamodb:{PLACE}:table/drainer-RequestsTable"),
        ("ec2:DescribeSpotFleetInstances", f"ec2:{PLACE}:spot-fleet-request/*"),
    ],
)
def test_what_requests_need_ends_at_the_account_and_at_our_own_table(
    stack: DeployedStack, action: str, resource: str
) -> None:
    # A book of another application, or a stack elsewhere, is none of the function's business.
    found = [item["Resource"] for item in statements(stack, "Role") if item["Action"] == action]

    assert found == [f"arn:aws:{resource}"]


@pytest.mark.parametrize("call", RECORD_CALLS["dynamodb"])
def test_what_records_need_ends_at_their_own_table(stack: DeployedStack, call: str) -> None:
    # A table of another application is none of the function's business.
    (found,) = [
        item["Resource"]
        for item in statements(stack, "Role")
        if item["Action"] == f"dynamodb:{call}"
    ]
    table = f"arn:aws:dynamodb:{PLACE}:table/drainer-Records"

    assert found == ([table, f"{table}/index/{INDEX}"] if call == "Query" else table)


@pytest.mark.parametrize("template", ["attach.yaml", "examples/cluster.yaml"])
def test_auto_scaling_may_publish_to_the_topic_and_do_nothing_else(
    render: Render, template: str
) -> None:
    # A notification that cannot be published lets the instance go at once, undrained.
    stack = render(template)
    (statement,) = statements(stack, "NotificationRole")

    assert statement["Action"] == "sns:Publish"
    assert stack.exports["drainer-TopicArn"] == statement["Resource"]


def test_the_topic_admits_nobody_from_outside_the_account(stack: DeployedStack) -> None:
    # A forged notification would drain an instance that nobody wanted drained.
    ((_, policy),) = stack.resources("AWS::SNS::TopicPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    assert statement["Action"] == "sns:Publish"


SENDERS = {
    "NoticeQueuePolicy": [["Topic"]],
    "WakeUpQueuePolicy": [["FastPath", "StoppedTasks"]],
    "WaitQueuePolicy": [["Topic"]],
    "QuietQueuePolicy": [["Topic"]],
    "DeadLetterQueuePolicy": [
        ["Topic"],
        ["Sweep", "FastPath", "StoppedTasks", "EventBridgeNotices"],
    ],
}


def test_a_queue_takes_messages_from_its_own_senders_only(render: Render) -> None:
    # An open queue is a second door to the function.
    stack = render("drainer.yaml", ServeEventBridgeNotices="true")
    policies = dict(stack.resources("AWS::SQS::QueuePolicy"))

    assert set(policies) == set(SENDERS)
    assert {"FastPath", "StoppedTasks", "Sweep", "EventBridgeNotices"} == set(
        dict(stack.resources("AWS::Events::Rule"))
    )
    for name, policy in policies.items():
        statements = policy["PolicyDocument"]["Statement"]
        assert all(statement["Action"] == "sqs:SendMessage" for statement in statements)
        admitted = [s["Condition"]["ArnEquals"]["aws:SourceArn"] for s in statements]
        expected = [[stack.physical_ids[one] for one in senders] for senders in SENDERS[name]]
        assert expected == [[a] if isinstance(a, str) else a for a in admitted]


def test_a_permissions_boundary_is_set_only_when_one_is_given(render: Render) -> None:
    # Accounts that demand a boundary refuse a role without one.
    boundary = "arn:aws:iam::111122223333:policy/boundary"

    assert (
        "PermissionsBoundary"
        not in dict(render("drainer.yaml").resources("AWS::IAM::Role"))["Role"]
    )
    role = dict(render("drainer.yaml", PermissionsBoundaryArn=boundary).resources("AWS::IAM::Role"))
    assert boundary == role["Role"]["PermissionsBoundary"]
