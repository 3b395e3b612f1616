"""
The embedded account's time, as all of its processes see it: a table of when it has passed how fast.

It passes some factor as fast as real time, but as fast as real time while somebody holds it, as is
done for a function at work and for an event on its way to one. So a machine that is slow or busy
makes a run longer, and neither delays a function's calls nor takes its seconds away.

The table is a mapped file. A row is there before it counts, so that a reader needs no lock.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = struct.Struct("<Q")  # how many rows count
HELD = struct.Struct("<Qd")  # how many hold it, and how fast it passes when none does
TABLE = HEAD.size + HELD.size
ROW = struct.Struct("<ddd")  # from which real instant on, at which of the account's, how fast
# Two for each invocation; no run has had a thousandth of it.
ROWS_MAX = 1_000_000


class SharedTime:
    """
    The table in a file that is there already.

    Args:
        path: the file that `create` has made.

    """

    def __init__(self, path: Path) -> None:
        # Open as long as the object lives: the lock among processes is on it.
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), TABLE + ROWS_MAX * ROW.size)
        self._turn = threading.Lock()

    @classmethod
    def create(cls, path: Path, *, origin: float, factor: float) -> SharedTime:
        """Make the file, with one row: from `origin` on time passes `factor` as fast."""
        with path.open("wb") as file:
            file.truncate(TABLE + ROWS_MAX * ROW.size)  # takes no room until it is written
        shared = cls(path)
        HELD.pack_into(shared._map, HEAD.size, 0, factor)
        shared._append(origin, origin, factor)
        return shared

    def at(self, real: float) -> float:
        """Return the account's instant at a real one, both in Unix seconds."""
        (count,) = HEAD.unpack_from(self._map)
        for number in range(count - 1, -1, -1):
            since, instant, rate = self._row(number)
            if since <= real:
                return instant + (real - since) * rate
        # Before the first row both times are the same.
        return real

    def hold(self, now: Callable[[], float]) -> None:
        """Let time pass as fast as real time until it is released; `now` is the real one."""
        self._change(1, now)

    def release(self, now: Callable[[], float]) -> None:
        """Take one hold back."""
        self._change(-1, now)

    def _change(self, by: int, now: Callable[[], float]) -> None:
        with self._turn:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                held, factor = HELD.unpack_from(self._map, HEAD.size)
                HELD.pack_into(self._map, HEAD.size, held + by, factor)
                if 0 in (held, held + by):
                    (count,) = HEAD.unpack_from(self._map)
                    # The wall clock may be set back; the table goes forward.
                    real = max(now(), self._row(count - 1)[0])
                    self._append(real, self.at(real), factor if held + by == 0 else 1.0)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _row(self, number: int) -> tuple[float, float, float]:
        since, instant, rate = ROW.unpack_from(self._map, TABLE + number * ROW.size)
        return since, instant, rate

    def _append(self, *row: float) -> None:
        (count,) = HEAD.unpack_from(self._map)
        ROW.pack_into(self._map, TABLE + count * ROW.size, *row)
        HEAD.pack_into(self._map, 0, count + 1)
