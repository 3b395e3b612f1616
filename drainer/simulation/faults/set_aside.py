"""
Operators who set a container instance DRAINING that has come back from a drain, and serves.

The drainer must know by then that it serves, so that it stays DRAINING: also beside what is left of
an earlier registration, on which ECS counts a task for ever, and also a second time. It is set
aside in a quiet time, once what the drainer owes the instance has been done. The random numbers are
drawn apart from those of the faults, which stay as they are in each seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.model import Instance

# How many of the instances that come back are set aside: in half of the seeds, most of them.
SHARES = (0.0, 0.8)
# How long after the drainer must have brought it back, and for how long a sweep may do wrong then.
AFTER_SECONDS = (1.0, 600.0)
WATCHED_SECONDS = 700.0
# How often what an earlier agent has left is there, too, and how often it happens a second time.
LEFT_OVER_PROBABILITY = 0.6
AGAIN_PROBABILITY = 0.4


@dataclass(eq=False)
class SetAside:
    """
    The instances of one seed that somebody sets DRAINING after they have come back.

    Attributes:
        due_at: says until when the drainer may still bring an instance back.
        watch_until: is told until when the account is to be watched.
        share: how many of the instances that come back are set aside.
    """

    faults: Faults
    random: Random
    workload: Workload
    due_at: Callable[[Instance], datetime]
    watch_until: Callable[[datetime], None]
    share: float = 0.0
    chosen: set[str] = field(default_factory=set)

    def install(self) -> None:
        """Choose how many instances are set aside in this seed."""
        self.share = self.random.choice(SHARES)
        if self.share:
            self.faults.account.auto_scaling.on_state.append(self.moved)

    def moved(self, instance: Instance) -> None:
        """Plan to set an instance aside that has come back, by chance, once each."""
        ours = [one for one in instance.past if self.workload.promise(one).ours]
        back = instance.lifecycle_state == "InService" and ours
        if not back or instance.ec2_instance_id in self.chosen:
            return
        if self.random.random() >= self.share:
            return
        self.chosen.add(instance.ec2_instance_id)
        if self.random.random() < LEFT_OVER_PROBABILITY:
            self._leave_over(instance)
        self._later(instance, len(instance.past), self.due_at(instance))

    def _leave_over(self, instance: Instance) -> None:
        """Leave a registration on which ECS counts a task, whose end no agent will report."""
        ecs = self.faults.account.ecs
        there = ecs.container_instance(instance.ec2_instance_id)
        if there is not None:
            left_over = ecs.register(
                there.cluster.name, instance.ec2_instance_id, status="DRAINING", agent_gone=True
            )
            task = ecs.make_task(left_over, "job", TaskProfile(), group="family:job")
            ecs.life.settle(task)

    def _later(self, instance: Instance, met: int, at: datetime) -> None:
        at += timedelta(seconds=self.random.uniform(*AFTER_SECONDS))
        self.watch_until(at)
        self.faults.account.at(at, partial(self._set_aside, instance, met, again=False))

    def _set_aside(self, instance: Instance, met: int, *, again: bool) -> None:
        account = self.faults.account
        if instance.lifecycle_state != "InService" or len(instance.past) != met:
            return
        if account.now < self.due_at(instance):
            # A mishap has begun since that lasts longer, or it was in Standby meanwhile.
            self._later(instance, met, self.due_at(instance))
            return
        found = account.ecs.container_instance(instance.ec2_instance_id)
        # While the table cannot be written, nothing says that it serves.
        if found is None or not account.record_tables.is_writable:
            return
        if found.status != "ACTIVE" or not found.agent_connected:
            return
        self.faults.strike(
            "set DRAINING after its return" + " once more" * again, instance.ec2_instance_id
        )
        account.ecs.set_status(found, "DRAINING")
        for kind in ("drained_by_hand", "set_aside"):
            account.record(
                kind, ec2_instance_id=instance.ec2_instance_id, container_instance_arn=found.arn
            )
        self.watch_until(account.now + timedelta(seconds=WATCHED_SECONDS))
        if not again and self.random.random() < AGAIN_PROBABILITY:
            account.after(WATCHED_SECONDS, partial(self._back, instance, met, found.arn))

    def _back(self, instance: Instance, met: int, arn: str) -> None:
        """Set it ACTIVE by hand, and DRAINING again later."""
        account, found = self.faults.account, self.faults.account.ecs.find(arn)
        if found is None or instance.lifecycle_state != "InService" or len(instance.past) != met:
            return
        account.ecs.set_status(found, "ACTIVE")
        at = account.now + timedelta(seconds=self.random.uniform(*AFTER_SECONDS))
        self.watch_until(at)
        account.at(at, partial(self._set_aside, instance, met, again=True))
