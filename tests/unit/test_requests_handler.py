from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import events, handler
from drainer.custom_resource import progress
from drainer.custom_resource.properties import Status
from drainer.custom_resource.request import Answer, Request, RequestType
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.simulation.services.messaging.functions import Context
from drainer.telemetry import Powertools
from tests.unit.served import ServedAccount

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = Path(__file__).parents[1] / "events"
TABLE = "drainer-requests"
RECORDS = "drainer-Records"
FLEET_SIZE = 3
# The services that every installation needs.
ALWAYS = {"autoscaling", "dynamodb", "ecs", "sns"}

# A duplicate that asks for nothing is nothing to measure.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")


def payload(kind: str) -> Any:
    return json.loads((EVENTS / f"cloudformation_{kind}.json").read_text())


def by_sns(body: Any, **more: Any) -> dict[str, Any]:
    return {"EventSource": "aws:sns", "Sns": {"Message": json.dumps(body), **more}}


def by_sqs(body: Any, message_id: str = "m0") -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"eventSource": "aws:sqs", "messageId": message_id, "body": text}


def batch(*bodies: Any) -> dict[str, Any]:
    return {"Records": [by_sqs(body, f"m{number}") for number, body in enumerate(bodies)]}


def in_sns(body: Any, timestamp: str) -> dict[str, Any]:
    """SNS's own JSON around a message, as a queue without raw delivery gets it."""
    return {"Type": "Notification", "Message": json.dumps(body), "Timestamp": timestamp}


# -- what is read


@pytest.mark.parametrize("kind", RequestType)
def test_each_kind_of_request_is_read_as_cloudformation_sends_it(kind: RequestType) -> None:
    [received] = events.receive(payload(kind.lower()), now=START)

    assert isinstance(received.content, Request)
    assert received.content.request_type == kind
    assert received.content.properties["Cluster"] == "payments"


STAMP = "2026-11-20T11:59:58.123Z"
TOLD_AT = datetime(2026, 11, 20, 11, 59, 58, 123_000, tzinfo=UTC)
# What the address says of itself, where nobody else says when CloudFormation has asked.
SIGNED_AT = datetime(2026, 11, 20, 11, 59, 59, tzinfo=UTC)
BODY = payload("delete")


@pytest.mark.parametrize(
    ("event", "started_at"),
    [
        pytest.param(BODY, SIGNED_AT, id="directly"),
        pytest.param({"Records": [by_sns(BODY, Timestamp=STAMP)]}, TOLD_AT, id="SNS"),
        pytest.param(batch(in_sns(BODY, STAMP)), TOLD_AT, id="SQS around SNS's JSON"),
        pytest.param(batch(BODY), SIGNED_AT, id="raw SQS"),
    ],
)
def test_a_request_is_the_same_by_every_way(event: Any, started_at: datetime) -> None:
    # One that is read as another is drained twice, or not at all.
    [directly] = events.receive(BODY, now=START)

    [received] = events.receive(event, now=START)

    assert isinstance(directly.content, Request)
    assert received.content == replace(directly.content, started_at=started_at)


# -- what is done


@dataclass
class Sns:
    """
    A client of SNS that may say of every message that it was not taken.
    """

    client: Any
    refuses: bool = False

    def publish_batch(self, **parameters: Any) -> Any:
        if not self.refuses:
            return self.client.publish_batch(**parameters)
        refused = {"Code": "InternalError", "SenderFault": False}
        ids = [entry["Id"] for entry in parameters["PublishBatchRequestEntries"]]
        return {"Successful": [], "Failed": [{"Id": one, **refused} for one in ids]}


@dataclass
class Setting(ServedAccount):
    """
    An account with a group and a fleet, and the function on it; messages are kept, not sent.

    Attributes:
        asked_for: The services for which the function wanted a client.
    """

    account: Aws
    function: Callable[[Any, Any], Any]
    log: StringIO
    fleet_id: str
    sns: Sns
    notifications: list[dict[str, Any]] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def serve(self, event: Any, seconds_left: float = 30) -> Any:
        account = self.account
        ends_at = account.now + timedelta(seconds=seconds_left)
        context = Context("drainer", "arn", "request", 512, account.clock, ends_at)
        return self.function(event, context)

    def request(self, kind: Any = "Create", **changes: Any) -> CustomResourceRequest:
        properties = {"Cluster": "payments", "SpotFleet": self.fleet_id, **changes}
        physical_id = None if kind == "Create" else self.fleet_id
        logical_id = f"Drain{len(self.account.stacks.requests)}"
        return self.account.stacks.request(
            kind, properties, physical_id=physical_id, logical_id=logical_id
        )

    def lines(self, message: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["message"] == message]

    def statuses(self) -> set[str]:
        ids = self.account.fleets.fleets[self.fleet_id].ec2_instance_ids
        found = [self.account.ecs.container_instance(one) for one in ids]
        return {one.status for one in found if one}


