"""Passes over the instances that a custom resource guards: what is done, and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.custom_resource.progress import MEMBERS_MAX, Member, RequestProgress
from drainer.custom_resource.properties import DrainTarget, Status, TargetKind
from drainer.custom_resource.request import Request, RequestType
from drainer.custom_resource.target_drain import SETTLED, TargetDrain
from drainer.drain.attributes import DRAINED_FOR, checksum
from drainer.drain.model import (
    ContainerInstance,
    LifecycleActionResult,
    Owner,
    Policy,
    StandaloneTasks,
    Task,
)
from drainer.drain.record import silent_after
from drainer.errors import ClusterMissingError, DrainerError, UnavailableError
from drainer.invocation import InvocationClock
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from drainer.custom_resource.stack import Stack
    from drainer.custom_resource.target_status import TargetStatus

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "i-0123456789abcdef0"
POLICY = Policy("payments", 3000, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 0)
TARGET = DrainTarget("payments", TargetKind.AUTO_SCALING_GROUP, "g", POLICY, Status.FAILED)
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
FLEET = replace(TARGET, kind=TargetKind.SPOT_FLEET, name="sfr-1")
STACK = checksum(REQUEST.stack_id)
PASS_SECONDS = 15


@dataclass
class World:
    """The target and its clusters; a task is where its container instance is."""

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    running: dict[str, list[Task]] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)
    stopped: list[str] = field(default_factory=list)
    members: list[str] | None = field(default_factory=lambda: [ID])
    seconds_left: float = 100.0
    seconds_to_see: float = 0.0
    fails: dict[str, DrainerError] = field(default_factory=dict)
    searches: list[tuple[str, int]] = field(default_factory=list)  # where, and for how many
    listed: list[str] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)  # what the next listing of its cluster lacks

    def left(self) -> float:
        return self.seconds_left

    # The target

    def stack(self, stack_id: str) -> Stack:
        raise AssertionError("a drain asks nothing about the stack")

    def group(self, target: DrainTarget) -> str:
        return target.name

    def groups(self, capacity_providers: Sequence[str]) -> dict[str, str]:
        return {}

    def made_by(self, auto_scaling_group_name: str) -> str:
        return ""

    def cluster_exists(self, cluster: str) -> bool:
        return cluster in self.where

    def instances(self, target: DrainTarget) -> list[str] | None:
        self.seconds_left -= self.seconds_to_see
        if "instances" in self.fails:
            raise self.fails["instances"]
        return self.members

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        raise AssertionError("nothing is set ACTIVE while it is drained")

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        raise AssertionError("no note is taken off while it is drained")

    # ECS

    def clusters(self) -> list[str]:
        return list(self.where)

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        self.searches.append((cluster, len(ec2_instance_ids)))
        if cluster not in self.where:
            raise ClusterMissingError(cluster)
        if cluster in self.fails:
            raise self.fails[cluster]
        there = [one for one in self.where[cluster] if one.ec2_instance_id in ec2_instance_ids]
        lacking = self.unlisted & {one.arn for one in there}
        self.unlisted -= lacking
        return [one.arn for one in there if one.arn not in lacking]

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
        self.listed.append(container_instance_arn)
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

    def drains(self) -> TargetDrain:
        return TargetDrain(self, self, PASS_SECONDS)

    def once(
        self,
        history: Mapping[str, Member],
        seconds: float = 30,
        target: DrainTarget = TARGET,
        hop: int = 2,
    ) -> TargetStatus:
        """Make one pass, after others that have left these notes."""
        now = START + timedelta(seconds=seconds)
        at = now - timedelta(seconds=PASS_SECONDS)
        before = RequestProgress(REQUEST, history, looks=2, looked_at=at, grown_at=START)
        return self.drains().drain(before, target, hop, InvocationClock(now, self.left))

    def passes(self, count: int, target: DrainTarget = TARGET) -> list[TargetStatus]:
        """Make the first passes of a request."""
        return self.goes_on(RequestProgress(REQUEST), range(count), target)

    def goes_on(
        self,
        progress: RequestProgress,
        hops: Iterable[int],
        target: DrainTarget = TARGET,
        since: datetime = START,
    ) -> list[TargetStatus]:
        """Make passes after those that have left this progress."""
        fleet, target_statuses = self.drains(), []
        for hop in hops:
            now = since + timedelta(seconds=PASS_SECONDS * hop)
            target_status = fleet.drain(progress, target, hop, InvocationClock(now, lambda: 100.0))
            progress = target_status.progress
            target_statuses.append(target_status)
        return target_statuses


def registration(arn: str, **changes: Any) -> ContainerInstance:
    return container_instance(arn, ID, **{"status": "ACTIVE", **changes})


def task(number: int = 1, last: str = "DEACTIVATING", owner: Owner = Owner.SERVICE) -> Task:
    wanted = "RUNNING" if last == "RUNNING" else "STOPPED"
    return Task(f"{number:032x}", owner, "service:web", wanted, last)


def done(target_statuses: list[TargetStatus]) -> list[bool]:
    return [target_status.done == target_status.total for target_status in target_statuses]


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
    fleet = world.drains()

    target_status = fleet.drain(
        RequestProgress(REQUEST), TARGET, 0, InvocationClock(START, world.left)
    )

    assert world.status("arn-1") == "DRAINING"
    assert target_status.progress.history[ID].draining_since == START + timedelta(seconds=18)


# The same for the first of the two listings, which the second must follow by 20 s.
def test_a_listing_is_dated_by_when_it_was_made() -> None:
    world = World({"payments": [registration("arn-1")]})
    [*_, before] = world.passes(2)
    world.seconds_left, world.seconds_to_see = 100.0, 9.0
    fleet = world.drains()

    now = START + timedelta(seconds=30)
    target_status = fleet.drain(before.progress, TARGET, 2, InvocationClock(now, world.left))

    assert target_status.progress.history[ID].listed_at == now + timedelta(seconds=18)


def test_no_instance_may_go_while_a_task_of_it_closes() -> None:
    # CloudFormation takes the fleet down at SUCCESS, with whatever runs on it.
    world = World({"payments": [registration("arn-1")]}, {"arn-1": [task()]})

    assert not any(done(world.passes(10)))


@pytest.mark.parametrize("count", [3, 4, 9])
def test_tasks_beyond_those_that_a_note_holds_keep_their_instance(count: int) -> None:
    # A note has two of them: with those STOPPED, the others must not be forgotten.
    there = [task(number) for number in range(count)]
    world = World({"payments": [registration("arn-1")]}, {"arn-1": there})
    guarded = world.drains()
    progress = RequestProgress(REQUEST)
    for hop in range(40):
        now = START + timedelta(seconds=PASS_SECONDS * hop)
        target_status = guarded.drain(progress, TARGET, hop, InvocationClock(now, lambda: 100.0))
        progress = target_status.progress
        alive = [one for one in world.running["arn-1"] if one.last_status != "STOPPED"]
        assert not (target_status.done and alive)
        if hop and hop % 3 == 0 and alive:
            index = world.running["arn-1"].index(alive[0])
            world.running["arn-1"][index] = replace(alive[0], last_status="STOPPED")

    assert target_status.done == 1


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

    target_statuses = world.passes(30)

    assert world.status("arn-2") == "DRAINING"
    assert not any(done(target_statuses))


@pytest.mark.parametrize("elsewhere", ["payments", "search"])
def test_with_no_agent_connected_it_may_go_once_all_registrations_are_clear(elsewhere: str) -> None:
    # What is asked about in another cluster than its own is MISSING: CloudFormation is told FAILED.
    world = World({"payments": [registration("arn-1", agent_connected=False)], "search": []})
    world.where[elsewhere].append(registration("arn-2", agent_connected=False))
    world.running["arn-2"] = [task(1, "STOPPED")]

    assert done(world.passes(30))[-1]


@pytest.mark.parametrize("elsewhere", ["payments", "search"])
def test_every_registration_that_is_set_draining_is_noted_for_its_stack(elsewhere: str) -> None:
    # What is DRAINING without the note stays so after a rollback, and gets no task permanently.
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

    world.passes(6, replace(TARGET, policy=policy))

    assert job.id in world.stopped


def test_an_ignored_standalone_task_does_not_keep_the_fleet() -> None:
    job = task(1, "RUNNING", Owner.STANDALONE)
    world = World({"payments": [registration("arn-1", running_tasks=1)]}, {"arn-1": [job]})
    policy = replace(POLICY, standalone_tasks=StandaloneTasks.IGNORE)

    assert done(world.passes(8, replace(TARGET, policy=policy)))[-1]


def test_what_is_left_in_a_cluster_searched_first_is_not_taken_for_the_instance() -> None:
    # Settled on its registration in "two", it was sought in "main" first by the next pass: what was
    # left over there had no task, and CloudFormation was told SUCCESS while three ran.
    left_over = registration("arn-1", agent_connected=False)
    world = World({"main": [left_over], "two": [registration("arn-2", running_tasks=3)]})
    world.running["arn-2"] = [task(number, "RUNNING") for number in range(3)]
    target = replace(TARGET, cluster=None, configured=("main", "two"))

    assert not any(done(world.passes(30, target)))


def test_what_boots_after_it_was_in_no_cluster_is_drained_where_it_registers() -> None:
    # A minute after two searches had found nothing it served in another cluster than the named one.
    world = World({"payments": [], "search": []})
    fleet = world.drains()
    progress = RequestProgress(REQUEST)
    for hop in range(12):
        if hop == 5:
            world.where["search"].append(registration("arn-1", running_tasks=1))
            world.running["arn-1"] = [task(1, "RUNNING")]
        now = START + timedelta(seconds=PASS_SECONDS * hop)
        target_status = fleet.drain(progress, TARGET, hop, InvocationClock(now, lambda: 100.0))
        progress = target_status.progress
        assert hop < 5 or target_status.done == 0

    assert world.status("arn-1") == "DRAINING"


@pytest.mark.parametrize("position", [0, 700, 1_499])
def test_more_than_a_pass_sees_are_all_looked_at_before_they_are_let_go(position: int) -> None:
    # One of 1,500 registered after it had been found in no cluster: only the first thousand
    # were looked at again, and CloudFormation was told SUCCESS while it served.
    ids = [f"i-{number:017x}" for number in range(1_500)]
    world = World({"payments": []}, members=ids)
    fleet = world.drains()
    progress, hop, target_status = RequestProgress(REQUEST), 0, None
    while target_status is None or target_status.done < 1_500:
        now = START + timedelta(seconds=PASS_SECONDS * hop)
        target_status = fleet.drain(progress, TARGET, hop, InvocationClock(now, lambda: 100.0))
        progress, hop = target_status.progress, hop + 1
        assert hop < 20
    serving = registration("arn-1", ec2_instance_id=ids[position], running_tasks=1)
    world.where["payments"].append(serving)

    now = START + timedelta(seconds=PASS_SECONDS * hop)

    assert fleet.drain(progress, TARGET, hop, InvocationClock(now, lambda: 100.0)).done < 1_500


def test_an_instance_that_no_cluster_has_may_go_after_two_searches() -> None:
    world = World({"payments": [], "search": []})

    assert done(world.passes(4)) == [False, False, True, True]


LONE = registration("arn-old", agent_connected=False)
NOW = START + timedelta(minutes=25)
SILENT = silent_after(PASS_SECONDS)


@pytest.mark.parametrize(
    ("before", "ending", "count", "cluster"),
    [
        pytest.param([], [], 1, "search", id="searched for once, and in no cluster"),
        pytest.param([], [], 3, "search", id="in no cluster, and might leave"),
        pytest.param([LONE], [task(1)], 6, "search", id="no agent was connected"),
        pytest.param([registration("arn-old")], [], 5, "payments", id="drained, and might leave"),
    ],
)
def test_what_was_searched_before_a_long_silence_is_searched_again(
    before: list[ContainerInstance], ending: list[Task], count: int, cluster: str
) -> None:
    # The record could not be written for 25 minutes, in which the agent registered again. One
    # listing lacked that, and CloudFormation was told SUCCESS while a task ran.
    world = World({"payments": before, "search": []}, {"arn-old": ending})
    progress = world.passes(count, FLEET)[-1].progress
    world.where["payments"] = [
        replace(one, agent_connected=False) for one in world.where["payments"]
    ]
    world.where[cluster].append(registration("arn-new", running_tasks=1))
    world.running = {
        "arn-old": [replace(one, last_status="STOPPED") for one in ending],
        "arn-new": [task(2, "RUNNING")],
    }
    world.unlisted.add("arn-new")

    later = world.goes_on(progress, range(count, count + 4), FLEET, NOW)

    assert world.unlisted == set()
    assert not any(one.complete for one in later)
    assert world.status("arn-new") == "DRAINING"


@pytest.mark.parametrize(
    ("before", "count"),
    [
        pytest.param([], 1, id="in no cluster"),
        pytest.param([], 3, id="in no cluster, and might leave"),
        pytest.param([LONE], 4, id="no agent"),
    ],
)
def test_what_was_searched_before_ecs_stopped_answering_is_searched_again(
    before: list[ContainerInstance], count: int
) -> None:
    # For ten minutes each pass failed. The agent registered, and one listing lacked that.
    world = World({"payments": before, "search": []})
    progress = world.passes(count)[-1].progress
    world.fails = {"search": UnavailableError("Rate exceeded")}
    failed = world.goes_on(progress, range(4, 44), FLEET)
    world.fails = {}
    world.where["search"].append(registration("arn-new", running_tasks=1))
    world.running["arn-new"] = [task(2, "RUNNING")]
    world.unlisted.add("arn-new")
    later = world.goes_on(failed[-1].progress, range(44, 48), FLEET)

    assert world.unlisted == set()
    assert not any(one.complete for one in (*failed, *later))
    assert world.status("arn-new") == "DRAINING"


@pytest.mark.parametrize("others", [0, 101])
def test_what_was_drained_and_has_lost_its_agent_is_searched_for_again(others: int) -> None:
    # Drained, it waited for the other instances. Its agent registered again, and the last look's
    # listing lacked that: CloudFormation was told SUCCESS while a task ran.
    ids = [ID, *(f"i-{number:017x}" for number in range(others))]
    rest = [container_instance(f"arn-{one}", one, "ACTIVE") for one in ids[1:]]
    world = World({"payments": [registration("arn-old"), *rest]}, members=ids)
    progress = world.passes(8)[-1].progress
    assert progress.history[ID].done
    there = [one for one in world.where["payments"] if one.ec2_instance_id != ID]
    old = registration("arn-old", status="DRAINING", agent_connected=False)
    world.where["payments"] = [old, registration("arn-new", running_tasks=1), *there]
    world.running["arn-new"] = [task(2, "RUNNING")]
    world.unlisted.add("arn-new")

    later = world.goes_on(progress, range(8, 13))

    assert world.unlisted == set()
    assert not any(one.complete for one in later)
    assert world.status("arn-new") == "DRAINING"


def test_what_was_drained_and_whose_agent_is_gone_may_leave_after_two_searches() -> None:
    # Its host has crashed: nothing of it will be connected again before the fleet is deleted.
    world = World({"payments": [registration("arn-1")]}, {"arn-1": [task(1, "STOPPED")]})
    progress = world.passes(4)[-1].progress
    world.where["payments"] = [registration("arn-1", status="DRAINING", agent_connected=False)]

    later = world.goes_on(progress, range(4, 9))

    assert [one.complete for one in later] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("looked_at", "counts"),
    [
        pytest.param(NOW - SILENT + timedelta(seconds=1), True, id="lately"),
        pytest.param(NOW - SILENT, False, id="long ago"),
        # As where the release before this one wrote, which did not say when it looked.
        pytest.param(None, False, id="not known"),
    ],
)
@pytest.mark.parametrize("done", [False, True])
def test_only_what_was_searched_lately_counts(
    looked_at: datetime | None, *, counts: bool, done: bool
) -> None:
    # Its agent may have registered since, and one answer may lack that: its tasks would be cut.
    world = World({"payments": []})
    progress = RequestProgress(
        REQUEST, {ID: Member(absent_since=START, done=done)}, looks=2, looked_at=looked_at
    )

    seen = world.drains().drain(progress, TARGET, 3, InvocationClock(NOW, world.left))

    assert seen.complete is counts
    assert seen.progress.looked_at == NOW


@pytest.mark.parametrize(
    ("registrations", "finished"),
    [
        pytest.param([registration("arn-1")], [True, True, True], id="its agent is connected"),
        pytest.param([], [False, False, True], id="it has left"),
    ],
)
def test_what_was_drained_before_a_long_silence_may_leave_soon_after(
    registrations: list[ContainerInstance], finished: list[bool]
) -> None:
    # A fleet of a thousand, drained again from the beginning, would miss its deadline.
    world = World({"payments": [registration("arn-1")]})
    progress = world.passes(5)[-1].progress
    world.where["payments"] = [replace(one, status="DRAINING") for one in registrations]

    later = world.goes_on(progress, range(3), since=NOW)

    assert [one.complete for one in later] == finished


def test_an_instance_in_another_cluster_is_drained_there_and_remembered() -> None:
    world = World(
        {"payments": [], "search": [registration("arn-1")]}, {"arn-1": [task(1, "STOPPED")]}
    )

    target_statuses = world.passes(8)

    assert target_statuses[-1].progress.history[ID].cluster == "search"
    assert done(target_statuses)[-1]
    assert world.status("arn-1") == "DRAINING"


# -- what a pass makes of notes

DRAINED = Member(draining_since=START, listed_at=START, closed=True, settled=True, done=True)
ABSENT = Member(absent_since=START, done=True)
DRAINING = Member(draining_since=START, settled=True)
DEADLINE = POLICY.drain_timeout_seconds


def ids(count: int) -> list[str]:
    return [f"i-{number:017x}" for number in range(count)]


def test_a_target_that_could_not_be_read_leaves_everything_known_as_it_was() -> None:
    # Nothing is no list: all instances would be drained as soon as one answer fails.
    world = World({"payments": []}, fails={"instances": UnavailableError("Rate exceeded")})

    seen = world.once({ID: DRAINED})

    assert seen.progress.history == {ID: DRAINED}
    assert seen.progress.looks == 2
    assert (seen.complete, seen.as_far_as_known) == (False, False)
    assert "Rate exceeded" in seen.unsure


@pytest.mark.parametrize(("members", "gone"), [(None, True), ([], False)])
def test_what_is_missing_from_one_answer_is_drained_all_the_same(
    members: list[str] | None, *, gone: bool
) -> None:
    # What AWS says of a fleet may be out of date: the instance that it forgot serves.
    world = World({"payments": [registration("arn-1")]}, members=members)

    seen = world.once({ID: Member()})

    assert (seen.gone, seen.total, seen.done) == (gone, 1, 0)
    assert world.status("arn-1") == "DRAINING"
    assert seen.progress.history[ID].draining_since == START + timedelta(seconds=30)


def test_what_may_go_and_is_gone_is_neither_counted_nor_remembered() -> None:
    # A fleet whose instances come and go would fill its notes in days.
    seen = World({"payments": []}, members=None).once({ID: DRAINED}, SETTLED.total_seconds())

    assert (seen.total, seen.progress.history, seen.complete) == (0, {}, True)


@pytest.mark.parametrize(
    ("target", "members", "known", "seconds", "settled"),
    [
        pytest.param(FLEET, [ID], True, 119, False, id="a fleet"),
        pytest.param(FLEET, [ID], True, 120, True, id="a fleet, long after"),
        pytest.param(FLEET, [ID], False, 120, False, id="a fleet, an instance more"),
        pytest.param(TARGET, [ID], True, 0, True, id="a group"),
        pytest.param(TARGET, [ID], False, 120, True, id="a group, an instance more"),
        pytest.param(TARGET, None, True, 119, False, id="a group that is gone"),
        pytest.param(TARGET, None, True, 120, True, id="a group that is gone, long after"),
    ],
)
def test_a_listing_that_may_be_late_is_believed_two_minutes_after_its_last_news(
    target: DrainTarget, members: list[str] | None, seconds: float, *, known: bool, settled: bool
) -> None:
    # An instance that the listing does not show yet would be taken down with its tasks.
    world = World({"payments": []}, members=members)

    seen = world.once({ID: Member()} if known else {}, seconds, target)

    assert seen.settled is settled
    assert seen.progress.grown_at == START + timedelta(seconds=0 if known else seconds)
    assert seen.progress.looks == 3


def test_the_first_listing_is_news_though_it_be_empty() -> None:
    one = TargetDrain(World(), World(members=[]), PASS_SECONDS)

    seen = one.drain(RequestProgress(REQUEST), FLEET, 0, InvocationClock(START, lambda: 100.0))

    assert (seen.progress.grown_at, seen.settled) == (START, False)


@pytest.mark.parametrize(("seconds", "acts"), [(DEADLINE - 1, True), (DEADLINE, False)])
def test_from_the_deadline_on_nothing_is_done_and_everything_is_named(
    seconds: float, *, acts: bool
) -> None:
    # Answered FAILED, the stack goes back: what is set DRAINING after that stays so.
    world = World({"payments": [registration("arn-1", running_tasks=1)]})
    world.running["arn-1"] = [task(1, "RUNNING")]

    seen = world.once({ID: Member()}, seconds)

    assert world.status("arn-1") == ("DRAINING" if acts else "ACTIVE")
    assert ("service RUNNING service:web" in seen.remaining()) is not acts
    assert ("service RUNNING service:web" in seen.remaining()) is bool(world.listed)


@pytest.mark.parametrize(
    ("count", "listings"), [(1, 1), (46, 45), (100, 45), (101, 43), (1_000, 27)]
)
def test_a_pass_lists_for_as_many_as_the_account_is_granted(count: int, listings: int) -> None:
    # Whoever else asks ECS in the account would be throttled by a large fleet.
    there = [
        registration(f"arn-{n}", ec2_instance_id=one, status="DRAINING")
        for n, one in enumerate(ids(count))
    ]
    world = World({"payments": there}, members=ids(count))

    seen = world.once(dict.fromkeys(ids(count), DRAINING))

    assert len(set(world.listed)) == listings
    assert sum(one.look.deferred for one in seen.outcomes) == count - listings


@pytest.mark.parametrize(
    ("known", "retry_reason", "looked_at"),
    [
        pytest.param([DRAINED] * 99, 1, 100, id="as many as one call describes"),
        pytest.param([DRAINED] * 100, 1, 1, id="more"),
        pytest.param([ABSENT] * 100, 1, 101, id="what may be booting"),
        pytest.param([DRAINED] * 101, 0, 101, id="once more at the end"),
        pytest.param([DRAINED] * 1_500, 0, 1_500, id="all of it in one pass"),
        pytest.param([], 1_001, 1_000, id="no more than a pass sees"),
    ],
)
def test_what_may_go_is_looked_at_where_that_costs_little_and_at_the_end(
    known: list[Member], retry_reason: int, looked_at: int
) -> None:
    # Each pass over a fleet of a thousand would else ask for a thousand for the one that is left.
    members = ids(len(known) + retry_reason)
    world = World({"payments": []}, members=members)

    seen = world.once(dict(zip(members, known, strict=False)), hop=0)

    assert world.searches[0] == ("payments", looked_at)
    assert bool(seen.unsure) is (looked_at < len(members))
    assert (seen.total, seen.done) == (len(members), len(known))


@pytest.mark.parametrize(("hop", "first"), [(0, 0), (1, 1_000), (2, 500), (3, 0)])
def test_a_target_of_more_than_a_pass_sees_is_looked_at_in_turns(hop: int, first: int) -> None:
    # The last five hundred would never be set DRAINING, and taken down with their tasks.
    members = ids(1_500)

    seen = World({"payments": []}, members=members).once({}, hop=hop)

    expected = [members[(first + number) % 1_500] for number in range(1_000)]
    assert sorted(seen.progress.history) == sorted(expected)


@pytest.mark.parametrize(
    ("member", "changes", "done"),
    [
        pytest.param(DRAINED, {"status": "DRAINING"}, True, id="as it was"),
        pytest.param(DRAINED, {"status": "ACTIVE"}, False, id="ACTIVE again"),
        pytest.param(DRAINED, {"status": "DRAINING", "running_tasks": 1}, False, id="a task"),
        pytest.param(ABSENT, {"status": "DRAINING"}, False, id="it has registered"),
        pytest.param(Member(), {"status": "DRAINING"}, False, id="never done"),
    ],
)
def test_what_might_go_may_go_while_nothing_has_come_to_it(
    member: Member, changes: dict[str, Any], *, done: bool
) -> None:
    # Somebody sets it ACTIVE by hand, and ECS places tasks: they would be cut.
    seen = World({"payments": [registration("arn-1", **changes)]}).once({ID: member})

    assert seen.done == done
    assert len(seen.outcomes) == (not done)


def test_what_might_go_and_was_not_seen_is_no_evidence() -> None:
    # SUCCESS after a throttle would be said of what nobody has looked at.
    world = World({"payments": []}, fails={"payments": UnavailableError("Rate exceeded")})

    seen = world.once({ID: DRAINED}, SETTLED.total_seconds())

    assert (seen.done, seen.unsure, seen.complete) == (1, "Rate exceeded", False)


@pytest.mark.parametrize(
    ("member", "clusters"),
    [
        pytest.param(Member(), ["payments", "payments", "search"], id="never seen"),
        pytest.param(Member(settled=True), ["payments"], id="settled"),
        pytest.param(Member(settled=True, cluster="search"), ["search"], id="settled elsewhere"),
        pytest.param(DRAINED, ["payments"], id="drained"),
        pytest.param(ABSENT, ["payments", "payments", "search"], id="in no cluster before"),
    ],
)
def test_an_instance_is_sought_where_it_was(member: Member, clusters: list[str]) -> None:
    # An account of hundreds of clusters would be searched for each instance in each pass.
    world = World({"payments": [], "search": []})

    world.once({ID: member})

    assert [cluster for cluster, _ in world.searches] == clusters


@pytest.mark.parametrize(
    ("where", "error", "member", "absent"),
    [
        pytest.param("payments", None, DRAINING, True, id="it has left its cluster"),
        pytest.param("search", None, Member(), True, id="its cluster is gone"),
        pytest.param("payments", UnavailableError("x"), DRAINING, False, id="a throttle"),
        pytest.param("payments", UnavailableError("x"), Member(), False, id="a throttle at first"),
    ],
)
def test_what_has_left_may_go_and_what_was_not_seen_may_not(
    where: str, error: DrainerError | None, member: Member, *, absent: bool
) -> None:
    # What has left would be waited for until the deadline; what was throttled serves.
    world = World({where: []}, fails={where: error} if error else {})

    seen = world.once({ID: member})

    assert (seen.progress.history[ID].absent_since is not None) is absent
    assert (seen.progress.history[ID].done, seen.unsure) == (False, "")


def test_a_search_without_time_for_all_clusters_finds_nothing_absent() -> None:
    # It serves in one of the clusters that are left.
    world = World({"payments": [], "search": [], "web": [registration("arn-1")]})
    world.seconds_left, world.seconds_to_see = 14.0, 1.0

    assert world.once({ID: Member()}).progress.history[ID].absent_since is None


def test_what_may_go_is_not_named_as_waited_for() -> None:
    seen = World({"payments": []}).once({ID: Member(absent_since=START)})

    assert (seen.done, seen.total, seen.outcomes) == (1, 1, ())


def test_tasks_are_not_listed_while_ecs_counts_some() -> None:
    # Two reads for each instance in each pass, which say no more than the count does.
    there = registration("arn-1", status="DRAINING", running_tasks=1)
    world = World({"payments": [there]}, {"arn-1": [task(1, "RUNNING")]})

    world.once({ID: DRAINING})

    assert world.listed == []


def test_what_is_waited_for_is_said_in_the_same_order_by_each_pass() -> None:
    # A reason that changes with each pass looks like progress.
    world = World({"payments": []}, members=ids(3))

    orders = [
        [one.look.ec2_instance_id for one in world.once({}, hop=hop).outcomes] for hop in (0, 1, 2)
    ]

    assert orders == [ids(3)] * 3


def test_the_first_of_several_doubts_is_said() -> None:
    first, second = ids(2)
    throttled = {name: UnavailableError(name) for name in ("payments", "search")}
    world = World({"payments": [], "search": []}, members=[first, second], fails={**throttled})

    seen = world.once({first: DRAINED, second: replace(DRAINED, cluster="search")})

    assert seen.unsure == "payments"


def test_however_large_a_target_is_one_instance_is_listed() -> None:
    # None would ever be, and its tasks not be named at the deadline.
    members = ids(2_400)
    there = [
        registration(f"arn-{n}", ec2_instance_id=members[n], status="DRAINING", running_tasks=1)
        for n in range(3)
    ]
    world = World({"payments": there}, members=members)

    world.once(dict.fromkeys(members, DRAINED), DEADLINE)

    assert len(set(world.listed)) == 1


@pytest.mark.parametrize(("count", "whole"), [(1, True), (2, True), (3, False)])
def test_a_set_of_more_tasks_than_a_note_holds_is_not_closed(count: int, *, whole: bool) -> None:
    # Those that were cut off would be forgotten, and their instance let go while they run.
    world = World({"payments": [registration("arn-1", status="DRAINING", running_tasks=count)]})
    world.running["arn-1"] = [task(n, "RUNNING", Owner.STANDALONE) for n in range(count)]
    target = replace(TARGET, policy=replace(POLICY, standalone_tasks=StandaloneTasks.IGNORE))
    known = tuple(one.id for one in world.running["arn-1"])[:2]

    listed = replace(DRAINING, listed_at=START, unfinished=known)
    for before in (DRAINING, listed, replace(listed, closed=True)):
        if before == listed and not whole:
            # The second listing is of what ECS has told to stop.
            world.running["arn-1"][2] = task(2, "DEACTIVATING", Owner.STANDALONE)
        member = world.once({ID: before}, target=target).progress.history[ID]

        assert member.unfinished == known
        assert (member.listed_at is not None) is whole
        assert member.closed is (whole and before != DRAINING)
        assert (member.cluster, member.settled) == ("", True)


def test_with_no_agent_connected_nothing_is_settled_for_the_next_pass() -> None:
    # Its agent may connect to a registration in any cluster by then.
    world = World({"payments": [registration("arn-1", agent_connected=False)]})

    assert not any(seen.progress.history[ID].settled for seen in world.passes(6))


def test_that_standalone_tasks_were_told_to_stop_is_remembered() -> None:
    world = World({"payments": [registration("arn-1", running_tasks=1)]})
    world.running["arn-1"] = [task(1, "RUNNING", Owner.STANDALONE)]
    target = replace(TARGET, policy=replace(POLICY, standalone_tasks=StandaloneTasks.STOP))

    assert [seen.progress.history[ID].stopped for seen in world.passes(5, target)][-1]


def test_notes_that_do_not_fit_are_those_of_what_is_looked_at_again_anyway() -> None:
    # What may go would be drained from the beginning, and the deadline be missed.
    members = ids(MEMBERS_MAX + 100)
    history = {**dict.fromkeys(members, Member()), **dict.fromkeys(members[-100:], DRAINED)}

    seen = World({"payments": []}, members=members).once(history)

    assert len(seen.progress.history) == MEMBERS_MAX
    assert sum(member.done for member in seen.progress.history.values()) == 100


def test_what_went_wrong_and_what_is_misnamed_is_said() -> None:
    world = World({"payments": [], "search": [registration("arn-1")]})

    [said] = world.once({}).errors

    assert "is in cluster search and is drained there" in said
