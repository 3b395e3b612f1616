"""
For how many container instances a pass may list the tasks: ECS's reads are shared by the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# Listing takes a read for each container instance, of which ECS grants the account a burst of 100
# and 20 a second. A crowd is listed in turns, while its tasks drain: passes of a hundred drains
# each, twenty of which list, make ten passes in 15 s possible.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
LISTINGS_MIN = 20

# An execution environment that has listed little may list more, so that a small crowd of short
# drains is listed before its tasks have ended. Two environments that begin with all of it make 80
# reads within seconds.
LISTINGS_MAX = 40
LISTINGS_A_SECOND = 8.0


class Listings:
    """What an execution environment may list now, by what it has listed lately."""

    def __init__(self) -> None:
        self._left = float(LISTINGS_MAX)
        self._at: datetime | None = None

    def grant(self, wanted: int, now: datetime) -> int:
        """Return how many of those that are wanted may be listed, and count them."""
        if self._at is not None:
            passed = max(0.0, (now - self._at).total_seconds())
            self._left = min(LISTINGS_MAX, self._left + passed * LISTINGS_A_SECOND)
        self._at = now
        granted = min(wanted, max(LISTINGS_MIN, int(self._left)))
        self._left = max(0.0, self._left - granted)
        return granted
