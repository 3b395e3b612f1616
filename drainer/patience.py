"""
Try a throttled call again within the invocation, with jitter, while time is left.

An interruption gives two minutes. A second delivery would use up half a minute of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from drainer.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

Item = TypeVar("Item")

# A call makes up to three attempts of 5 s itself (drainer.aws). Below this, no call is begun.
RESERVE_SECONDS = 5.0

# ECS refills its buckets with 20 tokens a second for the whole account. Invocations that are
# throttled together have to come back spread out, and no more often than that.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
FIRST_WAIT_SECONDS = 0.3
LONGEST_WAIT_SECONDS = 4.0
# What is urgent (to set DRAINING) comes back earlier than what follows it.
PATIENT_WAIT_SECONDS = 1.0

# Together they take longer than any invocation: time ends the tries, and this bounds the loop.
TRIES_MAX = 30


class Patience:
    """
    One invocation's time, and the waits between its tries.

    Args:
        seconds_left: How much of the invocation's time is left.
        sleep: Waits so many seconds; None makes one try of each call.
        seed: Spreads the waits; other invocations have another one.
    """

    def __init__(
        self,
        seconds_left: Callable[[], float],
        sleep: Callable[[float], None] | None = None,
        seed: str = "",
    ) -> None:
        self._seconds_left = seconds_left
        self._began_with = seconds_left()
        self._sleep = sleep
        self._seed = seed
        self._waits = 0

    def now(self, began_at: datetime, second: timedelta) -> datetime:
        """Return the present instant, by how much of the invocation's time has passed."""
        return began_at + (self._began_with - self._seconds_left()) * second

    @property
    def has_time(self) -> bool:
        """Whether a call may be begun."""
        return self._seconds_left() >= RESERVE_SECONDS

    def again(self, call: Callable[[], Item], *, first_wait: float = FIRST_WAIT_SECONDS) -> Item:
        """
        Make a call until it succeeds.

        Raises:
            UnavailableError: It did not succeed within the invocation's time.
            MisconfiguredError: It was denied or refused, which another try does not change.
        """
        for attempt in range(TRIES_MAX):
            if not self.has_time:
                break
            try:
                return call()
            except UnavailableError:
                seconds = self._wait(first_wait, attempt)
                if self._sleep is None or self._seconds_left() < seconds + RESERVE_SECONDS:
                    raise
                self._sleep(seconds)
        raise UnavailableError("no time was left in this invocation")

    def _wait(self, first_wait: float, attempt: int) -> float:
        """Return half of the wait that doubles with each attempt, and a share of the other half."""
        self._waits += 1
        share = crc32(f"{self._seed}/{self._waits}".encode()) / 2**32
        longest: float = min(LONGEST_WAIT_SECONDS, first_wait * 2.0**attempt)
        return longest * (1 + share) / 2
