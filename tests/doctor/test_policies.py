"""
What policy documents allow, where IAM may not be asked: a wrong "allowed" hides a dead hook.
"""

from __future__ import annotations

from typing import Any

import pytest

from drainer.cli.doctor.policies import allows, trusts
from tests.doctor.names import TOPIC

SERVICE = "autoscaling.amazonaws.com"


def statement(**values: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC, **values}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([statement()], True),
        (statement(), True),
        ([statement(Action=["sqs:SendMessage", "SNS:publish"])], True),
        ([statement(Action="sns:Pub*", Resource=["x", "arn:aws:sns:*"])], True),
        ([statement(Action="sns:Subscribe")], False),
        # The right topic with another action, and the right action with another topic.
        ([statement(Action="sqs:SendMessage")], False),
        ([statement(Resource=f"{TOPIC}-old")], False),
        ([statement(), statement(Effect="Deny", Resource="*")], False),
        ([statement(), statement(Effect="Deny", Action="sns:Subscribe")], True),
        ([statement(Condition={"Bool": {}})], None),
        ([statement(), statement(Effect="Deny", Condition={"Bool": {}})], None),
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], None),
        ([{"Effect": "Allow", "Action": "sns:*", "NotResource": "x"}], None),
        # A denial without a condition is certain.
        ([statement(Condition={"Bool": {}}), statement(Effect="Deny")], False),
    ],
)
def test_what_a_policy_allows(statements: Any, allowed: bool | None) -> None:
    assert allows([{"Statement": statements}], "sns:Publish", TOPIC) is allowed


def test_a_denial_in_any_of_several_policies_wins() -> None:
    documents = [{"Statement": statement()}, {"Statement": statement(Effect="Deny")}]

    assert allows(documents, "sns:Publish", TOPIC) is False


@pytest.mark.parametrize(
    ("statements", "trusted"),
    [
        ([{"Effect": "Allow", "Principal": {"Service": SERVICE}}], True),
        ([{"Effect": "Allow", "Principal": {"Service": ["ec2.amazonaws.com", SERVICE]}}], True),
        ([{"Effect": "Deny", "Principal": {"Service": SERVICE}}], False),
        ([{"Effect": "Allow", "Principal": {"AWS": "*"}}], False),
        ([{"Effect": "Allow", "Principal": "*"}], False),
        (
            [
                {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
                {"Effect": "Allow", "Principal": {"Service": SERVICE}},
            ],
            True,
        ),
    ],
)
def test_whether_a_role_trusts_a_service(statements: Any, trusted: bool) -> None:
    assert trusts({"Statement": statements}, SERVICE) is trusted
