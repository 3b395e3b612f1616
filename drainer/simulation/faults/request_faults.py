"""
What a seed lets go wrong around the requests of CloudFormation, the table of records included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.simulation.faults import ecs_faults, fault_plan, record_faults
from drainer.simulation.faults.faults import READS
from drainer.simulation.scenario.request_stories import CEASED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.installation import Installation

# A request is delivered at least once, and not later than this.
LATE_SECONDS_MAX = 900.0
LONG_AGO_SECONDS = 1e9
READS_OF_REQUESTS = READS | {
    *record_faults.READS,
    "DescribeClusters",
    "DescribeSpotFleetInstances",
    "DescribeStacks",
    "GetItem",
    "ListStackResources",
    "Scan",
}
WRITES_OF_REQUESTS = record_faults.WRITES | {
    "UpdateContainerInstancesState",
    "StopTask",
    "PutAttributes",
    "PublishBatch",
}
# How old an answer about a stack may be: shorter than what production waits before it takes it for
# true.
LAGS = (0.0, 0.0, 0.06, 5.0, 45.0, 90.0)
# A request has its hour: an outage that leaves a sweep and an answer no time answers nothing, since
# its URL is in the table alone.
OUTAGE_SECONDS_MAX = 900.0


class RequestFaults:
    """
    Puts a seed's faults into its account.

    Args:
        faults: What there is, and until when.
        installed: The installation.
    """

    def __init__(self, faults: Faults, installed: Installation) -> None:
        self._faults = faults
        self._installed = installed

    def install(self, random: Random) -> None:
        """Let things go wrong."""
        faults, installed = self._faults, self._installed
        ecs_faults.install(faults, random)
        if not faults.going_on:
            return
        faults.account.stacks.lag_seconds = faults.random.choice(LAGS)
        faults.stale_seconds = min(faults.stale_seconds, installed.wait_queue.delay_seconds)
        requests, envelopes, *_ = installed.topic.subscriptions
        faults.disturb("re-invocation", envelopes.channel)
        faults.disturb("schedule", installed.schedule)
        requests.channel.faults.append(self._delivered_at_least_once)
        for _ in range(faults.random.randint(0, faults.intensity.windows)):
            fault_plan.open_window(faults, READS_OF_REQUESTS, WRITES_OF_REQUESTS)
        fault_plan.burden(faults, installed, READS_OF_REQUESTS | WRITES_OF_REQUESTS)
        record_faults.install(faults, installed.records, OUTAGE_SECONDS_MAX)
        # An answer that is wrong twice in a row, minutes apart, is not merely out of date.
        for third in range(3):
            at = third * CEASED_SECONDS / 3 + faults.random.uniform(0, CEASED_SECONDS / 4)
            faults.account.after(at, self._list_nothing)

    def _list_nothing(self) -> None:
        """Let a fleet's listing be out of date, for less than what lies between two looks."""
        fleets, faults = self._faults.account.fleets, self._faults
        if faults.going_on:
            faults.strike("fleet listed out of date")
            fleets.describe_lag_seconds = LONG_AGO_SECONDS
            seconds = self._installed.wait_queue.delay_seconds
            faults.account.after(seconds, self._list_all)

    def _list_all(self) -> None:
        self._faults.account.fleets.describe_lag_seconds = 0.0

    def _delivered_at_least_once(self, _: object) -> Sequence[float]:
        random, faults = self._faults.random, self._faults
        if random.random() >= faults.intensity.message:
            return (0.0,)
        late = random.uniform(0, LATE_SECONDS_MAX)
        faults.strike("request late or doubled", f"{late:.0f} s")
        return random.choice([(late,), (0.0, late), (late, 0.0, 3 * 3_600.0)])
