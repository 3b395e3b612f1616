"""
Reads of an AWS account that may fail one by one: bounded in pages and in pace, and never a write.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.cli.account.refusals import DENIED, OF_THE_CALLER
from drainer.cli.account.session import AWS_ERRORS, code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# 100 pages hold 10,000 groups, container instances or services.
PAGES_MAX = 100
# ECS and Auto Scaling share their quotas with drains in progress: ECS sustains 20 reads a second.
# After so many calls a service is asked at most five times a second.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
PACED = frozenset({"autoscaling", "ecs"})
UNPACED_CALLS = 20
PAUSE_SECONDS = 0.2

# What says that the thing asked for does not exist. A stack that does not exist is a
# ValidationError; only where a name was given can that be told from a wrong request.
GONE = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "ClusterNotFoundException",
        "InvalidAMIID.NotFound",
        "InvalidAMIID.Unavailable",
        "InvalidLaunchTemplateId.NotFound",
        "NoSuchEntity",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "ValidationError",
    }
)


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that could not be read: why, in one line, and AWS's code."""

    why: str
    code: str = ""


@dataclass(slots=True)
class Reader:
    """
    Makes the calls.

    Attributes:
        client: Returns the client of a service.
        sleep: Waits for so many seconds.
    """

    client: Callable[[str], Any]
    sleep: Callable[[float], None]
    calls: Counter[str] = field(default_factory=Counter)

    def ask(self, service: str, operation: str, **parameters: Any) -> dict[str, Any] | Unread:
        """Make one call; `operation` is the client's method."""
        self._pace(service)
        try:
            answer: dict[str, Any] = getattr(self.client(service), operation)(**parameters)
        except AWS_ERRORS as error:
            return _unread(service, operation, error)
        return answer

    def pages(
        self, service: str, operation: str, key: str, **parameters: Any
    ) -> list[Any] | Unread:
        """Return the items of all pages of a call."""
        items: list[Any] = []
        try:
            paginator = self.client(service).get_paginator(operation)
            for count, page in enumerate(paginator.paginate(**parameters), start=1):
                if count > PAGES_MAX:
                    return Unread(f"{_action(service, operation)}: more than {PAGES_MAX} pages")
                self._pace(service)
                items.extend(page.get(key, ()))
        except AWS_ERRORS as error:
            return _unread(service, operation, error)
        return items

    def batches(
        self,
        service: str,
        operation: str,
        key: str,
        *,
        into: str,
        ids: Sequence[str],
        size: int,
        **parameters: Any,
    ) -> list[Any] | Unread:
        """Return the items that a call describes, so many ids at once."""
        items: list[Any] = []
        for start in range(0, len(ids), size):
            given = {into: list(ids[start : start + size]), **parameters}
            answer = self.ask(service, operation, **given)
            if isinstance(answer, Unread):
                return answer
            items.extend(answer.get(key, ()))
        return items

    def _pace(self, service: str) -> None:
        self.calls[service] += 1
        if service in PACED and self.calls[service] > UNPACED_CALLS:
            self.sleep(PAUSE_SECONDS)


def refusal(value: Unread, advice: str) -> tuple[str, str]:
    """Return why a command cannot go on and what to do; `advice` is for a wrong name."""
    if value.code in DENIED:
        return value.why, "log in, or add a permission of infra/operator-policy.json"
    # What has no code was not refused by AWS: the sentence says what to do.
    otherwise = advice if value.code in GONE else "try again later" if value.code else ""
    sentence, what_to_do, *_ = OF_THE_CALLER.get(value.code, (value.why, otherwise))
    return sentence, what_to_do


def is_gone(value: object) -> bool:
    """Whether AWS has said that the thing asked for does not exist."""
    return isinstance(value, Unread) and value.code in GONE


def each(keys: Iterable[str], read: Callable[[str], Any]) -> Mapping[str, Any]:
    """Read each key once."""
    return {key: read(key) for key in dict.fromkeys(keys)}


def _unread(service: str, operation: str, error: Exception) -> Unread:
    code = code_of(error)
    action = _action(service, operation)
    why = f"no permission for {action}" if code in DENIED else f"{action}: {code}"
    return Unread(why, code)


def _action(service: str, operation: str) -> str:
    """Return the name of a call as an IAM policy has it, but for a few that differ."""
    name = "".join(part.capitalize() for part in operation.split("_"))
    return f"{service}:{name}"
