"""
What raises an alarm: each event once, with its harm, and what impairs the drainer while it lasts.

Each test stands for an alarm of its own that there was before, or for one that was thought of.
"""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import attention, handler
from drainer.custom_resource.report import Report
from drainer.custom_resource.report import Step as RequestStep
from drainer.drain.model import Origin
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.spot.events import TaskInterruption
from drainer.spot.report import InterruptionReport
from drainer.telemetry import Powertools
from tests.unit.test_handler import START, Context, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call

QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/drainer-NoticeQueue"
SWEEP = {"drainer": "sweep"}
LONG_DRAIN_MINUTES = 45
Metric = dict[str, Any]


class Told(Setting):
    """The setting, with what its queue says and what its metrics were."""

    waiting = 0

    def attributes(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert parameters["QueueUrl"] == QUEUE_URL
        return {"Attributes": {name: str(self.waiting) for name in parameters["AttributeNames"]}}

    def told(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["message"] == message]


@pytest.fixture
def setting() -> Told:
    account = Aws(now=START)
    topic = SnsApi(account).create_topic_named("drainer")
    environ = {
        "DRAINER_TOPIC_ARN": topic.arn,
        "DRAINER_CLUSTERS": "payments",
        "DRAINER_RECORDS_TABLE": account.record_tables.create("drainer-Records").name,
        "DRAINER_NOTICE_QUEUE_URL": QUEUE_URL,
        "DRAINER_LONG_DRAIN_ALARM_MINUTES": str(LONG_DRAIN_MINUTES),
    }
    log = StringIO()
    metrics = Metrics(service="drainer", namespace="Drainer")
    telemetry = Powertools(Logger(service=f"drainer-{uuid4()}", stream=log), metrics)
    function = handler.build(environ, account.client, account.clock, telemetry)
    made = Told(account, metrics.log_metrics(function), topic.arn, log)
    account.apis["sqs"] = SimpleNamespace(get_queue_attributes=made.attributes)
    account.on_notification.append(lambda n: made.notifications.append(dict(n.message)))
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    account.auto_scaling.put_hook(
        LifecycleHook("drainer", "payments-asg", notification_target_arn=topic.arn)
    )
    account.ecs.create_service("payments", "web", desired=3)
    made.notifications.clear()
    return made


@pytest.fixture
def measured(capsys: pytest.CaptureFixture[str]) -> Callable[[], Metric]:
    """Return what was measured since it was last asked for, of all invocations."""

    def read() -> Metric:
        found: Metric = {}
        for line in capsys.readouterr().out.splitlines():
            for name, values in json.loads(line).items():
                if isinstance(values, list):
                    found.setdefault(name, []).extend(values)
        return found

    return read


def outcome(**changes: Any) -> Any:
    """A pass over a drain that goes on, as far as it is looked at here."""
    drain = SimpleNamespace(started_at=START, sent_at=None, hop=3, origin=Origin.CHAIN)
    look = SimpleNamespace(now=START, remaining=("task",), counted=1, hops_max=9)
    made: dict[str, Any] = {
        "answered": None,
        "missed_deadline": False,
        "tasks_left": 1,
        "decision": SimpleNamespace(phase="draining", hop_limit=False, step="re-invoke"),
        "drain": drain,
        "look": look,
        "record": None,
        "admitted": SimpleNamespace(admission="due"),
        "errors": (),
    }
    return SimpleNamespace(**{**made, **changes})


def leave_with_a_job(setting: Told) -> None:
    """Let an instance leave whose task nobody stops."""
    [leaving] = setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.account.ecs.run_standalone("payments", leaving.ec2_instance_id)


def events(one: Any) -> list[str]:
    return [told.event for told in attention.of_drain(one, LONG_DRAIN_MINUTES, one.look.now)]


def reported(report: Callable[[Powertools], None]) -> list[dict[str, Any]]:
    """What is told at once of one report."""
    log, metrics = StringIO(), Metrics(service="drainer", namespace="Drainer")
    telemetry = Powertools(Logger(service=f"drainer-{uuid4()}", stream=log), metrics)
    metrics.log_metrics(lambda *_: report(telemetry))({}, Context())
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["message"] == "attention"]


# -- at once


def test_a_deadline_that_has_passed_is_told_once_with_its_harm(
    setting: Told, measured: Callable[[], Metric]
) -> None:
    # Its tasks are killed with the instance. The finer metrics stay, for dashboards.
    setting.account.auto_scaling.put_hook(
        LifecycleHook(
            "drainer",
            "payments-asg",
            notification_target_arn=setting.topic_arn,
            notification_metadata='{"drain_timeout_seconds": 60}',
        )
    )
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.account.run_for(61)

    setting.function(setting.sqs(*setting.notifications), Context())
    counted = measured()

    [line] = setting.told("attention")
    assert (line["event"], line["ec2_instance_id"]) == (
        "deadline passed",
        setting.notifications[0]["EC2InstanceId"],
    )
    assert "are killed with the instance" in line["reason"]
    assert line["level"] == "ERROR"
    assert counted["Attention"] == counted["DeadlinesPassed"] == [1.0]


