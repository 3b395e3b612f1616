"""Which targets leave in which wave, which one stays, and what is told to be late."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.errors import UnavailableError
from drainer.invocation import InvocationClock
from drainer.spot.events import (
    Interruption,
    LoadBalancer,
    Placed,
    Target,
    TaskInterruption,
)
from drainer.spot.patience import Patience
from drainer.spot.report import InterruptionReport, Service
from drainer.spot.targets import SpotTargets

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
THROTTLED = UnavailableError("Rate exceeded")


@dataclass
class World:
    """
    ECS and the load balancers: each instance has one task of the service `web`, with its name.

    Attributes:
        tasks: The tasks of an instance that has other ones.
        services_of: The services of tasks that are of others.
        listing: How many seconds it takes to list.
        throttled: How often each call is throttled yet.
    """

    left: float = 30.0
    listing: float = 0.0
    tasks: dict[str, list[str]] = field(default_factory=dict)
    services_of: dict[str, str] = field(default_factory=dict)
    balancers: tuple[str, ...] = ("arn:web",)
    running: int = 0
    well: set[str] = field(default_factory=set)
    delay: int = 0
    stop: int = 0
    throttled: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def record(self, call: str, of: Sequence[str] = ()) -> None:
        self.asked.append(" ".join([call, *of]))
        if self.throttled.get(call):
            self.throttled[call] -= 1
            raise THROTTLED

    def task_ids(self, _: str, arn: str, *, desired_status: str) -> list[str]:
        assert desired_status == "RUNNING"
        self.left -= self.listing
        self.record("list")
        return self.tasks.get(arn, [arn])

    def placed(self, _: str, ids: Sequence[str]) -> list[Placed]:
        self.record("placed", ids)
        return [Placed(one, self.services_of.get(one, "web"), (one,), {}) for one in ids]

    def services(self, _: str, names: Sequence[str]) -> dict[str, Service]:
        self.record("services", names)
        balancers = tuple(LoadBalancer(arn, "web", 80) for arn in self.balancers)
        return {
            name: Service(name, "web:1", balancers, running=self.running)
            for name in names
            if name != "unknown"
        }

    def deregister(self, arn: str, targets: Sequence[Target]) -> None:
        self.record("out", [target.id for target in targets])

    def healthy(self, arn: str) -> set[Target]:
        self.record("healthy")
        return {Target(one, 80) for one in self.well}

    def deregistration_seconds(self, arn: str) -> int:
        self.record("delay", [arn])
        return self.delay

    def stop_seconds(self, _: str) -> int:
        self.record("stop")
        return self.stop

    def serve(self) -> SpotTargets:
        aws: Any = self
        time = InvocationClock(NOW, lambda: self.left)
        patience = Patience(time, self.waits.append)
        return SpotTargets(aws, aws, Config("arn:topic"), patience, NOW)

    def take_out(self, *reports: InterruptionReport) -> list[str]:
        """Take them out, and return what left, in the order of calls."""
        self.serve().take_out(reports)
        return [call.removeprefix("out ") for call in self.asked if call.startswith("out ")]

    def waves(self) -> list[int]:
        """How many instances were listed before each look at what they have."""
        counts = [0]
        for call in self.asked:
            counts[-1] += call == "list"
            if call.startswith("placed"):
                counts.append(0)
        return counts


def gone(name: str, seconds: float = 110.0, running: int = 1) -> InterruptionReport:
    report = InterruptionReport(
        Interruption(name, "terminate", NOW + timedelta(seconds=seconds)), "shop"
    )
    report.places.append(("shop", name, running))
    return report


def hopeless(count: int) -> list[InterruptionReport]:
    """Instances that have no time for another look, so that no health is asked for."""
    return [gone(f"i-{number}", 50) for number in range(count)]


# -- waves


def test_tasks_are_listed_in_waves_of_twenty_five() -> None:
    # All at once: what was found first stayed in while hundreds were listed.
    world = World()
    out = world.take_out(*hopeless(26))

    assert world.waves() == [25, 1, 0]
    assert sorted(name for call in out for name in call.split()) == sorted(
        f"i-{number}" for number in range(26)
    )
    assert world.asked.count("services web") == 1


def test_a_wave_ends_after_five_seconds_where_listings_are_slow() -> None:
    world = World(listing=1.0)
    world.take_out(*hopeless(7))

    assert world.waves() == [5, 2, 0]


def test_a_slow_wave_that_has_found_nothing_goes_on() -> None:
    # Instances without tasks would else use up one look each.
    world = World(listing=3.0, tasks={f"i-{n}": [] for n in range(5)})
    world.take_out(*hopeless(5))

    assert world.waves() == [5, 0]


@pytest.mark.parametrize(("left", "listed"), [(10.0, 1), (9.9, 0)])
def test_no_listing_is_begun_without_the_time_to_act_on_it(left: float, listed: int) -> None:
    world, report = World(left=left), gone("i-1", 50)
    world.take_out(report)

    assert world.asked.count("list") == listed
    assert bool(report.retry_reason) is not bool(listed)


def test_a_throttled_listing_slows_the_listings_after_it() -> None:
    # At full speed hundreds of listings keep the throttle up for the whole account.
    world = World(throttled={"list": 1})
    world.take_out(*hopeless(3))

    assert len(world.waits) == 3


@pytest.mark.parametrize(
    ("listed", "running", "seconds", "again"),
    [
        (["t"], 2, 110, "1 tasks are listed, 2 are running"),
        (["t"], 2, 60.5, "1 tasks are listed, 2 are running"),
        (["t"], 2, 60, ""),
        (["t"], 1, 110, ""),
        (["t", "u"], 1, 110, ""),
    ],
)
def test_a_listing_that_lags_is_looked_at_again_while_there_is_time(
    listed: list[str], running: int, seconds: float, again: str
) -> None:
    # The task that the listing has not seen would be sent requests to the end.
    world, report = World(tasks={"i-1": listed}, well={"other"}), gone("i-1", seconds, running)
    world.take_out(report)

    assert report.retry_reason == again


@pytest.mark.parametrize("call", ["list", "placed", "services"])
def test_what_is_not_read_comes_again(call: str) -> None:
    world, report = World(throttled={call: 99}), gone("i-1", 50)
    world.take_out(report)

    assert report.retry_reason == "The targets were not read: Rate exceeded"


def test_services_that_are_not_read_let_tasks_of_fargate_come_again() -> None:
    task = TaskInterruption("shop", "web", "t", ("10.0.0.1",), NOW + timedelta(seconds=110))
    world, report = World(throttled={"services": 99}), InterruptionReport(task, "shop")
    world.serve().take_tasks_out([(report, task)], "shop")

    assert report.retry_reason == "The targets were not read: Rate exceeded"


def test_a_service_that_is_gone_does_not_keep_the_others_in() -> None:
    world = World(tasks={"i-1": ["a", "b"]}, services_of={"a": "unknown"})
    task = TaskInterruption("shop", "unknown", "t", ("c",), NOW + timedelta(seconds=110))
    other = TaskInterruption("shop", "web", "u", ("d",), NOW + timedelta(seconds=110))

    assert world.take_out(gone("i-1", 50)) == ["b"]
    world.serve().take_tasks_out(
        [(InterruptionReport(one, "shop"), one) for one in (task, other)], "shop"
    )
    assert "out d" in world.asked


def test_instances_without_tasks_cost_no_look_at_services() -> None:
    world = World(tasks={"i-1": []})
    world.take_out(gone("i-1", 50))

    assert not any(call.startswith("services") for call in world.asked)


# -- the last healthy target


@pytest.mark.parametrize(
    ("seconds", "well", "out", "kept"),
    [
        # Requests go to what is healthy; while something else is, all leave.
        ((110, 110), {"i-0", "i-1", "other"}, {"i-0", "i-1"}, None),
        ((110, 110), {"other"}, {"i-0", "i-1"}, None),
        ((110, 110), set(), {"i-0", "i-1"}, None),
        # The one with the most time waits the longest for a replacement.
        ((100, 110), {"i-0", "i-1"}, {"i-0"}, "i-1"),
        ((110, 100), {"i-0", "i-1"}, {"i-1"}, "i-0"),
        # One that is not healthy serves nobody.
        ((110, 100), {"i-1"}, {"i-0"}, "i-1"),
        # A minute before the end the requests under way need the time.
        ((60, 60), {"i-0", "i-1"}, {"i-0", "i-1"}, None),
        ((60, 60.5), {"i-0", "i-1"}, {"i-0"}, "i-1"),
        ((60, 110), {"i-0"}, {"i-0", "i-1"}, None),
    ],
)
def test_the_last_healthy_target_stays_where_it_has_time(
    seconds: tuple[float, float], well: set[str], out: set[str], kept: str | None
) -> None:
    world = World(well=well)
    reports = [gone(f"i-{number}", left) for number, left in enumerate(seconds)]

    assert {one for call in world.take_out(*reports) for one in call.split()} == out
    assert [one.key for one in reports if one.kept] == ([kept] if kept else [])


@pytest.mark.parametrize("well", [("a", "b", "c"), ("a",)])
def test_one_look_at_the_health_serves_all_waves_and_one_target_stays(well: str) -> None:
    # Each wave would else keep one, or find healthy what has just left.
    world = World(listing=5.0, left=60.0, well={*well})
    reports = [gone(name) for name in "abc"]
    out = world.take_out(*reports)

    assert world.waves() == [1, 1, 1, 0]
    assert world.asked.count("healthy") == 1
    assert len(out) == 2
    assert sum(bool(one.kept) for one in reports) == 1


def test_the_last_target_stays_though_a_later_wave_meets_it_again() -> None:
    # An instance that is registered twice has the same target by both registrations.
    world, report = World(listing=5.0, tasks={"i-1": ["t"], "old": ["t"]}, well={"t"}), gone("i-1")
    report.places.append(("shop", "old", 1))

    assert world.take_out(report) == []
    assert world.waves() == [1, 1, 0]


def test_where_the_health_is_not_read_all_leave_and_the_event_comes_again() -> None:
    world, report = World(throttled={"healthy": 99}), gone("i-1")

    assert world.take_out(report) == ["i-1"]
    assert report.retry_reason == "The target health of arn:web was not read: Rate exceeded"


@pytest.mark.parametrize(
    ("running", "throttled", "looks"), [(20, 1, 1), (21, 1, 0), (21, 0, 1), (0, 1, 1)]
)
def test_the_health_of_a_large_service_is_not_asked_for_under_a_throttle(
    running: int, throttled: int, looks: int
) -> None:
    # The calls that take targets out need what is granted.
    world = World(running=running, well={"other"}, throttled={"placed": throttled})
    world.take_out(gone("i-1"))

    assert world.asked.count("healthy") == looks


# -- what is late


@pytest.mark.parametrize(("delay", "stop", "late"), [(80, 30, 0), (81, 30, 1), (80, 31, 1)])
def test_a_service_of_an_instance_is_late_by_its_delay_and_its_stop_together(
    delay: int, stop: int, late: int
) -> None:
    # ECS lets a target drain first, and stops the container then.
    world, report = World(delay=delay, stop=stop, well={"other"}), gone("i-1", 110)
    world.take_out(report)

    assert len(report.late) == late


@pytest.mark.parametrize(("delay", "stop", "late"), [(30, 30, 0), (31, 30, 1), (110, 120, 0)])
def test_a_task_of_fargate_is_in_time_to_the_second(delay: int, stop: int, late: int) -> None:
    task = TaskInterruption("shop", "web", "t", ("10.0.0.1",), NOW + timedelta(seconds=110))
    world, report = World(delay=delay, stop=stop), InterruptionReport(task, "shop")
    world.serve().take_tasks_out([(report, task)], "shop")

    assert len(report.late) == late


def test_a_service_without_target_groups_drains_at_once() -> None:
    world, report = World(balancers=(), stop=120), gone("i-1", 110)
    world.take_out(report)

    assert report.late == ("web: deregistration delay 0 s and stop timeout 120 s, 110 s are left",)


def test_the_times_of_a_service_are_asked_once_and_each_of_its_groups_once() -> None:
    world = World(balancers=("arn:b", "arn:a", "arn:b"), delay=300, well={"other"})
    reports = [gone("i-1"), gone("i-2")]
    world.take_out(*reports)

    assert [call for call in world.asked if call.startswith("delay")] == [
        "delay arn:a",
        "delay arn:b",
    ]
    assert world.asked.count("stop") == 1
    assert all(one.late for one in reports)


def test_a_service_that_is_gone_has_no_times() -> None:
    world = World(services_of={"i-1": "unknown"}, delay=300)
    world.take_out(gone("i-1"))

    assert "stop" not in world.asked


@pytest.mark.parametrize(
    ("left", "throttled", "late"), [(10.0, 0, 1), (9.9, 0, 0), (30.0, 1, 0), (9.9, 1, 0)]
)
def test_no_time_and_no_throttled_call_is_spent_on_a_report(
    left: float, throttled: int, late: int
) -> None:
    # The calls are others' to take, and the time is the answer's.
    task = TaskInterruption("shop", "web", "t", ("10.0.0.1",), NOW + timedelta(seconds=110))
    world, report = (
        World(left, delay=300, throttled={"services": throttled}),
        InterruptionReport(task, "shop"),
    )
    world.serve().take_tasks_out([(report, task)], "shop")

    assert len(report.late) == late
