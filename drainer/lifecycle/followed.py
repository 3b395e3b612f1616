"""
When a sweep looks at followed instances, at which of them, and in which order.

It changes nothing. To look at one takes a query of its records, and in a large account a sweep has
time for few. One call of Auto Scaling's tells for fifty of them that nothing is to be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.drain.actions import UNIT_SECONDS
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.look import turn
from drainer.lifecycle.sweep import SWEEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from drainer.invocation import InvocationClock
    from drainer.lifecycle.hooks import AutoScalingReads

IN_SERVICE = "InService"

# The time that must be left to read one more instance's records. With less, no time is left to act
# on them, and a query for each instance can take all of a slow sweep's time.
READING_SECONDS = ACTING_SECONDS + UNIT_SECONDS

# A warm pool may hold thousands of instances that were drained; each sweep asks about some.
FOLLOWED_MAX = 500
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
INSTANCES_TOGETHER = 50

# The share of the sweeps that look at followed instances before they look at what waits.
FIRST_SHARE = 0.4
# Of the steps of an irrational number so many fall into any share of the circle, evenly: with each
# SweepIntervalMinutes of infra/drainer.yaml no more than five sweeps lie between two of them. It is
# another number than that by which a sweep chooses its first group (sweep.py).
STEP = 2**0.5


def comes_first(now: datetime) -> bool:
    """
    Whether this sweep looks at followed instances before it looks at what waits.

    In a large account what waits takes all of a sweep's time, and of each sweep's while instances
    wait at somebody else's hook. What is in service again would stay DRAINING for as long.
    """
    return now.timestamp() / SWEEP_SECONDS * STEP % 1 < FIRST_SHARE


def back_or_gone(
    auto_scaling: AutoScalingReads, followed: Iterable[str], time: InvocationClock
) -> list[str]:
    """
    Return the instances that are in service, and after them those that are in no group.

    ECS places no task on what is in service until it is brought back. What is gone is only to be
    forgotten. The others wait in a warm pool, or are on their way.

    Raises:
        DrainerError: Auto Scaling did not answer.
    """
    # In an order that differs each time, so that none is always the last.
    some = sorted(followed, key=lambda one: turn(one, time.now()))[:FOLLOWED_MAX]
    back: list[str] = []
    gone: list[str] = []
    for start in range(0, len(some), INSTANCES_TOGETHER):
        if time.seconds_left() < READING_SECONDS:
            break  # the next sweep asks about others
        together = some[start : start + INSTANCES_TOGETHER]
        states = auto_scaling.lifecycle_states(together)
        back += [one for one in together if states.get(one, ("", ""))[1] == IN_SERVICE]
        gone += [one for one in together if one not in states]
    return back + gone
