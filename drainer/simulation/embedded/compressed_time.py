"""
The embedded account's time: some factor as fast as the wall clock while no function is at work.

Every process of the account reads it from one table, `warp/shared_time.py`; and
`warp/sitecustomize.py` applies it to processes whose code is not ours to change.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drainer.simulation.embedded.warp.shared_time import SharedTime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEP_SECONDS_MIN = 0.001


class EmbeddedTime:
    """
    A mapping of real instants to the account's.

    Args:
        factor: how many of the account's seconds pass in a real one, while no function is at work.

    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self._origin = time.time()
        self._path: Path | None = None
        self._shared: SharedTime | None = None

    def share(self, path: Path) -> None:
        """Write the table that other processes read; the file may be removed when they have."""
        self._shared = SharedTime.create(path, origin=self._origin, factor=self.factor)
        self._path = path

    def now(self) -> datetime:
        """Return the account's present instant."""
        return datetime.fromtimestamp(self.unix(), UTC)

    def unix(self) -> float:
        """Return the account's present instant in Unix seconds."""
        return self._at(time.time())

    def at(self, real: datetime) -> datetime:
        """Return the account's instant at a real one, by which ministack stamps stack events."""
        return datetime.fromtimestamp(self._at(real.timestamp()), UTC)

    def sleep(self, seconds: float) -> None:
        """Wait until so many of the account's seconds have passed."""
        until = self.unix() + seconds
        while (left := until - self.unix()) > 0:
            time.sleep(max(left / self.factor, SLEEP_SECONDS_MIN))

    def hold(self) -> None:
        """Let time pass as fast as real time: what is under way here is not to seem slow there."""
        if self._shared is not None:
            self._shared.hold(time.time)

    def release(self) -> None:
        """Take one hold back."""
        if self._shared is not None:
            self._shared.release(time.time)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for as long as a block lasts."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def environment_value(self) -> str:
        """Return what `warp/sitecustomize.py` reads."""
        return f"{self.factor!r}:{self._path}"

    def _at(self, real: float) -> float:
        if self._shared is None:
            return self._origin + (real - self._origin) * self.factor
        return self._shared.at(real)
