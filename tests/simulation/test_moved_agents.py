"""Agents that register again elsewhere: what the seeds do, and what the checkers excuse."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest

from drainer.simulation.faults.moved_agents import UNNAMED_CLUSTER, MovedAgents
from drainer.simulation.services.ecs.definitions import TaskProfile
from tests.simulation.test_unkind_seeds import Drain

if TYPE_CHECKING:
    from drainer.simulation.services.ecs.model import ContainerInstance, Task

FIVE_MINUTES = 300


class Moved(Drain):
    """A drain whose agent registers again, with the first registration and its task left behind."""

    def __init__(self) -> None:
        super().__init__(TaskProfile(), heard=False)
        self.first = self.task.container_instance
        self.described(self.first)

    def described(self, *instances: ContainerInstance) -> None:
        rows = [
            {
                "containerInstanceArn": one.arn, "runningTasksCount": 1, "pendingTasksCount": 0,
                "remainingResources": [], "registeredResources": [{}],
            }
            for one in instances
        ]  # fmt: skip
        self.world.safety.told("DescribeContainerInstances", {}, {"containerInstances": rows})

    def moves(self, cluster: str) -> Task:
        """Let the agent register in a cluster; return a task that is placed there."""
        self.connect(connected=False)
        self.first.agent_gone = True
        self.second = self.account.ecs.register(cluster, self.instance.ec2_instance_id)
        return self.account.ecs.run_standalone(cluster, self.instance.ec2_instance_id)

    def keeps(self, task: Task) -> bool:
        return task in self.world.safety.blocking(self.action)


# ECS answers up to 20 s late, and a cluster that nothing names is searched within five minutes.
@pytest.mark.parametrize(("named", "seconds"), [(True, 20), (False, FIVE_MINUTES)])
def test_what_an_agent_registers_elsewhere_counts_once_it_must_be_found(
    named: bool, seconds: int
) -> None:
    drain = Moved()
    promised = drain.world.workload.promise(drain.action).clusters
    assert promised[0] != UNNAMED_CLUSTER
    cluster = promised[0] if named else UNNAMED_CLUSTER
    drain.account.run_for(1)
    new = drain.moves(cluster)

    drain.account.run_for(seconds - 2)
    before = drain.keeps(new)
    drain.account.run_for(3)

    assert (before, drain.keeps(new)) == (False, True)


# Nothing reports its end: it must not be cut in the first five minutes, and may be after them.
def test_a_task_on_an_earlier_registration_counts_until_another_has_drained_for_five_minutes() -> (
    None
):
    drain = Moved()
    drain.moves(UNNAMED_CLUSTER)
    drain.account.run_for(600)
    assert drain.keeps(drain.task)

    drain.account.ecs.set_status(drain.second, "DRAINING")
    drain.account.run_for(FIVE_MINUTES - 1)
    before = drain.keeps(drain.task)
    drain.account.run_for(1)

    assert (before, drain.keeps(drain.task)) == (True, False)


# One look that saw it in this action is enough to know of it, whatever message goes on.
@pytest.mark.parametrize("described", [True, False])
def test_an_earlier_registration_that_no_look_has_shown_does_not_count(described: bool) -> None:
    drain = Moved()
    drain.moves(UNNAMED_CLUSTER)
    drain.action.started_at = drain.account.now + timedelta(seconds=1)
    drain.account.run_for(2)
    if described:
        drain.described(drain.first)

    assert drain.keeps(drain.task) == described


# A drain that waits for an earlier registration for longer than five minutes is stuck.
def test_a_drain_is_idle_once_an_earlier_registration_counts_no_more() -> None:
    drain = Moved()
    new = drain.moves(UNNAMED_CLUSTER)
    drain.account.ecs.set_status(drain.second, "DRAINING")
    draining_at = drain.account.now
    drain.account.run_for(100)
    drain.account.ecs.life.kill(new, "test")

    idle_at = drain.world.liveness()._idle_at(drain.action)

    assert idle_at == draining_at + timedelta(seconds=FIVE_MINUTES)


# The drain would end at its deadline, over tasks that nobody has told to move.
@pytest.mark.parametrize("drained", [True, False])
def test_what_an_agent_registers_elsewhere_is_never_drained_if_it_stays_active(
    drained: bool,
) -> None:
    drain = Moved()
    drain.moves(UNNAMED_CLUSTER)
    if drained:
        drain.account.ecs.set_status(drain.second, "DRAINING")
    drain.account.run_for(2_400)

    assert drain.world.liveness()._was_never_drained(drain.action) == (not drained)


@pytest.mark.parametrize("going_on", [True, False])
def test_an_agent_moves_once_while_faults_go_on_and_its_registration_stays(going_on: bool) -> None:
    # An agent that comes and goes is another fault, which limits.md admits.
    drain = Drain(TaskProfile(), heard=False)
    if going_on:
        drain.world.faults.ceased_at = drain.account.now + timedelta(hours=1)
    random = Random(0)  # noqa: S311
    moved = MovedAgents(drain.world.faults, random, drain.world.workload, share=1.0)

    for _ in range(2):
        moved.begun(drain.action)
    drain.account.run_for(720)

    there = drain.account.ecs.registrations(drain.instance.ec2_instance_id)
    assert drain.world.faults.injected["agent moved to another cluster"] == going_on
    assert len({one.cluster.name for one in there}) == len(there) == 1 + going_on
    assert [one.agent_connected for one in there] == [False, True][-len(there) :]
