"""
The embedded account's time: the wall clock, some factor as fast.

Every process of the account uses this one mapping; `warp/sitecustomize.py` applies it to processes
whose code is not ours to change.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class EmbeddedTime:
    """
    A mapping of real instants to the account's.

    Attributes:
        factor: how many of the account's seconds pass in a real one.
        origin: the instant, in Unix seconds, at which both agree.

    """

    factor: float
    origin: float = field(default_factory=time.time)

    def now(self) -> datetime:
        """Return the account's present instant."""
        return datetime.fromtimestamp(self.unix(), UTC)

    def unix(self) -> float:
        """Return the account's present instant in Unix seconds."""
        return self.origin + (time.time() - self.origin) * self.factor

    def at(self, real: datetime) -> datetime:
        """Return the account's instant at a real one, by which ministack stamps stack events."""
        seconds = (real.timestamp() - self.origin) * self.factor
        return datetime.fromtimestamp(self.origin + seconds, UTC)

    def real_seconds(self, seconds: float) -> float:
        """Return how long `seconds` of the account take in reality."""
        return seconds / self.factor

    def environment_value(self) -> str:
        """Return what `warp/sitecustomize.py` reads."""
        return f"{self.origin!r}:{self.factor!r}"
