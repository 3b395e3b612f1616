"""
What every seed's account and function are held to: request quotas, slow calls, Lambda's timeout.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from drainer.simulation.services.messaging.call_time import CallTime, SeededSeconds, Slow
from drainer.simulation.services.quotas import AUTO_SCALING_HARSH_RATE, Quotas

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.faults.faults import Faults

# For so long an API may be slow at a time: minutes, as AWS's own reports of disturbances have it.
SLOW_FOR_SECONDS = (60.0, 900.0)
ALL_SLOW_PROBABILITY = 0.3
# How often an event that Lambda has run comes once more, and how much later: no figure is
# published, so often enough to be met in most seeds.
AGAIN_PROBABILITY = 0.03
AGAIN_SECONDS_MAX = 300.0


def impose(account: Aws, seed: int, faults: Faults) -> CallTime:
    """Put the quotas into an account, and return what its function's calls will take."""
    random = Random(f"calls {seed}")

    def arrived() -> bool:
        faults.strike("function timed out")
        return random.random() < 0.5

    call_time = CallTime(SeededSeconds(account.clock, random), arrived)

    def clock() -> datetime:
        return account.now + timedelta(seconds=call_time.spent)

    account.interceptors.append(Quotas(clock, auto_scaling=AUTO_SCALING_HARSH_RATE))
    return call_time


def slow_down(faults: Faults, call_time: CallTime, operations: frozenset[str]) -> None:
    """Let one operation be slow for some minutes, or all of them."""
    random, now = faults.random, faults.account.now
    seconds = call_time.seconds
    if not isinstance(seconds, SeededSeconds):
        return
    lasting = (faults.ceased_at - now).total_seconds()
    begins = random.uniform(0, lasting)
    ends = min(lasting, begins + random.uniform(*SLOW_FOR_SECONDS))
    all_of_them = random.random() < ALL_SLOW_PROBABILITY
    names = operations if all_of_them else frozenset({random.choice(sorted(operations))})
    seconds.slow.append(
        Slow(
            names,
            now + timedelta(seconds=begins),
            now + timedelta(seconds=ends),
        )
    )
    faults.strike(
        "operation slow", f"{'all' if all_of_them else [*names]}, from {begins:.0f} to {ends:.0f} s"
    )


def deliver_again(faults: Faults) -> float | None:
    """Say whether an asynchronous event comes again though it was served, and when."""
    if not faults.going_on or faults.random.random() >= AGAIN_PROBABILITY:
        return None
    faults.strike("asynchronous event came twice")
    return faults.random.uniform(0, AGAIN_SECONDS_MAX)
