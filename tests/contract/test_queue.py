"""What a sweep reads of the notification queue, against moto, and against answers that are odd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from drainer.aws.queue import QUEUE_CALLS, WAITING, QueueGateway
from drainer.errors import DrainerError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Client:
    """SQS, with one answer to everything."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get_queue_attributes(self, **_: Any) -> Any:
        return self._answer


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    from moto import mock_aws  # half a second, in each worker that collects this file

    with mock_aws():
        yield boto3.client("sqs", region_name="us-east-1")


def test_messages_that_can_be_received_are_counted_and_those_in_flight_are_not(sqs: Any) -> None:
    # What is in flight is being served: counted, each busy minute would raise the alarm.
    url = sqs.create_queue(QueueName="notices")["QueueUrl"]
    queue = QueueGateway(lambda: sqs, url)
    assert queue.waiting() == 0
    for body in ("one", "two", "three"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=60)

    assert queue.waiting() == 2


def test_a_queue_that_does_not_exist_is_an_error_of_ours(sqs: Any) -> None:
    # Any other error would end the sweep.
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/no-such-queue"

    with pytest.raises(DrainerError):
        QueueGateway(lambda: sqs, url).waiting()


@pytest.mark.parametrize(
    "answer", [{}, {"Attributes": {}}, {"Attributes": {WAITING: "x"}}, {"Attributes": {WAITING: 1}}]
)
def test_an_odd_answer_is_an_error_and_never_zero(answer: dict[str, Any]) -> None:
    # Taken for zero, a queue that nobody reads would look empty.
    with pytest.raises(UnavailableError):
        QueueGateway(lambda: Client(answer), "url").waiting()


def test_the_operation_is_one_of_sqs() -> None:
    # The role grants what is named here.
    ((service, names),) = QUEUE_CALLS.items()
    operations = boto3.client(service, region_name="us-east-1").meta.method_to_api_mapping

    assert set(names) <= set(operations.values())
    assert operations["get_queue_attributes"] in names
