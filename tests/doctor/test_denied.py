"""
A read that is denied makes the checks that need it say so; all others go on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drainer.cli.doctor import table
from drainer.cli.doctor.verdicts import Verdict
from tests.doctor.border import GoneError
from tests.doctor.faults import FAULTS
from tests.doctor.healthy import FAULTS as FAULTY
from tests.doctor.healthy import Healthy
from tests.doctor.names import CLUSTER, GROUP, ROLE_NAME, TOPIC
from tests.loops import some

if TYPE_CHECKING:
    from tests.doctor.healthy_stack import Given

PROJECT = Path(__file__).resolve().parents[2]
POLICY, CAUSES = PROJECT / "infra" / "operator-policy.json", PROJECT / "docs" / "causes.md"
STACK = {one.name for one in table.STACK}
OF_FUNCTION = {"mappings", "queues", "function", "settings", "recursion"}
OF_CLUSTERS = {"cluster", "hook-metadata", "service-cannot-drain", "static-ports"}
HOOKS = {one.name for one in table.HOOK} | {"hook"}

# Which checks each read is for.
READS = {
    "cloudformation:ListStackResources": {*STACK, "hook-target", "heartbeat"},
    "cloudformation:ListImports": {"attached"},
    "cloudformation:DescribeStacks": {"attached"},
    "sns:GetTopicAttributes": {"topic", "hook-target"},
    "sns:ListSubscriptionsByTopic": {"subscriptions", "alarms"},
    "sns:GetSubscriptionAttributes": {"subscriptions"},
    "sqs:GetQueueAttributes": {"subscriptions", "queues", "mappings", "dead-letters"},
    "lambda:GetFunctionConfiguration": OF_FUNCTION,
    "lambda:GetFunctionConcurrency": {"function"},
    "lambda:GetFunctionRecursionConfig": {"recursion"},
    "lambda:ListEventSourceMappings": {"mappings"},
    "cloudwatch:GetMetricData": {"function-errors", "sweep"},
    "cloudwatch:DescribeAlarms": {"alarms"},
    "events:DescribeRule": {"sweep"},
    "dynamodb:DescribeTable": {"table"},
    "dynamodb:Scan": {"heartbeat"},
    "autoscaling:DescribeLifecycleHooks": HOOKS,
    "autoscaling:DescribePolicies": {"scaling-policies"},
    "ec2:DescribeLaunchTemplateVersions": {"image", "stop-time"},
    "ec2:DescribeImages": {"image"},
    "iam:GetRole": {"hook-role"},
    "ecs:ListClusters": OF_CLUSTERS,
    "ecs:ListContainerInstances": OF_CLUSTERS,
    "ecs:DescribeContainerInstances": OF_CLUSTERS,
    "ecs:DescribeClusters": {"hook-metadata"},
    "ecs:ListServices": {"service-cannot-drain", "static-ports"},
    "ecs:DescribeServices": {"service-cannot-drain", "static-ports"},
    "ecs:DescribeTaskDefinition": {"static-ports"},
}
# Without the first no group is known. Without the second the role's policies are read instead.
OTHERS = {"autoscaling:DescribeAutoScalingGroups", "iam:SimulatePrincipalPolicy"}


def not_read(account: Healthy) -> set[str]:
    results = account.results(GROUP)
    assert [one for one in results if one.finding.verdict in FAULTY] == []
    return {one.check for one in results if one.finding.verdict == Verdict.NOT_READ}


@pytest.mark.parametrize("action", READS)
def test_a_read_that_is_denied_is_said_of_its_checks_alone(action: str) -> None:
    # A check that says "ok" of what it could not see is worse than no check.
    account = Healthy()
    account.border.denied.add(action)

    assert not_read(account) == READS[action]


def test_each_read_of_a_healthy_account_is_denied_once() -> None:
    account = Healthy()
    account.results(GROUP)

    assert account.border.calls == {*READS, *OTHERS}


def test_a_cluster_that_is_denied_hides_no_other() -> None:
    # A role is often limited to the clusters of its team.
    account = Healthy()
    account.clusters["others"] = {"i-0e20d7a4c18f9b563": "ACTIVE"}
    listed = account.border.answers["ecs.list_container_instances"]

    def refused(given: Given) -> Given:
        if given["cluster"] == "others":
            raise GoneError("AccessDeniedException")
        return listed(given)

    account.border.answers["ecs.list_container_instances"] = refused

    assert not_read(account) == set()
    # Whether another group has instances there is not known.
    (last,) = [one for one in account.results() if one.finding.verdict == Verdict.NOT_READ]
    assert (last.subject, last.check) == ("other groups", "hook")

    account.clusters[CLUSTER].clear()
    assert "cluster" in not_read(account)


def test_what_was_denied_is_named() -> None:
    account = Healthy()
    account.border.denied.add("events:DescribeRule")

    results = [one for one in account.results(GROUP) if one.check == "sweep"]

    assert [one.finding.sentence for one in results] == ["no permission for events:DescribeRule"]


def test_without_the_simulation_the_roles_policies_are_judged() -> None:
    # Many operators may read IAM, and may not simulate.
    account = Healthy()
    account.border.denied.add("iam:SimulatePrincipalPolicy")
    assert not_read(account) == set()

    account.inline.clear()
    assert account.found(GROUP) == {"hook-role"}

    allow = {"Effect": "Allow", "Action": ["sns:*"], "Resource": "*"}
    account.managed["arn:aws:iam::123456789012:policy/all"] = {"Statement": allow}
    assert account.found(GROUP) == set()


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC, "Condition": {"Bool": {}}},
        {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "sns:Publish", "NotResource": "x"},
    ],
)
def test_a_policy_that_only_iam_can_judge_is_not_judged(statement: dict[str, object]) -> None:
    account = Healthy()
    account.border.denied.add("iam:SimulatePrincipalPolicy")
    account.inline[ROLE_NAME] = {"Statement": [statement]}

    assert not_read(account) == {"hook-role"}


def test_a_denial_in_a_policy_wins() -> None:
    account = Healthy()
    account.border.denied.add("iam:SimulatePrincipalPolicy")
    deny = {"Effect": "Deny", "Action": "SNS:Pub*", "Resource": "arn:aws:sns:*"}
    account.inline["deny"] = {"Statement": [deny]}

    assert account.found(GROUP) == {"hook-role"}


def test_with_iam_denied_as_a_whole_the_role_is_not_read() -> None:
    account = Healthy()
    account.border.denied |= {"iam:SimulatePrincipalPolicy", "iam:ListRolePolicies"}

    assert not_read(account) == {"hook-role"}


def test_without_a_stack_the_groups_are_checked_all_the_same() -> None:
    account = Healthy()
    account.exists = False

    assert not_read(account) == READS["cloudformation:ListStackResources"]


def test_every_call_of_the_command_is_in_the_operators_policy() -> None:
    # A policy that lacks one makes a check say "not read" for everyone who follows the guide.
    document = json.loads(POLICY.read_text(encoding="utf-8"))
    granted = {action for one in document["Statement"] for action in one["Action"]}

    used: set[str] = set()
    for _, plant, _ in some(FAULTS):
        account = Healthy()
        plant(account)
        account.border.denied.add("iam:SimulatePrincipalPolicy")
        account.managed["arn:aws:iam::123456789012:policy/all"] = {"Statement": []}
        account.results(GROUP)
        used |= account.border.calls
    # What only `history` and `report` call (tests/history/test_command.py), and what `status` and
    # `explain` do (tests/operator/test_causes_page.py).
    rows = re.findall(r"^\| `([a-z]+)` \| (`.+`) \|$", CAUSES.read_text("utf-8"), re.MULTILINE)
    others = {f"{of}:{one}" for of, actions in some(rows) for one in re.findall(r"\w+", actions)}
    # The commands that act (tests/operate/test_typed.py), `adopt` (tests/adopt/test_reading.py).
    others |= {"autoscaling:DescribeWarmPool", "cloudformation:DescribeStackResource"}
    others |= {"events:ListRules", "events:ListTargetsByRule", "lambda:GetFunction"}
    assert used | {"logs:FilterLogEvents"} | others == granted
