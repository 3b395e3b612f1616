"""
For how many container instances a pass may list the tasks: ECS's reads are shared by the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from drainer.errors import ThrottledError

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.errors import DrainerError

# Listing takes a read for each container instance, of which ECS grants the account a burst of 100
# and 20 a second. A crowd is listed in turns, while its tasks drain: passes of a hundred drains
# each, twenty of which list, make ten passes in 15 s possible.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
LISTINGS_MIN = 20

# An execution environment that has listed little may list more, so that a small crowd of short
# drains is listed before its tasks have ended, and the last of a large one do not wait. Two
# environments that begin with all of it make 120 reads in two seconds, of which 140 are granted.
LISTINGS_MAX = 60
LISTINGS_A_SECOND = 8.0


# Others use the same reads: their deployments, and other drains. A throttle halves what is listed,
# down to a share of it, and a minute without one restores all of it. So a throttle for each pass of
# a crowd of thousands becomes one for every few.
SHARE_LEAST = 0.25
SHARE_RESTORED_A_SECOND = 1 / 60


class Budget(Protocol):
    """How many container instances may be listed."""

    def grant(self, wanted: int, now: datetime) -> int:
        """Return how many of those that are wanted may be listed at an instant."""

    def failed(self, error: DrainerError) -> None:
        """Take note that a read of tasks has failed."""


class AtMost:
    """As many as given, in one pass."""

    def __init__(self, most: int) -> None:
        self._left = most

    def grant(self, wanted: int, now: datetime) -> int:  # noqa: ARG002 - a Budget
        """Return how many may be listed, and count them."""
        granted = min(wanted, self._left)
        self._left -= granted
        return granted

    def failed(self, error: DrainerError) -> None:
        """Go on: each pass may list as many."""


class Listings:
    """What an execution environment may list now, by what it has listed lately."""

    def __init__(self) -> None:
        self._left = float(LISTINGS_MAX)
        self._share = 1.0
        self._at: datetime | None = None

    def grant(self, wanted: int, now: datetime) -> int:
        """Return how many of those that are wanted may be listed, and count them."""
        if self._at is not None:
            passed = max(0.0, (now - self._at).total_seconds())
            self._left = min(LISTINGS_MAX, self._left + passed * LISTINGS_A_SECOND * self._share)
            self._share = min(1.0, self._share + passed * SHARE_RESTORED_A_SECOND)
        self._at = now
        granted = min(wanted, max(int(LISTINGS_MIN * self._share), int(self._left)))
        self._left = max(0.0, self._left - granted)
        return granted

    def failed(self, error: DrainerError) -> None:
        """Take note that a read of tasks has failed; after a throttle, list half as much."""
        if isinstance(error, ThrottledError):
            self._left, self._share = 0.0, max(SHARE_LEAST, self._share / 2)
