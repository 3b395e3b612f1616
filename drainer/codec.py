"""
What the messages that the function sends to itself have in common, and where they go.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from drainer.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

# The subscription that leads to the wait queue filters on this pair (infra/drainer.yaml).
KIND_KEY = "drainer"
KIND = "re-invocation"

# The end of the year 2199 and thirty years of seconds: what lies beyond is not a real instant or
# duration, and would overflow the arithmetic of dates.
INSTANT_MAX = 7_258_118_400
COUNT_MAX = 1_000_000_000


class Topic(Protocol):
    """Our own topic."""

    def publish(self, messages: Sequence[str]) -> dict[int, str]:
        """Publish up to TOGETHER_MAX messages; return refusals by position."""


def instant(value: Any) -> datetime:
    """Return the instant that a number of seconds names; raises TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{quoted(value)} is not a time in seconds")
    if not 0 <= value <= INSTANT_MAX:
        raise ValueError(f"{value} is out of range for a time in seconds")
    return datetime.fromtimestamp(value, UTC)


def count(value: Any) -> int:
    """Return a whole number that may be one of ours; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        raise ValueError(f"{quoted(value)} is not a count")
    return value
