"""What is done to a target's instances: each is noted for its stack first, and in tens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.custom_resource.target_actions import FAILURES_MAX, NOTING, UNITS_MAX, TargetActions
from drainer.drain.actions import TOGETHER_MAX, UNIT_SECONDS, Outcome
from drainer.drain.attributes import DRAINED_FOR, checksum
from drainer.drain.look import Look
from drainer.drain.may_leave import Act, Decision, Phase
from drainer.drain.model import (
    InstanceProgress,
    LifecycleActionResult,
    Policy,
    StandaloneTasks,
)
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
THROTTLED, REFUSED = UnavailableError("Rate exceeded"), MisconfiguredError("AccessDenied")


@dataclass
class Ecs:
    """
    ECS as far as it is written to.

    Attributes:
        fails: Why a call fails that is about an ARN.
        refuses: Whether all are refused, in the answer.
        log: The calls: what, in which cluster, and about how many.
    """

    fails: dict[str, DrainerError] = field(default_factory=dict)
    refuses: bool = False
    seconds_left: float = 100.0
    call_seconds: float = 0.0
    log: list[tuple[str, str, int]] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    draining: list[str] = field(default_factory=list)

    def _call(self, what: str, cluster: str, arns: Sequence[str]) -> None:
        self.seconds_left -= self.call_seconds
        self.log.append((what, cluster, len(arns)))
        for arn in arns:
            if arn in self.fails:
                raise self.fails[arn]

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        self._call("note", cluster, [arn for arn, _, _ in values])
        assert {(name, value) for _, name, value in values} == {(DRAINED_FOR, checksum("stack"))}
        self.noted += [arn for arn, _, _ in values]

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self._call("set", cluster, [])
        self.draining += [] if self.refuses else arns
        return dict.fromkeys(arns, "MISSING") if self.refuses else {}

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        self._call("stop", cluster, [])

    def act(self, *outcomes: Outcome) -> None:
        anything: Any = self
        time = InvocationClock(NOW, lambda: self.seconds_left)
        TargetActions(anything).act(outcomes, "stack", time)

    def said(self, what: str) -> list[int]:
        return [count for name, _, count in self.log if name == what]


def outcome(
    number: int = 0,
    act: Act = Act.SET_DRAINING,
    stop: tuple[str, ...] = (),
    cluster: str = "payments",
    registrations: int = 1,
) -> Outcome:
    one = container_instance(
        f"arn-{number}", f"i-{number}", "ACTIVE", agent_connected=registrations == 1,
        cluster=cluster,
    )  # fmt: skip
    found = [one, *(replace(one, arn=f"arn-{number}-{n}") for n in range(1, registrations))]
    drain = InstanceProgress(cluster=cluster, container_instance_arn=one.arn)
    there = {one.arn: one for one in found}
    return Outcome(
        Look(f"i-{number}", drain, NOW, registrations=there), Decision(Phase.ACTIVE, act, stop)
    )


def several(count: int, **changes: Any) -> list[Outcome]:
    return [outcome(number, **changes) for number in range(count)]


def test_what_is_set_draining_is_noted_for_its_stack_before() -> None:
    # DRAINING without the note it would stay so after a rollback, and get no task permanently.
    ecs, one = Ecs(call_seconds=1.0), outcome()

    ecs.act(one)

    assert ecs.log == [("note", "payments", 1), ("set", "payments", 0)]
    assert (ecs.noted, ecs.draining) == (["arn-0"], ["arn-0"])
    # By the clock: dated back, a listing would count that is too early to show the last task.
    assert one.drained_at == NOW + timedelta(seconds=2)


@pytest.mark.parametrize("act", [Act.WAIT, Act.LEAVE])
def test_what_was_decided_otherwise_is_neither_noted_nor_set(act: Act) -> None:
    ecs = Ecs()

    ecs.act(outcome(act=act))

    assert ecs.log == []


@pytest.mark.parametrize(
    ("count", "units"), [(9, [9]), (10, [10]), (11, [10, 1]), (21, [10] * 2 + [1])]
)
def test_a_call_has_no_more_than_ecs_takes(count: int, units: list[int]) -> None:
    # ECS refuses a call with eleven: none of a target would be set DRAINING.
    ecs = Ecs()

    ecs.act(*several(count))

    assert ecs.said("note") == units
    assert sorted(ecs.draining) == sorted(f"arn-{number}" for number in range(count))


def test_a_call_is_about_one_cluster() -> None:
    # In another cluster than its own an instance is MISSING, and stays ACTIVE.
    ecs = Ecs()

    ecs.act(outcome(0), outcome(1, cluster="search"), outcome(2))

    assert ecs.log == [
        ("note", "payments", 2), ("set", "payments", 0),
        ("note", "search", 1), ("set", "search", 0),
    ]  # fmt: skip


def test_the_registrations_of_ten_may_be_more_than_one_call_takes() -> None:
    ecs = Ecs()

    ecs.act(*several(7, registrations=3))

    assert ecs.said("note") == [10, 10, 1]
    assert sorted(ecs.noted) == sorted(ecs.draining)


def test_a_pass_acts_on_so_many_as_the_account_is_granted() -> None:
    # A fleet of a thousand would use up the calls of everybody else in the account.
    ecs = Ecs()

    ecs.act(*several(UNITS_MAX * TOGETHER_MAX + 1))

    assert len(ecs.said("set")) == UNITS_MAX == 40
    assert len(ecs.draining) == UNITS_MAX * TOGETHER_MAX


@pytest.mark.parametrize("refuses", [True, False])
def test_what_fails_again_and_again_is_left_to_the_next_pass(*, refuses: bool) -> None:
    # A throttle is not to be argued with: forty more calls would keep the account throttled.
    drains = several(100)
    fails: dict[str, DrainerError] = {}
    if not refuses:
        fails = {one.look.candidates[0].arn: THROTTLED for one in drains}
    ecs = Ecs(fails, refuses=refuses)

    ecs.act(*drains)

    assert len(ecs.said("note")) == FAILURES_MAX + 1 == 4
    assert ecs.draining == []


def test_a_few_that_fail_hold_up_none_of_the_others() -> None:
    drains = several(100)
    ecs = Ecs({f"arn-{number}": THROTTLED for number in (0, 20, 40)})

    ecs.act(*drains)

    assert len(ecs.draining) == 70
    said = [number for number, one in enumerate(drains) if one.errors]
    assert said == [0, 20, 40]
    assert drains[0].errors == (f"{NOTING}: Rate exceeded",)


def test_what_could_not_be_noted_for_a_throttle_is_not_set_draining() -> None:
    ecs = Ecs({"arn-1": THROTTLED})

    ecs.act(*several(2))

    assert ecs.draining == []


def test_one_whose_note_is_refused_holds_up_no_other() -> None:
    # One that has left its cluster spoils the call for ten; a drain goes on without the note.
    drains, ecs = several(3), Ecs({"arn-1": REFUSED})

    ecs.act(*drains)

    assert ecs.noted == ["arn-0", "arn-2"]
    assert [one.errors for one in drains] == [(), (f"{NOTING}: AccessDenied",), ()]
    assert sorted(ecs.draining) == ["arn-0", "arn-1", "arn-2"]


@pytest.mark.parametrize(("seconds", "done"), [(UNIT_SECONDS, True), (UNIT_SECONDS - 0.1, False)])
def test_no_unit_is_begun_that_may_be_cut_in_half(seconds: float, *, done: bool) -> None:
    # Cut between its calls, the pass would not remember since when an instance is DRAINING.
    ecs = Ecs(seconds_left=seconds)

    ecs.act(outcome())

    assert bool(ecs.log) is done


def test_units_end_with_the_time() -> None:
    ecs = Ecs(seconds_left=UNIT_SECONDS + 1, call_seconds=1.0)

    ecs.act(*several(30))

    assert len(ecs.draining) == 10


@pytest.mark.parametrize("seconds", [4.9, 8.0, 100.0])
def test_standalone_tasks_are_stopped_where_that_was_decided(seconds: float) -> None:
    # They would be waited for until the deadline, and CloudFormation be told FAILED.
    ecs, one = Ecs(seconds_left=seconds), outcome(act=Act.WAIT, stop=("t1", "t2"))

    ecs.act(outcome(1, act=Act.WAIT), one)

    assert len(ecs.said("stop")) == (2 if seconds >= UNIT_SECONDS else 0)


def test_where_no_task_was_to_stop_none_is_noted_as_told() -> None:
    # A job that ECS shows later would not be told to stop, and be waited for until the deadline.
    policy = Policy(None, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.STOP, 0)
    one = outcome(act=Act.WAIT)
    look = one.look
    look.registrations = {
        arn: replace(there, status="DRAINING") for arn, there in look.registrations.items()
    }
    look.drain = replace(look.drain, policy=policy, draining_since=NOW)
    look.described, look.listed_at = True, NOW

    Ecs().act(one)

    assert one.stopped is False
