"""
Which rules tell of instances that leave, what a policy allows, and what a source shows.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from drainer.cli.account.reader import Unread
from drainer.cli.adopt.facts import Rule, Sign
from drainer.cli.adopt.functions import allowed, rule_of
from drainer.cli.adopt.plan import without
from drainer.cli.adopt.samples import allows
from drainer.cli.adopt.source import FILE_BYTES_MAX, signs
from tests.adopt.planted import RULE_PATTERN, zipped

TERMINATE = "EC2 Instance-terminate Lifecycle Action"


def rule(pattern: Any, state: str = "ENABLED") -> Rule | None:
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    return rule_of({"Name": "r", "State": state, "EventPattern": text})


@pytest.mark.parametrize(
    "pattern",
    [
        RULE_PATTERN,
        {"source": ["aws.autoscaling"]},
        {"detail-type": ["EC2 Instance-launch Lifecycle Action", TERMINATE]},
    ],
    ids=["both", "all that Auto Scaling tells", "launches too"],
)
def test_a_rule_that_lets_the_event_through_is_one_of_them(pattern: Any) -> None:
    # A rule that is overlooked goes on telling the old function.
    found = rule(pattern)

    assert found is not None
    assert found.matches("any")


@pytest.mark.parametrize(
    ("pattern", "state"),
    [
        (RULE_PATTERN, "DISABLED"),
        ({"source": ["aws.ec2"], "detail-type": [TERMINATE]}, "ENABLED"),
        ({"source": ["aws.autoscaling"], "detail-type": ["EC2 Instance Launch"]}, "ENABLED"),
        ({"account": ["123456789012"]}, "ENABLED"),
        ("{", "ENABLED"),
        ("[]", "ENABLED"),
        ("", "ENABLED"),
    ],
    ids=["off", "source", "detail", "neither", "no JSON", "no object", "a schedule"],
)
def test_other_rules_are_none_of_them(pattern: Any, state: str) -> None:
    assert rule(pattern, state) is None


def test_a_rule_matches_the_groups_that_its_pattern_names_or_does_not_leave_out() -> None:
    named = rule({**RULE_PATTERN, "detail": {"AutoScalingGroupName": ["a", "b"]}})
    without_a = rule(
        {**RULE_PATTERN, "detail": {"AutoScalingGroupName": [{"anything-but": ["a"]}]}}
    )
    assert named is not None
    assert without_a is not None

    assert [named.matches(one) for one in "abc"] == [True, True, False]
    assert [without_a.matches(one) for one in "abc"] == [False, True, True]


def test_each_group_that_changes_is_left_out_beside_those_before_it() -> None:
    # Otherwise the change of the second group would undo that of the first.
    first = rule(RULE_PATTERN)
    assert first is not None
    second = rule(without(first, "b"))
    assert second is not None

    assert without(second, "a")["detail"]["AutoScalingGroupName"] == [{"anything-but": ["a", "b"]}]
    named = rule({**RULE_PATTERN, "detail": {"AutoScalingGroupName": ["a", "b"]}})
    assert named is not None
    assert without(named, "a")["detail"]["AutoScalingGroupName"] == ["b"]


def test_only_what_a_policy_allows_counts() -> None:
    document = {
        "Statement": [
            {"Effect": "Allow", "Action": "sns:Publish"},
            {"Effect": "Allow", "Action": ["ecs:List*"]},
            {"Effect": "Deny", "Action": "ec2:*"},
            {"Effect": "Allow", "NotAction": "iam:*"},
        ]
    }

    assert allowed(document) == {"sns:Publish", "ecs:List*"}
    assert allowed({"Statement": {"Effect": "Allow", "Action": "s3:*"}}) == {"s3:*"}


def test_wildcards_and_cases_are_as_in_iam() -> None:
    assert allows(frozenset({"SNS:*"}), "sns:Publish")
    assert not allows(frozenset({"ecs:List*"}), "ecs:DescribeTasks")


def test_a_source_is_read_at_the_top_of_the_zip_and_up_to_a_size() -> None:
    # Libraries in the zip call all that there is; a huge file is no old drainer.
    large = "ecs.update_container_instances_state()\n" + "#" * FILE_BYTES_MAX
    found = signs(
        zipped(
            {
                "index.py": "sns.publish()",
                "node_modules/a/index.js": "completeLifecycleAction()",
                "large.py": large,
                "README.md": "LifecycleActionToken",
            }
        )
    )

    assert found == frozenset({Sign.PUBLISHES})


def damaged() -> bytes:
    """Return a zip whose compressed bytes are no deflate stream: zlib.error, not BadZipFile."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.py", "sns.publish()\n" * 100)
    start = content.getvalue().index(b"index.py") + len("index.py")
    content.seek(start)
    content.write(b"\xff" * 4)
    return content.getvalue()


@pytest.mark.parametrize("content", [b"", b"no zip", zipped({"main": "x"}), damaged()])
def test_what_is_no_source_is_said_to_be_unread(content: bytes) -> None:
    assert isinstance(signs(content), Unread)
