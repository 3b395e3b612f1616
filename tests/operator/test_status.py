from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from drainer.cli.demo.stuck.planted import (
    CLUSTER,
    GROUP,
    HERE,
    MINUTE,
    NOW,
    SECOND,
    Account,
    draining,
    hook,
    instance_arn,
    record,
)
from drainer.cli.demo.stuck.planted_aws import Cluster
from drainer.cli.demo.stuck.plants import ALONE, TOGETHER
from drainer.cli.explain.causes import Cause
from drainer.cli.status.show import Question, show, watch
from drainer.cli.status.watch import INTERVAL_SECONDS_MIN, interval
from tests.loops import some

COLUMNS = 80


@dataclass
class Screen:
    """
    A screen to print on, a terminal or a pipe.
    """

    is_terminal: bool = False
    file: io.StringIO = field(default_factory=io.StringIO)

    @property
    def console(self) -> Console:
        return Console(
            file=self.file, width=200, force_terminal=self.is_terminal, color_system=None
        )

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


def status(account: Account, *, terminal: bool = False, **asked: Any) -> tuple[int, list[str]]:
    screen = Screen(terminal)
    code = show(
        Question(**asked),
        client=account.aws.client,
        now=NOW,
        console=screen.console,
        zone=UTC,
    )
    assert account.aws.writes == []
    return code, screen.lines


def many(number: int) -> Account:
    """
    Return an account in which so many more instances drain, by the drainer.
    """
    account = draining(ours=True)
    TOGETHER[Cause.PORT_TAKEN](account)
    for count in range(number):
        add(account, f"i-{count:017x}", written=NOW - 5 * SECOND)
    return account


def add(account: Account, instance: str, *, written: datetime, **more: Any) -> None:
    account.instance(instance, "DRAINING")
    account.aws.in_groups[instance] = {**account.aws.in_groups[HERE], "InstanceId": instance}
    account.aws.records.append(record(instance, written=written, **more))
    account.task("service:api", containerInstanceArn=instance_arn(instance))


def test_one_drain_is_one_line() -> None:
    account = draining(ours=True)
    TOGETHER[Cause.TARGET_DRAINING](account)

    assert status(account) == (
        0,
        [
            "payments-asg in cluster payments: 1 of 12 leaving (by drainer)",
            "  INSTANCE             PHASE        FOR  DEADLINE  WAITS FOR",
            "  i-0a1f4c8e2b7d93650  closing      48m     1h12m  ui: 1 target is draining",
            "",
            "1 drain, none needs attention. Sweep 2m ago, dead letters 0, alarms 0.",
        ],
    )


def test_no_drains_are_said_in_one_line() -> None:
    account = draining(ours=True)
    account.cluster.instances.clear()

    assert status(account) == (
        0,
        [
            "No drains in eu-central-1 (2 clusters).",
            "Sweep 2m ago, dead letters 0, alarms 0.",
        ],
    )


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (Cause.PORT_TAKEN, "! draining api: port is taken"),
        (Cause.NO_MEMORY, "! draining web: no memory elsewhere"),
        (Cause.MINIMUM_EQUALS_MAXIMUM, "! draining ledger: min = max"),
        (Cause.CIRCUIT_BREAKER, "! draining front: deployment failed"),
        (Cause.TASK_PROTECTED, "! draining queue: 1 protected"),
        (Cause.STANDALONE_TASK, "  draining job etl-nightly:7"),
        (Cause.IMAGE_PULL, "! draining shop, see explain"),
        (Cause.STOP_TIMEOUT, "  closing worker: stop timeout"),
        (Cause.AGENT_DISCONNECTED, "! closing its ECS agent: disconnected"),
        (Cause.DAEMON, "  draining daemon log-router"),
        (Cause.OTHER_HOOK, "  drained another hook: backup-logs"),
    ],
)
def test_a_line_says_what_the_drain_waits_for(cause: Cause, says: str) -> None:
    # A list of phases sends the reader to each instance in turn.
    account = draining(ours=True)
    (TOGETHER | ALONE)[cause](account)
    line = status(account)[1][2]

    assert f"{line[0]} {line[23:31].strip()} {line[51:]}" == says


def test_who_drains_is_said_for_each_group() -> None:
    account = draining(ours=False)
    assert "(by ECS managed draining)" in status(account)[1][0]
    account.aws.hooks[GROUP] = [hook("backup-logs", 900)]
    assert "(hook backup-logs)" in status(account)[1][0]
    account.aws.in_groups.clear()
    assert status(account)[1][0] == (
        "no group in cluster payments: 1 leaving (by hand, no hook waits)"
    )
    attributes = account.cluster.instances[instance_arn(HERE)]["attributes"]
    note = "2026-11-20T12:02:00Z assumed-role/ops/anna"
    attributes.append({"name": "drainer.drained-by", "value": note})
    assert status(account)[1][0].endswith("(by anna)")
    attributes.append({"name": "drainer.drained-why", "value": "a kernel with a fix for the disk"})
    assert status(account)[1][0].endswith("(by anna: a kernel with a)")
    attributes.append({"name": "drainer.interrupted", "value": "x"})
    assert status(account)[1][0].endswith("(by drainer, for Spot)")


