from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from drainer.cli.demo.stuck.planted import (
    CLUSTER,
    GROUP,
    HERE,
    NOW,
    Account,
    draining,
    hook,
    instance_arn,
    record,
)
from drainer.cli.demo.stuck.plants import ALONE, OURS, TOGETHER
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.reads import READS_MAX, Reads
from drainer.cli.explain.show import show
from drainer.drain.record import End

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 80
# What a first line must say for each cause, so that somebody who reads nothing else knows it.
SAYS = {
    Cause.NO_MEMORY: "web: no other instance has 2048 MiB free",
    Cause.NO_CPU: "calc: no other instance has 4096 CPU units free",
    Cause.PORT_TAKEN: "api: port 8080 is taken on all 3 other instances",
    Cause.NO_ENI: "mesh: no other instance has a free ENI",
    Cause.PLACEMENT_CONSTRAINT: "ml: no other instance fits its placement rule",
    Cause.ZONE: "edge: no other instance in eu-central-1c has room",
    Cause.DISTINCT_INSTANCE: "kv: each other instance runs one of its tasks",
    Cause.MISSING_ATTRIBUTE: "logs: no other instance has logging-driver.splunk",
    Cause.MINIMUM_EQUALS_MAXIMUM: "ledger: minimum = maximum = 100 %, none can move",
    Cause.DESIRED_ONE: "solo: its only task stays until one is healthy",
    Cause.IMAGE_PULL: "shop: its image cannot be pulled",
    Cause.START_ERROR: "auth: its replacement fails before it starts",
    Cause.CRASH_LOOP: "cart: its replacements exit with code 1",
    Cause.UNHEALTHY_REPLACEMENT: "pay: its replacements fail health checks",
    Cause.GRACE_PERIOD: "search: grace period, 9m left",
    Cause.CIRCUIT_BREAKER: "front: its deployment failed and starts no tasks",
    Cause.BLUE_GREEN_HOLD: "store: holds at post test traffic shift",
    Cause.TARGET_DRAINING: "ui: 1 target is draining, 48s left",
    Cause.STOP_TIMEOUT: "worker: 1 task in the stop timeout, 1m40s left",
    Cause.STANDALONE_TASK: "a standalone job: etl-nightly:7, task 00000001",
    Cause.TASK_PROTECTED: "queue: 1 task is protected until 15:40",
    Cause.SIMPLE_SCALING: "batch: simple scaling adds no instance meanwhile",
    Cause.AGENT_DISCONNECTED: "its ECS agent: disconnected since 12:31 (1h31m)",
    Cause.GROUP_CANNOT_GROW: "batch: its group is at its maximum",
    Cause.CAPACITY_WAIT: "batch: a new instance of web-cp",
    Cause.NO_INSTANCES: "web: the cluster has no other active instance",
    Cause.DAEMON: "daemon log-router: its task stops last",
    Cause.ON_COURSE: "web: 1 task to be replaced, on course",
    Cause.OTHER_HOOK: "another hook, backup-logs: ECS is done",
    Cause.FUNCTION_DISABLED: "the drainer's function: it is disabled",
    Cause.FUNCTION_THROTTLED: "the drainer's function: Lambda throttles it",
    Cause.FUNCTION_FAILING: "the drainer's function: its invocations fail",
    Cause.DEAD_LETTERS: "the sweep at 14:05: 2 dead letters",
    Cause.CHAIN_LOST: "the sweep at 14:05: the drainer's chain is lost",
}


@dataclass
class Shown:
    """
    What a command has printed, and its exit code.
    """

    code: int
    lines: list[str]
    error: str


def explain(account: Account, instance: str = HERE, **options: Any) -> Shown:
    screen = io.StringIO()
    given = {"cluster": None, "stack": "drainer", "cause": None, "json_wanted": False} | options
    code = show(
        instance,
        client=account.aws.client,
        now=NOW,
        console=Console(file=screen, width=200),
        zone=UTC,
        **given,
    )
    return Shown(code, screen.getvalue().splitlines(), "")


def by_drainer(*plants: Callable[[Account], None]) -> Account:
    return planted(*plants, ours=True)


def by_ecs(*plants: Callable[[Account], None]) -> Account:
    return planted(*plants, ours=False)


