"""
What the drainer costs a month while it drains nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.bench.drains import Drain, Scene
from drainer.cli.bench.ours import SWEEP_SECONDS, Deployed, Sources, shipped
from drainer.cli.bench.prices import HOURS_PER_MONTH, Item, money

if TYPE_CHECKING:
    from collections.abc import Mapping

# An event source mapping of a standard queue long-polls for 20 s. "When traffic is low, Lambda
# scales back the processing to five concurrent batches, and can optimize to as few as 2 ... this
# optimization is not available when you enable the maximum concurrency setting." The shipped
# maximum is 2. Assumed: Lambda polls with no more than it may run at once. With five pollers each
# queue would cost $0.16 a month more.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
POLLERS, POLL_SECONDS = 2, 20
HOUR_SECONDS = 3_600
STOPPED = {
    "source": "aws.ecs",
    "detail-type": "ECS Task State Change",
    "detail": {
        "lastStatus": "STOPPED",
        "containerInstanceArn": "arn:aws:ecs:us-east-1:123456789012:container-instance/c/another",
    },
}


# A deployment of a few hundred tasks that are replaced often; each stop is an event.
STOPS_A_DAY = 20_000


def idle_month(sources: Sources, stops_a_day: int = 0) -> Mapping[Item, float]:
    """
    Return what a month costs, by what is paid for: one hour is run, and counted 730 times.

    Args:
        sources: What wakes the function.
        stops_a_day: How many tasks stop on container instances that are not drained.
    """
    scene = Scene(Drain(1), 0)
    deployed = Deployed(scene, sources)
    scene.meter.begin()
    stops = stops_a_day // 24
    for _ in range(stops):
        deployed.installed.rule.send(STOPPED)
        scene.account.run_for(HOUR_SECONDS / stops)
    if not stops:
        scene.account.run_for(HOUR_SECONDS)
    hour = dict(deployed.bill().counts)
    hour[Item.SQS] += shipped().queues * POLLERS * HOUR_SECONDS / POLL_SECONDS
    # Each sweep reads the notification queue's attributes, which the simulated account has not.
    hour[Item.SQS] += HOUR_SECONDS / SWEEP_SECONDS
    month = {item: count * HOURS_PER_MONTH for item, count in hour.items()}
    return money({**month, Item.ALARMS: shipped().alarms})
