"""
What the drainer costs a month while it drains nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.bench.drains import Drain, Scene
from drainer.cli.bench.ours import Deployed, Sources, shipped
from drainer.cli.bench.prices import HOURS_PER_MONTH, Item, money

if TYPE_CHECKING:
    from collections.abc import Mapping

# An event source mapping of a standard queue long-polls for 20 s, with at least two pollers.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
POLLERS, POLL_SECONDS = 2, 20
HOUR_SECONDS = 3_600


def idle_month(sources: Sources) -> Mapping[Item, float]:
    """Return what a month costs, by what is paid for: one hour is run, and counted 730 times."""
    scene = Scene(Drain(1), 0)
    deployed = Deployed(scene, sources)
    scene.meter.begin()
    scene.account.run_for(HOUR_SECONDS)
    hour = dict(deployed.bill().counts)
    hour[Item.SQS] += shipped().queues * POLLERS * HOUR_SECONDS / POLL_SECONDS
    month = {item: count * HOURS_PER_MONTH for item, count in hour.items()}
    return money({**month, Item.ALARMS: shipped().alarms})
