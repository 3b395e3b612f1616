"""
What a dead letter is, where it belongs, and what has become of it; it makes no call.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drainer import events
from drainer.codec import KIND, KIND_KEY
from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.request import Request
from drainer.drain.model import Drain, WakeUp
from drainer.errors import MalformedEventError

if TYPE_CHECKING:
    from datetime import datetime

# The stack's outputs (infra/drainer.yaml).
DEAD_LETTERS = (
    "SubscriptionDeadLetterQueueUrl",
    "NoticeDeadLetterQueueUrl",
    "WaitDeadLetterQueueUrl",
    "FunctionDeadLetterQueueUrl",
)
ASYNCHRONOUS = DEAD_LETTERS[-1]
NOTIFICATION_QUEUE, WAIT_QUEUE, FUNCTION = "NoticeQueueUrl", "WaitQueueUrl", "FunctionArn"
OUTPUTS = (*DEAD_LETTERS, NOTIFICATION_QUEUE, WAIT_QUEUE, FUNCTION)


class Fate(StrEnum):
    """What has become of a message."""

    MOVED = "moved"
    DROPPED = "dropped"  # a sweep: the next one comes anyway
    KEPT = "kept"  # it cannot be understood
    FAILED = "failed"  # AWS refused something


@dataclass(frozen=True, slots=True)
class Result:
    """
    One message and what has become of it.

    Attributes:
        queue: The output that names the dead-letter queue.
        message_id: SQS's id of the message.
        fate: What has become of it.
        to: The output that names where it went; empty where it stays or is gone.
        what: What it is about, or why it stays.
    """

    queue: str
    message_id: str
    fate: Fate
    to: str
    what: str

    def line(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {
            "queue": self.queue.removesuffix("Url"),
            "message_id": self.message_id,
            "fate": self.fate,
            "to": self.to.removesuffix("Url").removesuffix("Arn"),
            "what": self.what,
        }


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message belongs: an output's name, and what goes there; both empty for nowhere."""

    fate: Fate
    to: str
    content: Any
    what: str


def route(queue: str, body: str, now: datetime) -> Route:
    """Say where a dead letter belongs, by what is in it."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if queue == ASYNCHRONOUS:
        # Lambda keeps a record with the event in it; EventBridge keeps the event alone.
        # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        record = parsed if isinstance(parsed, dict) else {}
        event = record.get("requestPayload", record)
        if event == events.SWEEP:
            return Route(Fate.DROPPED, "", event, "a sweep")
        return _judged(event, FUNCTION, event, now)
    event = {"Records": [{"eventSource": "aws:sqs", "messageId": "-", "body": body}]}
    to = WAIT_QUEUE if _is_envelope(parsed) else NOTIFICATION_QUEUE
    return _judged(event, to, body, now)


def _judged(event: Any, to: str, content: Any, now: datetime) -> Route:
    contents = [received.content for received in events.receive(event, now=now)]
    refusals = [one for one in contents if isinstance(one, MalformedEventError)]
    if len(refusals) == len(contents):
        return Route(Fate.KEPT, "", None, str(refusals[0]) if refusals else "It has no record")
    understood = next(one for one in contents if one not in refusals)
    return Route(Fate.MOVED, to, content, _about(understood))


def _about(content: Any) -> str:
    if isinstance(content, Drain):
        return (
            f"{'envelope' if content.hop else 'notification'} of {content.action.ec2_instance_id}"
        )
    if isinstance(content, Request):
        return f"{content.request_type} of {content.logical_id}"
    if isinstance(content, Continuation):
        return f"envelope of {content.key}"
    return f"event of {content.ec2_instance_id}" if isinstance(content, WakeUp) else "an event"


def _is_envelope(body: Any) -> bool:
    if isinstance(body, dict) and isinstance(body.get("Message"), str):
        try:
            body = json.loads(body["Message"])
        except (ValueError, RecursionError):
            return False
    return isinstance(body, dict) and body.get(KIND_KEY) == KIND
