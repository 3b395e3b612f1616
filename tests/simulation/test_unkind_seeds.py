"""The unkind ECS of the seeds: it is really unkind, and the checkers judge by what is so."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, get_args

import pytest

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.runs.world import Options, World
from drainer.simulation.scenario.stopped_crowd import add_stopped_tasks
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX, AnswerKind
from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.ecs.model import Task

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANSWERS: tuple[AnswerKind, ...] = get_args(AnswerKind)
HOURS = 6


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


def ignore(kind: AnswerKind, seconds: float) -> None:
    """Take no note of a view that lies behind."""


# One lag for all views, or one for a whole seed, would never show a task in neither listing.
def test_the_answers_lag_independently_and_change_within_a_seed(account: Aws) -> None:
    account.ecs.lags.vary(Random(7), ignore)  # noqa: S311
    found: dict[AnswerKind, list[float]] = defaultdict(list)
    for _ in range(HOURS * 360):
        account.run_for(10)
        for kind in ANSWERS:
            at = account.ecs.lags.at(kind)
            found[kind].append((account.now - at).total_seconds() if at else 0.0)

    for lags in found.values():
        assert max(lags) <= ANSWER_LAG_SECONDS_MAX
        assert max(lags) > 0.9 * ANSWER_LAG_SECONDS_MAX
        assert sum(lag == 0 for lag in lags) > len(lags) / 4
        assert sum(one != next_one for one, next_one in pairwise(lags)) > 10 * HOURS
    assert len({tuple(lags) for lags in found.values()}) == len(ANSWERS)


def test_the_same_seed_lags_the_same() -> None:
    first, again = (World(63, Options(steps=True)) for _ in range(2))
    for world in (first, again):
        world.install(handler.build)
        world.run()

    assert first.trace.lines == again.trace.lines
    assert first.faults.injected["ECS view behind"] > 0


# A history that grew would make each seed dearer the longer it runs.
def test_a_task_remembers_no_more_than_an_answer_may_need(account: Aws) -> None:
    instance = account.ecs.register("payments", "i-0")
    task = account.ecs.run_standalone("payments", "i-0", already_running=False)
    for _ in range(100):
        account.ecs.connect_agent("i-0", connected=not instance.agent_connected)
        account.run_for(ANSWER_LAG_SECONDS_MAX / 4)

    assert len(instance.past) <= 6
    assert len(task.past) <= 6


# A busy batch host must not cost a seed a second.
def test_crowds_on_five_instances_are_forgotten_in_some_entries_of_the_timetable(
    account: Aws,
) -> None:
    for number in range(5):
        instance = account.ecs.register("payments", f"i-{number}")
        add_stopped_tasks(account, instance, 3_000)
    entries = 0
    while account.next_event_at() is not None:
        account.advance_to(account.next_event_at() or account.now)
        entries += 1

    assert entries <= 61
    assert account.ecs.clusters["payments"].tasks == {}


# -- what the checkers judge by


class Drain:
    """One instance that waits at the drainer's hook, with one task that nobody owns."""

    def __init__(self, profile: TaskProfile, *, heard: bool = True) -> None:
        # A seed with a hook of ours on its first group, and without faults of its own.
        self.world = World(3, Options(sweep=False, fast_path=False))
        self.world.install(handler.build)
        self.account = self.world.account
        self.account.ecs.lags.set({})
        self.world.faults.ceased_at = self.account.now
        group = self.account.auto_scaling.groups["group-0"]
        if not heard:
            # The drainer does nothing about it, and its hook waits for hours.
            for one in self.world.installed.topic.subscriptions:
                one.channel.faults.append(lambda _: ())
            for hook in group.hooks.values():
                hook.heartbeat_timeout_seconds = 7_200
        self.instance = next(iter(group.instances.values()))
        cluster = self.account.ecs.registrations(self.instance.ec2_instance_id)[0].cluster
        self.task: Task = self.account.ecs.run_standalone(
            cluster.name, self.instance.ec2_instance_id, profile=profile
        )
        self.account.auto_scaling.terminate(self.instance, decrement=True)
        self.action: LifecycleAction = next(
            one for one in self.instance.actions if self.world.workload.promise(one).ours
        )

    def connect(self, *, connected: bool) -> None:
        self.account.ecs.connect_agent(self.instance.ec2_instance_id, connected=connected)

    def blocks(self) -> bool:
        return self.task in self.world.safety.blocking(self.action)


# A container that has ended is no cut, whether its agent has reported it or not.
def test_an_end_that_is_not_reported_blocks_no_longer() -> None:
    drain = Drain(TaskProfile(run_seconds=60.0))
    assert drain.blocks()
    drain.connect(connected=False)

    drain.account.run_for(70)

    assert drain.task.last_status == "RUNNING"
    assert not drain.blocks()


# A container that still runs is one, whatever ECS wants of it.
def test_a_container_that_was_not_told_to_stop_blocks() -> None:
    drain = Drain(TaskProfile(stop_seconds=5.0))
    drain.connect(connected=False)

    drain.account.ecs.life.stop(drain.task, "UserInitiated", "test")
    drain.account.run_for(40)

    assert drain.blocks()


# A drain cannot be blamed for waiting for what nobody reports: it is idle from the report on.
def test_a_drain_is_idle_from_the_report_on() -> None:
    drain = Drain(TaskProfile(run_seconds=60.0))
    instance = drain.account.ecs.container_instance(drain.instance.ec2_instance_id)
    assert instance is not None
    drain.account.ecs.set_status(instance, "DRAINING")
    for task in instance.remaining_tasks():
        if task is not drain.task:
            drain.account.ecs.life.kill(task, "test")
    drain.connect(connected=False)
    drain.account.run_for(100)
    drain.connect(connected=True)
    reported_at = drain.account.now
    drain.account.run_for(1)

    idle_at = drain.world.liveness()._idle_at(drain.action)

    assert idle_at == reported_at
    assert reported_at - START >= timedelta(seconds=100)