def test_a_near_deadline_needs_attention() -> None:
    # A job that may end in time is no news, until there is no time.
    account = draining(ours=True)
    TOGETHER[Cause.STANDALONE_TASK](account)
    assert not status(account)[1][2].startswith("!")
    account.aws.records = [record(deadline=10 * MINUTE)]

    assert status(account)[1][2].startswith("!")


def test_dead_letters_and_alarms_are_in_the_last_line() -> None:
    account = draining(ours=True)
    account.aws.dead_letters = 3
    account.aws.alarms = ["drainer-ImpairedAlarm-1K2J", "somebody-elses"]

    assert status(account)[1][4].endswith("dead letters 3, alarms 1.")


def test_three_hundred_drains_fit_on_a_screen() -> None:
    # 300 lines scroll away the one that needs help.
    account = many(299)
    lines = status(account, terminal=True)[1]

    assert lines[0].split() == [
        *("GROUP", "CLUSTER", "LEAVING", "draining", "closing", "unseen", "DEADLINE")
    ]
    assert lines[1].split() == [GROUP, CLUSTER, "300/12", "300", "0", "0", "1h12m"]
    assert lines[3] == "20 of 300 need attention (the tasks of 20 were read)."
    assert lines[5].endswith("  api: port is taken")
    assert len(lines) < 40
    assert [one for one in lines if len(one) > COLUMNS] == []
    assert lines[-1].startswith("Why: drainer explain i-")


def test_many_drains_of_several_groups_name_their_group() -> None:
    account = many(49)
    account.aws.in_groups["i-00000000000000001"]["AutoScalingGroupName"] = "batch-asg"
    account.aws.groups["batch-asg"] = account.aws.groups[GROUP] | {
        "AutoScalingGroupName": "batch-asg"
    }
    lines = status(account, terminal=True)[1]

    assert any(one.endswith("  batch-asg: api: port is taken") for one in lines)
    assert any("  payments..: api: port is ta" in one for one in lines)


@pytest.mark.parametrize("asked", [{"all_rows": True}, {"group": GROUP}])
def test_three_hundred_drains_are_one_line_each_if_asked_for(asked: dict[str, Any]) -> None:
    lines = status(many(299), terminal=True, **asked)[1]

    assert len([one for one in lines if one[2:4] == "i-"]) == 300


def test_a_pipe_gets_one_line_each() -> None:
    assert len([one for one in status(many(59))[1] if one[2:4] == "i-"]) == 60


def test_three_hundred_drains_take_few_reads_of_ecs() -> None:
    # 20 reads a second are what all drains of the account share.
    account = many(299)
    status(account)

    # The clusters, 4 lists of instances and 4 descriptions, 2 lists of tasks for each of 20 drains,
    # and one read each of their tasks, services and protection.
    assert account.aws.counts()["ecs"] <= 1 + 4 + 4 + 2 * 20 + 3


def test_the_tasks_of_lost_and_of_urgent_drains_are_read() -> None:
    # Of 300 drains 20 are looked into: those that need it most.
    account = many(0)
    for count in range(60):
        add(account, f"i-{count:017x}", written=NOW, deadline=timedelta(hours=3))
    add(account, "i-0000000000000lost", written=NOW - 10 * MINUTE, deadline=timedelta(hours=9))
    add(account, "i-00000000000urgent", written=NOW, deadline=16 * MINUTE)
    lines = status(account, terminal=True)[1]

    assert any(one.startswith("! i-0000000000000lost") for one in lines)
    assert any(one.startswith("! i-00000000000urgent") for one in lines)


def test_only_the_named_group_is_shown() -> None:
    account = many(3)

    assert status(account, group="another-asg")[1][0].startswith("No drains")
    assert account.aws.calls.count("ecs:ListTasks") == 0


def test_only_the_named_cluster_is_read() -> None:
    account = many(1)
    status(account, cluster=CLUSTER)

    assert "ecs:ListClusters" not in account.aws.calls


def test_long_names_stay_on_their_line() -> None:
    account = draining(ours=True)
    name = "g" * 255
    account.aws.in_groups[HERE]["AutoScalingGroupName"] = name
    account.aws.groups[name] = account.aws.groups[GROUP] | {"AutoScalingGroupName": name}
    account.held("s" * 255, deploymentConfiguration={"maximumPercent": 100})
    lines = status(account)[1]

    assert [one for one in lines if len(one) > COLUMNS] == []
    assert "min = max" in lines[2]