def planted(*plants: Callable[[Account], None], ours: bool) -> Account:
    account = draining(ours=ours)
    for plant in plants:
        plant(account)
    return account


def answer(account: Account, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    explain(account, json_wanted=True, **options)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


BY_EITHER = [
    pytest.param(ours, cause, plant, id=f"{cause}-{'drainer' if ours else 'managed'}")
    for ours in (True, False)
    for cause, plant in {**TOGETHER, **ALONE}.items()
] + [pytest.param(True, cause, plant, id=f"{cause}-drainer") for cause, plant in OURS.items()]


@pytest.mark.parametrize(("ours", "cause", "plant"), BY_EITHER)
def test_the_first_line_names_the_planted_cause(
    ours: bool,
    cause: Cause,
    plant: Callable[[Account], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    # At three in the morning nobody reads further than the first line.
    account = planted(plant, ours=ours)
    shown = explain(account)
    finished = f"{HERE} has finished draining: 0 tasks are left on it."
    expected = f"{HERE} waits for {SAYS[cause]}." if cause in SAYS else finished

    assert shown.lines[0] == expected
    assert shown.code == 0
    assert answer(account, capsys)["cause"] == cause
    commands = [line for line in shown.lines if line.startswith("       --")]
    assert [one for one in shown.lines if len(one) > COLUMNS and one not in commands] == []
    assert account.aws.writes == []


TRIPLES = Random(13).sample(list(combinations(TOGETHER, 3)), 60)  # noqa: S311 (a sample)


@pytest.mark.parametrize("ours", [True, False], ids=["drainer", "managed"])
@pytest.mark.parametrize("causes", TRIPLES, ids="+".join)
def test_all_of_three_planted_causes_are_named(
    ours: bool, causes: tuple[Cause, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    # Who fixes one of three and sees no change stops trusting the first line.
    account = planted(*(TOGETHER[cause] for cause in causes), ours=ours)
    first = explain(account).lines[0]
    found = answer(account, capsys)

    assert sorted(one["cause"] for one in found["causes"]) == sorted(causes)
    assert first.startswith(f"{HERE} waits for 3: ")
    assert len(first) <= COLUMNS
    assert first.count(", ") == 2
    stuck = [one["pace"] == "stuck" for one in found["causes"]]
    assert stuck == sorted(stuck, reverse=True)


def test_more_than_three_causes_are_counted() -> None:
    account = by_drainer(*TOGETHER.values())
    shown = explain(account)

    assert len(shown.lines[0]) <= COLUMNS
    assert ", 19 more." in shown.lines[0]
    assert all(any(line.startswith(cause) for line in shown.lines) for cause in TOGETHER)


def test_one_of_several_causes_is_shown_in_detail() -> None:
    account = by_drainer(TOGETHER[Cause.IMAGE_PULL], TOGETHER[Cause.NO_CPU])
    shown = explain(account, cause=Cause.IMAGE_PULL)

    assert any("CannotPullContainerError" in line for line in shown.lines)
    assert any("registry's" in line or "registry" in line for line in shown.lines)
    assert not any("CPU units" in line for line in shown.lines)


def test_a_cause_that_does_not_hold_the_instance_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = explain(by_drainer(TOGETHER[Cause.NO_CPU]), cause=Cause.ZONE)

    assert shown.code == 2
    assert "its causes: no-cpu" in capsys.readouterr().err


def test_the_standalone_jobs_starter_is_shown() -> None:
    # Only who started it can say whether it may be cut.
    text = " ".join(" ".join(explain(by_drainer(TOGETHER[Cause.STANDALONE_TASK])).lines).split())

    assert 'startedBy DescribeTasks "airflow/etl"' in text


def test_what_happens_at_the_deadline_is_the_second_line() -> None:
    plant = TOGETHER[Cause.PORT_TAKEN]
    ours, managed = explain(by_drainer(plant)), explain(by_ecs(plant))

    assert ours.lines[1] == "At 15:14, in 1h12m, the deadline passes: CONTINUE, and 1 task is cut."
    assert "ECS managed draining ends and 1 task is cut." in managed.lines[1]


def test_a_drainer_that_is_off_cannot_keep_its_deadline() -> None:
    # No heartbeat is sent: the hook times out long before the drain's own deadline.
    shown = explain(by_drainer(OURS[Cause.FUNCTION_DISABLED]))

    assert shown.lines[1] == "At 14:31, in 29m, the hook times out: CONTINUE, and 1 task is cut."


def test_an_instance_that_the_group_keeps_is_not_called_cut() -> None:
    account = by_ecs(TOGETHER[Cause.PORT_TAKEN])
    account.aws.hooks[GROUP] = [hook("own", 3_600) | {"DefaultResult": "ABANDON"}]
    account.aws.groups[GROUP]["InstanceLifecyclePolicy"] = {
        "RetentionTriggers": {"TerminateHookAbandon": "retain"}
    }

    assert explain(account).lines[1].endswith("ABANDON keeps it with 1 task.")


def test_the_end_is_estimated_from_delay_timeout_and_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # 48 s of deregistration delay, 30 s of stop timeout, and half of 15 s until the next look.
    account = by_drainer(TOGETHER[Cause.TARGET_DRAINING])

    assert answer(account, capsys)["expected_at"] == "2026-11-22T14:03:26Z"


@pytest.mark.parametrize(
    "plants",
    [
        (TOGETHER[Cause.TARGET_DRAINING], TOGETHER[Cause.NO_CPU]),
        (OURS[Cause.FUNCTION_FAILING],),
    ],
)
def test_no_end_is_promised_where_somebody_has_to_act(
    plants: tuple[Callable[[Account], None], ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(by_drainer(*plants), capsys)["expected_at"] is None


def test_an_estimate_past_the_deadline_says_so() -> None:
    account = by_drainer(TOGETHER[Cause.TASK_PROTECTED])
    text = " ".join(line.strip() for line in explain(account).lines)

    assert "Misses the deadline by 26m" in text


def test_a_drained_instance_waits_for_the_drainers_next_look() -> None:
    shown = explain(draining(ours=True))

    assert shown.lines[0] == f"{HERE} waits for the drainer's next look: 0 tasks are left."
    assert shown.lines[1].startswith("Nothing to do. Expected release at 14:02")


def test_ecs_holds_an_instance_that_the_drainer_has_released() -> None:
    # Both hooks run side by side, and Auto Scaling waits for both.
    account = draining(ours=True)
    account.aws.records = [record(end=End.CONTINUE)]
    account.aws.hooks[GROUP].append(hook("ecs-managed-draining-termination-hook", 3_600))

    assert explain(account).lines[0] == (
        f"{HERE} waits for ECS managed draining: it ends its hook soon."
    )


def test_a_container_instance_is_found_by_its_arn() -> None:
    account = by_drainer(TOGETHER[Cause.NO_CPU])
    shown = explain(account, instance=instance_arn(HERE))

    assert shown.code == 0
    assert shown.lines[0].startswith(HERE)
    assert "the deadline passes" in shown.lines[1]
    assert "ecs:ListClusters" not in account.aws.calls


def test_the_drainers_record_saves_the_search() -> None:
    # A search of two hundred clusters takes the reads that drains need.
    account = by_drainer(TOGETHER[Cause.NO_CPU])
    explain(account)

    assert "ecs:ListClusters" not in account.aws.calls


def test_all_pages_are_read() -> None:
    # The tasks of a second page would be a drain that seems to have finished.
    account = draining(ours=False)
    account.aws.page_size = 1
    ALONE[Cause.DAEMON](account)
    TOGETHER[Cause.STANDALONE_TASK](account)

    assert "a standalone job" in explain(account).lines[0]


def test_an_explanation_is_bounded() -> None:
    # Fifty services on one instance: the reads of an incident must not throttle its drains.
    account = draining(ours=True)
    for number in range(50):
        account.held(f"service-{number}")
        account.target_group(f"service-{number}", "healthy")
    shown = explain(account)

    assert len(account.aws.calls) <= READS_MAX
    assert shown.code == 0
    assert any("more than 25 services" in line for line in shown.lines)


def test_no_more_reads_are_made_than_allowed() -> None:
    account = by_drainer(TOGETHER[Cause.NO_CPU])
    reads = Reads(account.aws.client, most=2)
    for _ in range(4):
        reads.ask("ecs", "list_clusters")

    assert len(account.aws.calls) == 2
    assert reads.unread[0].why == "the limit of 2 reads"


def test_a_write_is_refused_before_it_is_called() -> None:
    # A word typed wrongly in a rule must not stop a task.
    account = draining(ours=True)
    with pytest.raises(ValueError, match="is no read"):
        Reads(account.aws.client).ask("ecs", "stop_task", task="t")

    assert account.aws.writes == []
    with pytest.raises(AssertionError, match="is a write"):
        account.aws.client("ecs").stop_task(task="t")
    assert account.aws.writes == ["ecs:StopTask"]


def test_each_account_answers_its_own_clients() -> None:
    # They are copied from one, and share nothing: else one test would read another one's account.
    accounts = draining(ours=True).aws, draining(ours=True).aws
    first, second = (one.client("ecs") for one in accounts)
    first.list_clusters()
    first.list_clusters()
    second.list_clusters()

    assert [len(one.calls) for one in accounts] == [2, 1]


DENIED = (
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribePolicies",
    "autoscaling:DescribeScalingActivities",
    "cloudformation:DescribeStacks",
    "cloudformation:DescribeStackResources",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "dynamodb:Query",
    "ecs:DescribeTaskDefinition",
    "ecs:GetTaskProtection",
    "events:DescribeRule",
    "lambda:GetFunctionConcurrency",
    "lambda:ListEventSourceMappings",
    "sqs:GetQueueAttributes",
)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
@pytest.mark.parametrize("operation", DENIED)
def test_what_cannot_be_read_is_said_and_the_rest_is_shown(operation: str, code: str) -> None:
    # A role for reading lacks one permission of twenty: the other nineteen still explain.
    account = by_drainer(TOGETHER[Cause.IMAGE_PULL])
    account.aws.denied[operation] = code
    shown = explain(account)

    assert shown.code == 0
    assert "shop: its image cannot be pulled" in shown.lines[0]
    assert any(line.startswith("? not read: ") for line in shown.lines)


def test_a_dead_load_balancer_api_leaves_the_cause() -> None:
    account = by_drainer(TOGETHER[Cause.TARGET_DRAINING])
    account.aws.denied |= {
        "elbv2:DescribeTargetHealth": "AccessDenied",
        "elbv2:DescribeTargetGroupAttributes": "AccessDenied",
    }

    assert explain(account).lines[0] == f"{HERE} waits for ui: 1 target is draining."


@pytest.mark.parametrize("operation", ["ecs:ListTasks", "ecs:DescribeTasks"])
def test_unread_tasks_are_never_called_drained(operation: str) -> None:
    # "0 tasks left" for tasks that could not be listed would make somebody cut them.
    account = by_drainer(TOGETHER[Cause.IMAGE_PULL])
    account.aws.denied[operation] = "AccessDeniedException"
    shown = explain(account)

    assert shown.code == 1
    assert shown.lines[0] == f"{HERE} waits for something that was not read: its tasks."


def test_half_a_listing_is_no_listing() -> None:
    # Stopping tasks are in the second list only: without it a closing drain looks finished.
    account = by_drainer(TOGETHER[Cause.STOP_TIMEOUT])
    account.aws.refuses = lambda name, parameters: (
        "AccessDeniedException"
        if name == "ecs:ListTasks" and parameters["desiredStatus"] == "STOPPED"
        else ""
    )

    assert "not read" in explain(account).lines[0]


def test_half_of_the_descriptions_is_none() -> None:
    # One hundred stopped tasks are described, and the batch with the running one is throttled.
    account = draining(ours=False)
    for _ in range(100):
        account.task("service:web", "STOPPED")
    TOGETHER[Cause.STANDALONE_TASK](account)
    account.aws.refuses = lambda name, parameters: (
        "ThrottlingException"
        if name == "ecs:DescribeTasks" and len(parameters["tasks"]) == 1
        else ""
    )

    assert "not read: its tasks" in explain(account).lines[0]


def test_an_unread_group_is_not_called_absent() -> None:
    # "No hook holds it" makes somebody terminate an instance that a hook still holds.
    account = draining(ours=False)
    account.aws.denied["autoscaling:DescribeAutoScalingInstances"] = "AccessDenied"

    assert explain(account).lines[1] == "Whether a lifecycle hook holds it was not read."


def test_a_service_of_codedeploy_is_explained() -> None:
    # It has task sets: no deployments, no task definition and no load balancers of its own.
    account = draining(ours=True)
    account.held("blue")
    one = account.cluster.services["blue"]
    group = account.target_group("blue", "healthy")
    times = {"createdAt": NOW, "updatedAt": NOW}
    balancers = one.pop("loadBalancers")
    one["taskSets"] = [
        {"id": f"ecs-svc/{status}", "status": status, "loadBalancers": balancers, **times}
        for status in ("PRIMARY", "ACTIVE")
    ]
    del one["deployments"], one["taskDefinition"]
    shown = explain(account)

    assert shown.lines[0] == f"{HERE} waits for blue: a deployment is in progress."
    assert group in account.aws.target_groups
    assert "elbv2:DescribeTargetHealth" in account.aws.calls
    assert "ecs:DescribeTaskDefinition" in account.aws.calls


def test_a_service_that_was_not_read_is_named() -> None:
    account = by_drainer(TOGETHER[Cause.IMAGE_PULL])
    account.aws.denied["ecs:DescribeServices"] = "AccessDeniedException"

    assert explain(account).lines[0] == f"{HERE} waits for shop: the service was not read."


def test_an_unknown_instance_is_an_error_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    shown = explain(draining(ours=False), instance="i-0000000000000dead")

    assert shown.code == 3
    assert capsys.readouterr().err == (
        "error: i-0000000000000dead is in none of 2 clusters: check the id and --region\n"
    )


def test_an_unsearched_cluster_is_no_absence(capsys: pytest.CaptureFixture[str]) -> None:
    account = draining(ours=False)
    account.aws.denied["ecs:ListContainerInstances"] = "AccessDeniedException"

    assert explain(account).code == 4
    assert "ListContainerInstances is denied" in capsys.readouterr().err


def test_an_active_instance_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    account = draining(ours=False)
    account.cluster.instances[instance_arn(HERE)]["status"] = "ACTIVE"
    account.aws.in_groups.clear()

    assert explain(account).code == 3
    assert f"{HERE} is ACTIVE in cluster {CLUSTER}, not draining" in capsys.readouterr().err


def test_an_instance_that_leaves_and_was_never_set_draining_is_explained() -> None:
    # The function failed before its first change: "not draining" hid why, and the hook times out.
    ours, managed = (planted(_web, ours=ours) for ours in (True, False))
    ours.aws.metrics["Errors"] = [(NOW - timedelta(minutes=3), 4.0)]
    ours.aws.records = []
    for account in (ours, managed):
        account.cluster.instances[instance_arn(HERE)]["status"] = "ACTIVE"

    assert explain(ours).lines[0] == (
        f"{HERE} waits for the drainer's function: its invocations fail."
    )
    assert explain(managed).lines[0] == (
        f"{HERE} waits for its drain to begin: it is ACTIVE, not DRAINING."
    )


def _web(account: Account) -> None:
    account.held("web")


def test_json_is_one_object_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(by_drainer(TOGETHER[Cause.TASK_PROTECTED]), capsys)

    assert found["causes"][0]["until"] == "2026-11-22T15:40:00Z"
    assert found["deadline_at"] == "2026-11-22T15:14:00Z"
    assert found["reads"] == 22
    assert len(found["tasks_left"]) == 1


def test_a_blink_of_the_agent_is_no_cause() -> None:
    # The agent disconnects several times an hour: blaming it each time hides the real cause.
    account = by_drainer(ALONE[Cause.AGENT_DISCONNECTED])
    here = account.cluster.instances[instance_arn(HERE)]
    here["healthStatus"]["details"][0]["lastUpdated"] = NOW - timedelta(minutes=2)

    assert "agent" not in explain(account).lines[0]


@pytest.mark.parametrize("ours", [True, False])
def test_only_a_deadline_of_the_drainer_can_be_extended(*, ours: bool) -> None:
    # The command needs a record: beside ECS's own draining it would only fail.
    account = draining(ours=ours)
    TOGETHER[Cause.STANDALONE_TASK](account)

    told = "\n".join(explain(account).lines)

    assert (f"drainer extend {HERE} 1h" in told) is ours
    assert "Give it time" in told
