"""Topic, queues and function deliver as SNS, SQS and Lambda do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.simulation.services.messaging.functions import Context, EventSourceMapping, Function
from drainer.simulation.services.messaging.queues import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.services.messaging.delivery import Topic

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Recorder:
    """A handler that records what it is given, and fails as it is told."""

    def __init__(self, account: Aws) -> None:
        self._account = account
        self.events: list[tuple[float, list[dict[str, Any]]]] = []
        self.failures_left = 0
        self.fail_bodies: set[str] = set()

    def __call__(self, event: dict[str, Any], context: Context) -> dict[str, Any] | None:
        assert context.get_remaining_time_in_millis() > 0
        elapsed = (self._account.now - START).total_seconds()
        self.events.append((elapsed, event["Records"]))
        if self.failures_left:
            self.failures_left -= 1
            message = "told to fail"
            raise RuntimeError(message)
        failed = [
            {"itemIdentifier": record["messageId"]}
            for record in event["Records"]
            if record.get("body") in self.fail_bodies
        ]
        return {"batchItemFailures": failed} if failed else None

    @property
    def times(self) -> list[float]:
        return [elapsed for elapsed, _ in self.events]

    @property
    def sizes(self) -> list[int]:
        return [len(records) for _, records in self.events]


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


@pytest.fixture
def recorder(account: Aws) -> Recorder:
    return Recorder(account)


@pytest.fixture
def function(account: Aws, recorder: Recorder) -> Function:
    return Function(account, "drainer", recorder)


@pytest.fixture
def topic(account: Aws) -> Topic:
    return SnsApi(account).create_topic_named("drainer")


def mapped(account: Aws, function: Function, **given: Any) -> Queue:
    """A queue whose messages the function gets."""
    mapping = {
        name: given.pop(name)
        for name in ("batch_size", "window_seconds", "concurrency_max")
        if name in given
    }
    queue = Queue(account, "queue", visibility_timeout_seconds=360, **given)
    EventSourceMapping(account, queue, function, **mapping)
    return queue


# A function that got everything twice would fork every chain.
def test_filter_policies_split_a_topic_by_the_message_body(account: Aws, topic: Topic) -> None:
    notifications, envelopes = Queue(account, "notifications"), Queue(account, "envelopes")
    topic.subscribe(
        notifications, {"LifecycleTransition": ["autoscaling:EC2_INSTANCE_TERMINATING"]}
    )
    topic.subscribe(envelopes, {"drainer": ["re-invocation"]})
    sns = account.client("sns")
    for message in (
        '{"LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}',
        '{"LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}',
        '{"drainer": "re-invocation", "hop": 1}',
        '{"Event": "autoscaling:TEST_NOTIFICATION"}',
        "not JSON",
        '["drainer"]',
    ):
        sns.publish(TopicArn=topic.arn, Message=message)

    assert (notifications.sent, envelopes.sent, topic.unwanted) == (1, 1, 4)


# The template had two subscriptions of one queue: every emulator made both, and AWS rejects that.
def test_a_queue_is_subscribed_once_and_may_want_one_thing_or_another(
    account: Aws, topic: Topic
) -> None:
    queue, either = Queue(account, "queue"), {"$or": [{"a": ["x"]}, {"b": ["y"], "c": ["z"]}]}
    subscription = topic.subscribe(queue, either)

    assert topic.subscribe(queue, either) is subscription
    with pytest.raises(ApiError, match="Subscription already exists with different attributes"):
        topic.subscribe(queue, {"a": ["x"]})
    sns = account.client("sns")
    for body in ({"a": "x"}, {"b": "y"}, {"b": "y", "c": "z"}, {"a": "y", "c": "z"}):
        sns.publish(TopicArn=topic.arn, Message=json.dumps(body))
    assert (queue.sent, topic.unwanted) == (2, 2)


def test_a_queue_gets_sns_s_own_json_around_the_message(
    account: Aws, topic: Topic, function: Function, recorder: Recorder
) -> None:
    topic.subscribe(mapped(account, function))
    account.client("sns").publish(TopicArn=topic.arn, Message='{"a": 1}', Subject="hello")

    ((_, (record,)),) = recorder.events
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:queue"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    body = json.loads(record["body"])
    assert (body["Type"], body["TopicArn"], body["Subject"]) == (
        "Notification",
        topic.arn,
        "hello",
    )
    assert json.loads(body["Message"]) == {"a": 1}
    assert body["Timestamp"] == "2026-11-20T12:00:00.000Z"


def test_a_function_gets_one_sns_record(
    account: Aws, topic: Topic, function: Function, recorder: Recorder
) -> None:
    topic.subscribe(function)
    account.client("sns").publish(TopicArn=topic.arn, Message="{}")

    ((_, (record,)),) = recorder.events
    assert record["EventSource"] == "aws:sns"
    assert record["Sns"]["TopicArn"] == topic.arn
    assert record["Sns"]["Subject"] is None


def test_an_asynchronous_invocation_is_retried_twice_and_then_buried(
    account: Aws, topic: Topic, recorder: Recorder
) -> None:
    dead_letters = Queue(account, "dead-letters")
    topic.subscribe(Function(account, "drainer", recorder, dead_letters=dead_letters))
    recorder.failures_left = 3
    topic.publish("{}")
    account.run_for(600)

    assert recorder.times == [0, 60, 180]
    assert dead_letters.sent == 1


# The delay is what makes the pass interval; without it the chain would spin.
def test_a_delayed_queue_holds_messages_back(
    account: Aws, function: Function, recorder: Recorder
) -> None:
    queue = mapped(account, function, delay_seconds=15)
    queue.send("a")
    account.run_for(14)
    assert recorder.events == []

    account.run_for(1)

    assert recorder.times == [15]
    assert queue.messages == []


def test_messages_of_one_instant_share_batches(
    account: Aws, function: Function, recorder: Recorder
) -> None:
    queue = mapped(account, function, batch_size=10)
    for number in range(25):
        queue.send(str(number))
    account.run_for(1)

    assert recorder.sizes == [10, 10, 5]
    assert recorder.times == [0, 0, 0]


def test_a_window_waits_for_a_fuller_batch_but_not_for_a_full_one(
    account: Aws, function: Function, recorder: Recorder
) -> None:
    queue = mapped(account, function, batch_size=100, window_seconds=1)
    for number in range(130):
        queue.send(str(number))
    account.run_for(0.5)
    for number in range(20):
        queue.send(str(number))
    account.run_for(10)

    assert list(zip(recorder.times, recorder.sizes, strict=True)) == [(0, 100), (1, 50)]


def test_no_more_invocations_run_at_a_time_than_the_mapping_allows(
    account: Aws, recorder: Recorder
) -> None:
    slow = Function(account, "drainer", recorder, duration_seconds=4)
    queue = mapped(account, slow, batch_size=1, concurrency_max=2)
    for number in range(6):
        queue.send(str(number))
    account.run_for(60)

    assert recorder.times == [0, 0, 4, 4, 8, 8]


# A message that a partial answer does not name is gone; one that it names comes again.
def test_only_the_messages_that_failed_come_again(
    account: Aws, function: Function, recorder: Recorder
) -> None:
    queue = mapped(account, function)
    recorder.fail_bodies = {"b"}
    for body in "abc":
        queue.send(body)
    account.run_for(359)
    assert [message.body for message in queue.messages] == ["b"]

    recorder.fail_bodies = set()
    account.run_for(2)

    assert recorder.sizes == [3, 1]
    assert recorder.times == [0, 360]
    assert queue.messages == []
    assert recorder.events[1][1][0]["attributes"]["ApproximateReceiveCount"] == "2"


def test_an_exception_brings_the_whole_batch_again(
    account: Aws, function: Function, recorder: Recorder
) -> None:
    queue = mapped(account, function)
    recorder.failures_left = 1
    for body in "abc":
        queue.send(body)
    account.run_for(400)

    assert recorder.sizes == [3, 3]
    assert [str(error) for error in function.errors] == ["told to fail"]
    assert queue.messages == []


def test_an_unknown_identifier_in_the_answer_fails_the_whole_batch(account: Aws) -> None:
    def confused(_: Any, __: Any) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": "nobody"}]}

    queue = mapped(account, Function(account, "drainer", confused))
    queue.send("a")
    account.run_for(1)

    assert len(queue.messages) == 1


def test_a_message_that_always_fails_reaches_the_dead_letter_queue(
    account: Aws, function: Function, recorder: Recorder
) -> None:
    dead_letters = Queue(account, "dead-letters")
    queue = mapped(account, function, receive_count_max=5, dead_letters=dead_letters)
    recorder.fail_bodies = {"bad"}
    queue.send("bad")
    account.run_for(7_200)

    assert recorder.times == [0, 360, 720, 1_080, 1_440]
    assert [message.body for message in dead_letters.messages] == ["bad"]
    assert queue.messages == []


@pytest.mark.parametrize(
    ("mapping", "timeout_seconds"),
    [({"batch_size": 100}, 60), ({"batch_size": 10}, 361)],
    ids=["a large batch without a window", "a timeout beyond the visibility"],
)
def test_a_mapping_that_lambda_would_refuse_is_refused(
    account: Aws, recorder: Recorder, mapping: dict[str, int], timeout_seconds: int
) -> None:
    function = Function(account, "drainer", recorder, timeout_seconds=timeout_seconds)

    with pytest.raises(ValueError, match=r"window|visibility"):
        mapped(account, function, **mapping)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        (
            [{"Id": str(number), "Message": "x"} for number in range(11)],
            "TooManyEntriesInBatchRequest",
        ),
        ([{"Id": "a", "Message": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        (
            [{"Id": str(number), "Message": "x" * 131_073} for number in range(2)],
            "BatchRequestTooLong",
        ),
    ],
    ids=["empty", "eleven", "same id", "too long"],
)
def test_a_batch_outside_the_limits_is_refused_whole(
    account: Aws, topic: Topic, entries: list[dict[str, str]], code: str
) -> None:
    with pytest.raises(ClientError, match=code):
        account.client("sns").publish_batch(TopicArn=topic.arn, PublishBatchRequestEntries=entries)
    assert topic.published == 0


def test_a_topic_that_does_not_exist_is_an_error(account: Aws, topic: Topic) -> None:
    with pytest.raises(ClientError, match="NotFound"):
        account.client("sns").publish(TopicArn=f"{topic.arn}-other", Message="{}")


# A topic that is gone makes Auto Scaling apply the default result at once, undrained.
def test_a_notification_to_a_deleted_topic_is_rejected(account: Aws) -> None:
    sns = SnsApi(account)
    topic = sns.create_topic_named("drainer")
    account.auto_scaling.create_group("g", desired=1)
    account.auto_scaling.put_hook(
        LifecycleHook("h", "g", default_result="CONTINUE", notification_target_arn=topic.arn)
    )
    sns.delete_topic_at(topic.arn)

    (instance,) = account.auto_scaling.scale_in("g")

    assert instance.actions[0].ended_by == "rejected"


# The seam for the faults to come: each channel may double, delay and lose.
@pytest.mark.parametrize(
    ("delays", "times"),
    [((), []), ((0,), [0]), ((0, 40), [0, 40]), ((7,), [7])],
    ids=["lost", "faithful", "doubled", "late"],
)
def test_a_channel_s_faults_decide_what_arrives(
    account: Aws,
    topic: Topic,
    recorder: Recorder,
    delays: tuple[float, ...],
    times: list[float],
) -> None:
    subscription = topic.subscribe(Function(account, "drainer", recorder))
    subscription.channel.faults.append(lambda _: delays)
    topic.publish("{}")
    account.run_for(100)

    assert times == recorder.times


def test_an_installation_carries_a_notification_and_its_re_invocations(account: Aws) -> None:
    seen: list[tuple[float, str]] = []

    def build(environ: Mapping[str, str], client: Any, clock: Any) -> Any:
        sns = client("sns")

        def function(event: dict[str, Any], _: Context) -> None:
            for record in event["Records"]:
                message = json.loads(json.loads(record["body"])["Message"])
                hop = message.get("hop", 0)
                seen.append(((clock() - START).total_seconds(), f"hop {hop}"))
                if hop < 2:
                    envelope = {"drainer": "re-invocation", "hop": hop + 1}
                    sns.publish(TopicArn=environ["DRAINER_TOPIC_ARN"], Message=json.dumps(envelope))

        return function

    installed = install(account, build=build, settings=Settings(pass_interval_seconds=20))
    account.auto_scaling.create_group("g", desired=1)
    account.auto_scaling.put_hook(
        LifecycleHook("h", "g", notification_target_arn=installed.topic.arn)
    )
    account.auto_scaling.scale_in("g")
    account.run_until(lambda: len(seen) == 3, timedelta(minutes=5))

    assert seen == [(0, "hop 0"), (21, "hop 1"), (42, "hop 2")]
    # The test notification is wanted by no subscription.
    assert installed.topic.unwanted == 1
    assert installed.dead_letters == []