def test_a_limit_of_hops_is_told_with_what_to_check() -> None:
    # The chain has ended, and only sweeps look at the instance.
    stopped = SimpleNamespace(phase="draining", hop_limit=True, step="stop")

    [told] = attention.of_drain(outcome(decision=stopped), LONG_DRAIN_MINUTES, START)

    assert told.event == "hop limit"
    assert "check DelaySeconds" in told.reason


def test_a_long_drain_is_told_each_time_that_its_minutes_pass_and_not_in_between(
    setting: Told, measured: Callable[[], Metric]
) -> None:
    # An alarm that stays on for as long as the drain lasts would hide each other event. One that is
    # told once would be forgotten, with two days of an instance to pay for.
    leave_with_a_job(setting)
    at_minutes = []
    setting.function(setting.sqs(*setting.notifications), Context())
    for minute in range(10, 140, 5):
        setting.account.advance_to(START + timedelta(minutes=minute))
        setting.function(setting.sqs(setting.published()[-1]), Context())
        if "Attention" in measured():
            at_minutes.append(minute)

    assert at_minutes == [45, 90, 135]
    assert {line["event"] for line in setting.told("attention")} == {"long drain"}


def test_a_drain_that_has_ended_is_not_told_as_a_long_one() -> None:
    later = SimpleNamespace(now=START.replace(hour=14), remaining=(), counted=0, hops_max=9)
    ended = SimpleNamespace(phase="drained", hop_limit=False, step="answer the hook")

    assert events(outcome(look=later)) == ["long drain"]
    assert events(outcome(look=later, decision=ended, answered="CONTINUE")) == []
    assert events(outcome(look=later, admitted=SimpleNamespace(admission="look"))) == []


def test_without_its_record_a_long_drain_is_told_by_its_message() -> None:
    # While the table is down each pass would tell it anew, and the alarm would stay on.
    later = SimpleNamespace(now=START.replace(hour=14), remaining=(), counted=0, hops_max=9)
    sent = SimpleNamespace(
        started_at=START, sent_at=START.replace(hour=13, minute=29), hop=9, origin=Origin.CHAIN
    )
    just_sent = SimpleNamespace(**{**vars(sent), "sent_at": START.replace(hour=13, minute=31)})

    assert events(outcome(look=later, drain=sent)) == ["long drain"]
    assert events(outcome(look=later, drain=just_sent)) == []


def test_a_drain_that_crosses_while_a_pass_is_under_way_is_told_once() -> None:
    # A pass of a crowd takes seconds. The next one counts from its write, so that what lies between
    # look and write would be told by neither.
    looked, wrote, told_at = (START + timedelta(minutes=45, seconds=s) for s in (-2, 1, 2))
    look = SimpleNamespace(now=looked, remaining=(), counted=0, hops_max=9)
    first = outcome(look=look, record=SimpleNamespace(written_at=looked - timedelta(seconds=15)))
    second = outcome(look=look, record=SimpleNamespace(written_at=wrote))
    later = told_at + timedelta(seconds=15)

    assert [one.event for one in attention.of_drain(first, 45, told_at)] == ["long drain"]
    assert [*attention.of_drain(second, 45, later)] == []


def test_a_crash_is_told(setting: Told, measured: Callable[[], Metric]) -> None:
    # Lambda counts a partial batch response as a success, so that its Errors do not show it.
    setting.account.auto_scaling.scale_in("payments-asg", 1)

    def crash(call: Call) -> None:
        if call.operation == "ListContainerInstances":
            raise ZeroDivisionError

    setting.account.interceptors.append(crash)
    setting.function(setting.sqs(*setting.notifications), Context())
    counted = measured()

    [line] = setting.told("attention")
    assert line["event"] == "crash"
    assert "ZeroDivisionError" in line["reason"]
    assert counted["Attention"] == counted["Crashes"] == [1.0]


@pytest.mark.parametrize(
    ("report", "event", "metric"),
    [
        pytest.param(
            Report(
                "stack|request",
                3,
                step=RequestStep.ANSWERED,
                overdue=True,
                target_status=SimpleNamespace(done=1, total=2, outcomes=()),  # type: ignore[arg-type]
            ),
            "request timed out",
            "RequestTimeouts",
            id="its deadline passed",
        ),
        pytest.param(
            Report("stack|request", 3, step=RequestStep.REFUSED, unanswered=True),
            "request not answered",
            "RequestsUnanswered",
            id="its response was rejected",
        ),
    ],
)
def test_a_request_that_ends_badly_is_told(
    report: Report, event: str, metric: str, measured: Callable[[], Metric]
) -> None:
    # A stack operation fails, or tasks are killed: whoever runs it did not ask for either.
    [line] = reported(lambda telemetry: telemetry.requested(report))
    counted = measured()

    assert (line["event"], line["stack_id"]) == (event, "stack")
    assert counted["Attention"] == counted[metric] == [1.0]