def test_an_unread_cluster_is_said_and_the_others_are_shown() -> None:
    # One denied cluster of nine must not hide the drains of eight.
    account = many(1)
    account.aws.clusters["ledger"] = Cluster()
    account.aws.refuses = lambda name, parameters: (
        "AccessDeniedException"
        if name == "ecs:ListContainerInstances" and parameters["cluster"] == "ledger"
        else ""
    )
    code, lines = status(account)

    assert code == 4
    assert "? not read: cluster ledger: AccessDeniedException" in lines
    assert HERE in lines[3]


@pytest.mark.parametrize(
    ("operation", "code", "exit_code"),
    [
        ("ecs:ListClusters", "AccessDeniedException", 4),
        ("ecs:ListClusters", "ExpiredTokenException", 4),
        ("ecs:ListContainerInstances", "ThrottlingException", 5),
    ],
)
def test_an_account_that_was_not_read_is_not_called_quiet(
    operation: str, code: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # "No drains" with an expired token sends the person on call back to bed.
    account = many(3)
    account.aws.denied[operation] = code

    assert status(account) == (exit_code, [])
    assert capsys.readouterr().err.startswith("error: ")


def test_a_cluster_that_does_not_exist_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(many(0), cluster="paymets") == (3, [])
    assert capsys.readouterr().err == (
        "error: there is no such cluster: check --cluster and --region\n"
    )


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        ("ecs:ListTasks", "AccessDeniedException", "ListTasks denied"),
        ("ecs:DescribeTasks", "ThrottlingException", "DescribeTasks throttled"),
    ],
)
def test_unread_tasks_are_unseen_and_not_drained(operation: str, code: str, says: str) -> None:
    account = draining(ours=False)
    TOGETHER[Cause.STANDALONE_TASK](account)
    account.aws.denied[operation] = code
    line = status(account)[1][2]

    assert line.startswith(f"? {HERE}  unseen")
    assert line.endswith(says)


@pytest.mark.parametrize(
    "operation",
    [
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLifecycleHooks",
        "cloudformation:DescribeStacks",
        "cloudwatch:GetMetricData",
        "dynamodb:Query",
        "dynamodb:BatchGetItem",
        "ecs:DescribeServices",
        "ecs:GetTaskProtection",
        "sqs:GetQueueAttributes",
    ],
)
def test_a_denied_read_hides_no_drain(operation: str) -> None:
    account = draining(ours=True)
    TOGETHER[Cause.MINIMUM_EQUALS_MAXIMUM](account)
    account.aws.denied[operation] = "AccessDeniedException"
    code, lines = status(account)

    assert code == 0
    assert HERE in lines[2]
    assert any(one.startswith("? not read: ") for one in lines)


def test_json_is_one_object_for_each_drain_and_one_for_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, lines = status(many(2), as_json=True)
    found = [json.loads(one) for one in capsys.readouterr().out.splitlines()]

    assert (code, lines) == (0, [])
    assert len(found) == 4
    assert found[0]["cause"] == "port-taken"
    assert found[0]["deadline_at"] == "2026-11-22T15:14:00Z"
    assert found[0]["record"] == "draining: 1 task is left."
    assert found[-1]["drains"] == 3
    assert found[-1]["last_sweep"] == "2026-11-22T14:00:00Z"


@dataclass
class Seconds:
    """
    A clock that a test moves, and what happens at each look.
    """

    at: datetime = NOW
    waits: list[float] = field(default_factory=list)
    then: list[Any] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)
        if self.then:
            self.then.pop(0)()


def watched(
    account: Account, *then: Any, terminal: bool = False, looks: int = 3, **asked: Any
) -> tuple[Screen, Seconds]:
    screen, seconds = Screen(terminal), Seconds(then=list(then))
    watch(
        Question(**asked),
        client=account.aws.client,
        now=seconds.now,
        sleep=seconds.sleep,
        console=screen.console,
        zone=UTC,
        looks=looks,
    )
    return screen, seconds


@pytest.mark.parametrize(("drains", "more_clusters"), [(0, 0), (1, 0), (19, 0), (99, 0), (5, 90)])
def test_watching_takes_less_than_one_read_of_ecs_a_second(drains: int, more_clusters: int) -> None:
    # The drains themselves read from the same bucket: who watches must not slow them down.
    account = many(drains)
    for number in range(more_clusters):
        account.aws.clusters[f"other-{number}"] = Cluster()
    _, seconds = watched(account, looks=5)

    assert account.aws.counts()["ecs"] / sum(seconds.waits) < 1
    assert min(seconds.waits) >= INTERVAL_SECONDS_MIN