def make(**environ: str) -> Setting:
    account = Aws(now=START)
    topic = SnsApi(account).create_topic_named("drainer")
    account.tables.create(TABLE)
    account.record_tables.create(RECORDS)
    account.stacks.unavailable, account.stacks.refused = UnavailableError, MisconfiguredError
    fleet = account.fleets.create("payments", FLEET_SIZE, already_running=True)
    log, asked_for, sns = StringIO(), list[str](), Sns(account.client("sns"))
    logger = Logger(service=f"drainer-{uuid4()}", stream=log)
    metrics = Metrics(service="drainer", namespace="Drainer")

    def client(service: str) -> Any:
        asked_for.append(service)
        return sns if service == "sns" else account.client(service)

    function = handler.build(
        {
            "DRAINER_TOPIC_ARN": topic.arn,
            "DRAINER_CLUSTERS": "payments",
            "DRAINER_RECORDS_TABLE": RECORDS,
            **environ,
        },
        client,
        account.clock,
        Powertools(logger, metrics),
        account.stacks.respond,
    )
    made = Setting(account, metrics.log_metrics(function), log, fleet.fleet_id, sns)
    made.asked_for = asked_for
    account.on_notification.append(lambda n: made.notifications.append(dict(n.message)))
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    account.auto_scaling.put_hook(
        LifecycleHook("drainer", "payments-asg", notification_target_arn=topic.arn)
    )
    account.ecs.create_service("payments", "web", desired=6)
    made.notifications.clear()
    account.calls.clear()
    return made


@pytest.fixture
def setting() -> Setting:
    return make(DRAINER_REQUESTS_TABLE=TABLE, DRAINER_VERIFY_STACKS="true")


POSTPONED = {"drainer": "re-invocation", "version": 2, "hop": 1, "postponed": True}


def key_of(request: CustomResourceRequest) -> str:
    return f"{request.event['StackId']}|{request.event['RequestId']}"


def by_queue(body: Any) -> dict[str, Any]:
    return batch(in_sns(body, "2026-11-20T12:00:00.000Z"))


def by_topic(body: Any) -> dict[str, Any]:
    return {"Records": [by_sns(body, Timestamp="2026-11-20T12:00:00.000Z")]}


def directly(body: Any) -> dict[str, Any]:
    event: dict[str, Any] = body
    return event


@pytest.mark.parametrize("way", [directly, by_topic, by_queue, batch])
def test_a_request_is_answered_by_whichever_way_it_comes(
    setting: Setting, way: Callable[[Any], dict[str, Any]]
) -> None:
    request = setting.request("Create")

    assert setting.serve(way(request.event)) in (None, {"batchItemFailures": []})

    assert request.faults == []
    assert request.answer is not None
    assert request.answer["Status"] == "SUCCESS"
    assert request.answer["PhysicalResourceId"] == setting.fleet_id


@pytest.mark.parametrize("way", [directly, by_topic, by_queue, batch])
def test_a_delete_is_re_invoked_by_whichever_way_it_comes(
    setting: Setting, way: Callable[[Any], dict[str, Any]]
) -> None:
    request = setting.request("Delete")

    setting.serve(way(request.event))

    assert setting.statuses() == {"DRAINING"}
    assert setting.published() == [
        {"drainer": "re-invocation", "version": 2, "request": key_of(request), "hop": 1}
    ]
    assert request.attempts == []


def bad_ones(event: dict[str, Any]) -> list[Any]:
    """Requests that nobody can answer; they ask for nothing that may come back."""
    return [
        {**event, "RequestType": "Read"},
        {**event, "StackId": ""},
        {**event, "ResponseURL": "https://example.com/"},
        {"drainer": "re-invocation", "version": 2, "request": "stack|unknown", "hop": 3},
        {"drainer": "re-invocation", "version": 2, "request": 7, "hop": 3},
        {**event, "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/slip/1"},
        "{nope",
    ]


def test_only_what_must_come_back_is_delivered_again(setting: Setting) -> None:
    # Bad requests that come back for ever take good notifications along, and at last into the
    # grave.
    setting.account.auto_scaling.scale_in("payments-asg", 2)
    request = setting.request("Create")
    bad = bad_ones(request.event)

    response = setting.serve(batch(*bad, *setting.notifications, request.event))

    assert response == {"batchItemFailures": []}
    assert request.answer is not None
    assert len(setting.lines("pass")) == 2
    assert len(setting.lines("refused")) == 5
    # One of no stack is looked at again, for minutes; that is its own chain, and no redelivery.
    assert sorted(line["step"] for line in setting.lines("custom resource")) == [
        "answered",
        "re-invoke",
        "refused",
    ]