@pytest.mark.parametrize(("denied", "told"), [(0, []), (2, ["interruption denied"])])
def test_a_denied_call_about_an_interruption_is_told(
    denied: int, told: list[str], measured: Callable[[], Metric]
) -> None:
    # It is not tried again, so that no dead letter tells of it.
    gone = TaskInterruption("payments", "web", "task-1", ("10.0.0.1",), START)
    report = InterruptionReport(gone, denied=denied)

    lines = reported(lambda telemetry: telemetry.interrupted([report]))
    counted = measured()

    assert [line["event"] for line in lines] == told
    assert counted.get("Attention") == counted.get("InterruptionsDenied")
    assert len(counted.get("Attention", ())) == len(told)


@pytest.mark.parametrize(
    ("seconds", "late"), [(299, []), (300, ["late message"]), (4000, ["late message"])]
)
def test_a_notification_that_comes_late_is_told(
    setting: Told, seconds: int, late: list[str]
) -> None:
    # Throttled or failed twice, or behind a crowd: its instance was not DRAINING meanwhile.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.account.run_for(seconds)
    event = setting.sqs(*setting.notifications)
    for record in event["Records"]:
        record["attributes"] = {"SentTimestamp": str(int(START.timestamp() * 1000))}

    setting.function(event, Context())

    told = setting.told("attention")
    assert [line["event"] for line in told if line["event"] != "long drain"] == late
    assert not late or f"up to {seconds} s" in told[0]["reason"]


def test_an_envelope_may_wait_longer_and_an_odd_stamp_is_no_reason_to_fail(setting: Told) -> None:
    # The wait queue delays by up to five minutes, and a failed batch comes again after three.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.function(setting.sqs(*setting.notifications), Context())
    [envelope] = setting.published()
    for seconds, stamp in ((899, None), (899, "x"), (899, "²"), (899, "9" * 5000), (900, None)):
        event = setting.sqs(envelope)
        sent = (setting.account.now.timestamp() - seconds) * 1000
        event["Records"][0]["attributes"] = {"SentTimestamp": stamp or str(int(sent))}
        setting.function(event, Context())

    assert [line["event"] for line in setting.told("attention")] == ["late message"]


# -- if it lasts


def denied(
    setting: Told, measured: Callable[[], Metric], operation: str
) -> tuple[dict[str, Any], Metric]:
    """Let an instance leave while an operation is denied; return what is told and measured."""
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.refuse(operation, "AccessDeniedException")

    setting.function(setting.sqs(*setting.notifications), Context())
    [line] = setting.told("impaired")
    return line, measured()


def test_a_look_that_fails_impairs(setting: Told, measured: Callable[[], Metric]) -> None:
    # One throttled look is nothing; a wrong permission lasts, and its instances wait.
    line, counted = denied(setting, measured, "ListContainerInstances")

    assert line["unseen"] == 1
    assert counted["UnseenPasses"] == [1.0]
    assert counted["Impaired"] >= [1.0]
    assert setting.told("attention") == []


def test_a_call_that_fails_impairs(setting: Told, measured: Callable[[], Metric]) -> None:
    line, counted = denied(setting, measured, "UpdateContainerInstancesState")

    assert line["calls_failed"] == 1
    assert counted["CallsFailed"] == counted["Impaired"] == [1.0]


def test_a_chain_that_the_sweep_has_to_begin_again_impairs(
    setting: Told, measured: Callable[[], Metric]
) -> None:
    # A wait queue that Lambda does not read, or that drops a loop, loses every chain: each sweep
    # finds the drain silent. One lost message is found by one sweep.
    leave_with_a_job(setting)
    setting.function(setting.sqs(*setting.notifications), Context())
    setting.function(SWEEP, Context())
    assert "Impaired" not in measured()

    for _ in range(3):
        setting.account.run_for(300)
        setting.function(SWEEP, Context())

        assert measured()["Impaired"] == [1.0]
        assert setting.told("impaired")[-1]["chains_lost"] == 1


@pytest.mark.parametrize("waiting", [0, 1, 40])
def test_notifications_that_lambda_does_not_receive_impair(
    setting: Told, measured: Callable[[], Metric], waiting: int
) -> None:
    # A disabled event source mapping fails nothing and calls nothing: requests of CloudFormation
    # would wait for an hour without a word.
    setting.waiting = waiting

    setting.function(SWEEP, Context())

    assert measured().get("Impaired", []) == ([float(waiting)] if waiting else [])
    assert [line["messages_waiting"] for line in setting.told("impaired")] == [waiting] * (
        waiting > 0
    )


def test_a_queue_that_cannot_be_read_impairs_and_ends_no_sweep(
    setting: Told, measured: Callable[[], Metric]
) -> None:
    setting.refuse("GetQueueAttributes", "AccessDenied")

    setting.function(SWEEP, Context())

    assert measured()["Impaired"] == [1.0]
    [line] = setting.told("call failed")
    assert "The notification queue was not read" in line["reason"]


def test_a_quiet_sweep_sends_no_metric_and_asks_one_queue_once(
    setting: Told, measured: Callable[[], Metric]
) -> None:
    # A metric that is sent each hour costs $0.30 a month, as much as three alarms.
    setting.function(SWEEP, Context())

    assert measured() == {}
    assert setting.calls("GetQueueAttributes") == 1
