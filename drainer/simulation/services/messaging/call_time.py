"""
The time that AWS calls take out of an invocation, and the end that Lambda makes of a long one.

The account's clock stands still while a function runs; what its calls took is counted here.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from random import Random

    from drainer.simulation.account import Performs

# What a call to an AWS API of the same Region takes: no documentation gives a figure. A call on a
# connection that is there takes some 20 ms, one that makes its connection again some 300 ms.
CALL_SECONDS = (0.02, 0.3)
# While an API is slow; botocore waits for an answer up to its read timeout.
SLOW_SECONDS = (1.0, 4.0)


class KilledError(BaseException):
    """The function is no more; nothing in it may catch this."""


@dataclass(frozen=True, slots=True)
class Slow:
    """A while during which some operations are slow."""

    operations: frozenset[str]
    begins_at: datetime
    ends_at: datetime


def scripted(seconds: Mapping[str, float]) -> Callable[[str], float]:
    """Let calls take what a table says: by operation, `*` for all others."""
    others = seconds.get("*", 0.0)
    return lambda operation: seconds.get(operation, others)


@dataclass(eq=False)
class SeededSeconds:
    """
    What each call of a seed takes, in seconds.

    Attributes:
        clock: the account's.
        random: decides.
        slow: when which operation is slow.
        steady: what calls of some operations always take in this account.
    """

    clock: Callable[[], datetime]
    random: Random
    slow: list[Slow] = field(default_factory=list)
    steady: dict[str, float] = field(default_factory=dict)
    _usual: tuple[float, float] = CALL_SECONDS

    def __post_init__(self) -> None:
        """Choose what is usual in this account."""
        least, most = CALL_SECONDS
        self._usual = least, self.random.uniform(least, most)

    def __call__(self, operation: str) -> float:
        """Say what a call of this operation takes now."""
        if self.slow:
            now = self.clock()
            for one in self.slow:
                if operation in one.operations and one.begins_at <= now < one.ends_at:
                    return self.random.uniform(*SLOW_SECONDS)
        return self.steady.get(operation) or self.random.uniform(*self._usual)


class CallTime:
    """
    The time of the invocation that runs.

    Attributes:
        seconds: what a call of an operation takes.
        spent: what the calls of the invocation have taken so far.
        killed: how many invocations their timeout has ended.
        arrived: whether the call during which an invocation ended is performed all the same.
    """

    def __init__(self, seconds: Callable[[str], float], arrived: Callable[[], bool]) -> None:
        self.seconds = seconds
        self.arrived = arrived
        self.spent = 0.0
        self.killed = 0
        self._limit = 0.0
        # Calls of tests and operators take no time of the function's.
        self._running = False

    @contextmanager
    def invocation(self, timeout_seconds: float) -> Iterator[None]:
        """Count the time of one invocation; one within another has its own."""
        outer = self.spent, self._limit, self._running
        self.spent, self._limit, self._running = 0.0, timeout_seconds, True
        try:
            yield
        finally:
            self.spent, self._limit, self._running = outer

    def perform(
        self, call: Performs, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """
        Perform a call in the time of the invocation that runs.

        Raises:
            KilledError: the invocation's time is up, "the function times out" and Lambda stops it.
                https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
        """
        if not self._running:
            return call(service, operation, parameters)
        self.spent += self.seconds(operation)
        if self.spent < self._limit:
            return call(service, operation, parameters)
        self.spent = self._limit
        self.killed += 1
        if self.arrived():
            # The request was on its way: AWS performs it, and the answer is not read.
            with suppress(ApiError):
                call(service, operation, parameters)
        raise KilledError
