from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import handler
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.telemetry import Powertools
from tests.unit.served import ServedAccount

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Context:
    seconds_left: float = 60
    function_name: str = "drainer"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:drainer"
    aws_request_id: str = "request"
    asked: int = 0

    def get_remaining_time_in_millis(self) -> int:
        self.asked += 1
        return int(self.seconds_left * 1000)


@dataclass
class Setting(ServedAccount):
    """An account with a group that leaves, and the function on it; messages are kept, not sent."""

    account: Aws
    function: Callable[[Any, Any], Any]
    topic_arn: str
    log: StringIO
    notifications: list[dict[str, Any]] = field(default_factory=list)

    def sqs(self, *bodies: Any) -> dict[str, Any]:
        return {
            "Records": [
                {
                    "eventSource": "aws:sqs",
                    "messageId": f"m{number}",
                    "body": body if isinstance(body, str) else json.dumps(body),
                }
                for number, body in enumerate(bodies)
            ]
        }

    def sns(self, body: Any) -> dict[str, Any]:
        return {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(body)}}]}

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@pytest.fixture
def setting() -> Setting:
    account = Aws(now=START)
    topic = SnsApi(account).create_topic_named("drainer")
    records = account.record_tables.create("drainer-Records").name
    environ = {
        "DRAINER_TOPIC_ARN": topic.arn,
        "DRAINER_CLUSTERS": "payments",
        "DRAINER_RECORDS_TABLE": records,
    }
    log = StringIO()
    logger = Logger(service=f"drainer-{uuid4()}", stream=log)
    metrics = Metrics(service="drainer", namespace="Drainer")
    function = handler.build(environ, account.client, account.clock, Powertools(logger, metrics))
    made = Setting(account, metrics.log_metrics(function), topic.arn, log)
    account.on_notification.append(lambda n: made.notifications.append(dict(n.message)))
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=30)
    account.auto_scaling.put_hook(
        LifecycleHook("drainer", "payments-asg", notification_target_arn=topic.arn)
    )
    account.ecs.create_service("payments", "web", desired=30)
    made.notifications.clear()
    return made


def test_a_batch_is_one_pass_and_all_of_it_is_served(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 10)

    response = setting.function(setting.sqs(*setting.notifications), Context())

    assert response == {"batchItemFailures": []}
    assert setting.calls("ListContainerInstances") == 1
    assert setting.calls("UpdateContainerInstancesState") == 1
    assert setting.calls("PublishBatch") == 1


def test_only_what_was_not_done_is_delivered_again(setting: Setting) -> None:
    # A batch that fails as a whole does ninety-nine drains again for one.
    setting.account.auto_scaling.scale_in("payments-asg", 20)
    setting.refuse("PublishBatch", "Throttling", times=1)

    response = setting.function(setting.sqs(*setting.notifications), Context())

    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    assert len(failed) == 10