def test_a_short_look_is_repeated_after_five_seconds() -> None:
    assert interval(0) == 5
    assert interval(4) == 5
    assert interval(8) == 10


def test_the_watching_ends_when_somebody_wants_no_more_and_says_how() -> None:
    screen = Screen(is_terminal=True)

    code = watch(
        Question(),
        client=many(1).aws.client,
        now=lambda: NOW,
        sleep=lambda _seconds: True,
        console=screen.console,
        zone=UTC,
        looks=2,
        quits="q",
    )

    assert code == 0
    [first] = [line for line in screen.lines if "drainer status --watch" in line]
    assert first.endswith("   q quits")


def test_a_pipe_gets_one_line_for_each_change() -> None:
    account = many(0)

    def stops() -> None:
        for one in some(account.cluster.tasks.values()):
            one["desiredStatus"], one["lastStatus"] = "STOPPED", "STOPPING"

    def ends() -> None:
        account.cluster.instances.clear()

    screen, _ = watched(account, stops, ends)
    changes = screen.lines[-2:]

    assert "i-0a1f4c8e2b7d93650  closing, api: stop timeout" in changes[0]
    assert changes[1].endswith("i-0a1f4c8e2b7d93650  released or set ACTIVE")


def test_a_terminal_shows_changes_and_what_is_gone() -> None:
    account = many(1)
    other = next(iter(account.aws.records[1:]))["instance"]

    def goes() -> None:
        del account.cluster.instances[instance_arn(other)]

    screen, _ = watched(account, goes, terminal=True, looks=2)
    last = screen.file.getvalue().rpartition("drainer status --watch")[2].splitlines()

    assert "ECS reads/s" in last[0]
    assert any(one[2:].startswith(f"{other}  gone") for one in last)
    assert "RECENT" in last


def test_an_unread_cluster_releases_nothing() -> None:
    # A throttled read must not look like the end of forty drains.
    account = many(0)

    def fails() -> None:
        account.aws.denied["ecs:ListContainerInstances"] = "ThrottlingException"

    screen, _ = watched(account, fails, terminal=True, looks=2)
    last = screen.file.getvalue().rpartition("drainer status --watch")[2]

    assert f"? {HERE}  unseen" in last
    assert "gone" not in last


def test_a_record_that_is_not_written_any_more_is_lost() -> None:
    account = draining(ours=True)
    TOGETHER[Cause.TARGET_DRAINING](account)
    account.aws.records = [record(written=NOW - 10 * MINUTE)]

    assert status(account)[1][2].endswith("chain lost +1")


def test_nothing_found_in_what_was_read_is_not_called_no_drains() -> None:
    # The drain was in the cluster that was not read.
    account = many(0)
    account.cluster.instances.clear()
    account.aws.clusters["ledger"] = Cluster()
    account.aws.refuses = lambda name, parameters: (
        "AccessDeniedException"
        if name == "ecs:ListContainerInstances" and parameters["cluster"] == "ledger"
        else ""
    )
    code, lines = status(account)

    assert code == 4
    assert lines[0] == "No drains were found, and not all was read (3 clusters)."


def test_a_group_that_was_not_read_hides_no_drain() -> None:
    # "No drains" was said of a group with one: a denied call looked like an empty group.
    account = many(0)
    account.aws.denied["autoscaling:DescribeAutoScalingInstances"] = "AccessDenied"
    code, lines = status(account, group="payments-asg")

    assert code == 4
    assert any(HERE in line for line in lines)
    assert "? not read: group payments-asg: AccessDenied" in lines


def test_an_unread_page_of_a_cluster_releases_nothing() -> None:
    # The instances of the second page were said to be released.
    account = many(2)
    account.aws.page_size = 2
    kept = account.aws.refuses

    def fails() -> None:
        account.aws.refuses = lambda name, parameters: (
            "ThrottlingException"
            if name == "ecs:ListContainerInstances" and "nextToken" in parameters
            else ""
        )

    screen, _ = watched(account, fails, looks=2)
    assert "released" not in screen.file.getvalue()
    assert status(account)[0] == 5
    account.aws.refuses = kept
    assert status(account)[0] == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_a_watch_without_a_terminal_says_what_is_not_read_any_more(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    # A login that ended in the night looked like drains that do not change.
    account = many(0)

    def fails() -> None:
        account.aws.denied["ecs:ListClusters"] = "ExpiredTokenException"

    watched(account, fails, as_json=as_json, looks=4)

    assert capsys.readouterr().err.splitlines() == [
        "? not read: ListClusters: ExpiredTokenException"
    ]
