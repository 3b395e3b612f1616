"""The plain values that the simulated account records and hands to its listeners."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Enough for the messages that are under way in an account.
MESSAGES_KEPT_MAX = 1_000


class ApiError(Exception):
    """
    An AWS operation's refusal: what boto3 raises as `ClientError`.

    Attributes:
        shown: what it says beside code and message, as DynamoDB the item that failed a condition.
    """

    def __init__(
        self,
        code: str,
        message: str,
        http_status: int = 400,
        shown: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.http_status = http_status
        self.shown = shown or {}


class NotReachedError(Exception):
    """What a run waited for did not come to pass within its limit."""


@dataclass(slots=True)
class Call:
    """One call of an AWS operation; `error` is the code it was refused with, if it was."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """
    Something that happened in the account.

    Attributes:
        at: the instant, in virtual time.
        kind: `lifecycle_state`, `hook_opened`, `heartbeat`, `answered`, `released`, `terminated`,
            `killed`, `orphaned`, `ended_unreported`, `launched`, `interrupted`, `taken_back`,
            `container_instance`, `task`, `target`, `invoked`, `dead_letter`, `fleet_requested`,
            `fleet_cancelled`, `request_sent`, `request_answered` or `request_timed_out`.
        about: identifiers and values, in the project's own words.
    """

    at: datetime
    kind: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that Auto Scaling publishes to a lifecycle hook's target."""

    target_arn: str
    subject: str
    message: Mapping[str, Any]


def stamp(instant: datetime) -> str:
    """Write an instant as AWS writes it in its messages and events."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


@lru_cache(MESSAGES_KEPT_MAX)
def parsed(message: str) -> Any:
    """
    Return a message's JSON, which several read and none may change; raises ValueError for no JSON.
    """
    return json.loads(message)
