"""
Let a Python process live in the embedded account's time, for code that knows nothing of it.

Python imports a module of this name by itself at start, so a directory on PYTHONPATH is enough and
the process's own code stays as shipped. It refuses to act unless DRAINER_WARP asks for it, and it
leaves `time.monotonic` alone: sockets, event loops and process management wait in real seconds.
"""

import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

ENVIRONMENT_NAME = "DRAINER_WARP"

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


def install(origin: float, factor: float) -> None:
    """
    Replace the wall clock and the sleeps of this process by the account's.

    Args:
        origin: the instant, in Unix seconds, at which both times agree.
        factor: how many of the account's seconds pass in a real one.

    """

    def warped() -> float:
        real_now: float = real.time()
        return origin + (real_now - origin) * factor

    def warped_ns() -> int:
        return int(warped() * 1_000_000_000)

    def sleep(seconds: float) -> None:
        real.sleep(seconds / factor)

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        return real_wait(self, None if timeout is None else timeout / factor)

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
    """Install the mapping that DRAINER_WARP names as `origin:factor`, if it is set."""
    wanted = os.environ.get(ENVIRONMENT_NAME)
    if wanted:
        origin, factor = wanted.split(":")
        install(float(origin), float(factor))


install_from_environment()
