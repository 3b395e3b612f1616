"""Passes over the instances that a custom resource guards: what is done, and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.properties import DrainTarget, Status, TargetKind
from drainer.custom_resource.request import Request, RequestType
from drainer.custom_resource.target_drain import TargetDrain
from drainer.drain.attributes import DRAINED_FOR, checksum
from drainer.drain.model import (
    ContainerInstance,
    LifecycleActionResult,
    Owner,
    Policy,
    StandaloneTasks,
    Task,
)
from drainer.invocation import InvocationClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.custom_resource.stack import Stack
    from drainer.custom_resource.target_status import TargetStatus

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "i-0123456789abcdef0"
POLICY = Policy("payments", 3000, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 0)
GUARD = DrainTarget("payments", TargetKind.AUTO_SCALING_GROUP, "g", POLICY, Status.FAILED)
REQUEST = Request(
    request_type=RequestType.DELETE,
    stack_id="arn:aws:cloudformation:us-east-1:123456789012:stack/shop/5b918d10",
    request_id="c3d8e5b7",
    logical_id="Drain",
    physical_id="g",
    response_url="https://cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com/x",
    properties={},
    old_properties={},
    started_at=START,
)
STACK = checksum(REQUEST.stack_id)
PASS_SECONDS = 15


@dataclass
class World:
    """The target and its clusters; a task is where its container instance is."""

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    running: dict[str, list[Task]] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)
    stopped: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=lambda: [ID])
    seconds_left: float = 100.0
    seconds_to_see: float = 0.0

    def left(self) -> float:
        return self.seconds_left

    # The target

    def stack(self, stack_id: str) -> Stack:
        raise AssertionError("a drain asks nothing about the stack")

    def group(self, guard: DrainTarget) -> str:
        return guard.name

    def groups(self, capacity_providers: Sequence[str]) -> dict[str, str]:
        return {}

    def made_by(self, auto_scaling_group_name: str) -> str:
        return ""

    def cluster_exists(self, cluster: str) -> bool:
        return cluster in self.where

    def instances(self, guard: DrainTarget) -> list[str] | None:
        self.seconds_left -= self.seconds_to_see
        return self.members

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        raise AssertionError("nothing is set ACTIVE while it is drained")

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        raise AssertionError("no note is taken off while it is drained")

    # ECS

    def clusters(self) -> list[str]:
        return list(self.where)

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        return [one.arn for one in self.where[cluster] if one.ec2_instance_id in ec2_instance_ids]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self.seconds_left -= self.seconds_to_see
        return [one for one in self.where[cluster] if one.arn in arns]

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        there = self.running.get(container_instance_arn, ())
        return [one.id for one in there if one.desired_status == desired_status]

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        here = {one.arn for one in self.where[cluster]}
        known = {t.id: t for arn, there in self.running.items() if arn in here for t in there}
        return {one: known[one] for one in task_ids if one in known}

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self.where[cluster] = [
            replace(one, status="DRAINING") if one.arn in arns else one
            for one in self.where[cluster]
        ]
        return {}

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        here = {one.arn for one in self.where[cluster]}
        for arn, name, value in values:
            assert arn in here
            assert (name, value) == (DRAINED_FOR, STACK)
            self.noted.add(arn)

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        self.stopped.append(task_id)

    def status(self, arn: str) -> str:
        [found] = [one for there in self.where.values() for one in there if one.arn == arn]
        return found.status

    def passes(self, count: int, guard: DrainTarget = GUARD) -> list[TargetStatus]:
        fleet = TargetDrain(self, self, Config("arn:aws:sns:us-east-1:123456789012:drainer"))
        progress, musters = RequestProgress(REQUEST), []
        for hop in range(count):
            now = START + timedelta(seconds=PASS_SECONDS * hop)
            muster = fleet.drain(progress, guard, hop, InvocationClock(now, lambda: 100.0))
            progress = muster.progress
            musters.append(muster)
        return musters


def registration(arn: str, **changes: Any) -> ContainerInstance:
    there = ContainerInstance(
        arn, ID, "ACTIVE", agent_connected=True, running_tasks=0, pending_tasks=0
    )
    return replace(there, **changes)


def task(number: int = 1, last: str = "DEACTIVATING", owner: Owner = Owner.SERVICE) -> Task:
    wanted = "RUNNING" if last == "RUNNING" else "STOPPED"
    return Task(f"{number:032x}", owner, "service:web", wanted, last)


def done(musters: list[TargetStatus]) -> list[bool]:
    return [muster.done == muster.total for muster in musters]


def test_an_idle_instance_may_go_after_two_listings_that_are_far_enough_apart() -> None:
    world = World({"payments": [registration("arn-1")]})

    finished = done(world.passes(6))

    # DRAINING at 0 s; what is listed before 20 s and before 40 s after that closes no set.
    assert finished == [False, False, False, False, True, True]


# Were the instant that of the invocation's beginning, a listing would count that comes too early
# after DRAINING to show a task which was placed just before.
def test_looking_that_takes_long_does_not_date_draining_back() -> None:
    world = World({"payments": [registration("arn-1")]})
    world.seconds_to_see = 9.0
    fleet = TargetDrain(world, world, Config("arn:aws:sns:us-east-1:123456789012:drainer"))

    muster = fleet.drain(RequestProgress(REQUEST), GUARD, 0, InvocationClock(START, world.left))

    assert world.status("arn-1") == "DRAINING"
    assert muster.progress.notes[ID].draining_since == START + timedelta(seconds=18)


# The same for the first of the two listings, which the second must follow by 20 s.
def test_a_listing_is_dated_by_when_it_was_made() -> None:
    world = World({"payments": [registration("arn-1")]})
    [*_, before] = world.passes(2)
    world.seconds_left, world.seconds_to_see = 100.0, 9.0
    fleet = TargetDrain(world, world, Config("arn:aws:sns:us-east-1:123456789012:drainer"))

    now = START + timedelta(seconds=30)
    muster = fleet.drain(before.progress, GUARD, 2, InvocationClock(now, world.left))

    assert muster.progress.notes[ID].listed_at == now + timedelta(seconds=18)


def test_no_instance_may_go_while_a_task_of_it_closes() -> None:
    # CloudFormation takes the fleet down at SUCCESS, with whatever runs on it.
    world = World({"payments": [registration("arn-1")]}, {"arn-1": [task()]})

    assert not any(done(world.passes(10)))


@pytest.mark.parametrize("count", [3, 4, 9])
def test_tasks_beyond_those_that_a_note_holds_keep_their_instance(count: int) -> None:
    # A note has two of them: with those STOPPED, the others must not be forgotten.
    there = [task(number) for number in range(count)]
    world = World({"payments": [registration("arn-1")]}, {"arn-1": there})
    guarded = TargetDrain(world, world, Config("arn:aws:sns:us-east-1:123456789012:drainer"))
    progress = RequestProgress(REQUEST)
    for hop in range(40):
        now = START + timedelta(seconds=PASS_SECONDS * hop)
        muster = guarded.drain(progress, GUARD, hop, InvocationClock(now, lambda: 100.0))
        progress = muster.progress
        alive = [one for one in world.running["arn-1"] if one.last_status != "STOPPED"]
        assert not (muster.done and alive)
        if hop and hop % 3 == 0 and alive:
            index = world.running["arn-1"].index(alive[0])
            world.running["arn-1"][index] = replace(alive[0], last_status="STOPPED")

    assert muster.done == 1


@pytest.mark.parametrize("last", ["RUNNING", "DEACTIVATING"])
@pytest.mark.parametrize("elsewhere", ["payments", "search"])
def test_with_no_agent_connected_the_tasks_of_all_registrations_keep_the_instance(
    elsewhere: str, last: str
) -> None:
    # Any of them may be the one that runs tasks: the fleet is taken down with what serves there.
    world = World({"payments": [registration("arn-1", agent_connected=False)], "search": []})
    counted = int(last == "RUNNING")
    other = registration("arn-2", agent_connected=False, running_tasks=counted)
    world.where[elsewhere].append(other)
    world.running["arn-2"] = [task(1, last)]

    musters = world.passes(30)

    assert world.status("arn-2") == "DRAINING"
    assert not any(done(musters))


@pytest.mark.parametrize("elsewhere", ["payments", "search"])
def test_with_no_agent_connected_it_may_go_once_all_registrations_are_clear(elsewhere: str) -> None:
    # What is asked about in another cluster than its own is MISSING: CloudFormation is told FAILED.
    world = World({"payments": [registration("arn-1", agent_connected=False)], "search": []})
    world.where[elsewhere].append(registration("arn-2", agent_connected=False))
    world.running["arn-2"] = [task(1, "STOPPED")]

    assert done(world.passes(30))[-1]


@pytest.mark.parametrize("elsewhere", ["payments", "search"])
def test_every_registration_that_is_set_draining_is_noted_for_its_stack(elsewhere: str) -> None:
    # What is DRAINING without the note stays so after a rollback, and gets no task for good.
    world = World({"payments": [registration("arn-1", agent_connected=False)], "search": []})
    world.where[elsewhere].append(registration("arn-2", agent_connected=False))

    world.passes(3)

    draining = {arn for arn in ("arn-1", "arn-2") if world.status(arn) == "DRAINING"}
    assert draining <= world.noted


def test_an_earlier_registration_with_tasks_is_set_draining_and_noted_for_its_stack() -> None:
    # Without the note it stays DRAINING after a rollback.
    old = registration("arn-old", agent_connected=False, running_tasks=2)
    world = World({"payments": [old, registration("arn-1")]})

    world.passes(3)

    assert {world.status("arn-old"), world.status("arn-1")} == {"DRAINING"}
    assert world.noted >= {"arn-old", "arn-1"}


def test_standalone_tasks_that_ecs_counts_are_stopped_once_their_grace_is_over() -> None:
    # A fleet lists no tasks while ECS counts some: it would wait for them until its deadline.
    job = task(1, "RUNNING", Owner.STANDALONE)
    world = World({"payments": [registration("arn-1", running_tasks=1)]}, {"arn-1": [job]})
    policy = replace(POLICY, standalone_tasks=StandaloneTasks.STOP)

    world.passes(6, replace(GUARD, policy=policy))

    assert job.id in world.stopped


def test_an_ignored_standalone_task_does_not_keep_the_fleet() -> None:
    job = task(1, "RUNNING", Owner.STANDALONE)
    world = World({"payments": [registration("arn-1", running_tasks=1)]}, {"arn-1": [job]})
    policy = replace(POLICY, standalone_tasks=StandaloneTasks.IGNORE)

    assert done(world.passes(8, replace(GUARD, policy=policy)))[-1]


def test_what_is_left_in_a_cluster_searched_first_is_not_taken_for_the_instance() -> None:
    # Settled on its registration in "two", it was sought in "main" first by the next pass: what was
    # left over there had no task, and CloudFormation was told SUCCESS while three ran.
    left_over = registration("arn-1", agent_connected=False)
    world = World({"main": [left_over], "two": [registration("arn-2", running_tasks=3)]})
    world.running["arn-2"] = [task(number, "RUNNING") for number in range(3)]
    guard = replace(GUARD, cluster=None, configured=("main", "two"))

    assert not any(done(world.passes(30, guard)))


def test_what_boots_after_it_was_in_no_cluster_is_drained_where_it_registers() -> None:
    # A minute after two searches had found nothing it served in another cluster than the named one.
    world = World({"payments": [], "search": []})
    fleet = TargetDrain(world, world, Config("arn:aws:sns:us-east-1:123456789012:drainer"))
    progress = RequestProgress(REQUEST)
    for hop in range(12):
        if hop == 5:
            world.where["search"].append(registration("arn-1", running_tasks=1))
            world.running["arn-1"] = [task(1, "RUNNING")]
        now = START + timedelta(seconds=PASS_SECONDS * hop)
        muster = fleet.drain(progress, GUARD, hop, InvocationClock(now, lambda: 100.0))
        progress = muster.progress
        assert hop < 5 or muster.done == 0

    assert world.status("arn-1") == "DRAINING"


@pytest.mark.parametrize("position", [0, 700, 1_499])
def test_more_than_a_pass_sees_are_all_looked_at_before_they_are_let_go(position: int) -> None:
    # One of 1,500 registered after it had been found in no cluster: only the first thousand
    # were looked at again, and CloudFormation was told SUCCESS while it served.
    ids = [f"i-{number:017x}" for number in range(1_500)]
    world = World({"payments": []}, members=ids)
    fleet = TargetDrain(world, world, Config("arn:aws:sns:us-east-1:123456789012:drainer"))
    progress, hop, muster = RequestProgress(REQUEST), 0, None
    while muster is None or muster.done < 1_500:
        now = START + timedelta(seconds=PASS_SECONDS * hop)
        muster = fleet.drain(progress, GUARD, hop, InvocationClock(now, lambda: 100.0))
        progress, hop = muster.progress, hop + 1
        assert hop < 20
    serving = registration("arn-1", ec2_instance_id=ids[position], running_tasks=1)
    world.where["payments"].append(serving)

    now = START + timedelta(seconds=PASS_SECONDS * hop)

    assert fleet.drain(progress, GUARD, hop, InvocationClock(now, lambda: 100.0)).done < 1_500


def test_an_instance_that_no_cluster_has_may_go_after_two_searches() -> None:
    world = World({"payments": [], "search": []})

    assert done(world.passes(4)) == [False, False, True, True]


def test_an_instance_in_another_cluster_is_drained_there_and_remembered() -> None:
    world = World(
        {"payments": [], "search": [registration("arn-1")]}, {"arn-1": [task(1, "STOPPED")]}
    )

    musters = world.passes(8)

    assert musters[-1].progress.notes[ID].cluster == "search"
    assert done(musters)[-1]
    assert world.status("arn-1") == "DRAINING"
