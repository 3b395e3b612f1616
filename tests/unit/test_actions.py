"""What a pass does to ECS: in tens, one by one after a refusal, and never longer than it may."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.drain.actions import CALL_SECONDS, STOP_REASON, EcsActions, Outcome
from drainer.drain.look import Look
from drainer.drain.may_leave import Act, Decision, Phase
from drainer.drain.model import (
    ContainerInstance,
    InstanceProgress,
    LifecycleActionResult,
    Owner,
    Policy,
    StandaloneTasks,
    Task,
)
from drainer.errors import DrainerError, MisconfiguredError, RefusedError, UnavailableError
from tests.unit.ecs import UnaskedEcs, container_instance

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW, LATER = START + timedelta(seconds=60), START + timedelta(seconds=61)
REFUSED, THROTTLED = RefusedError("not ACTIVE"), UnavailableError("Rate exceeded")
DENIED = MisconfiguredError("AccessDenied")


@dataclass
class Ecs(UnaskedEcs):
    """ECS as far as it is written to; it refuses whole calls over what it does not take."""

    refuses: frozenset[str] = frozenset()  # in the answer
    fails: dict[str, DrainerError] = field(default_factory=dict)  # the whole call
    set: list[tuple[str, list[str]]] = field(default_factory=list)
    stopped: list[tuple[str, str, str]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self.set.append((cluster, list(arns)))
        for arn in arns:
            if arn in self.fails:
                raise self.fails[arn]
        return {arn: "MISSING" for arn in arns if arn in self.refuses}

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        raise AssertionError("attributes are another's business")

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        self.tried.append(task_id)
        if task_id in self.fails:
            raise self.fails[task_id]
        self.stopped.append((cluster, task_id, reason))


LEFT_BEHIND = container_instance(
    "arn-old", status="ACTIVE", agent_connected=False, running_tasks=2, cluster="payments"
)


def registration(arn: str, status: str = "ACTIVE", cluster: str = "payments") -> ContainerInstance:
    return container_instance(arn, status=status, cluster=cluster)


def outcome(
    *registrations: ContainerInstance,
    act: Act = Act.SET_DRAINING,
    tasks: Sequence[Task] = (),
    stop: Sequence[str] = (),
) -> Outcome:
    """A drain of which every standalone task is known, and whose grace period is over."""
    drain = InstanceProgress(
        cluster="payments",
        container_instance_arn="arn",
        draining_since=START,
        policy=Policy(None, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.STOP, 0),
    )
    found = registrations or (registration("arn", "DRAINING"),)
    look = Look(
        "i-0",
        drain,
        NOW,
        registrations={one.arn: one for one in found},
        tasks={one.id: one for one in tasks},
        described=True,
        listed_at=NOW,
        settled=True,
    )
    return Outcome(look, Decision(Phase.ACTIVE, act, stop_tasks=tuple(stop)))


def set_draining(ecs: Ecs, *unit: Outcome) -> None:
    EcsActions(ecs).set_draining(unit, lambda: LATER)


# -- setting DRAINING


def test_what_is_active_is_set_draining_and_dated_by_the_clock() -> None:
    # Dated back to the pass's beginning, a task that was placed meanwhile is in no listing that
    # counts.
    ecs, one = Ecs(), outcome(registration("a"))

    set_draining(ecs, one)

    assert ecs.set == [("payments", ["a"])]
    assert (one.drained_at, one.drained_now, one.errors) == (LATER, True, ())


def test_what_is_not_active_is_not_set_draining_again() -> None:
    # ECS refuses the whole call over one that is on its way out, and each call counts.
    ecs, one = Ecs(), outcome(registration("a"), registration("b", "DRAINING"))

    set_draining(ecs, one)

    assert ecs.set == [("payments", ["a"])]


@pytest.mark.parametrize("status", ["ACTIVE", "DRAINING"])
def test_where_tasks_were_left_behind_is_set_draining_beside_the_live_one(status: str) -> None:
    # ECS did not replace its services' tasks, whose containers ended with the instance.
    ecs, one = Ecs(), outcome(registration("a", status), LEFT_BEHIND)

    set_draining(ecs, one)

    assert [arn for _, arns in ecs.set for arn in arns][-1] == "arn-old"
    # It says nothing about when the live one was.
    assert one.drained_now is (status == "ACTIVE")


def test_an_earlier_registration_without_tasks_is_left_alone() -> None:
    # Nothing is to be replaced there; a call for each is a write that crowds wait for.
    ecs = Ecs()

    set_draining(ecs, outcome(registration("a"), replace(LEFT_BEHIND, running_tasks=0)))

    assert ecs.set == [("payments", ["a"])]


@pytest.mark.parametrize("act", [Act.WAIT, Act.LEAVE])
def test_nothing_is_set_draining_that_was_not_decided_to_be(act: Act) -> None:
    # Set DRAINING after its answer, an instance that goes back to its warm pool serves nothing.
    ecs, one = Ecs(), outcome(registration("a"), act=act)

    set_draining(ecs, one)

    assert (ecs.set, one.drained_now) == ([], False)


def test_each_cluster_is_asked_for_ten_container_instances_at_a_time() -> None:
    # UpdateContainerInstancesState takes ten, and refuses eleven.
    ecs = Ecs()
    one = outcome(*(registration(f"a-{n:02}") for n in range(23)), registration("b", cluster="b"))

    set_draining(ecs, one)

    assert [(cluster, len(arns)) for cluster, arns in ecs.set] == [
        ("payments", 10), ("payments", 10), ("payments", 3), ("b", 1),
    ]  # fmt: skip
    assert sorted(arn for _, arns in ecs.set for arn in arns)[:23] == [
        f"a-{n:02}" for n in range(23)
    ]


def test_two_hooks_of_one_instance_set_it_draining_once() -> None:
    ecs, both = Ecs(), (outcome(registration("a")), outcome(registration("a")))

    set_draining(ecs, *both)

    assert ecs.set == [("payments", ["a"])]
    assert [one.drained_at for one in both] == [LATER, LATER]


def test_one_that_ecs_refuses_does_not_hold_up_the_others_in_its_call() -> None:
    # One container instance that was deregistered meanwhile would stop nine others from draining.
    ecs = Ecs(fails={"b": REFUSED})
    first, bad, last = (outcome(registration(arn)) for arn in "abc")

    set_draining(ecs, first, bad, last)

    assert ecs.set == [("payments", arns) for arns in (["a", "b", "c"], ["a"], ["b"], ["c"])]
    assert (first.drained_at, bad.drained_at, last.drained_at) == (LATER, None, LATER)
    assert bad.errors == ("DRAINING was not set: not ACTIVE",)
    assert first.errors == last.errors == ()


def test_two_in_a_refused_call_are_tried_apart_and_one_by_itself_is_not_tried_again() -> None:
    # Trying the same call for ever uses up the stack.
    ecs = Ecs(fails={"b": REFUSED})

    set_draining(ecs, outcome(registration("a")), outcome(registration("b")))

    assert [arns for _, arns in ecs.set] == [["a", "b"], ["a"], ["b"]]


def test_a_throttle_is_not_argued_with_and_every_drain_of_the_call_is_told() -> None:
    # Ten further calls only make a throttle last.
    ecs = Ecs(fails={"b": THROTTLED})
    both = outcome(registration("a")), outcome(registration("b"))

    set_draining(ecs, *both)

    assert len(ecs.set) == 1
    assert [one.errors for one in both] == [("DRAINING was not set: Rate exceeded",)] * 2
    assert [one.drained_at for one in both] == [None, None]


def test_a_refusal_in_the_answer_is_told_to_its_drain_alone() -> None:
    # Taken for DRAINING, its set of tasks would be closed while ECS places more.
    ecs = Ecs(refuses=frozenset({"a"}))
    bad, good = outcome(registration("a")), outcome(registration("b"))

    set_draining(ecs, bad, good)

    assert (bad.drained_now, bad.errors) == (False, ("DRAINING was not set: MISSING",))
    assert (good.drained_now, good.errors) == (True, ())


# -- stopping standalone tasks


def task(number: int, cluster: str = "") -> Task:
    return Task(f"t-{number:02}", Owner.STANDALONE, "family:job", "RUNNING", "RUNNING", cluster)


def stopping(count: int, cluster: str = "") -> Outcome:
    tasks = [task(number, cluster) for number in range(count)]
    return outcome(act=Act.WAIT, tasks=tasks, stop=[one.id for one in tasks])


def stop(ecs: Ecs, one: Outcome, seconds_left: float = 100.0) -> None:
    EcsActions(ecs).stop_tasks(one, lambda: seconds_left)


def test_tasks_are_stopped_with_the_reason_that_their_owner_reads() -> None:
    ecs, one = Ecs(), stopping(2)

    stop(ecs, one)

    assert ecs.stopped == [("payments", "t-00", STOP_REASON), ("payments", "t-01", STOP_REASON)]
    assert one.stopped


def test_a_task_is_stopped_in_its_own_cluster() -> None:
    # With two registrations the task may be of the other one: "task not found", for ever.
    ecs, one = Ecs(), stopping(1, cluster="search")

    stop(ecs, one)

    assert [cluster for cluster, _, _ in ecs.stopped] == ["search"]


def test_no_pass_stops_more_than_twenty_tasks_of_one_drain() -> None:
    # A host of hundreds uses up the invocation, and the heartbeats of all others with it.
    exactly, more = Ecs(), Ecs()
    whole, part = stopping(20), stopping(21)

    stop(exactly, whole)
    stop(more, part)

    assert (len(exactly.stopped), whole.stopped) == (20, True)
    # Taken for all, the twenty-first would never be told to stop.
    assert (len(more.stopped), part.stopped) == (20, False)


@pytest.mark.parametrize(("seconds_left", "stops"), [(2 * CALL_SECONDS, 1), (7.9, 0)])
def test_no_stop_is_begun_that_leaves_no_time_to_re_invoke(seconds_left: float, stops: int) -> None:
    # Killed in the call, the chain is silent until the sweep.
    ecs, one = Ecs(), stopping(1)

    stop(ecs, one, seconds_left)

    assert (len(ecs.stopped), one.stopped) == (stops, bool(stops))


def test_a_throttled_stop_ends_the_stopping_and_is_told() -> None:
    ecs, one = Ecs(fails={"t-01": THROTTLED}), stopping(3)

    stop(ecs, one)

    assert ecs.tried == ["t-00", "t-01"]
    assert one.errors == ("Task t-01 was not stopped: Rate exceeded",)
    assert not one.stopped


def test_a_stop_that_is_denied_is_told_and_costs_no_other_task_its_stop() -> None:
    ecs, one = Ecs(fails={"t-01": DENIED}), stopping(3)

    stop(ecs, one)

    assert [task_id for _, task_id, _ in ecs.stopped] == ["t-00", "t-02"]
    assert one.errors == ("Task t-01 was not stopped: AccessDenied",)
    assert not one.stopped


def test_all_are_only_stopped_where_the_look_has_named_all() -> None:
    # What was not listed would never be told to stop: the drain waits for it until its deadline.
    one = stopping(1)
    one.look.listed_at = None

    stop(Ecs(), one)

    assert not one.stopped


def test_where_no_task_is_to_be_stopped_all_are() -> None:
    # Asked again and again for none, each pass would list the tasks.
    one = stopping(0)

    stop(Ecs(), one)

    assert one.stopped


# -- what comes of a drain


def test_each_error_is_kept() -> None:
    one = outcome()

    one.add_error("first", "a")
    one.add_error("second", "b")

    assert one.errors == ("first: a", "second: b")


def test_what_was_never_found_has_no_cluster() -> None:
    found, unfound = outcome(), outcome()
    unfound.look.drain = replace(unfound.drain, cluster=None)

    assert (found.cluster, unfound.cluster) == ("payments", "")
