"""In how many calls, and in which order, targets leave their target groups."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drainer.errors import RefusedError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.spot.departures import REFUSALS_MAX, Departures
from drainer.spot.events import Interruption, Target
from drainer.spot.patience import Patience
from drainer.spot.report import InterruptionReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FOUR = [Target(f"10.0.0.{number}", 80) for number in range(100)]
SIX = [Target(f"fd00::{number}", 80) for number in range(100)]


class Groups:
    """Target groups that refuse some targets; each call takes a second of thirty."""

    def __init__(self, refuses: Callable[[Target], bool], throttled: int = 0) -> None:
        self.refuses = refuses
        self.throttled = throttled
        self.calls = 0
        self.out: set[Target] = set()
        self.left = 30.0

    def deregister(self, _: str, targets: Sequence[Target]) -> None:
        self.calls += 1
        self.left -= 1
        if self.throttled:
            self.throttled -= 1
            message = "Rate exceeded"
            raise UnavailableError(message)
        if any(map(self.refuses, targets)):
            message = "InvalidTarget"
            raise RefusedError(message)
        self.out.update(targets)


def deregister(groups: Groups, targets: Sequence[Target]) -> InterruptionReport:
    report = InterruptionReport(Interruption("i-1", "terminate", NOW))
    patience = Patience(InvocationClock(NOW, lambda: groups.left), lambda _: None)
    departures = Departures(groups, patience)  # type: ignore[arg-type]
    departures.deregister({"arn:group": [(report, target) for target in targets]})
    return report


def is_six(target: Target) -> bool:
    return ":" in target.id


def test_the_second_family_of_dual_stack_tasks_does_not_use_up_the_time() -> None:
    # One IPv6 address refused the whole call; two hundred single calls followed, without a look at
    # the clock, and Lambda ended the invocation three times with most targets in.
    groups = Groups(is_six)
    report = deregister(groups, [target for pair in zip(FOUR, SIX, strict=True) for target in pair])

    assert groups.out == set(FOUR)
    assert groups.calls == 1
    assert (report.deregistered, report.errors) == ((100, 1), ())


def test_a_group_of_ipv6_is_left_by_its_own_addresses_in_two_calls() -> None:
    groups = Groups(lambda target: not is_six(target))
    report = deregister(groups, [*FOUR, *SIX])

    assert groups.out == set(SIX)
    assert groups.calls == 2
    assert (report.deregistered, report.errors) == ((100, 1), ())


def test_one_target_that_is_refused_costs_the_others_fifteen_calls() -> None:
    groups = Groups(lambda target: target is FOUR[61])
    report = deregister(groups, FOUR)

    assert groups.out == set(FOUR) - {FOUR[61]}
    assert groups.calls <= 15
    assert (report.deregistered, report.errors) == ((99, 1), ())


def test_a_throttle_repeats_one_call_and_not_all_before_it() -> None:
    groups = Groups(is_six, throttled=2)
    deregister(groups, [*FOUR, *SIX])

    assert groups.out == set(FOUR)
    assert groups.calls == 3


def test_a_group_that_refuses_everything_leaves_time_to_the_others() -> None:
    groups = Groups(lambda _: True)
    groups.left = 200.0
    report = deregister(groups, FOUR)

    assert groups.calls == REFUSALS_MAX
    assert (report.deregistered, report.denied) == ((0, 0), 1)


def test_every_second_target_that_is_refused_does_not_keep_the_others_in() -> None:
    groups = Groups(lambda target: target in FOUR[::2])
    groups.left = 250.0

    assert deregister(groups, FOUR).deregistered == (50, 1)


def test_what_is_left_when_time_ends_comes_again() -> None:
    # Lambda would end the invocation, and its whole batch would come again.
    groups = Groups(lambda target: target in FOUR[::2])
    groups.left = 15.0
    report = deregister(groups, FOUR[:8])

    assert groups.left >= 4
    assert report.retry_reason.endswith("No time was left in the invocation")
