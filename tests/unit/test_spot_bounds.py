"""The bounds of a rescue's small parts: how long it waits, remembers and trusts an address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.errors import MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.spot.events import Interruption, Placed, TaskInterruption
from drainer.spot.freshness import still_there
from drainer.spot.memory import Recollection
from drainer.spot.patience import Patience
from drainer.spot.report import InterruptionReport, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SEEDS = [f"i-{number}" for number in range(100)]


# -- patience


class Clock:
    """An invocation whose time only passes where a test lets it."""

    def __init__(self, left: float = 30.0) -> None:
        self.left = left
        self.waits: list[float] = []

    def patience(self, seed: str = "") -> Patience:
        return Patience(InvocationClock(NOW, lambda: self.left), self.waits.append, seed)


def throttled(times: int) -> Callable[[], str]:
    answers = iter([*["Rate exceeded"] * times, "done"])

    def call() -> str:
        answer = next(answers)
        if answer != "done":
            raise UnavailableError(answer)
        return answer

    return call


@pytest.mark.parametrize(
    ("patient", "longest"),
    [
        # What sets DRAINING comes back within the second, whoever else is throttled.
        (False, [0.3, 0.6, 1.0, 1.0, 1.0, 1.0]),
        # Listings come by the hundred: at one pace they would keep the throttle up for everybody.
        (True, [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]),
    ],
)
def test_each_wait_is_longer_up_to_a_bound_and_spread_over_its_second_half(
    patient: bool, longest: list[float]
) -> None:
    rows = []
    for seed in SEEDS:
        clock = Clock()
        clock.patience(seed).again(throttled(6), patient=patient)
        rows.append(clock.waits)

    for waits, most in zip(zip(*rows, strict=True), longest, strict=True):
        # Those that wait equally long are throttled together again.
        assert most * 0.5 <= min(waits) < most * 0.55
        assert most * 0.95 < max(waits) <= most
    assert all(len({wait / most for wait, most in zip(w, longest, strict=True)}) == 6 for w in rows)


def test_each_success_halves_the_time_between_patient_calls_and_urgent_ones_do_not_wait() -> None:
    # What has been throttled once must not be slow to the end.
    clock = Clock()
    patience = clock.patience()
    patience.again(throttled(3), patient=True)
    clock.waits.clear()
    patience.again(throttled(0))
    assert clock.waits == []
    for pace in (1.0, 0.5, 0.25):
        patience.again(throttled(0), patient=True)
        assert pace / 2 <= clock.waits[-1] <= pace


def test_an_urgent_throttle_does_not_slow_patient_calls_and_the_first_does_not_wait() -> None:
    clock = Clock()
    patience = clock.patience()
    patience.again(throttled(2))
    clock.waits.clear()
    assert not Clock().patience().was_needed
    assert patience.again(throttled(0), patient=True) == "done"
    assert clock.waits == []


@pytest.mark.parametrize(("left", "reserve", "made"), [(5, None, 1), (4.9, None, 0), (9, 9, 1)])
def test_no_call_is_begun_and_no_wait_made_below_the_reserve(
    left: float, reserve: float | None, made: int
) -> None:
    # Lambda would end the invocation within it, and its whole batch would come again.
    clock = Clock(left)
    asked: list[int] = []
    more = {} if reserve is None else {"reserve": reserve}
    try:
        clock.patience().again(lambda: asked.append(1), patient=True, **more)
    except UnavailableError:
        assert clock.waits == []
    assert len(asked) == made


def test_tries_are_bounded_even_where_no_time_passes() -> None:
    clock = Clock()
    with pytest.raises(UnavailableError, match="Rate exceeded"):
        clock.patience().again(throttled(60))
    assert clock.patience().again(throttled(59)) == "done"


def test_without_a_sleep_each_call_has_one_try() -> None:
    patience = Patience(InvocationClock(NOW, lambda: 30.0))

    with pytest.raises(UnavailableError, match="Rate exceeded"):
        patience.again(throttled(1))
    assert patience.was_needed


def test_what_is_spent_counts_from_the_beginning() -> None:
    clock = Clock()
    patience = clock.patience()
    clock.left = 18.0

    assert patience.spent == 12.0


# -- memory


@pytest.mark.parametrize(("later", "absent"), [(19.9, True), (20.0, False)])
def test_an_instance_of_no_cluster_is_sought_again_after_twenty_seconds(
    later: float, absent: bool
) -> None:
    # It may register at any time; remembered for longer, it would go without DRAINING.
    memory = Recollection()
    memory.remember_absent("i-1", "stop", NOW)

    assert memory.is_absent("i-1", "stop", NOW + timedelta(seconds=later)) is absent
    # What a recommendation did not find is sought by the interruption.
    assert not memory.is_absent("i-1", "terminate", NOW)


@pytest.mark.parametrize(("later", "first"), [(599, False), (600, True)])
def test_a_duplicate_counts_no_second_time_for_ten_minutes(later: float, first: bool) -> None:
    memory = Recollection()

    assert memory.is_first("interruption of i-1", NOW)
    assert memory.is_first("interruption of i-1", NOW + timedelta(seconds=later)) is first


@pytest.mark.parametrize(("later", "known"), [(599, ["shop"]), (600, [])])
def test_a_cluster_is_looked_in_first_for_ten_minutes(later: float, known: list[str]) -> None:
    # For longer, each interruption of another cluster costs a read of one that nobody uses.
    memory = Recollection()
    memory.remember_cluster("shop", NOW)

    assert memory.clusters(NOW + timedelta(seconds=later)) == known


def test_three_clusters_are_remembered_the_latest_first() -> None:
    # More cost more reads than to ask the hooks.
    memory = Recollection()
    for name in ("a", "b", "a", "c"):
        memory.remember_cluster(name, NOW)
    assert memory.clusters(NOW) == ["c", "a", "b"]
    memory.remember_cluster("d", NOW)
    assert memory.clusters(NOW) == ["d", "c", "a"]


def test_ten_thousand_names_are_remembered() -> None:
    # Two megabytes of the function's 128.
    memory = Recollection()
    for number in range(10_000):
        memory.remember_absent(f"i-{number}", "", NOW)
    assert memory.is_absent("i-0", "", NOW)
    memory.remember_absent("i-10000", "", NOW)
    assert not memory.is_absent("i-0", "", NOW)
    assert memory.is_absent("i-1", "", NOW)


# -- freshness


class Tasks:
    """ECS, as far as it describes tasks."""

    def __init__(self, placed: Sequence[Placed]) -> None:
        self.answer = [*placed]
        self.asked: list[list[str]] = []

    def placed(self, _: str, ids: Sequence[str]) -> list[Placed]:
        self.asked.append([*ids])
        return self.answer


def fargate(task_id: str, age: float) -> tuple[InterruptionReport, TaskInterruption]:
    ends_at = NOW - timedelta(seconds=age) + timedelta(seconds=120)
    task = TaskInterruption("shop", "web", task_id, ("10.0.0.1",), ends_at)
    return InterruptionReport(task), task


@pytest.mark.parametrize(("age", "looked"), [(30, False), (30.5, True)])
def test_an_address_is_trusted_for_thirty_seconds(age: float, looked: bool) -> None:
    # Then the container may have ended, and ECS may have given its address to a healthy task.
    tasks = Tasks([])
    member = fargate("t", age)
    found = still_there(tasks, Clock().patience(), "shop", [member], NOW)  # type: ignore[arg-type]

    assert tasks.asked == ([["t"]] if looked else [])
    assert found == ([] if looked else [member])


def test_of_the_late_only_those_leave_that_have_not_ended() -> None:
    members = [fargate(name, 60) for name in ("alive", "ended", "unknown")]
    members.append(fargate("fresh", 5))
    tasks = Tasks(
        [Placed("alive", "web", (), {}), Placed("ended", "web", (), {}, ended=True)],
    )
    found = still_there(tasks, Clock().patience(), "shop", members, NOW)  # type: ignore[arg-type]

    assert [task.task_id for _, task in found] == ["alive", "fresh"]
    assert tasks.asked == [["alive", "ended", "unknown"]]


# -- the report


def test_an_interruption_says_nothing_before_something_was_done() -> None:
    # Metrics count it and alarms hang on it: first is all that holds from the beginning.
    report = InterruptionReport(Interruption("i-1", "stop", NOW))

    assert report.first
    done = (report.drained, report.active, report.retry_reason, report.denied, report.deregistered)
    assert done == (False, False, "", 0, (0, 0))
    assert Service("web", "web:1", ()).running == 0


def test_the_first_reason_to_come_again_is_the_one_that_is_told() -> None:
    report = InterruptionReport(Interruption("i-1", "stop", NOW))
    report.add_error("Denied", MisconfiguredError("no"))
    denied = report.retry_reason
    report.keeps("arn:a")
    report.comes_again("another reason")
    report.add_error("Throttled", UnavailableError("Rate exceeded"))

    # Without it the last healthy target was never taken out: the event did not come again.
    told = "The last healthy target of arn:a stays registered"
    assert (denied, report.retry_reason) == ("", told)
    assert (report.kept, report.denied) == (("arn:a",), 1)
