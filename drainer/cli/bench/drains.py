"""
What is drained: an account with a group, tasks on it, and instances that leave at once.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from drainer.cli.bench.meter import Meter
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.simulation.services.quotas import Quotas

if TYPE_CHECKING:
    from typing import Literal

    Result = Literal["CONTINUE", "ABANDON"]

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP, CLUSTER = "group", "cluster"
# So many of a group stay for each that leaves, and take over its tasks.
STAYING_SHARE = 0.25
# Where in the sweep's interval a drain begins is chance.
BEGINS_WITHIN_SECONDS = 300.0
# What a notification takes to its receiver: AWS publishes no figure.
NOTIFIED_SECONDS = (0.1, 1.0)
LEFT_OVER = timedelta(hours=48)
# Of one core, for a run: a crowd that takes longer is left out, and named.
CPU_SECONDS_MAX = 180.0
EVENTS_BETWEEN = 100


class TooLongError(Exception):
    """A run took more of a processor than it may."""


@dataclass(frozen=True, slots=True)
class Length:
    """
    How long a drain takes without any drainer's delay.

    Attributes:
        name: in words.
        replaced_seconds: until a replacement is healthy; 10 of them it starts.
        deregistration_seconds: the target group's delay; None for no load balancer.
        stop_seconds: what a container takes to exit.
        job_seconds: a standalone task that ends by itself, instead of all that.
    """

    name: str
    replaced_seconds: float = 0.0
    deregistration_seconds: float | None = None
    stop_seconds: float = 30.0
    job_seconds: float | None = None


LENGTHS = {
    "1m": Length("one minute", replaced_seconds=30.0),
    "7m": Length("seven minutes", replaced_seconds=90.0, deregistration_seconds=300.0),
    "2h": Length("two hours", job_seconds=7_200.0),
}


@dataclass(frozen=True, slots=True)
class Drain:
    """So many instances that leave at once, with so many tasks on each."""

    instances: int
    tasks: int = 1
    length: Length = LENGTHS["7m"]


class Scene:
    """
    One account, counted and under ECS's published quotas, before anything leaves.

    Attributes:
        random: chooses what differs from run to run.
    """

    def __init__(self, drain: Drain, seed: int) -> None:
        self.drain = drain
        self.random = Random(f"bench {seed}")  # noqa: S311 - seeded, not secret
        self.account = Aws(now=START, seed=seed)
        # The meter counts them; a crowd's calls would fill gigabytes.
        self.account.calls = deque(maxlen=0)
        self.meter = Meter(self.account)
        self.quotas = Quotas(lambda: self.meter.now)
        self.account.interceptors += [self.meter, self.quotas]
        self.sns = SnsApi(self.account)
        staying = max(1, int(drain.instances * STAYING_SHARE))
        self.account.auto_scaling.create_group(
            GROUP, cluster=CLUSTER, desired=drain.instances + staying
        )

    def hook(self, topic_arn: str, *, heartbeat_seconds: int, default_result: Result) -> None:
        """Put the group's hook; the topic is told of what leaves."""
        self.account.auto_scaling.put_hook(
            LifecycleHook(
                "drainer",
                GROUP,
                heartbeat_timeout_seconds=heartbeat_seconds,
                default_result=default_result,
                notification_target_arn=topic_arn,
            )
        )

    def late(self) -> float:
        """Say how long a notification takes."""
        return self.random.uniform(*NOTIFIED_SECONDS)

    def leave(self) -> None:
        """Let the instances leave, and time pass until each hook has its answer."""
        account, drain, length = self.account, self.drain, self.drain.length
        stop_seconds = length.stop_seconds - self.random.uniform(0, 10)
        account.run_for(self.random.uniform(0, BEGINS_WITHIN_SECONDS))
        # What was swept before is paid as idle.
        self.meter.begin()
        if length.job_seconds is None:
            account.ecs.create_service(
                CLUSTER,
                "web",
                desired=drain.tasks * len(account.auto_scaling.groups[GROUP].instances),
                deregistration_delay_seconds=length.deregistration_seconds,
                profile=TaskProfile(
                    healthy_after_seconds=length.replaced_seconds - 10.0, stop_seconds=stop_seconds
                ),
            )
        leaving = account.auto_scaling.scale_in(GROUP, drain.instances)
        if length.job_seconds is not None:
            # Jobs do not all end at the same second.
            for instance in leaving:
                for _ in range(drain.tasks):
                    seconds = length.job_seconds - self.random.uniform(0, 60)
                    account.ecs.run_standalone(CLUSTER, instance.ec2_instance_id, seconds=seconds)
        began, asked = time.process_time(), itertools.count()

        def done() -> bool:
            # The clock of the processor is slow to read.
            due = next(asked) % EVENTS_BETWEEN == 0
            if due and time.process_time() - began > CPU_SECONDS_MAX:
                raise TooLongError(f"more than {CPU_SECONDS_MAX:.0f} s of one core")
            return not account.auto_scaling.lifecycle.open

        account.run_until(done, LEFT_OVER)
