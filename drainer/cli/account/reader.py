"""
The one way in which all commands read an AWS account: bounded, counted, in pace, never a write.

A read that fails raises an UnreadError. Where a part may be missing, `attempt` puts an `Unread` in
its place, so that one denied call does not hide what the others say.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from drainer.aws.calls import chunks
from drainer.cli.account.refusals import DENIED, OF_THE_CALLER, refused
from drainer.cli.account.session import AWS_ERRORS, BoundError, code_of, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Value = TypeVar("Value")
Given = ParamSpec("Given")

# How the operations of AWS that only read are called, as boto3 has them.
READ_PREFIXES = (
    "batch_get_", "describe_", "filter_", "get_", "list_", "query", "scan", "simulate_"
)  # fmt: skip
# What of a client is no operation, and is used to make a paginator.
PLAIN = frozenset({"can_paginate", "meta"})
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
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
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
    """
    A value that could not be read.

    Attributes:
        why: Why, in one line.
        code: AWS's code; empty where AWS did not refuse.
        error: The error, where one was raised.
    """

    why: str
    code: str = ""
    error: Exception | None = field(default=None, compare=False, repr=False)


class UnreadError(Exception):
    """A value that is needed could not be read."""

    def __init__(self, value: Unread) -> None:
        super().__init__(value.why)
        self.value = value


class ReadOnly:
    """
    A service's client that makes no other calls than reads, and asks before each.

    Args:
        client: The client.
        ask_first: Called before each call, also before that of each page; it may raise an error.
    """

    def __init__(self, client: Any, ask_first: Callable[[], None]) -> None:
        self._wrapped = client
        self._ask_first = ask_first

    def __getattr__(self, name: str) -> Any:
        """Return an operation; raises a ValueError for one that is no read."""
        found = getattr(self._wrapped, name)
        if name in PLAIN or name.startswith("_"):
            return found
        if not name.startswith(READ_PREFIXES):
            raise ValueError(f"{name} is no read")

        def call(**parameters: Any) -> Any:
            self._ask_first()
            return found(**parameters)

        return call

    def get_paginator(self, operation: str) -> Any:
        """Return botocore's paginator, which calls this client for each page."""
        return type(self._wrapped).get_paginator(self, operation)


@dataclass(slots=True)
class Reader:
    """
    Makes the reads of one command, or of one look of it.

    Attributes:
        source: Returns boto3's client for a service's name.
        sleep: Waits for so many seconds; None: the reads are not paced.
        most: How many reads may be made; the others are unread.
        counts: How many reads were made of each service.
        earlier: Those of looks before this one, which count for the pace.
    """

    source: Callable[[str], Any]
    sleep: Callable[[float], None] | None = None
    most: float = math.inf
    counts: Counter[str] = field(default_factory=Counter)
    earlier: Counter[str] = field(default_factory=Counter)

    def client(self, service: str) -> Any:
        """Return a service's client whose calls are counted and bounded, and which only reads."""
        return ReadOnly(self.source(service), lambda: self._count(service))

    def ask(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """
        Make one call; `operation` is the client's method.

        Raises:
            UnreadError: AWS has not answered it.
            ValueError: The operation is no read.
        """
        try:
            answer: dict[str, Any] = getattr(self.client(service), operation)(**parameters)
        except AWS_ERRORS as error:
            raise unread(service, operation, error) from error
        return answer

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> list[Any]:
        """Return the items of all pages of a call; raises an UnreadError."""
        items, error = self.paged(service, operation, key, PAGES_MAX, **parameters)
        if error:
            raise unread(service, operation, error) from error
        return items

    def paged(
        self, service: str, operation: str, key: str, most: int, **parameters: Any
    ) -> tuple[list[Any], Exception | None]:
        """Return the items of at most so many pages, and why there are no more of them."""
        items: list[Any] = []
        left = iter(range(most))

        def ask_first() -> None:
            if next(left, None) is None:
                raise BoundError(bound=f"more than {most} pages")
            self._count(service)

        try:
            client = ReadOnly(self.source(service), ask_first)
            for page in client.get_paginator(operation).paginate(**parameters):
                items.extend(page.get(key, ()))
        except AWS_ERRORS as error:
            return items, error
        return items, None

    def batches(
        self,
        service: str,
        operation: str,
        key: str,
        *,
        by: str,
        values: Sequence[Any],
        size: int,
        **parameters: Any,
    ) -> list[Any]:
        """Return the items that a call describes, so many values at once; raises an UnreadError."""
        items: list[Any] = []
        for some in chunks(values, size):
            answer = self.ask(service, operation, **parameters, **{by: list(some)})
            items.extend(answer.get(key, ()))
        return items

    def _count(self, service: str) -> None:
        if self.counts.total() >= self.most:
            raise BoundError(bound=f"the limit of {self.most} reads")
        self.counts[service] += 1
        calls = self.earlier[service] + self.counts[service]
        if self.sleep and service in PACED and calls > UNPACED_CALLS:
            self.sleep(PAUSE_SECONDS)


def got(value: Value | Unread) -> Value:
    """Return what was read; raises an UnreadError where it was not."""
    if isinstance(value, Unread):
        raise UnreadError(value)
    return value


def attempt(
    read: Callable[Given, Value], *args: Given.args, **given: Given.kwargs
) -> Value | Unread:
    """Return what a function reads; Unread where anything that it needs was not read."""
    try:
        return read(*args, **given)
    except UnreadError as error:
        return error.value


def existing(
    read: Callable[Given, Value], *args: Given.args, **given: Given.kwargs
) -> Value | Unread | None:
    """Do the same; None where AWS has said that what is asked for does not exist."""
    found = attempt(read, *args, **given)
    return None if is_gone(found) else found


def refusal(value: Unread, advice: str) -> tuple[str, str]:
    """Return why a command cannot go on and what to do; `advice` is for a wrong name."""
    if value.code in DENIED:
        return value.why, "log in, or add a permission of infra/operator-policy.json"
    # What has no code was not refused by AWS: the sentence says what to do.
    otherwise = advice if value.code in GONE else "try again later" if value.code else ""
    sentence, what_to_do, *_ = OF_THE_CALLER.get(value.code, (value.why, otherwise))
    return sentence, what_to_do


def failed(value: Unread) -> int:
    """Print in one line why a read failed; return the exit code."""
    return refused(value.error) if value.error and value.code else fail(value.why)


def is_gone(value: object) -> bool:
    """Whether AWS has said that the thing asked for does not exist."""
    return isinstance(value, Unread) and value.code in GONE


def each(keys: Iterable[str], read: Callable[[str], Any]) -> Mapping[str, Any]:
    """Read each key once; Unread for those that were not read."""
    return {key: attempt(read, key) for key in dict.fromkeys(keys)}


def unread(service: str, operation: str, error: Exception) -> UnreadError:
    """Return what an error of AWS says of a read."""
    code, action = code_of(error), f"{service}:{action_of(operation)}"
    why = f"no permission for {action}" if code in DENIED else f"{action}: {code}"
    return UnreadError(Unread(why, "" if isinstance(error, BoundError) else code, error))


def action_of(operation: str) -> str:
    """Return the name of a call as an IAM policy has it, but for a few that differ."""
    return "".join(part.capitalize() for part in operation.split("_"))
