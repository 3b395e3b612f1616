"""
Let a Python process live in the embedded account's time, for code that knows nothing of it.

Python imports a module of this name by itself at start, so a directory on PYTHONPATH is enough and
the process's own code stays as shipped. It refuses to act unless DRAINER_WARP asks for it, and it
leaves `time.monotonic` alone: sockets, event loops and process management wait in real seconds.
"""

import importlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

ENVIRONMENT_NAME = "DRAINER_WARP"
# How long a wait is at least, in real seconds: what is left of one shrinks slowly, where time does.
WAIT_SECONDS_MIN = 0.001

# What the launcher hands to modules whose waits are about processes of this machine.
real = SimpleNamespace(
    time=time.time,
    time_ns=time.time_ns,
    sleep=time.sleep,
    monotonic=time.monotonic,
    perf_counter=time.perf_counter,
    gmtime=time.gmtime,
    localtime=time.localtime,
    strftime=time.strftime,
)


class Calendar:
    """
    `time.gmtime` or `time.localtime`, whose present is the account's.

    An object and no function, because `logging` keeps one as a class attribute, where a function
    would become a method.
    """

    def __init__(
        self, convert: Callable[[float], time.struct_time], now: Callable[[], float]
    ) -> None:
        self._convert = convert
        self._now = now

    def __call__(self, seconds: float | None = None) -> time.struct_time:
        """Convert an instant, by default the present."""
        return self._convert(self._now() if seconds is None else seconds)


def install(at: Callable[[float], float], factor: float) -> None:
    """
    Replace the wall clock and the sleeps of this process by the account's.

    Args:
        at: gives the account's instant for a real one, both in Unix seconds.
        factor: how many of the account's seconds pass in a real one at most.

    """

    def warped() -> float:
        return at(real.time())

    def warped_ns() -> int:
        return int(warped() * 1_000_000_000)

    def real_seconds(until: float) -> float:
        # At least so many: while a function is at work, time passes more slowly.
        return max((until - warped()) / factor, WAIT_SECONDS_MIN)

    def sleep(seconds: float) -> None:
        until = warped() + seconds
        while warped() < until:
            real.sleep(real_seconds(until))

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None:
            return real_wait(self)
        until = warped() + timeout
        while warped() < until:
            if real_wait(self, real_seconds(until)):
                return True
        return self.is_set()

    real_wait = threading.Event.wait
    vars(time).update(
        time=warped,
        time_ns=warped_ns,
        sleep=sleep,
        gmtime=Calendar(real.gmtime, warped),
        localtime=Calendar(real.localtime, warped),
    )
    # Only Event: a Condition computes what remains of its timeout from `time.monotonic`, and a
    # scaled wait would make queues and thread pools spin.
    threading.Event.wait = wait  # type: ignore[method-assign]


def install_from_environment() -> None:
    """Install the table that DRAINER_WARP names as `factor:path`, if it is set."""
    wanted = os.environ.get(ENVIRONMENT_NAME)
    if wanted:
        factor, _, path = wanted.partition(":")
        # Beside this file, and found where this file was.
        table = importlib.import_module("shared_time").SharedTime(Path(path))
        vars(real)["table"] = table
        install(table.at, float(factor))


install_from_environment()
