"""What was drained and stays is brought back, and nothing else is touched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain import mark as marks
from drainer.drain.model import ContainerInstance, Hint, Mark, Task
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle.reactivation import CLUSTERS_MAX, Reactivation, Returned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.errors import DrainerError

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENDED_AT = NOW - timedelta(seconds=120)
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer"
ID = "i-0123456789abcdef0"
ATTRIBUTE = marks.PREFIX + marks.checksum("drainer")


def instance(arn: str = "arn-1", **changes: Any) -> ContainerInstance:
    """A container instance on which a drain of ours has ended two minutes ago."""
    drained = ContainerInstance(
        arn, ID, "DRAINING", agent_connected=True, running_tasks=0, pending_tasks=0,
        ended={ATTRIBUTE: ENDED_AT},
    )  # fmt: skip
    return replace(drained, **changes)


@dataclass
class World:
    """Auto Scaling and ECS in one; each call is noted, and fails as it is told to."""

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=lambda: {ID: "InService"})
    fails: dict[str, DrainerError] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    seconds_left: float = 100.0
    call_seconds: float = 0.0
    active: list[str] = field(default_factory=list)
    deregistered: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.seconds_left -= self.call_seconds
        if name in self.fails:
            raise self.fails[name]

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self._call("states")
        return {one: ("g", self.states[one]) for one in ec2_instance_ids if one in self.states}

    def clusters(self) -> list[str]:
        self._call("clusters")
        return list(self.where)

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        self._call("find")
        return [one.arn for one in self.where[cluster] if one.ec2_instance_id in ec2_instance_ids]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self._call("describe")
        return [one for one in self.where[cluster] if one.arn in arns]

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        raise AssertionError("tasks are not looked at")

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        raise AssertionError("tasks are not looked at")

    def draining(self, cluster: str) -> list[str]:
        self.looked_at.append(cluster)
        self._call(f"draining {cluster}")
        return [one.arn for one in self.where[cluster] if one.status == "DRAINING"]

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self._call("set active")
        done = [one for one in arns if one not in self.refusals]
        self.active += done
        self.where[cluster] = [
            replace(one, status="ACTIVE") if one.arn in done else one for one in self.where[cluster]
        ]
        return {one: self.refusals[one] for one in arns if one in self.refusals}

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        self._call("put")
        assert 0 < len(values) <= 10
        self.attributes += values
        written = {arn for arn, _, _ in values}
        self.where[cluster] = [
            replace(one, ended={}, marks={}) if one.arn in written else one
            for one in self.where[cluster]
        ]

    def deregister(self, cluster: str, arn: str) -> None:
        self._call("deregister")
        self.deregistered.append(arn)

    def left(self) -> float:
        return self.seconds_left

    def written(self) -> dict[tuple[str, str], str]:
        """What the attributes hold at last, by container instance and name."""
        return {(arn, name): value for arn, name, value in self.attributes}

    def run(
        self,
        *hints: Hint,
        sweep: bool = True,
        clusters: tuple[str, ...] = ("payments",),
        now: datetime = NOW,
    ) -> list[Returned]:
        one = Reactivation(self, self, Config(TOPIC_ARN, clusters))
        return one.run(hints, sweep=sweep, time=InvocationClock(now, self.left))


def test_what_was_drained_and_is_in_service_again_serves_again() -> None:
    # An instance that returns from a warm pool, or has its new volume, gets no tasks otherwise.
    world = World({"payments": [instance()]})

    assert world.run() == [Returned(ID, "payments", "arn-1", done="active")]
    assert world.active == ["arn-1"]


def test_what_was_brought_back_is_not_brought_back_again() -> None:
    # Somebody who sets it DRAINING by hand a week later would find it ACTIVE in five minutes.
    world = World({"payments": [instance()]})
    world.run()
    world.where["payments"] = [replace(world.where["payments"][0], status="DRAINING")]

    assert world.run() == []
    assert world.active == ["arn-1"]
    assert world.written() == {("arn-1", ATTRIBUTE): marks.VOID}


# What is about to be ACTIVE is tried again; what is ACTIVE is not, whoever sets it DRAINING later.
def test_what_is_about_to_be_active_is_tried_again_until_it_is() -> None:
    there = instance(ended={}, returned={ATTRIBUTE: NOW - timedelta(hours=3)})
    world = World({"payments": [there]}, fails={"set active": MisconfiguredError("AccessDenied")})

    assert [one.done for one in world.run()] == [""]
    assert world.attributes == []

    world.fails.clear()
    assert [one.done for one in world.run()] == ["active"]
    assert world.written() == {("arn-1", ATTRIBUTE): marks.VOID}


def test_what_spot_takes_or_may_take_is_left_to_those_who_know_when_it_is_back() -> None:
    there = instance(interrupted="recommend/0")
    world = World({"payments": [there]})

    assert world.run() == []
    assert world.active == []


# With the chain lost, nobody else comes: the next action of the instance, freed by hand, would have
# this one's deadline.
@pytest.mark.parametrize(
    ("state", "written_off"),
    [
        ("Terminating:Retained", True),
        ("Warmed:Pending:Retained", True),
        ("Terminating:Wait", False),
        ("InService", False),
        ("", False),
    ],
)
def test_the_sweep_writes_off_the_mark_of_what_is_retained(state: str, written_off: bool) -> None:
    hook = marks.checksum("drainer")
    there = instance(ended={}, marks={hook: mark(15)})
    world = World({"payments": [there]}, states={ID: state} if state else {})

    assert world.run() == []

    expected = {("arn-1", marks.name_of(hook)): marks.ended(NOW)}
    assert world.written() == (expected if written_off else {})
    assert world.active == []


def test_a_mark_that_could_not_be_taken_off_does_not_undo_what_others_do_later() -> None:
    # One throttle right after the instance was set ACTIVE: it keeps the mark, and the next one who
    # sets it DRAINING, by hand or for Spot, would find it ACTIVE again.
    world = World({"payments": [instance()]}, fails={"put": UnavailableError("Rate exceeded")})
    world.run()
    world.fails.clear()
    world.run(now=NOW + timedelta(minutes=5))  # the next sweep may still tidy up
    world.where["payments"] = [replace(world.where["payments"][0], status="DRAINING")]
    world.active.clear()

    world.run(now=NOW + timedelta(days=7))

    assert world.active == []


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(instance(ended={}), id="no drain of ours has ended"),
        pytest.param(instance(status="ACTIVE"), id="it is ACTIVE"),
        pytest.param(instance(status="DEREGISTERING"), id="it goes"),
        pytest.param(instance(drained_for="0badcafe"), id="a stack drains it"),
    ],
)
def test_what_is_not_ours_to_bring_back_stays_as_it_is(there: ContainerInstance) -> None:
    # Who has set it DRAINING wants its tasks to leave: ACTIVE again, ECS places others on it.
    world = World({"payments": [there]})

    world.run()
    world.run(Hint(ID, "payments", "arn-1", ended=True), sweep=False)

    assert (world.active, world.deregistered, world.attributes) == ([], [], [])


@pytest.mark.parametrize(
    "state",
    [
        "Terminating",
        "Terminating:Wait",
        "Terminating:Proceed",
        "Terminating:Retained",
        "ReplacingRootVolume:Wait",
        "Warmed:Pending",
        "Warmed:Running",
        "Warmed:Stopped",
        "Pending",
        "Pending:Wait",
        "Standby",
        "Quarantined",
        "",
    ],
)
def test_only_what_is_in_service_is_brought_back(state: str) -> None:
    # In the warm pool or on its way out, it would be given tasks that are cut again.
    world = World({"payments": [instance()]}, {ID: state} if state else {})

    assert world.run() == []
    assert world.active == []


@pytest.mark.parametrize(("seconds", "brought_back"), [(0, False), (119, False), (120, True)])
def test_in_service_right_after_the_answer_is_a_stale_word(
    seconds: int, brought_back: bool
) -> None:
    # Right after an answer Auto Scaling may still say what was before: ACTIVE, the instance that
    # is about to be terminated would get tasks in its last seconds.
    world = World({"payments": [instance(ended={ATTRIBUTE: NOW - timedelta(seconds=seconds)})]})

    world.run()

    assert bool(world.active) is brought_back


def mark(seconds_ago: float) -> Mark:
    """The mark of a chain that has published, and given its heartbeat, so long ago."""
    then = NOW - timedelta(seconds=seconds_ago)
    return Mark("0badcafe", 7, then, NOW, NOW + timedelta(hours=1), then, NOW)


@pytest.mark.parametrize(("seconds_ago", "brought_back"), [(15, False), (299, False), (300, True)])
def test_a_drain_under_way_is_not_undone_but_one_that_was_lost_is(
    seconds_ago: int, brought_back: bool
) -> None:
    # Of two hooks one has ended and the other drains: ACTIVE, ECS would place tasks again. What was
    # answered by nobody of ours, and is in service again, would stay DRAINING for ever.
    other = marks.checksum("other")
    there = instance(ended={ATTRIBUTE: NOW - timedelta(hours=1)}, marks={other: mark(seconds_ago)})
    world = World({"payments": [there]})

    world.run()

    assert bool(world.active) is brought_back
    assert len(world.written()) == (2 if brought_back else 0)


def test_the_latest_of_several_ends_counts() -> None:
    # The end of long ago is of the time before it was last in service.
    other = marks.PREFIX + marks.checksum("other")
    there = instance(ended={ATTRIBUTE: NOW - timedelta(days=1), other: NOW - timedelta(seconds=9)})
    world = World({"payments": [there]})

    assert world.run() == []


@pytest.mark.parametrize("name", ["draining payments", "describe", "states", "set active"])
@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("x")])
def test_a_read_that_fails_brings_nothing_back_and_is_said(name: str, error: DrainerError) -> None:
    world = World({"payments": [instance()]}, fails={name: error})

    [said] = world.run()

    assert (said.done, bool(said.trouble)) == ("", True)
    assert (world.active, world.deregistered) == ([], [])


def test_one_cluster_that_cannot_be_read_spoils_no_other() -> None:
    world = World(
        {"payments": [instance()], "search": [instance("arn-2")]},
        fails={"draining payments": MisconfiguredError("AccessDenied")},
    )

    world.run(clusters=("payments", "search"))

    assert world.active == ["arn-2"]


def test_clusters_that_cannot_be_listed_do_not_cost_a_hint_its_look() -> None:
    world = World({"payments": [instance()]}, fails={"clusters": UnavailableError("x")})

    said = world.run(Hint(ID, "payments", "arn-1", ended=True), clusters=())

    assert world.active == ["arn-1"]
    assert any(one.trouble for one in said)


def test_a_refused_one_is_said_and_is_tried_again_by_the_next_sweep() -> None:
    there = [instance(), instance("arn-2")]
    world = World({"payments": there}, refusals={"arn-1": "MISSING"})

    said = {one.container_instance_arn: one for one in world.run()}

    assert (said["arn-1"].done, said["arn-2"].done) == ("", "active")
    assert "MISSING" in said["arn-1"].trouble
    # The refused one stays marked as about to be ACTIVE, and the other no longer is.
    assert world.written() == {
        ("arn-1", ATTRIBUTE): marks.returned(NOW),
        ("arn-2", ATTRIBUTE): marks.VOID,
    }


def test_two_hooks_have_left_two_marks_and_both_are_written_over() -> None:
    other = marks.PREFIX + marks.checksum("other")
    world = World({"payments": [instance(ended={ATTRIBUTE: ENDED_AT, other: ENDED_AT})]})

    world.run()

    assert {name for _, name, _ in world.attributes} == {ATTRIBUTE, other}


def test_a_crowd_is_brought_back_ten_at_a_time() -> None:
    # UpdateContainerInstancesState takes ten.
    world = World({"payments": [instance(f"arn-{n:02}") for n in range(25)]})

    world.run()

    assert len(world.active) == 25
    assert list(world.written().values()) == [marks.VOID] * 25


# -- left-over registrations

LEFT_OVER = instance("arn-old", agent_connected=False)
NEW = instance("arn-new", status="ACTIVE", ended={})


def test_what_is_left_of_the_earlier_registration_is_deregistered() -> None:
    # With its new root volume the agent registers anew; the old one stays listed for ever, and the
    # next drain has to wait for it.
    world = World({"payments": [LEFT_OVER, NEW]})

    assert world.run() == [Returned(ID, "payments", "arn-old", done="deregistered")]
    assert world.deregistered == ["arn-old"]
    assert world.active == []


@pytest.mark.parametrize(
    "there",
    [
        pytest.param([LEFT_OVER], id="the agent has not registered anew"),
        pytest.param([LEFT_OVER, replace(NEW, agent_connected=False)], id="nor is it connected"),
        pytest.param([LEFT_OVER, replace(NEW, ec2_instance_id="i-1")], id="another instance's"),
        pytest.param([replace(LEFT_OVER, running_tasks=1), NEW], id="a task runs on it"),
        pytest.param([replace(LEFT_OVER, pending_tasks=1), NEW], id="a task is to run on it"),
        pytest.param([replace(LEFT_OVER, ended={}), NEW], id="no drain of ours has ended"),
    ],
)
def test_a_registration_that_may_be_the_true_one_is_not_deregistered(
    there: list[ContainerInstance],
) -> None:
    # A deregistered container instance does not come back by itself; its tasks are lost to ECS.
    world = World({"payments": there})

    world.run()

    assert (world.deregistered, world.active) == ([], [])


def test_a_deregistration_that_fails_is_said_and_spoils_no_other() -> None:
    other = replace(instance("arn-2"), ec2_instance_id="i-2")
    world = World(
        {"payments": [LEFT_OVER, NEW, other]},
        {ID: "InService", "i-2": "InService"},
        fails={"deregister": MisconfiguredError("tasks")},
    )

    said = {one.container_instance_arn: one for one in world.run()}

    assert "deregistering" in said["arn-old"].trouble
    assert said["arn-2"].done == "active"


# -- where is looked, and when


def test_a_hint_is_looked_at_where_it_says_and_nothing_else_is_listed() -> None:
    world = World({"payments": [instance(), instance("arn-2")]})

    world.run(Hint(ID, "payments", "arn-1", ended=True), sweep=False)

    assert world.active == ["arn-1"]
    assert world.looked_at == []


def test_a_hint_without_an_ended_mark_costs_nothing() -> None:
    world = World({"payments": [instance()]})

    assert world.run(Hint(ID, "payments", "arn-1"), sweep=False) == []
    assert world.active == []


def test_a_sweep_looks_through_some_clusters_and_the_next_through_others() -> None:
    # Each takes a read and more, which drains need; but none must be left out each time.
    names = [f"cluster-{number:03}" for number in range(100)]
    looked_at: set[str] = set()
    for number in range(40):
        world = World({name: [] for name in names})
        world.run(clusters=(), now=NOW + timedelta(minutes=5 * number))
        assert len(world.looked_at) == CLUSTERS_MAX
        looked_at |= set(world.looked_at)

    assert looked_at == set(names)


def test_nothing_is_begun_without_the_time_for_it() -> None:
    world = World({"payments": [instance()]}, seconds_left=11)

    assert world.run() == []
    assert world.looked_at == []


def test_time_that_runs_out_on_the_way_ends_it_before_a_unit_is_cut_in_half() -> None:
    # Set ACTIVE, and killed before the mark is written over.
    world = World(
        {"payments": [instance(f"arn-{n:02}") for n in range(40)]}, call_seconds=2, seconds_left=18
    )

    world.run()

    assert len(world.active) == len(world.written())
    assert 0 < len(world.active) < 40
