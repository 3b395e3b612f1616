"""The bench: what it measures is there to be measured, and its sums are right."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.cli.bench import cdk, growth, ours, picture, results, sample
from drainer.cli.bench.__main__ import JSON, PICTURE, run
from drainer.cli.bench.drains import CLUSTER, LENGTHS, START, Drain, Scene
from drainer.cli.bench.idle import idle_month
from drainer.cli.bench.meter import READ, Meter
from drainer.cli.bench.outcome import measure
from drainer.cli.bench.plan import Row, default_rows
from drainer.cli.bench.prices import PRICES, Item, money
from drainer.cli.bench.retries import Retries
from drainer.cli.bench.sleeping import CHAIN_MAX, SleepingFunction, drain
from drainer.cli.bench.start_up import VCPU_MEGABYTES, WAITING_SECONDS, billed_seconds
from drainer.cli.bench.subjects import CDK, CHAIN, SAMPLE, SHIPPED, subjects
from drainer.cli.bench.threads import VirtualThreads
from drainer.simulation.aws import Aws
from drainer.simulation.records import ApiError, NotReachedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KNOWN = subjects("not looked for")
# In the shape of what is published, and written for this test: it looks once a minute.
HANDLER = """
import boto3, json, os, time
ecs = boto3.client("ecs")
autoscaling = boto3.client("autoscaling")

def lambda_handler(event, context):
    message = json.loads(event["Records"][0]["Sns"]["Message"])
    if "EC2InstanceId" not in message:
        return
    print("looking")
    named = f"ec2InstanceId == {message['EC2InstanceId']}"
    cluster = os.environ["CLUSTER"]
    [arn] = ecs.list_container_instances(cluster=cluster, filter=named)["containerInstanceArns"]
    ecs.update_container_instances_state(
        cluster=cluster, containerInstances=[arn], status="DRAINING")
    while ecs.describe_container_instances(
        cluster=cluster, containerInstances=[arn]
    )["containerInstances"][0]["runningTasksCount"]:
        time.sleep(60)
    time.sleep(120)
    autoscaling.complete_lifecycle_action(
        LifecycleHookName=message["LifecycleHookName"],
        AutoScalingGroupName=message["AutoScalingGroupName"],
        LifecycleActionToken=message["LifecycleActionToken"],
        LifecycleActionResult="CONTINUE")
