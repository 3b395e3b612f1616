from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import handler
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.simulation.account import Account
from drainer.simulation.delivery import SnsApi
from drainer.simulation.lifecycle import LifecycleHook
from drainer.simulation.records import ApiError, Call
from drainer.telemetry import Powertools

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


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
class Setting:
    """An account with a group that leaves, and the function on it; messages are kept, not sent."""

    account: Account
    function: Callable[[Any, Any], Any]
    topic_arn: str
    log: StringIO
    notices: list[dict[str, Any]] = field(default_factory=list)

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

    def calls(self, operation: str) -> int:
        return sum(call.operation == operation for call in self.account.calls)

    def refuse(self, operation: str, code: str, times: int = 10**9) -> None:
        left = [times]

        def intercept(call: Call) -> None:
            if call.operation == operation and left[0] > 0:
                left[0] -= 1
                raise ApiError(code, "refused by the test")

        self.account.interceptors.append(intercept)


@pytest.fixture
def setting() -> Setting:
    account = Account(now=START)
    topic = SnsApi(account).create_topic_named("drainer")
    environ = {"DRAINER_TOPIC_ARN": topic.arn, "DRAINER_CLUSTERS": "payments"}
    log = StringIO()
    logger = Logger(service=f"drainer-{uuid4()}", stream=log)
    metrics = Metrics(service="drainer", namespace="Drainer")
    function = handler.build(environ, account.client, account.clock, Powertools(logger, metrics))
    made = Setting(account, metrics.log_metrics(function), topic.arn, log)
    account.on_notification.append(lambda n: made.notices.append(dict(n.message)))
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=30)
    account.auto_scaling.put_hook(
        LifecycleHook("drainer", "payments-asg", notification_target_arn=topic.arn)
    )
    account.ecs.create_service("payments", "web", desired=30)
    made.notices.clear()
    return made


def test_a_batch_is_one_pass_and_all_of_it_is_served(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 10)

    response = setting.function(setting.sqs(*setting.notices), Context())

    assert response == {"batchItemFailures": []}
    assert setting.calls("ListContainerInstances") == 1
    assert setting.calls("UpdateContainerInstancesState") == 1
    assert setting.calls("PublishBatch") == 1


def test_only_what_was_not_done_is_delivered_again(setting: Setting) -> None:
    # A batch that fails as a whole does ninety-nine drains again for one.
    setting.account.auto_scaling.scale_in("payments-asg", 20)
    setting.refuse("PublishBatch", "Throttling", times=1)

    response = setting.function(setting.sqs(*setting.notices), Context())

    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    assert len(failed) == 10


def test_every_copy_of_an_undone_message_is_delivered_again(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.refuse("PublishBatch", "Throttling")

    response = setting.function(setting.sqs(setting.notices[0], setting.notices[0]), Context())

    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    assert failed == ["m0", "m1"]


def test_defect_16_refused_records_are_not_delivered_again(setting: Setting) -> None:
    # Malformed JSON that raises comes back for ever.
    setting.account.auto_scaling.scale_in("payments-asg", 1)

    response = setting.function(setting.sqs("{nope", setting.notices[0], {"a": 1}), Context())

    assert response == {"batchItemFailures": []}
    assert setting.calls("UpdateContainerInstancesState") == 1


def test_a_notice_straight_from_sns_that_is_undone_is_raised_so_that_lambda_retries(
    setting: Setting,
) -> None:
    # An asynchronous invocation that returns is taken for done.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.refuse("PublishBatch", "Throttling", times=1)

    with pytest.raises(UnavailableError, match="Throttling"):
        setting.function(setting.sns(setting.notices[0]), Context())

    assert setting.function(setting.sns(setting.notices[0]), Context()) is None


def test_without_time_nothing_is_begun_and_everything_comes_back(setting: Setting) -> None:
    # Half-done is a re-invocation without DRAINING, or DRAINING without a re-invocation.
    setting.account.auto_scaling.scale_in("payments-asg", 3)

    response = setting.function(setting.sqs(*setting.notices), Context(seconds_left=3))

    assert len(response["batchItemFailures"]) == 3
    assert setting.calls("UpdateContainerInstancesState") == 0
    assert setting.calls("PublishBatch") == 0


def test_one_drain_that_crashes_does_not_spoil_the_others(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 3)
    victim = setting.notices[1]["EC2InstanceId"]

    def crash(call: Call) -> None:
        if victim in str(call.parameters.get("filter", "")):
            raise ZeroDivisionError

    setting.account.interceptors.append(crash)

    response = setting.function(setting.sqs(*setting.notices), Context())

    assert response == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    crashed = [line for line in setting.lines() if line["message"] == "crashed"]
    assert "ZeroDivisionError" in crashed[0]["exception"]


def test_one_line_for_each_drain_says_what_is_going_on(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 2)

    setting.function(setting.sqs(*setting.notices), Context())

    passes = [line for line in setting.lines() if line["message"] == "pass"]
    assert [line["ec2_instance_id"] for line in passes] == [
        notice["EC2InstanceId"] for notice in setting.notices
    ]
    first = passes[0]
    assert (first["phase"], first["hop"], first["cluster"]) == ("active", 0, "payments")
    assert (first["running_tasks"], first["deadline_at"]) == (1, "2026-11-20T13:00:00+00:00")


def test_defect_19_metrics_count_drains_and_what_went_wrong(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 2)

    setting.function(setting.sqs(*setting.notices, "{nope"), Context())

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
    setting.function(setting.sqs(setting.notices[0]), Context())
    before = len(setting.account.calls)
    setting.function(setting.sqs(setting.notices[0]), Context())

    again = [call.operation for call in list(setting.account.calls)[before:]]
    assert "DescribeAutoScalingInstances" in again
    assert "DescribeLifecycleHooks" in again
    assert "DescribeContainerInstances" in again


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("event", [None, {}, [], "x", {"Records": []}, {"Records": [None]}])
def test_what_is_no_event_is_refused_quietly_enough(setting: Setting, event: Any) -> None:
    assert setting.function(event, Context()) in (None, {"batchItemFailures": []})


def test_a_wrong_setting_stops_the_function_with_a_sentence() -> None:
    with pytest.raises(MisconfiguredError, match="topic_arn"):
        handler.build({}, Account(now=START).client, lambda: START)


def test_the_entry_point_is_the_one_that_the_template_names() -> None:
    assert callable(handler.lambda_handler)
    assert issubclass(UnavailableError, DrainerError)