def test_every_duplicate_of_a_retried_message_is_delivered_again(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.refuse("PublishBatch", "Throttling")

    response = setting.function(
        setting.sqs(setting.notifications[0], setting.notifications[0]), Context()
    )

    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    assert failed == ["m0", "m1"]


def test_a_record_without_an_id_is_not_reported_to_sqs(setting: Setting) -> None:
    # An identifier that SQS does not know fails the whole batch: nine drains are done again.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.refuse("PublishBatch", "Throttling")
    batch = setting.sqs(setting.notifications[0])
    del batch["Records"][0]["messageId"]

    assert setting.function(batch, Context()) == {"batchItemFailures": []}


def test_defect_16_refused_records_are_not_delivered_again(setting: Setting) -> None:
    # Malformed JSON that raises comes back for ever.
    setting.account.auto_scaling.scale_in("payments-asg", 1)

    response = setting.function(setting.sqs("{nope", setting.notifications[0], {"a": 1}), Context())

    assert response == {"batchItemFailures": []}
    assert setting.calls("UpdateContainerInstancesState") == 1


def test_a_notification_straight_from_sns_that_is_retried_is_raised_so_that_lambda_retries(
    setting: Setting,
) -> None:
    # An asynchronous invocation that returns is taken for done.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.refuse("PublishBatch", "Throttling", times=1)

    with pytest.raises(UnavailableError, match="Throttling"):
        setting.function(setting.sns(setting.notifications[0]), Context())

    assert setting.function(setting.sns(setting.notifications[0]), Context()) is None


def test_without_time_nothing_is_begun_and_everything_comes_back(setting: Setting) -> None:
    # Half-done is a call that is cut in its middle, of which nobody knows what came of it.
    setting.account.auto_scaling.scale_in("payments-asg", 3)

    response = setting.function(setting.sqs(*setting.notifications), Context(seconds_left=0.9))

    assert len(response["batchItemFailures"]) == 3
    assert setting.calls("UpdateContainerInstancesState") == 0
    assert setting.calls("PublishBatch") == 0


def test_with_little_time_nothing_is_changed_and_everything_is_re_invoked(setting: Setting) -> None:
    # What is given back to SQS comes again after three minutes, at the same place of its batch.
    setting.account.auto_scaling.scale_in("payments-asg", 3)

    response = setting.function(setting.sqs(*setting.notifications), Context(seconds_left=4.5))

    assert response["batchItemFailures"] == []
    assert setting.calls("PublishBatch") == 1
    assert setting.calls("RecordLifecycleActionHeartbeat") == 0
    assert setting.calls("UpdateContainerInstancesState") == 0


# A publication may take four seconds; a function that is killed in it gives back the whole batch,
# with what it has answered already.
def test_with_no_time_for_a_publication_the_messages_are_delivered_again(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 3)

    response = setting.function(setting.sqs(*setting.notifications), Context(seconds_left=3.5))

    assert response is not None
    assert len(response["batchItemFailures"]) == 3
    assert setting.calls("PublishBatch") == 0


def test_one_drain_that_crashes_does_not_spoil_the_others(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 3)
    victim = setting.notifications[1]["EC2InstanceId"]

    def crash(call: Call) -> None:
        if victim in str(call.parameters.get("filter", "")):
            raise ZeroDivisionError

    setting.account.interceptors.append(crash)

    response = setting.function(setting.sqs(*setting.notifications), Context())

    assert response == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    crashed = [line for line in setting.lines() if line["message"] == "crashed"]
    assert "ZeroDivisionError" in crashed[0]["exception"]


def test_one_line_for_each_drain_says_what_is_going_on(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 2)

    setting.function(setting.sqs(*setting.notifications), Context())

    passes = [line for line in setting.lines() if line["message"] == "pass"]
    assert [line["ec2_instance_id"] for line in passes] == [
        notification["EC2InstanceId"] for notification in setting.notifications
    ]
    first = passes[0]
    assert (first["phase"], first["hop"], first["cluster"]) == ("active", 0, "payments")
    # As long as the hook allows, 48 hours, less the three minutes for the answer.
    assert (first["running_tasks"], first["deadline_at"]) == (1, "2026-11-22T11:57:00+00:00")
    assert first["age_minutes"] == 0.0


def test_a_drain_that_goes_on_tells_its_age_and_one_that_is_over_does_not(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    # The alarm on long drains rests on it; and it must end with the drain, however that ended.
    [leaving] = setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.account.run_for(50 * 60)
    setting.function(setting.sqs(setting.notifications[0]), Context())
    [metrics] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert metrics["DrainAgeMinutes"] == [50.0]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert setting.lines()[-1]["age_minutes"] == 50.0

    setting.account.client("autoscaling").complete_lifecycle_action(
        AutoScalingGroupName="payments-asg",
        LifecycleHookName="drainer",
        InstanceId=leaving.ec2_instance_id,
        LifecycleActionResult="CONTINUE",
    )
    setting.function(setting.sqs(*setting.published()), Context())
    [metrics] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert setting.lines()[-1]["phase"] == "over"
    assert "DrainAgeMinutes" not in metrics


def test_defect_19_metrics_count_drains_and_what_went_wrong(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 2)

    setting.function(setting.sqs(*setting.notifications, "{nope"), Context())

    [metrics] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert metrics["DrainsStarted"] == [1.0, 1.0]
    assert metrics["MessagesRefused"] == [1.0]
    assert metrics["service"] == "drainer"


def test_defect_19_no_log_line_holds_a_whole_message(setting: Setting) -> None:
    secret = "https://cloudformation-custom-resource-response.example/?X-Amz-Signature=abcdef"
    setting.function(setting.sqs({"ResponseURL": secret, "RequestType": "Create"}), Context())
    setting.function(setting.sqs("x" * 100_000), Context())

    text = setting.log.getvalue()
    assert text
    assert "X-Amz-Signature" not in text
    assert max(map(len, text.splitlines())) < 1_000


def test_defect_27_nothing_is_remembered_between_invocations(setting: Setting) -> None:
    # State in module globals belongs to the drain that came before.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.function(setting.sqs(setting.notifications[0]), Context())
    before = len(setting.account.calls)
    setting.function(setting.sqs(*setting.published()), Context())

    again = [call.operation for call in list(setting.account.calls)[before:]]
    assert "DescribeAutoScalingInstances" in again
    assert "DescribeLifecycleHooks" in again
    assert "DescribeContainerInstances" in again


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_defect_15_a_duplicate_costs_one_read_of_its_record(setting: Setting) -> None:
    # SNS and SQS deliver twice: each duplicate that was re-invoked doubled the calls of the whole
    # drain.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.function(setting.sqs(setting.notifications[0]), Context())
    before = len(setting.account.calls)

    response = setting.function(setting.sqs(setting.notifications[0]), Context())

    assert response == {"batchItemFailures": []}
    assert [call.operation for call in list(setting.account.calls)[before:]] == ["BatchGetItem"]


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("event", [None, {}, [], "x", {"Records": []}, {"Records": [None]}])
def test_what_is_no_event_is_refused_quietly_enough(setting: Setting, event: Any) -> None:
    assert setting.function(event, Context()) in (None, {"batchItemFailures": []})


def test_a_wrong_setting_stops_the_function_with_a_sentence() -> None:
    with pytest.raises(MisconfiguredError, match="topic_arn"):
        handler.build({}, Aws(now=START).client, lambda: START)


def test_the_entry_point_is_the_one_that_the_template_names() -> None:
    assert callable(handler.lambda_handler)
    assert issubclass(UnavailableError, DrainerError)


# What Lambda tells each function, and what the template does.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
IN_LAMBDA = {
    "PATH": os.defpath,
    "PYTHONDONTWRITEBYTECODE": "1",
    "AWS_LAMBDA_FUNCTION_NAME": "drainer",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "DRAINER_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:drainer",
    "POWERTOOLS_SERVICE_NAME": "drainer",
    "POWERTOOLS_METRICS_NAMESPACE": "Drainer",
}
# An import may connect to nothing, in Lambda neither.
IMPORT = """
import sys
def judge(event, arguments):
    if event == "socket.connect":
        raise AssertionError(f"connects to {arguments}")
sys.addaudithook(judge)
import drainer.handler
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", IMPORT + program],
        cwd=PROJECT,
        env={**IN_LAMBDA, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_in_lambda_the_clients_are_made_before_the_first_event() -> None:
    # An interruption leaves two minutes; half a second of them went into making clients.
    done = run("print(drainer.handler._production.cache_info().currsize)")

    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_wrong_setting_ends_the_start_with_its_name_and_what_it_may_be() -> None:
    # What Lambda writes to the log is the exception; "import error" alone would help nobody.
    done = run("print('begun')", DRAINER_DEADLINE_RESULT="NEITHER")

    assert done.returncode != 0
    assert "begun" not in done.stdout
    assert "deadline_result is 'NEITHER': it must be one of CONTINUE, ABANDON" in done.stderr


def test_the_timestamp_of_a_log_line_is_one_that_lambda_understands() -> None:
    # "If you don't supply a valid timestamp, Lambda will assign the log the level INFO": with a
    # filter above INFO, errors would be dropped.
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    done = run(
        """
class Context:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "x"
    def get_remaining_time_in_millis(self):
        return 30000
record = {"eventSource": "aws:sqs", "messageId": "m", "body": "{nope"}
drainer.handler.lambda_handler({"Records": [record]}, Context())
"""
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    [refused] = [line for line in lines if line.get("message") == "refused"]

    # "date-time = full-date "T" full-time", with an offset that has a colon.
    # https://www.rfc-editor.org/rfc/rfc3339#section-5.6
    offset = r"(Z|[+-][0-9]{2}:[0-9]{2})"
    assert refused["level"] == "ERROR"
    assert re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+" + offset,
        refused["timestamp"],
    )
