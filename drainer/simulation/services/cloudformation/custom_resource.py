"""
One request to a custom resource: how it is delivered, what is answered, and which answer counts.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.messaging.delivery import Topic
    from drainer.simulation.services.messaging.functions import Function

SUBJECT = "AWS CloudFormation custom resource request"
# "The total size of the response body can't exceed 4096 bytes." (crpg-ref.html)
BODY_BYTES_MAX = 4_096
# "... up to 1 KB in size" (crpg-ref.html)
PHYSICAL_ID_BYTES_MAX = 1_024
COPIED = ("StackId", "RequestId", "LogicalResourceId")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One PUT to the response URL; `status` is the HTTP status, None for no answer."""

    at: datetime
    body: bytes
    status: int | None


@dataclass(slots=True, eq=False)
class CustomResourceRequest:
    """
    A request and what came of it.

    Attributes:
        event: the request as it is sent.
        times_out_at: when the stack operation fails for want of an answer.
        refusals: HTTP statuses that the response URL says first, one for each attempt.
        deaf: whether the response URL never answers.
        attempts: every PUT to the response URL.
        answers: the bodies that it took, with their time.
        faults: in what they are not as CloudFormation wants them; a test should see none.
    """

    account: Account
    event: dict[str, Any]
    sent_at: datetime
    times_out_at: datetime
    refusals: list[int] = field(default_factory=list)
    deaf: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    answers: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer that counts: the first, if it came in time."""
        at, body = self.answers[0] if self.answers else (None, None)
        return body if at is not None and at < self.times_out_at else None

    @property
    def is_open(self) -> bool:
        """Whether the stack waits for the answer."""
        return self.answer is None and self.account.now < self.times_out_at

    def was_open(self, at: datetime) -> bool:
        """Whether the stack waited for the answer at an instant."""
        answered = self.answer is not None and self.answers[0][0] <= at
        return not answered and self.sent_at <= at < self.times_out_at

    @property
    def timed_out(self) -> bool:
        """Whether the stack has waited in vain."""
        return self.answer is None and self.account.now >= self.times_out_at

    # The way there

    def by_topic(self, topic: Topic) -> None:
        """Publish the request to a topic, as CloudFormation does for one as service token."""
        topic.publish(json.dumps(self._addressed(topic.arn)), SUBJECT)

    def by_function(self, function: Function) -> None:
        """Invoke a function with the request, as CloudFormation does for one as service token."""
        event = json.loads(json.dumps(self._addressed(function.arn)))
        self.account.after(0, lambda: function.invoke_asynchronously(event))

    def _addressed(self, service_token: str) -> dict[str, Any]:
        """Name who is asked, at both places where CloudFormation does."""
        token = {"ServiceToken": service_token}
        for name in ("ResourceProperties", "OldResourceProperties"):
            if name in self.event:
                self.event[name] = token | self.event[name]
        self.event["ServiceToken"] = self.event["ResourceProperties"]["ServiceToken"]
        return self.event

    # The way back

    def next_status(self) -> int | None:
        """Say what the response URL answers to the attempt that comes now."""
        if self.deaf:
            return None
        return self.refusals.pop(0) if self.refusals else 200

    def take(self, attempt: Attempt) -> None:
        """Keep what the response URL took."""
        try:
            body = json.loads(attempt.body)
        except ValueError:
            body = None
        answer = body if isinstance(body, dict) else {}
        self.answers.append((attempt.at, answer))
        self.faults += _faults(self.event, answer, attempt.body)
        self.account.record(
            "request_answered", request_id=self.event["RequestId"], status=answer.get("Status")
        )


def _faults(event: Mapping[str, Any], answer: Mapping[str, Any], body: bytes) -> list[str]:
    """List in what an answer is not as CloudFormation wants it."""
    found = [f"{name} is not copied" for name in COPIED if answer.get(name) != event[name]]
    if len(body) > BODY_BYTES_MAX:
        found.append(f"the body has {len(body)} bytes")
    if answer.get("Status") not in ("SUCCESS", "FAILED"):
        found.append(f"Status is {answer.get('Status')!r}")
    if answer.get("Status") == "FAILED" and not answer.get("Reason"):
        found.append("FAILED without a Reason")
    physical_id = answer.get("PhysicalResourceId")
    if not isinstance(physical_id, str) or not (
        0 < len(physical_id.encode()) <= PHYSICAL_ID_BYTES_MAX
    ):
        found.append("PhysicalResourceId is missing or too long")
    if event["RequestType"] == "Delete" and physical_id != event["PhysicalResourceId"]:
        found.append("PhysicalResourceId is not that of what was deleted")
    return found


def as_text(value: Any) -> Any:
    """Turn properties into what arrives: CloudFormation sends every scalar as text."""
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
