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
from drainer.drain.model import Drain, StoppedTask, Sweep, WakeUp
from drainer.errors import MalformedEventError

if TYPE_CHECKING:
    from datetime import datetime

# The stack's outputs (infra/drainer.yaml).
DEAD_LETTERS = "DeadLetterQueueUrl"
NOTIFICATION_QUEUE, WAIT_QUEUE, FUNCTION = "NoticeQueueUrl", "WaitQueueUrl", "FunctionArn"
OUTPUTS = (DEAD_LETTERS, NOTIFICATION_QUEUE, WAIT_QUEUE, FUNCTION)


# What Lambda's record of a failed invocation has, and an event of EventBridge.
EVENT_KEYS = frozenset({"requestPayload", "detail-type"})


class Fate(StrEnum):
    """What has become of a message."""

    MOVED = "moved"
    DROPPED = "dropped"  # a sweep or a wake-up: others have come since
    KEPT = "kept"  # it cannot be understood
    FAILED = "failed"  # AWS refused to take it
    SENT = "sent, not deleted"  # AWS refused to delete it, and the next run sends it again


@dataclass(frozen=True, slots=True)
class Result:
    """
    One message and what has become of it.

    Attributes:
        message_id: SQS's id of the message.
        fate: What has become of it.
        to: The output that names where it went; empty where it stays or is gone.
        what: What it is about, or why it stays.
    """

    message_id: str
    fate: Fate
    to: str
    what: str

    def line(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {
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


def route(body: str, now: datetime) -> Route:
    """
    Say where a dead letter belongs, by what is in it.

    Lambda keeps a record with the event in it, EventBridge the event alone, and SNS and SQS the
    message. SNS wraps whatever is published, so that no publisher can write one of the first two.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict) and not EVENT_KEYS.isdisjoint(parsed):
        event = parsed.get("requestPayload", parsed)
        return _judged(event, FUNCTION, event, now)
    if parsed == events.SWEEP:
        return _judged(parsed, FUNCTION, parsed, now)
    event = {"Records": [{"eventSource": "aws:sqs", "messageId": "-", "body": body}]}
    to = WAIT_QUEUE if _is_envelope(parsed) else NOTIFICATION_QUEUE
    return _judged(event, to, body, now)


def _judged(event: Any, to: str, content: Any, now: datetime) -> Route:
    contents = [received.content for received in events.receive(event, now=now)]
    refusals = [one for one in contents if isinstance(one, MalformedEventError)]
    if len(refusals) == len(contents):
        return Route(Fate.KEPT, "", None, str(refusals[0]) if refusals else "It has no record")
    understood = next(one for one in contents if one not in refusals)
    if isinstance(understood, Sweep | WakeUp | StoppedTask):
        return Route(Fate.DROPPED, "", None, _about(understood))
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
    return "a sweep" if isinstance(content, Sweep) else "an event"


def _is_envelope(body: Any) -> bool:
    if isinstance(body, dict) and isinstance(body.get("Message"), str):
        try:
            body = json.loads(body["Message"])
        except (ValueError, RecursionError):
            return False
    return isinstance(body, dict) and body.get(KIND_KEY) == KIND
