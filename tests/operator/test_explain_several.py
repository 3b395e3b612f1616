"""
`drainer explain` with a group or a cluster: the first line of each instance that drains there.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from drainer.cli.account.reader import PACED, UNPACED_CALLS
from drainer.cli.demo.stuck.planted import (
    BEGAN,
    CLUSTER,
    GROUP,
    HERE,
    MINUTE,
    NOW,
    Account,
    activity,
    draining,
    instance_arn,
    record,
)
from drainer.cli.demo.stuck.plants import TOGETHER
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.several import EXPLAINED_MAX, READS_TOGETHER_MAX, show_any

if TYPE_CHECKING:
    from datetime import datetime

COLUMNS = 80
OLDEST, BY_HAND, OTHERS = "i-0000000000000000a", "i-0000000000000000b", "i-0000000000000000c"
OTHER_GROUP = "batch-asg"


def explain(account: Account, subject: str, **options: Any) -> tuple[int, list[str]]:
    screen = io.StringIO()
    given = {"cluster": None, "stack": "drainer", "cause": None, "json_wanted": False} | options
    code = show_any(
        subject,
        client=account.aws.client,
        now=NOW,
        console=Console(file=screen, width=200),
        zone=UTC,
        **given,
    )
    assert account.aws.writes == []
    return code, screen.getvalue().splitlines()


def add(account: Account, instance: str, group: str = "", since: datetime | None = None) -> None:
    """
    Let one more instance drain: of a group, and since when its activities or its record say.
    """
    account.instance(instance, "DRAINING")
    account.task("service:api", containerInstanceArn=instance_arn(instance))
    if group:
        account.aws.in_groups[instance] = {
            **account.aws.in_groups[HERE],
            "InstanceId": instance,
            "AutoScalingGroupName": group,
        }
        account.aws.groups.setdefault(
            group, {**account.aws.groups[GROUP], "AutoScalingGroupName": group}
        )
    if since:
        told = activity(f"Terminating EC2 instance: {instance}", since)
        account.aws.activities.setdefault(group, []).append(told)


def six_and_twenty() -> Account:
    account = draining(ours=True)
    TOGETHER[Cause.PORT_TAKEN](account)
    for number in range(EXPLAINED_MAX + 5):
        add(account, f"i-{number:017x}", GROUP)
        account.aws.records.append(record(f"i-{number:017x}"))
    return account


def crowd() -> Account:
    """
    Return an account in which four instances drain, for four reasons to be where they are.
    """
    account = draining(ours=True)
    TOGETHER[Cause.PORT_TAKEN](account)
    add(account, OLDEST, GROUP, BEGAN - timedelta(hours=3))
    add(account, OTHERS, OTHER_GROUP, BEGAN - MINUTE)
    add(account, BY_HAND)
    return account


def instances(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.startswith("i-")]


def test_a_group_is_its_draining_instances_the_longest_waiting_first() -> None:
    # Who reads the first line only has read of the one that is stuck.
    code, lines = explain(crowd(), GROUP)

    assert code == 0
    assert instances(lines) == [OLDEST, HERE]
    assert lines[1].startswith(f"{HERE} waits for ")
    assert lines[2:] == [
        f"2 instances of group {GROUP}, longest first. More: drainer explain INSTANCE"
    ]
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize("name", [CLUSTER, f"arn:aws:ecs:eu-central-1:1:cluster/{CLUSTER}"])
def test_a_cluster_is_all_that_drains_in_it_and_what_says_no_time_comes_last(name: str) -> None:
    code, lines = explain(crowd(), name)

    assert code == 0
    assert instances(lines) == [OLDEST, OTHERS, HERE, BY_HAND]
    assert f"4 instances of cluster {CLUSTER}" in lines[-1]


def test_each_line_is_the_first_line_of_the_instance_alone() -> None:
    account = crowd()
    _, lines = explain(account, GROUP)

    assert [explain(account, one)[1][0] for one in (OLDEST, HERE)] == lines[:2]


def test_without_the_stack_the_groups_activities_say_who_waits_longest() -> None:
    account = draining(ours=False)
    add(account, OLDEST, GROUP, BEGAN - timedelta(hours=3))

    assert instances(explain(account, GROUP)[1]) == [OLDEST, HERE]


def test_of_a_crowd_so_many_are_explained_and_the_rest_is_counted() -> None:
    # ECS answers 20 reads a second for the whole account, and the drains need them too.
    account = six_and_twenty()

    code, lines = explain(account, GROUP)

    assert code == 0
    assert len(instances(lines)) == EXPLAINED_MAX
    assert "26 instances of group" in lines[-2]
    assert lines[-1] == "6 not explained: drainer status"


def test_the_reads_of_a_crowd_are_paced_together() -> None:
    # 20 instances were read as fast as AWS answers, which is all that ECS gives the account.
    account, slept = six_and_twenty(), list[float]()

    explain(account, GROUP, sleep=slept.append)

    counts = account.aws.counts()
    assert counts["ecs"] > 5 * UNPACED_CALLS
    assert len(slept) == sum(max(0, counts[one] - UNPACED_CALLS) for one in PACED)


def test_each_of_a_crowd_says_how_many_reads_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    explain(crowd(), GROUP, json_wanted=True)
    together = [json.loads(line)["reads"] for line in capsys.readouterr().out.splitlines()]
    for one in (OLDEST, HERE):
        explain(crowd(), one, json_wanted=True)
    alone = [json.loads(line)["reads"] for line in capsys.readouterr().out.splitlines()]

    assert all(0 < few <= many for few, many in zip(together, alone, strict=True))


def test_an_instance_that_was_not_read_is_said_and_fails() -> None:
    # It was counted as not explained, with no word of why, and a program got a 0.
    account = crowd()
    account.aws.refuses = lambda name, given: (
        "ThrottlingException"
        if name == "ecs:ListContainerInstances" and OLDEST in given.get("filter", "")
        else ""
    )

    code, lines = explain(account, GROUP)

    assert (code, instances(lines)) == (1, [HERE])
    assert f"? not read: {OLDEST}: ThrottlingException" in lines


def test_where_each_takes_many_reads_fewer_are_explained() -> None:
    # Each instance has a task of each service, and each service takes reads of its own.
    account = six_and_twenty()
    for plant in TOGETHER.values():
        plant(account)
    for instance in list(account.aws.in_groups):
        for name in account.cluster.services:
            account.task(f"service:{name}", containerInstanceArn=instance_arn(instance))

    _, lines = explain(account, GROUP)

    assert 0 < len(instances(lines)) < EXPLAINED_MAX
    assert lines[-1].endswith("not explained: drainer status")
    assert sum(account.aws.counts().values()) <= READS_TOGETHER_MAX


def test_json_is_an_object_for_each_instance(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = explain(crowd(), GROUP, json_wanted=True)

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (code, lines) == (0, [])
    assert [one["instance"] for one in found] == [OLDEST, HERE]
    assert {one["group"] for one in found} == {GROUP}


@pytest.mark.parametrize(
    ("subject", "options", "code", "error"),
    [
        ("nothing-of-the-kind", {}, 3, "no instance, group or cluster is called 'nothing-of-the-"),
        ("empty", {}, 3, "cluster empty has no draining instance"),
        (GROUP, {"cluster": "empty"}, 3, f"group {GROUP} has no draining instance"),
        (GROUP, {"cause": Cause.PORT_TAKEN}, 2, "--cause is for one instance"),
    ],
)
def test_what_cannot_be_explained_is_said_with_an_exit_code(
    subject: str,
    options: dict[str, Any],
    code: int,
    error: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain(crowd(), subject, **options)[0] == code
    assert error in capsys.readouterr().err


def test_a_cluster_of_another_cluster_is_a_wrong_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # It was left out without a word, and the first cluster explained.
    account = draining(ours=True)

    assert explain(account, CLUSTER, cluster="another")[0] == 2
    assert "leave out --cluster" in capsys.readouterr().err
    assert explain(account, GROUP, cluster=CLUSTER)[0] == 0


@pytest.mark.parametrize("denied", ["autoscaling:DescribeAutoScalingGroups", "ecs:ListClusters"])
def test_a_name_is_not_called_unknown_where_it_could_not_be_looked_up(
    denied: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # The next thing somebody does is to look for a typing error that is none.
    account = crowd()
    account.aws.denied[denied] = "AccessDeniedException"

    assert explain(account, "nothing-of-the-kind")[0] == 4
    assert "is called" not in capsys.readouterr().err


def test_a_cluster_that_was_not_read_is_said_and_fails() -> None:
    # Half of a group's instances would look like all of them.
    account = crowd()
    account.aws.refuses = lambda name, given: (
        "AccessDeniedException"
        if name == "ecs:ListContainerInstances" and given["cluster"] == "empty"
        else ""
    )

    code, lines = explain(account, GROUP)

    assert code == 1
    assert instances(lines) == [OLDEST, HERE]
    assert "? not read: cluster empty: its draining instances are not shown" in lines