"""


# Every other figure is worthless if an instance goes while its tasks run.
def test_the_drainer_releases_no_instance_with_tasks_alive() -> None:
    for name, asked in (
        (SHIPPED, Drain(10, tasks=3)),
        (CHAIN, Drain(1, length=LENGTHS["1m"])),
        (SHIPPED, Drain(1, length=LENGTHS["2h"])),
    ):
        outcome = measure(KNOWN[name], asked, runs=1)

        assert (outcome.alive, outcome.early, outcome.timed_out) == (0, 0, 0)
        assert len(outcome.lags) == asked.instances
        assert outcome.last_seconds is not None
        assert 0 < outcome.last_seconds < 60


# A measure that cannot fail shows nothing: tasks that stop are not running, and still alive.
def test_the_sample_style_releases_instances_early_in_the_same_account() -> None:
    for size in (1, 10):
        outcome = measure(KNOWN[SAMPLE], Drain(size), runs=1)

        assert outcome.early == size
        assert outcome.alive >= size
        assert outcome.lags == ()


# Lambda drops the sample's chain after about 16 invocations: the hook then waits for its timeout.
def test_a_chain_that_lambda_drops_ends_with_the_hooks_timeout() -> None:
    scene = Scene(Drain(1, length=LENGTHS["2h"]), seed=0)
    _, reached = sample.run(scene, loops=False)

    assert len(scene.meter.invocations) == CHAIN_MAX
    assert [one.ended_by for one in scene.account.auto_scaling.actions] == ["timeout"]
    assert reached == 0


def test_a_published_handler_runs_unmodified_on_the_accounts_time() -> None:
    scene = Scene(Drain(2), seed=0)
    bill, reached = cdk.run(scene, HANDLER)
    [one, other] = [seconds for _, seconds in scene.meter.invocations if seconds > 1]

    assert {action.ended_by for action in scene.account.auto_scaling.actions} == {"completed"}
    # It sleeps for whole minutes, which are paid for, and the account's clock passes them.
    assert 180 < one < 420
    assert 180 < other < 420
    assert scene.meter.concurrency() == 2
    assert bill.gigabyte_seconds == pytest.approx(
        cdk_gigabytes() * sum(seconds for _, seconds in scene.meter.invocations)
    )
    assert scene.meter.log_bytes == 2 * len("looking\n")
    assert reached == 0


def cdk_gigabytes() -> float:
    return 128 / 1_024


# What it began to import since then would be the machine's own, and its sleep the machine's time.
def test_a_handler_that_imports_something_else_is_refused() -> None:
    with pytest.raises(ImportError, match="socket"):
        cdk.load("import socket", lambda _: None, lambda _: None, {}, lambda *_: None)


def test_a_handler_that_cannot_be_had_is_a_row_without_figures(tmp_path: Path) -> None:
    # Whoever is offline still gets the other rows.
    why = cdk.published(tmp_path, npm="no-such-npm")
    kept = run([Row(CDK, Drain(1)), Row(SHIPPED, Drain(1))], why, "a test")

    assert why == "no-such-npm is not installed"
    assert [(row.subject, row.missing) for row in kept.rows] == [(CDK, why), (SHIPPED, "")]
    assert kept.left_out == [f"{CDK}: {why}"]
    assert kept.versions == {}


# -- money


def test_prices_times_counts_are_the_money() -> None:
    assert set(PRICES) == set(Item)
    assert money({Item.SQS: 2_500_000, Item.ALARMS: 3, Item.XRAY: 0}) == pytest.approx(
        {Item.SQS: 1.0, Item.ALARMS: 0.3, Item.XRAY: 0.0}
    )


def test_a_drains_bill_is_what_the_account_saw() -> None:
    scene = Scene(Drain(1, length=LENGTHS["1m"]), seed=1)
    bill, _ = ours.run(scene, ours.Sources(fast_path=False, sweep=False))
    invocations = scene.meter.invocations
    outcome = measure(KNOWN[CHAIN], Drain(1, length=LENGTHS["1m"]), runs=1)

    assert bill.counts[Item.LAMBDA_REQUESTS] == len(invocations)
    assert bill.gigabyte_seconds == pytest.approx(0.5 * sum(seconds for _, seconds in invocations))
    # As shipped nothing is traced.
    assert bill.counts[Item.XRAY] == 0
    # Each message is sent, received and deleted once; the hook's and the drainer's own are sent
    # by the topic.
    assert bill.counts[Item.SQS] == 3 * len(invocations)
    assert bill.counts[Item.SNS] == len(invocations)
    assert bill.counts[Item.LOGS] > 0
    assert sum(outcome.dollars.values()) == pytest.approx(
        sum(money({item: 1_000 * one for item, one in of_seed(0).counts.items()}).values())
    )


def of_seed(seed: int) -> Any:
    scene = Scene(Drain(1, length=LENGTHS["1m"]), seed)
    return ours.run(scene, ours.Sources(fast_path=False, sweep=False))[0]


def test_an_idle_month_is_alarms_pollers_and_sweeps() -> None:
    month = idle_month(ours.Sources())

    assert month[Item.ALARMS] == pytest.approx(0.10 * ours.shipped().alarms)
    assert ours.shipped().alarms == 5
    # Each queue has two pollers, that ask three times a minute; and each sweep asks once.
    polls = ours.shipped().queues * 2 * 3 * 60
    assert month[Item.SQS] == pytest.approx((polls + 12) * 730 * 0.40 / 1_000_000)
    assert month[Item.LAMBDA_REQUESTS] == pytest.approx(12 * 730 * 0.20 / 1_000_000)
    assert month[Item.SNS] == 0


def test_an_idle_month_costs_less_than_a_dollar() -> None:
    # Whoever drains ten instances a month does not pay thirty times their price for the watch.
    assert sum(idle_month(ours.Sources()).values()) < 1.00


def test_the_page_and_the_kept_results_name_the_price_of_an_idle_month() -> None:
    # A queue or an alarm more is paid for by everybody, whether anything drains or not.
    month = {str(item): round(cost, 4) for item, cost in idle_month(ours.Sources()).items()}

    assert (
        f"the stack costs ${sum(month.values()):.2f} a month"
        in (JSON.parent / "operating.md").read_text()
    )
    assert json.loads(JSON.read_text())["idle"] == month


def test_an_alarm_over_an_expression_costs_each_of_its_metrics() -> None:
    # Four alarms in one expression look like a saving, and are none.
    read = {"MetricStat": {"Stat": "Sum"}}

    assert ours.metrics_read({"MetricName": "Errors"}) == 1
    assert ours.metrics_read({"Metrics": [read, read, {"Expression": "m1 + m2"}]}) == 2


def test_a_task_that_stops_elsewhere_costs_an_invocation_and_a_query() -> None:
    # Listing what runs there would take the reads that drains need.
    quiet, busy = (idle_month(ours.Sources(), stops) for stops in (0, 2_400))

    stops = 100 * 730
    assert busy[Item.LAMBDA_REQUESTS] - quiet[Item.LAMBDA_REQUESTS] == pytest.approx(
        stops * 0.20 / 1_000_000
    )
    assert busy[Item.DYNAMODB_READS] - quiet[Item.DYNAMODB_READS] == pytest.approx(
        0.5 * stops * 0.125 / 1_000_000
    )


# -- the meter


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


def test_calls_are_counted_by_bucket_and_second(account: Aws) -> None:
    meter = Meter(account)
    account.interceptors.append(meter)
    account.auto_scaling.create_group("g", cluster=CLUSTER, desired=1)
    for _ in range(3):
        account.call("ecs", "ListTasks", {"cluster": CLUSTER})
    account.run_for(1)
    account.call("ecs", "ListTasks", {"cluster": CLUSTER})

    assert meter.ecs == {READ: 4}
    assert meter.worst_second(READ) == 3


def test_invocations_that_overlap_are_counted_together(account: Aws) -> None:
    meter = Meter(account)
    for begins, seconds in ((0, 10.0), (5, 1.0), (6, 1.0), (8, 10.0)):
        meter.invoked(START + timedelta(seconds=begins), seconds)

    assert meter.concurrency() == 2


def test_write_units_are_begun_kilobytes_and_the_index(account: Aws) -> None:
    meter = Meter(account)
    account.interceptors.append(meter)
    account.record_tables.create("t")
    written = {
        "TableName": "t",
        "Key": {"instance": {"S": "i"}, "subject": {"S": "s"}},
        "UpdateExpression": "SET #text = :text",
        "ExpressionAttributeNames": {"#text": "text"},
        "ExpressionAttributeValues": {":text": {"S": "x" * 1_500}},
    }
    account.call("dynamodb", "UpdateItem", written)

    assert meter.write_units == 2 + 2

    account.call("dynamodb", "UpdateItem", written)

    assert meter.write_units == 4 + 2


# -- what sleeps and what is tried again


def refusing(times: int, code: str) -> Callable[..., dict[str, Any]]:
    left = [times]

    def perform(*_: Any) -> dict[str, Any]:
        left[0] -= 1
        if left[0] >= 0:
            raise ApiError(code, "refused by the test")
        return {}

    return perform


def test_a_throttle_reaches_the_program_only_after_the_last_attempt(account: Aws) -> None:
    waited: list[float] = []
    patient = Retries(refusing(4, "ThrottlingException"), waited.append, account.random, 5)
    hasty = Retries(refusing(2, "ThrottlingException"), waited.append, account.random, 2)

    assert patient("ecs", "ListTasks", {}) == {}
    assert (patient.reached, len(waited)) == (0, 4)
    assert [seconds <= 2.0**attempt for attempt, seconds in enumerate(waited)] == [True] * 4
    with pytest.raises(ApiError, match="ThrottlingException"):
        hasty("ecs", "ListTasks", {})
    assert hasty.reached == 1


def test_a_refusal_that_is_no_throttle_is_not_tried_again(account: Aws) -> None:
    retries = Retries(refusing(1, "ClientException"), lambda _: None, account.random)
    with pytest.raises(ApiError, match="ClientException"):
        retries("ecs", "ListTasks", {})

    assert retries.reached == 0


def test_code_that_sleeps_takes_turns_by_the_accounts_time(account: Aws) -> None:
    threads, said = VirtualThreads(account), []

    def sleeper(name: str, seconds: float) -> Callable[[], None]:
        def body() -> None:
            for _ in range(2):
                threads.pause(seconds)
                said.append((name, (account.now - START).total_seconds()))

        return body

    threads.start(sleeper("slow", 3))
    threads.start(sleeper("quick", 2))
    account.run_for(5)
    threads.end()

    assert said == [("quick", 2), ("slow", 3), ("quick", 4)]


def test_lambda_ends_a_function_that_sleeps_too_long_and_tries_it_twice_again() -> None:
    scene = Scene(Drain(1), seed=0)

    def make(_: Any, sleep: Callable[[float], None]) -> Any:
        def handle(event: Any, _: Any) -> None:
            if "EC2InstanceId" in event["Records"][0]["Sns"]["Message"]:
                sleep(1_000)

        return handle

    function = SleepingFunction(
        scene.account,
        "sleeper",
        make,
        meter=scene.meter,
        random=scene.random,
        timeout_seconds=60,
    )
    drain(scene, function, heartbeat_seconds=900, default_result="CONTINUE")
    first = scene.meter.invocations[0][0]
    began = [(at - first).total_seconds() for at, _ in scene.meter.invocations]

    assert {round(seconds, 6) for _, seconds in scene.meter.invocations} == {60}
    assert began == pytest.approx([0, 60 + 60, 60 + 60 + 60 + 120])
    assert function.failed == 3


def test_a_drain_that_nobody_answers_ends_the_run() -> None:
    scene = Scene(Drain(1), seed=0)
    scene.hook("arn:aws:sns:us-east-1:1:other", heartbeat_seconds=7_200, default_result="CONTINUE")
    scene.leave()

    assert scene.account.facts("answered", ended_by="timeout")
    with pytest.raises(NotReachedError):
        scene.account.run_until(lambda: False, timedelta(0))


# -- growth, and what is kept


def grown(instances: int, reads: float) -> results.Figures:
    return results.Figures(SHIPPED, instances, 1, "seven minutes", 1, reads=reads, seconds=150.0)


def test_the_exponent_of_a_power_law_is_found() -> None:
    linear = [grown(size, 2.0) for size in (10, 100, 1_000)]
    root = [grown(size, 1 / size**0.5) for size in (10, 100, 1_000)]

    assert growth.reads_per_interval(linear[0]) == pytest.approx(2.0 * 10 / 10)
    assert growth.exponent(linear) == pytest.approx(1.0)
    assert growth.exponent(root) == pytest.approx(0.5)
    assert growth.exponent(linear[:2]) is None


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = results.Results(
        "2026-11-22", "make bench", {"a": "1"}, [grown(10, 2.0)], ["one"],
        {"x": 1.0},
    )  # fmt: skip
    kept.write(tmp_path / "docs" / "bench.json")

    assert results.read(tmp_path / "docs" / "bench.json") == kept


def test_the_picture_is_drawn_from_the_kept_results() -> None:
    kept = results.read(JSON)

    # A picture that says something else than the table is worse than none: make bench WHAT=--draw.
    assert picture.draw(kept) == PICTURE.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in picture.draw(kept)
    assert json.loads(JSON.read_text(encoding="utf-8"))["date"] == kept.date


def test_the_rows_of_the_bench_have_every_size_and_length() -> None:
    rows = default_rows()
    sizes = {row.drain.instances for row in rows if row.subject == SHIPPED}

    assert sizes == {1, 10, 100, 300, 1_000, 5_000}
    assert {row.drain.length for row in rows} == set(LENGTHS.values())
    assert {row.drain.tasks for row in rows} == {1, 20}


# The memory size is chosen by these: with the share upside down the smallest would look fastest.
def test_half_the_memory_computes_twice_as_long_and_waits_as_long() -> None:
    whole = billed_seconds(0.5, VCPU_MEGABYTES)
    quarter = billed_seconds(0.5, VCPU_MEGABYTES // 4)

    assert whole == pytest.approx(0.5 + WAITING_SECONDS)
    assert quarter == pytest.approx(2.0 + WAITING_SECONDS, rel=0.01)
