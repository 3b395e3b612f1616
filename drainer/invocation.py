"""
One invocation's time, which everything in it that is dated or bounded goes by.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class InvocationClock:
    """
    One invocation's time: how late it is, and how much is left.

    Args:
        began_at: The present instant.
        seconds_left: How much of the invocation's time is left.
        request_id: The invocation's, for who looks for its log; empty where it does not matter.
    """

    def __init__(
        self, began_at: datetime, seconds_left: Callable[[], float], request_id: str = ""
    ) -> None:
        self._began_at = began_at
        self._began_with = seconds_left()
        self.seconds_left = seconds_left
        self.request_id = request_id

    def now(self) -> datetime:
        """Return the present instant, which calls that take time move on."""
        return self._began_at + timedelta(seconds=self._began_with - self.seconds_left())

    def less(self, seconds: float) -> InvocationClock:
        """Return a clock that keeps so many seconds back."""
        left = self.seconds_left
        return InvocationClock(self.now(), lambda: left() - seconds, self.request_id)
