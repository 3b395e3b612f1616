"""
What `drainer explain` says where it did not find the instance, or did not read all of its tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.demo.stuck.planted import draining
from drainer.cli.demo.stuck.planted_aws import Cluster
from drainer.cli.demo.stuck.plants import ALONE, TOGETHER
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.reader import CLUSTERS_MAX
from tests.operator.test_explain import explain

if TYPE_CHECKING:
    import pytest


def test_a_long_search_takes_no_read_from_the_explanation() -> None:
    # In the 160th cluster the reads were used up: "is in none of 162 clusters", which is a lie.
    account = draining(ours=False)
    ALONE[Cause.DAEMON](account)
    own = account.aws.clusters.copy()
    account.aws.clusters.clear()
    account.aws.clusters |= {f"other-{number}": Cluster() for number in range(160)} | own

    shown = explain(account)

    assert (shown.code, "daemon log-router" in shown.lines[0]) == (0, True)


def test_clusters_that_were_not_searched_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    account = draining(ours=False)
    account.aws.clusters |= {f"other-{number}": Cluster() for number in range(CLUSTERS_MAX)}

    assert explain(account, instance="i-0000000000000dead").code == 3
    assert (
        f"in none of {CLUSTERS_MAX} clusters of {CLUSTERS_MAX + 2}, the others were not searched"
        in capsys.readouterr().err
    )


def test_a_denied_read_beside_the_search_is_not_why_an_instance_is_not_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A typo in the id sent people to IAM for a permission of SQS.
    account = draining(ours=True)
    account.aws.denied["sqs:GetQueueAttributes"] = "AccessDenied"

    assert explain(account, instance="i-0000000000000dead").code == 3
    assert "is in none of 2 clusters" in capsys.readouterr().err


def test_half_a_page_of_tasks_is_no_listing() -> None:
    account = draining(ours=False)
    account.aws.page_size = 1
    TOGETHER[Cause.STANDALONE_TASK](account)
    ALONE[Cause.DAEMON](account)
    account.aws.refuses = lambda name, parameters: (
        "ThrottlingException" if name == "ecs:ListTasks" and "nextToken" in parameters else ""
    )

    assert "not read: its tasks" in explain(account).lines[0]


def test_a_task_that_was_not_described_has_not_ended() -> None:
    # ECS answers 200 and names the task under failures: "0 tasks are left" was said.
    account = draining(ours=False)
    TOGETHER[Cause.STANDALONE_TASK](account)
    failure = {"arn": "task/1", "reason": "INTERNAL"}
    account.aws._ecs_DescribeTasks = lambda **_: {"tasks": [], "failures": [failure]}  # type: ignore[method-assign]
    shown = explain(account)

    assert "not read: its tasks" in shown.lines[0]
    assert shown.code == 1
