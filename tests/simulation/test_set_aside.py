"""Instances that somebody sets DRAINING once they serve again, and what the checker says."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest

from drainer.simulation.faults.set_aside import AFTER_SECONDS, SetAside
from drainer.simulation.services.ecs.definitions import TaskProfile
from tests.simulation.test_unkind_seeds import Drain

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.model import Instance

DUE_SECONDS = 900


class Returned(Drain):
    """An instance that has been drained, and is in service again."""

    def __init__(self) -> None:
        super().__init__(TaskProfile(), heard=False)
        # It is of another group, which nothing else befalls.
        cluster = self.task.cluster.name
        group = self.account.auto_scaling.create_group("aside", cluster=cluster, desired=1)
        [self.instance] = group.instances.values()
        self.instance.past.append(self.action)
        self.action.ended_at = self.account.now
        [self.one] = self.account.ecs.registrations(self.instance.ec2_instance_id)
        self.arn = self.one.arn
        self.due_at = self.account.now + timedelta(seconds=DUE_SECONDS)
        self.watched: list[datetime] = []

    def is_set_aside(self, random: Random) -> SetAside:
        def due_at(_: Instance) -> datetime:
            return self.due_at

        faults, workload = self.world.faults, self.world.workload
        aside = SetAside(faults, random, workload, due_at, self.watched.append, share=1.0)
        aside.moved(self.instance)
        aside.moved(self.instance)
        return aside

    def set_active(self) -> list[str]:
        """Let the function set it ACTIVE; return what the checker says."""
        cluster = self.task.cluster.name
        self.world.safety.drained.add(self.arn)
        before = len(self.world.safety.violations)
        parameters = {"cluster": cluster, "containerInstances": [self.arn], "status": "ACTIVE"}
        self.world.safety.before("UpdateContainerInstancesState", parameters)
        return [one.sentence for one in self.world.safety.violations[before:]]


# Before that the drainer may not know that it serves: limits.md admits that it is set ACTIVE then.
def test_an_instance_is_set_aside_once_the_drainer_must_know_that_it_serves() -> None:
    drain = Returned()
    drain.is_set_aside(Random(0))  # noqa: S311
    one = drain.one

    drain.account.run_for(DUE_SECONDS)
    before = one.status
    drain.account.run_for(AFTER_SECONDS[1])

    assert (before, one.status) == ("ACTIVE", "DRAINING")
    assert drain.world.faults.injected["set DRAINING after its return"] == 1
    assert max(drain.watched) > drain.account.now
    assert "somebody has set it DRAINING" in "".join(drain.set_active())


# A table that cannot be written says to no sweep that it serves.
@pytest.mark.parametrize("what", ["table", "agent", "leaves"])
def test_what_the_drainer_cannot_know_is_not_set_aside(what: str) -> None:
    drain = Returned()
    drain.is_set_aside(Random(0))  # noqa: S311
    if what == "table":
        for table in drain.account.record_tables.tables.values():
            table.read_only = True
    elif what == "agent":
        drain.connect(connected=False)
    else:
        drain.instance.lifecycle_state = "Terminating:Wait"

    drain.account.run_for(DUE_SECONDS + AFTER_SECONDS[1])

    assert drain.one.status == "ACTIVE"


# What was DRAINING by hand before a drain of ours began is set ACTIVE after it, as limits.md says.
def test_a_drain_that_began_later_may_set_it_active() -> None:
    drain = Returned()
    drain.is_set_aside(Random(0))  # noqa: S311
    drain.account.run_for(DUE_SECONDS + AFTER_SECONDS[1])
    drain.action.started_at = drain.account.now

    assert drain.set_active() == []


def test_some_are_set_aside_twice_and_beside_what_is_left_of_an_earlier_agent() -> None:
    # A record that is followed for ever was what made the sweep set it ACTIVE; and in between it
    # may be set ACTIVE by hand.
    struck, left_over = set(), set()
    for seed in range(8):
        drain = Returned()
        drain.is_set_aside(Random(seed))  # noqa: S311
        drain.account.run_for(3_600)
        struck.add(drain.world.faults.injected["set DRAINING after its return once more"])
        known = drain.account.ecs.registrations(drain.instance.ec2_instance_id)
        left_over.add(sum(bool(one.agent_gone and one.remaining_tasks()) for one in known))

    assert (struck, left_over) == ({0, 1}, {0, 1})
