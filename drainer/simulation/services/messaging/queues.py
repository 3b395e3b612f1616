"""
Standard SQS queues: delay, visibility timeout, and a dead-letter queue.

Only what an event source mapping does with a queue is here: the function may do no more.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from drainer.simulation.account import Account

# "1 MiB" since 2025. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MESSAGE_BYTES_MAX = 1_048_576


@dataclass(slots=True, eq=False)
class QueueMessage:
    """One message and how often it has been received."""

    message_id: str
    body: str
    sent_at: datetime
    first_received_at: datetime | None = None
    receive_count: int = 0
    receipt_handle: str = ""

    def record(self, queue: Queue) -> dict[str, Any]:
        """
        Shape the message as a Lambda function gets it.

        https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
        """
        first = self.first_received_at or self.sent_at
        return {
            "messageId": self.message_id,
            "receiptHandle": self.receipt_handle,
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receive_count),
                "SentTimestamp": str(_milliseconds(self.sent_at)),
                "SenderId": "AIDAIT2UOQQY3AUEKVGXU",
                "ApproximateFirstReceiveTimestamp": str(_milliseconds(first)),
            },
            "messageAttributes": {},
            "md5OfBody": hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest(),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue.arn,
            "awsRegion": queue.region,
        }


class Queue:
    """
    A standard queue.

    Attributes:
        on_available: told when messages have become available.
        sent: how many messages have come in.
    """

    def __init__(
        self,
        account: Account,
        name: str,
        *,
        delay_seconds: float = 0.0,
        visibility_timeout_seconds: float = 30.0,
        receive_count_max: int | None = None,
        dead_letters: Queue | None = None,
    ) -> None:
        self._account = account
        self.name = name
        self.arn = account.arn("sqs", name)
        self.region = account.region
        self.delay_seconds = delay_seconds
        self.visibility_timeout_seconds = visibility_timeout_seconds
        self._receive_count_max = receive_count_max
        self._dead_letters = dead_letters
        self._messages: dict[str, QueueMessage] = {}
        self._available: OrderedDict[str, QueueMessage] = OrderedDict()
        self.on_available: list[Callable[[], None]] = []
        self.sent = 0

    @property
    def messages(self) -> list[QueueMessage]:
        """Everything in the queue: available, delayed and in flight."""
        return [*self._messages.values()]

    @property
    def available(self) -> int:
        """How many messages could be received now."""
        return len(self._available)

    def send(self, body: str) -> QueueMessage:
        """Take a message in; it is available after the queue's delay."""
        if len(body.encode()) > MESSAGE_BYTES_MAX:
            message = f"a message to {self.name} has more than {MESSAGE_BYTES_MAX} bytes"
            raise ValueError(message)
        self.sent += 1
        item = QueueMessage(self._account.uuid(), body, self._account.now)
        self._messages[item.message_id] = item
        self._account.after(self.delay_seconds, lambda: self._become_available(item, ""))
        return item

    def receive(self, messages_max: int) -> list[QueueMessage]:
        """Hand out messages; each is invisible until its visibility timeout has passed."""
        received: list[QueueMessage] = []
        while self._available and len(received) < messages_max:
            _, item = self._available.popitem(last=False)
            item.receive_count += 1
            if self._is_dead(item):
                self._bury(item)
                continue
            item.first_received_at = item.first_received_at or self._account.now
            handle = self._account.uuid()
            item.receipt_handle = handle
            self._account.after(
                self.visibility_timeout_seconds,
                lambda item=item, handle=handle: self._become_available(item, handle),  # type: ignore[misc]
            )
            received.append(item)
        return received

    def delete(self, messages: Sequence[QueueMessage]) -> None:
        """Forget messages that have been served."""
        for item in messages:
            self._messages.pop(item.message_id, None)
            self._available.pop(item.message_id, None)

    def _is_dead(self, item: QueueMessage) -> bool:
        # "If ReceiveCount exceeds the maxReceiveCount ..., Amazon SQS moves the message to the
        # dead-letter queue."
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
        return self._receive_count_max is not None and (
            item.receive_count > self._receive_count_max
        )

    def _bury(self, item: QueueMessage) -> None:
        self._messages.pop(item.message_id, None)
        self._account.record("dead_letter", queue=self.name, message_id=item.message_id)
        if self._dead_letters is not None:
            self._dead_letters.send(item.body)

    def _become_available(self, item: QueueMessage, handle: str) -> None:
        # A later receipt has a later timeout.
        if item.message_id in self._messages and item.receipt_handle == handle:
            self._available[item.message_id] = item
            for listen in self.on_available:
                listen()


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
