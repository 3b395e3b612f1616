"""
Try a throttled call again within the invocation, with jitter, while time is left.

An interruption gives two minutes. A second delivery would use up half a minute of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from drainer.drain.actions import NO_TIME
from drainer.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.invocation import InvocationClock

Item = TypeVar("Item")

# A call makes up to three attempts of 5 s itself (drainer.aws). Below this, no call is begun.
RESERVE_SECONDS = 5.0

# ECS refills its buckets with 20 tokens a second for the whole account. Throttled calls are retried
# spread out, and urgent ones (setting DRAINING) earlier than the others.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
FIRST_WAIT_SECONDS = 0.3
LONGEST_WAIT_SECONDS = 1.0

# Patient calls come by the hundred. Each throttle doubles the time between them and each success
# halves it, so that invocations beside each other share what ECS grants.
FIRST_PACE_SECONDS = 0.5
LONGEST_PACE_SECONDS = 4.0

# Together they take longer than any invocation: time ends the tries, and this bounds the loop.
TRIES_MAX = 60


class Patience:
    """
    One invocation's time, and the waits between its tries.

    Attributes:
        was_needed: Whether a call was throttled, so that what can be spared had better be.

    Args:
        time: The invocation's.
        sleep: Waits so many seconds; None makes one try of each call.
        seed: Spreads the waits; other invocations have another one.
    """

    def __init__(
        self,
        time: InvocationClock,
        sleep: Callable[[float], None] | None = None,
        seed: str = "",
    ) -> None:
        self._time = time
        self._began_with = time.seconds_left()
        self._sleep = sleep
        self._seed = seed
        self._waits = 0
        self._pace = 0.0
        self.was_needed = False

    def now(self) -> datetime:
        """Return the present instant."""
        return self._time.now()

    @property
    def spent(self) -> float:
        """How many seconds of the invocation have passed."""
        return self._began_with - self._time.seconds_left()

    def has_time(self, reserve: float = RESERVE_SECONDS) -> bool:
        """Whether a call may be begun, after which so many seconds are left for others."""
        return self._time.seconds_left() >= reserve

    def again(
        self,
        call: Callable[[], Item],
        *,
        patient: bool = False,
        reserve: float = RESERVE_SECONDS,
    ) -> Item:
        """
        Make a call until it succeeds; a patient one leaves room for the urgent ones of others.

        With less than `reserve` seconds left, no try is begun.

        Raises:
            UnavailableError: It did not succeed within the invocation's time.
            MisconfiguredError: It was denied or refused, which another try does not change.
        """
        reason = NO_TIME
        for attempt in range(TRIES_MAX):
            if patient and self._pace > 0 and self.has_time(reserve):
                self._wait(self._pace)
            if not self.has_time(reserve):
                break
            try:
                item = call()
            except UnavailableError as error:
                self.was_needed, reason = True, str(error)
                if self._sleep is None:
                    raise
                if patient:
                    faster = max(FIRST_PACE_SECONDS, 2 * self._pace)
                    self._pace = min(LONGEST_PACE_SECONDS, faster)
                else:
                    self._wait(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**attempt))
                continue
            if patient:
                self._pace /= 2
            return item
        raise UnavailableError(reason)

    def _wait(self, seconds: float) -> None:
        """Wait for half of the time, and for a share of the other half."""
        self._waits += 1
        share = crc32(f"{self._seed}/{self._waits}".encode()) / 2**32
        if self._sleep is not None:
            self._sleep(seconds * (1 + share) / 2)