def test_a_request_that_could_not_be_served_comes_back_alone(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    first, second = setting.request("Create"), setting.request("Create")
    setting.refuse("GetItem", "ProvisionedThroughputExceededException", times=1)

    response = setting.serve(batch(setting.notifications[0], first.event, second.event))

    assert response == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert (first.answer, len(second.attempts)) == (None, 1)
    assert setting.serve(batch(first.event)) == {"batchItemFailures": []}
    assert first.answer is not None


def test_every_duplicate_of_a_retried_request_comes_back(setting: Setting) -> None:
    # A duplicate that is deleted may be the last one.
    request = setting.request("Create")
    setting.refuse("UpdateItem", "ThrottlingException")

    response = setting.serve(batch(request.event, request.event))

    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    assert failed == ["m0", "m1"]


@pytest.mark.parametrize("way", [directly, by_topic])
def test_a_retried_request_is_raised_so_that_lambda_invokes_again(
    setting: Setting, way: Callable[[Any], dict[str, Any]]
) -> None:
    # An asynchronous invocation that returns is taken for done, and CloudFormation waits an hour.
    request = setting.request("Create")
    setting.refuse("UpdateItem", "ThrottlingException", times=1)

    with pytest.raises(UnavailableError, match="ThrottlingException"):
        setting.serve(way(request.event))

    assert setting.serve(way(request.event)) is None
    assert len(request.answers) == 1


def test_a_re_invocation_that_could_not_be_published_comes_back(setting: Setting) -> None:
    # Lost here, it is found by the sweep, minutes later; so it is delivered again instead.
    request = setting.request("Delete")
    setting.refuse("PublishBatch", "Throttling", times=1)

    response = setting.serve(batch(request.event))

    assert response == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    setting.account.run_for(180)
    assert setting.serve(batch(request.event)) == {"batchItemFailures": []}
    assert len(setting.published()) == 1


def test_a_re_invocation_that_sns_did_not_take_comes_back(setting: Setting) -> None:
    # PublishBatch succeeds as a whole, and says of each message whether it was taken.
    request = setting.request("Delete")
    setting.sns.refuses = True

    response = setting.serve(batch(request.event))

    assert response == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    [line] = setting.lines("custom resource")
    assert line["step"] == "retry"
    assert "The re-invocation was not published" in line["reason"]


def test_a_duplicate_that_comes_at_once_forks_nothing(setting: Setting) -> None:
    # Each fork would ask the account twice as much, for an hour.
    request = setting.request("Delete")

    setting.serve(request.event)
    setting.serve(batch(request.event))

    assert len(setting.published()) == 1
    assert [line["step"] for line in setting.lines("custom resource")] == ["re-invoke", "duplicate"]


def test_duplicates_in_one_batch_are_served_once(setting: Setting) -> None:
    request = setting.request("Create")

    setting.serve(batch(request.event, request.event, request.event))

    assert len(request.attempts) == 1
    assert len(setting.lines("custom resource")) == 1


def test_a_duplicate_that_comes_later_is_answered_no_more(setting: Setting) -> None:
    # Lambda's own retries replay what went well, and SNS doubles what it likes.
    request = setting.request("Create")
    setting.serve(request.event)
    setting.account.run_for(60)

    assert setting.serve(request.event) is None
    assert len(request.attempts) == 1


def test_a_request_that_crashes_spoils_no_other(setting: Setting) -> None:
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    first, second = setting.request("Create"), setting.request("Create")
    victim = first.event["RequestId"]

    def crash(call: Call) -> None:
        if call.operation == "UpdateItem" and victim == call.parameters["Key"]["subject"]["S"]:
            raise ZeroDivisionError

    setting.account.interceptors.append(crash)

    response = setting.serve(batch(first.event, setting.notifications[0], second.event))

    assert response == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert second.answer is not None
    [crashed] = setting.lines("crashed")
    assert "ZeroDivisionError" in crashed["exception"]


def test_without_time_a_request_is_re_invoked_and_nothing_is_begun(setting: Setting) -> None:
    # Delivered again, it would count as received, and after five times lie with the dead letters.
    request = setting.request("Delete")

    response = setting.serve(batch(request.event), seconds_left=3)

    [message] = setting.published()
    assert response == {"batchItemFailures": []}
    assert (message["hop"], message["postponed"]) == (1, True)
    assert setting.statuses() == {"ACTIVE"}
    assert request.attempts == []


def test_what_had_no_time_comes_first_the_next_time(setting: Setting) -> None:
    # In a crowd of lifecycle actions it would have no time again, and so on until the hour.
    request = setting.request("Delete")
    setting.serve(request.event, seconds_left=3)
    setting.account.auto_scaling.scale_in("payments-asg", 2)
    setting.account.calls.clear()

    setting.serve(batch(*setting.notifications, POSTPONED | {"request": key_of(request)}))

    served = [line["message"] for line in setting.lines("pass") + setting.lines("custom resource")]
    first = next(iter(setting.account.calls)).parameters["RequestItems"][RECORDS]["Keys"]
    assert sorted(served) == ["custom resource"] * 2 + ["pass"] * 2
    assert [one["subject"]["S"] for one in first] == [request.event["RequestId"]]
    assert setting.statuses() == {"DRAINING"}


def test_a_sweep_takes_up_what_was_lost(setting: Setting) -> None:
    # Its message is gone: nobody else knows that CloudFormation waits.
    request = setting.request("Delete")
    setting.serve(request.event)
    setting.account.run_for(300)

    assert setting.serve({"drainer": "sweep"}) is None

    assert [one["hop"] for one in setting.published()] == [1, 2]
    assert [line["hop"] for line in setting.lines("custom resource")] == [0, 1]


@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_a_sweep_that_cannot_read_the_requests_fails_for_nobody(
    setting: Setting, operation: str
) -> None:
    # The next one looks again; lifecycle actions are swept all the same.
    setting.refuse(operation, "ThrottlingException")

    assert setting.serve({"drainer": "sweep"}) is None

    assert setting.calls("DescribeAutoScalingGroups") > 0
    assert "ThrottlingException" in setting.log.getvalue()


def test_where_nobody_asks_no_client_is_made_for_it(setting: Setting) -> None:
    # Each client costs the cold start tens of milliseconds, and most stacks never ask.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    setting.serve(batch(setting.notifications[0]))
    assert set(setting.asked_for) == ALWAYS

    setting.serve(setting.request("Create").event)
    setting.serve(setting.request("Create").event)

    assert sorted(set(setting.asked_for) - ALWAYS) == ["cloudformation", "ec2"]
    # ECS once more, as a target.
    assert len(setting.asked_for) == len(ALWAYS) + 3


# -- what is reported


def test_one_line_for_each_pass_says_what_is_going_on(setting: Setting) -> None:
    request = setting.request("Delete")

    setting.serve(request.event)

    [line] = setting.lines("custom resource")
    told = {"stack_id": "StackId", "request_id": "RequestId", "request_type": "RequestType"}
    assert {name: line[name] for name in told} == {
        name: request.event[key] for name, key in told.items()
    }
    assert (line["step"], line["hop"], line["instances"]) == ("re-invoke", 0, FLEET_SIZE)
    assert (line["instances_drained"], line["phases"]) == (0, {"active": FLEET_SIZE})
    assert f"{FLEET_SIZE} of {FLEET_SIZE} instances are not drained" in line["reason"]


def test_metrics_count_what_was_answered_and_what_was_not(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    good, refused = setting.request("Create"), setting.request("Create")
    refused.refusals = [403]

    setting.serve(batch(good.event, refused.event, {**good.event, "StackId": ""}))

    [metrics] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert metrics["RequestsAnswered"] == [1.0]
    assert metrics["RequestsUnanswered"] == [1.0]
    assert metrics["MessagesRefused"] == [1.0]


# -- other settings


@pytest.fixture
def bare() -> Setting:
    """
    The function as it is without any setting for requests.
    """
    return make()


def test_without_a_former_table_none_is_asked(bare: Setting) -> None:
    # The release after this one has none, and a stack without it must still be answered.
    request = bare.request("Create")
    bare.serve(request.event)
    bare.serve({"drainer": "sweep"})

    assert request.answer is not None
    assert bare.calls("GetItem") + bare.calls("Scan") == 0


def test_a_stack_is_asked_about_only_where_that_is_set(bare: Setting, setting: Setting) -> None:
    # Who has not granted the call would have every request refused.
    for one in (bare, setting):
        one.serve(one.request("Create").event)

    assert (bare.calls("DescribeStacks"), setting.calls("DescribeStacks")) == (0, 1)


def test_what_a_message_carries_beside_its_hop_is_not_believed(setting: Setting) -> None:
    # Whoever may publish could else say that the answer is decided, and where it goes.
    request = setting.request("Delete")
    setting.serve(request.event)
    [received] = events.receive(request.event, now=START)
    assert isinstance(received.content, Request)
    answer = Answer(Status.SUCCESS, setting.fleet_id, "believe me")
    state = progress.encode(progress.RequestProgress(received.content, looks=9, answer=answer))

    setting.serve(batch({**setting.published()[0], "state": state}))

    assert request.answer is None
