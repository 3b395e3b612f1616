"""A pass's look at tasks: what is asked, what is believed, what a failure costs the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.earlier_looks import WATCHED_WITHIN
from drainer.drain.listings import LISTINGS_MIN, AtMost, Listings
from drainer.drain.look import Look
from drainer.drain.model import (
    UNFINISHED_MAX,
    InstanceProgress,
    LifecycleActionResult,
    Owner,
    Policy,
    StandaloneTasks,
    Task,
)
from drainer.drain.task_look import TaskLook
from drainer.drain.task_reads import StoppedTasks
from drainer.errors import (
    ClusterMissingError,
    DrainerError,
    MisconfiguredError,
    RefusedError,
    ThrottledError,
)
from drainer.invocation import InvocationClock
from tests.unit.ecs import UnaskedEcs, container_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.drain.listings import Budget

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=60)
FIRST_LISTED_AT = START + timedelta(seconds=25)
THROTTLED, DENIED = ThrottledError("Rate exceeded"), MisconfiguredError("AccessDenied")


def task_id(number: int) -> str:
    return f"{number:08x}" + "0" * 24


def task(number: int, last: str = "RUNNING", owner: Owner = Owner.SERVICE) -> Task:
    wanted = "RUNNING" if last == "RUNNING" else "STOPPED"
    return Task(task_id(number), owner, "service:web", wanted, last)


@dataclass
class Ecs(UnaskedEcs):
    """ECS as far as tasks are concerned; every call takes its time."""

    tasks_by_id: dict[str, Task] = field(default_factory=dict)
    listed: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    seconds_left: float = 100.0
    call_seconds: float = 0.0
    asked: list[tuple[str, Any]] = field(default_factory=list)
    goes_on: list[bool] = field(default_factory=list)

    def _ask(self, what: str, about: Any, *names: str) -> None:
        self.asked.append((what, about))
        self.seconds_left -= self.call_seconds
        for name in (what, *names):
            if name in self.fails:
                raise self.fails[name]

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        self._ask("list", (container_instance_arn, desired_status), container_instance_arn)
        if go_on is not None:
            self.goes_on.append(go_on())
        return self.listed.get((container_instance_arn, desired_status), [])

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        self._ask("describe", list(task_ids), cluster, *task_ids)
        return {one: self.tasks_by_id[one] for one in task_ids if one in self.tasks_by_id}

    def has(self, *tasks: Task) -> None:
        self.tasks_by_id.update({one.id: one for one in tasks})

    def lists(self, arn: str, *tasks: Task) -> None:
        self.has(*tasks)
        for one in tasks:
            self.listed.setdefault((arn, one.desired_status), []).append(one.id)

    def described(self) -> list[str]:
        return [one for what, about in self.asked if what == "describe" for one in about]

    def sizes(self) -> list[int]:
        return [len(about) for what, about in self.asked if what == "describe"]

    def left(self) -> float:
        return self.seconds_left


def look(number: int = 0, unfinished: Sequence[str] = (), counted: int = 0, **of: Any) -> Look:
    """A drain whose container instance, DRAINING since a minute, was found in this pass."""
    arn, cluster = f"arn-{number}", of.pop("cluster", "payments")
    instance = container_instance(arn, f"i-{number}", running_tasks=counted, cluster=cluster)
    drain = InstanceProgress(
        cluster=cluster,
        container_instance_arn=arn,
        draining_since=START,
        unfinished=tuple(unfinished),
        settled=True,
    )
    return Look(
        f"i-{number}", replace(drain, **of), NOW, registrations={arn: instance}, settled=True
    )


def look_at(
    ecs: Ecs,
    *looks: Look,
    early: bool = True,
    stopped: StoppedTasks | None = None,
    listings: Budget | None = None,
) -> TaskLook:
    remembered = stopped if stopped is not None else StoppedTasks()
    one = TaskLook(
        ecs, InvocationClock(NOW, ecs.left), remembered, listings or AtMost(LISTINGS_MIN)
    )
    one.look(looks, early=early)
    return one


# -- tasks that are known


def test_unfinished_tasks_of_many_drains_are_asked_about_together() -> None:
    # A call for each would use up the account's reads with a hundred drains.
    ecs, looks = Ecs(), [look(n, [task_id(n)], closed=True) for n in range(10)]
    ecs.has(*(task(n, "DEACTIVATING") for n in range(10)))

    look_at(ecs, *looks)

    assert [what for what, _ in ecs.asked] == ["describe"]
    assert all(one.described for one in looks)


def test_one_task_that_is_not_stopped_is_enough_to_know() -> None:
    # An instance with hundreds of tasks would be described in full at each pass, for an hour.
    ids = [task_id(n) for n in range(400)]
    ecs, one = Ecs(), look(0, ids, closed=True)
    ecs.has(*(task(n) for n in range(400)))

    look_at(ecs, one)

    assert ecs.sizes() == [5]
    assert not one.described  # nor is it taken for a look at all of them


def test_the_rest_is_described_only_up_to_the_first_that_lives() -> None:
    ids = [task_id(n) for n in range(400)]
    ecs, one = Ecs(), look(0, ids, closed=True)
    ecs.has(*(task(n, "STOPPED") for n in range(100)), *(task(n) for n in range(100, 400)))

    look_at(ecs, one)

    assert ecs.sizes() == [5, 100]


def test_a_set_of_which_all_have_stopped_is_described_to_its_last_task() -> None:
    ids = [task_id(n) for n in range(UNFINISHED_MAX)]
    ecs, one = Ecs(), look(0, ids, closed=True)
    ecs.has(*(task(n, "STOPPED") for n in range(UNFINISHED_MAX)))

    look_at(ecs, one)

    assert one.described
    assert len(ecs.described()) == UNFINISHED_MAX


def test_what_ecs_does_not_know_is_missing_and_not_stopped() -> None:
    # A stale answer of DescribeTasks is MISSING, for a task that serves.
    ecs, one = Ecs(), look(0, [task_id(1)], closed=True)

    look_at(ecs, one)

    assert one.missing == (task_id(1),)
    assert one.described


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_a_description_that_fails_leaves_its_tasks_unseen(error: DrainerError) -> None:
    # One throttle must not release.
    ecs, one = Ecs(fails={"describe": error}), look(0, [task_id(1)], closed=True)

    look_at(ecs, one)

    assert not one.described
    assert one.in_doubt
    # Nor is it said of them that ECS does not know them.
    assert (one.tasks, one.missing) == ({}, ())


def test_what_fails_in_one_cluster_spoils_no_drain_of_another() -> None:
    # One denied cluster would hold up every drain of the account until its deadline.
    ecs = Ecs(fails={"search": DENIED})
    bad, good = (
        look(0, [task_id(0)], cluster="search", closed=True),
        look(1, [task_id(1)], closed=True),
    )
    ecs.has(task(1, "STOPPED"))

    look_at(ecs, bad, good)

    assert not bad.described
    assert good.described
    assert not good.in_doubt


def test_a_claimed_id_that_ecs_refuses_does_not_blind_the_drains_beside_it() -> None:
    # Ids travel in messages: one false envelope could else hold up all that share a call with it.
    ecs = Ecs(fails={"no task": RefusedError("InvalidParameterException: no task")})
    bad, good = look(0, ["no task"], closed=True), look(1, [task_id(1)], closed=True)
    ecs.has(task(1, "STOPPED"))

    look_at(ecs, bad, good)

    assert good.described
    assert (list(good.tasks), good.missing) == ([task_id(1)], ())
    # A task that is missing is taken for one that has stopped, five minutes later.
    assert (bad.described, bad.in_doubt, bad.missing) == (False, True, ())


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("ClientException: ..."),
        ClusterMissingError("ClusterNotFoundException: ..."),
        DENIED,
    ],
)
def test_a_call_that_is_refused_leaves_no_task_missing(error: DrainerError) -> None:
    # Five minutes of refusals released an instance whose task was deregistering.
    ecs, one = Ecs(fails={"describe": error}), look(0, [task_id(1), task_id(2)], closed=True)

    look_at(ecs, one)

    assert (one.described, one.in_doubt, one.missing) == (False, True, ())


def test_a_call_that_is_refused_as_a_whole_is_not_cut_into_its_tasks() -> None:
    # Each pass would make two hundred reads of a hundred tasks, and none would be answered.
    ecs = Ecs(fails={"describe": RefusedError("ClientException: ...")})
    looks = [look(number, [task_id(number)], closed=True) for number in range(100)]

    look_at(ecs, *looks)

    assert len(ecs.sizes()) == 15
    assert all(one.in_doubt and not one.missing for one in looks)


def test_a_set_of_hundreds_is_not_read_on_once_a_read_has_failed() -> None:
    # Further calls would only make a throttle last: what they say does not count.
    ecs = Ecs(fails={task_id(5): THROTTLED})
    one = look(0, [task_id(n) for n in range(400)], closed=True)
    ecs.has(*(task(n, "STOPPED") for n in range(400)))

    look_at(ecs, one)

    assert ecs.sizes() == [5, 100]


def test_drains_of_which_a_read_is_refused_ask_for_nothing_more() -> None:
    # Forty drains of sixty tasks took three quarters of the reads that ECS grants the account.
    ecs = Ecs(fails={"describe": RefusedError("ClientException: ...")})
    looks = [look(n, [task_id(60 * n + m) for m in range(60)]) for n in range(40)]

    look_at(ecs, *looks)

    assert len(ecs.asked) <= 50
    assert {what for what, _ in ecs.asked} == {"describe"}
    assert all(one.in_doubt and not one.missing for one in looks)


def test_no_task_is_read_of_a_drain_that_is_in_doubt_already() -> None:
    # What is read would not count.
    ecs, one = Ecs(), look(0, [task_id(1)])
    one.denied = True

    look_at(ecs, one)

    assert ecs.asked == []
    assert not one.described


def test_the_clock_is_asked_between_chunks() -> None:
    # Five instances with thousands of tasks each: the function is killed, and heartbeats with it.
    ids = [task_id(n) for n in range(UNFINISHED_MAX)]
    ecs, one = Ecs(call_seconds=3, seconds_left=20), look(0, ids, closed=True)
    ecs.has(*(task(n, "STOPPED") for n in range(UNFINISHED_MAX)))

    look_at(ecs, one)

    assert ecs.seconds_left >= 12 - 3
    assert one.deferred
    assert not one.described


def test_no_call_is_begun_without_the_time_that_acting_needs() -> None:
    ecs, one = Ecs(seconds_left=11), look(0, [task_id(1)], closed=True)

    look_at(ecs, one)

    assert ecs.asked == []
    assert not one.described


# -- tasks that are listed


@pytest.mark.parametrize(
    ("of", "statuses"),
    [
        pytest.param({}, ["RUNNING"], id="the first"),
        pytest.param({"listed_at": FIRST_LISTED_AT}, ["STOPPED"], id="the second"),
        # It was placed since the first: somebody has set the instance ACTIVE for a time.
        pytest.param(
            {"listed_at": FIRST_LISTED_AT, "counted": 1},
            ["RUNNING", "STOPPED"],
            id="the second, and a counted task is not known",
        ),
        # ECS's answers are late one by one: the known task may be counted no longer, and the one
        # that is counted may have been placed while no pass looked.
        pytest.param(
            {"unfinished": (task_id(1),), "listed_at": NOW - WATCHED_WITHIN, "counted": 1},
            ["STOPPED"],
            id="the second, a minute later",
        ),
        pytest.param(
            {"unfinished": (task_id(1),), "listed_at": NOW - timedelta(seconds=61), "counted": 1},
            ["RUNNING", "STOPPED"],
            id="the second, more than a minute later",
        ),
        # One read of ECS's less: what it wants to run is counted, and nothing is.
        pytest.param(
            {"listed_at": NOW - timedelta(seconds=61)},
            ["STOPPED"],
            id="the second, more than a minute later, and no task is counted",
        ),
        pytest.param(
            {"closed": True, "counted": 1},
            ["RUNNING", "STOPPED"],
            id="a counted task is not known",
        ),
    ],
)
def test_a_listing_asks_for_what_ecs_wants_to_run_and_the_next_for_what_it_has_told_to_stop(
    of: dict[str, Any], statuses: list[str]
) -> None:
    # "The default status filter is RUNNING", which hides every task that is stopping.
    ecs, one = Ecs(), look(0, **of)
    ecs.lists("arn-0", task(1), task(2, "DEACTIVATING"), task(3, "STOPPED"))

    look_at(ecs, one)

    assert [about for what, about in ecs.asked if what == "list"] == [
        ("arn-0", status) for status in statuses
    ]
    known = "RUNNING" in statuses or of.get("unfinished")
    expected = {task_id(1)} if known else set()
    expected |= {task_id(2)} if "STOPPED" in statuses else set()
    assert {one.id for one in one.remaining} == expected
    assert one.listed_at == NOW
    assert one.described


def test_a_listing_is_of_its_end_by_the_clock() -> None:
    # Dated back to the pass's beginning, the second listing would come too soon after it.
    ecs, one = Ecs(call_seconds=2), look(0)

    look_at(ecs, one)

    assert one.listed_at is not None
    assert one.listed_at == NOW + timedelta(seconds=2)


def test_registrations_of_which_any_may_be_the_one_are_all_listed() -> None:
    # The tasks may be on the other one.
    ecs, one = Ecs(), look(0)
    first = replace(one.registrations["arn-0"], agent_connected=False)
    one.registrations.update(
        {"arn-0": first, "arn-x": replace(first, arn="arn-x", cluster="search")}
    )
    ecs.lists("arn-x", task(7))

    look_at(ecs, one)

    listed = [about for what, about in ecs.asked if what == "list"]
    assert listed == [("arn-0", "RUNNING"), ("arn-x", "RUNNING")]
    assert task_id(7) in one.tasks


def test_a_listing_that_fails_is_none_and_spoils_no_other() -> None:
    # Taken for an empty one, it would close the set of an instance in full service.
    ecs = Ecs(fails={"arn-0": DENIED})
    bad, good = look(0), look(1)

    look_at(ecs, bad, good)

    assert (bad.listed_at, bad.described) == (None, False)
    assert (bad.in_doubt, bad.reason) == (True, "AccessDenied")
    assert (good.listed_at, good.described) == (NOW, True)


def test_a_throttle_is_not_argued_with_and_those_it_puts_off_are_not_taken_for_seen() -> None:
    # Each further read makes a throttle last; and what was not listed has no empty listing.
    ecs = Ecs(fails={"arn-0": THROTTLED})
    bad, other = look(0), look(1)

    look_at(ecs, bad, other)

    assert len(ecs.asked) == 1
    assert (other.listed_at, other.described) == (None, False)
    assert not other.in_doubt


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_hooks_of_one_instance_each_see_all_of_its_tasks(order: tuple[int, int]) -> None:
    # One hook's drain knows the task already and the other's does not: a set that is closed without
    # the task answers its hook while the task serves.
    known = look(0, [task_id(1)], listed_at=FIRST_LISTED_AT)
    new = look(0, listed_at=FIRST_LISTED_AT)
    ecs, both = Ecs(), (known, new)
    ecs.lists("arn-0", task(1, "DEACTIVATING"), task(2, "STOPPED"))

    look_at(ecs, *(both[number] for number in order))

    for one in (known, new):
        assert task_id(1) in {*one.tasks, *one.drain.unfinished}
        assert one.described


def test_what_is_listed_and_could_not_be_described_stays_unfinished() -> None:
    # Only the listing knows of it: forgotten, it is released over.
    ecs, one = Ecs(), look(0)
    ecs.listed["arn-0", "RUNNING"] = [task_id(1)]

    look_at(ecs, one)

    assert one.drain.unfinished == (task_id(1),)
    assert one.missing == (task_id(1),)


def test_with_slow_calls_some_of_many_listings_are_complete_in_each_pass() -> None:
    # Listing went on until no time was left to describe anything, so that all of it was thrown
    # away, in every pass, until the deadline.
    ecs, idle = Ecs(call_seconds=1.0, seconds_left=30), [look(n) for n in range(LISTINGS_MIN)]
    for number in range(LISTINGS_MIN):
        ecs.lists(f"arn-{number}", task(number, "STOPPED"))

    look_at(ecs, *idle)

    assert sum(one.listed_at is not None for one in idle) > 2
    assert ecs.seconds_left >= 12 - 1.0


def test_the_listings_of_a_later_pass_begin_with_others() -> None:
    # The same ones in the same order would leave the last ones without a listing permanently.
    listed: set[str] = set()
    for number in range(20):
        ecs = Ecs(call_seconds=1.0, seconds_left=30)
        idle = [look(n) for n in range(LISTINGS_MIN)]
        for one in idle:
            one.now = NOW + timedelta(seconds=15 * number)
        look_at(ecs, *idle)
        listed |= {one.ec2_instance_id for one in idle if one.listed_at is not None}

    assert len(listed) == LISTINGS_MIN


def test_what_there_was_no_time_to_describe_is_no_listing_that_counts_as_complete() -> None:
    ecs, one = Ecs(call_seconds=3, seconds_left=19), look(0)
    ecs.lists("arn-0", *(task(n) for n in range(300)))

    look_at(ecs, one)

    known = {*one.drain.unfinished, *one.tasks}
    assert one.listed_at is None or known == {task_id(n) for n in range(300)}
    assert not one.described


def test_what_is_listed_beyond_what_an_envelope_holds_is_no_listing() -> None:
    # The set would be closed without the tasks that do not fit.
    ecs, one = Ecs(), look(0)
    ecs.listed["arn-0", "RUNNING"] = [task_id(n) for n in range(UNFINISHED_MAX + 1)]

    look_at(ecs, one)

    assert one.listed_at is None
    assert one.deferred


def test_a_crowd_is_listed_in_turns_those_first_that_are_closest_to_their_end() -> None:
    # Listing takes a read for each instance, of which ECS grants the account 20 a second.
    busy = [look(n, counted=1) for n in range(LISTINGS_MIN)]
    idle = [look(n + 100) for n in range(5)]
    ecs = Ecs()

    look_at(ecs, *busy, *idle)

    assert all(one.listed_at for one in idle)
    assert sum(one.listed_at is not None for one in busy) == LISTINGS_MIN - 5
    assert sum(one.deferred for one in busy) == 5


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_one_hook_has_seen_stopped_is_still_looked_at_for_the_other(
    order: tuple[int, int],
) -> None:
    # The drain that has not seen it yet would be held for as long as both share their passes.
    behind = look(0, [task_id(1)], closed=True)
    ahead = look(0, closed=True)
    ecs, both = Ecs(), (behind, ahead)
    ecs.has(task(1, "STOPPED"))

    look_at(ecs, *(both[number] for number in order))

    assert behind.described
    assert ahead.described


# -- what was seen STOPPED


def test_tasks_that_were_seen_stopped_are_listed_but_not_described_again() -> None:
    # A host of short jobs lists thousands of them for an hour: heartbeats would be lost over it.
    stopped, ecs = StoppedTasks(), Ecs()
    ecs.lists("arn-0", *(task(n, "STOPPED") for n in range(300)))

    look_at(ecs, look(0, listed_at=FIRST_LISTED_AT), stopped=stopped)
    first = len(ecs.described())
    again = look(0, listed_at=FIRST_LISTED_AT)
    look_at(ecs, again, stopped=stopped)

    assert (first, len(ecs.described())) == (300, 300)
    assert again.described
    assert again.tasks == {}  # the drain has never had anything to do with them
    assert again.listed_at == NOW


def test_only_tasks_that_are_stopped_are_remembered_as_such() -> None:
    stopped, ecs = StoppedTasks(), Ecs()
    ecs.lists("arn-0", task(2, "DEPROVISIONING"), task(3, "STOPPED"))

    look_at(ecs, look(0, listed_at=FIRST_LISTED_AT), stopped=stopped)

    assert [task_id(n) in stopped for n in (2, 3)] == [False, True]


@pytest.mark.parametrize("listed", [True, False])
def test_a_claimed_task_that_is_remembered_as_stopped_counts_as_such_only_where_it_is_listed(
    listed: bool,
) -> None:
    # The set is this instance's: nobody's word moves a task of another into it, or out of it.
    stopped, ecs = StoppedTasks(), Ecs()
    stopped.add([task(9, "STOPPED")])
    ecs.lists("arn-0", *(task(n) for n in range(5)), *([task(9, "STOPPED")] if listed else []))
    # One that lives is in the sample, so that the others are not asked about.
    one = look(0, [task_id(n) for n in (*range(5), 9)], listed_at=FIRST_LISTED_AT)

    look_at(ecs, one, stopped=stopped)

    assert task_id(9) not in ecs.described()
    assert (task_id(9) in one.tasks, one.described) == (listed, listed)


def test_the_memory_of_stopped_tasks_has_an_end() -> None:
    # A function that is warm for days must not fill its memory.
    stopped = StoppedTasks()
    stopped.add(task(n, "STOPPED") for n in range(50_005))

    assert task_id(4) not in stopped
    assert task_id(5) in stopped
    assert task_id(50_004) in stopped


# -- standalone tasks


def test_all_standalone_tasks_are_described_once_they_are_to_be_stopped() -> None:
    # Stopping at the first that lives, the others would never be told to stop.
    policy = Policy(None, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.STOP, 0)
    ids = [task_id(n) for n in range(150)]
    ecs, one = Ecs(), look(0, ids, closed=True, policy=policy)
    ecs.has(*(task(n, owner=Owner.STANDALONE) for n in range(150)))

    look_at(ecs, one)

    assert len(one.tasks) == 150
    assert one.described


# -- where the bounds are


def test_up_to_fifty_more_tasks_are_asked_about_together_with_those_of_other_drains() -> None:
    # A call for each drain of a crowd; or a hundred of one drain before another has any.
    ecs = Ecs()
    counts = {0: 55, 1: 6, 2: 56, 3: 5}
    looks = [
        look(number, [task_id(1_000 * number + n) for n in range(count)], closed=True)
        for number, count in counts.items()
    ]
    ecs.has(*(task(1_000 * number + n, "STOPPED") for number in counts for n in range(100)))

    look_at(ecs, *looks)

    # Five of each; then 50 and 1 together, and 51 by themselves.
    assert ecs.sizes() == [20, 51, 51]
    assert all(one.described for one in looks)


def test_up_to_fifty_listed_tasks_are_described_together_with_those_of_other_drains() -> None:
    ecs, looks = Ecs(), [look(number) for number in range(3)]
    for number, count in enumerate((50, 1, 51)):
        ecs.lists(f"arn-{number}", *(task(1_000 * number + n) for n in range(count)))

    look_at(ecs, *looks)

    assert ecs.sizes() == [51, 51]
    assert [len(one.tasks) for one in looks] == [50, 1, 51]
    assert all(one.described for one in looks)


def test_all_listed_tasks_are_described_though_the_first_of_them_lives() -> None:
    # The report names owners; and a task that is not described is not told to stop.
    ecs, one = Ecs(), look(0)
    ecs.lists("arn-0", *(task(n) for n in range(250)))

    look_at(ecs, one)

    assert (len(one.tasks), ecs.sizes()) == (250, [100, 100, 50])


def test_no_pass_lists_the_tasks_of_more_drains_than_are_granted() -> None:
    idle = [look(n) for n in range(LISTINGS_MIN + 1)]

    look_at(Ecs(), *idle)

    assert sum(one.listed_at is not None for one in idle) == LISTINGS_MIN


def test_those_that_have_been_listed_once_are_listed_first() -> None:
    # Two listings make a set: begun with others each time, a crowd has a hundred halves.
    new = [look(n) for n in range(LISTINGS_MIN)]
    once = [look(n + 100, listed_at=START) for n in range(LISTINGS_MIN)]

    look_at(Ecs(), *new, *once)

    assert all(one.listed_at for one in once)
    assert not any(one.listed_at for one in new)


def test_a_drain_without_a_registration_has_no_tasks_that_were_described() -> None:
    # Nothing was asked about it, so that nothing is known.
    one = look(0)
    one.registrations.clear()

    look_at(Ecs(), one)

    assert not one.described


@pytest.mark.parametrize(("to_report", "described"), [(True, 10), (False, 5)])
def test_from_the_deadline_on_all_tasks_are_described_for_the_report(
    to_report: bool, described: int
) -> None:
    ids = [task_id(n) for n in range(10)]
    ecs, one = Ecs(), replace(look(0, ids, closed=True), to_report=to_report)
    ecs.has(*(task(n) for n in range(10)))

    look_at(ecs, one)

    assert len(ecs.described()) == described


def test_with_exactly_the_time_that_acting_needs_tasks_are_described() -> None:
    ids = [task_id(n) for n in range(60)]
    ecs, one = Ecs(seconds_left=12.0), look(0, ids, closed=True)
    ecs.has(*(task(n, "STOPPED") for n in range(60)))

    look_at(ecs, one)

    assert one.described


@pytest.mark.parametrize(("seconds_left", "listings"), [(17.0, 1), (16.9, 0)])
def test_no_listing_is_begun_that_leaves_no_time_for_describing(
    seconds_left: float, listings: int
) -> None:
    ecs, one = Ecs(seconds_left=seconds_left), look(0)

    look_at(ecs, one)

    assert len(ecs.asked) == listings
    assert (one.listed_at is not None) == bool(listings)


def test_a_long_listing_goes_on_only_while_there_is_time_to_describe_what_it_finds() -> None:
    # Thousands of tasks are dozens of pages: the heartbeats of the batch are missed over them.
    ecs = Ecs(seconds_left=18, call_seconds=1)

    one = look(0)
    one.to_report = True

    look_at(ecs, one)

    assert ecs.goes_on == [True, False]


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_a_listing_of_which_a_task_cannot_be_described_is_none(error: DrainerError) -> None:
    # Two such listings would close the set without what they have found.
    ecs, one = Ecs(fails={"describe": error}), look(0)
    ecs.lists("arn-0", task(1))

    look_at(ecs, one)

    assert (one.listed_at, one.deferred) == (None, True)


def test_a_failure_in_the_middle_of_many_tasks_is_a_look_that_failed() -> None:
    ids = [task_id(n) for n in range(200)]
    ecs, one = Ecs(fails={task_id(150): THROTTLED}), look(0, ids, closed=True)
    ecs.has(*(task(n, "STOPPED") for n in range(200)))

    look_at(ecs, one)

    assert (one.failed, one.reason) == (True, "Rate exceeded")
    assert not one.described


@pytest.mark.parametrize("what", ["failed", "denied"])
def test_where_registrations_could_not_be_read_no_look_at_tasks_is_whole(what: str) -> None:
    # The tasks may be on the registration that was not read.
    one = look(0, closed=True)
    setattr(one, what, True)

    look_at(Ecs(), one)

    assert not one.described


def test_a_listing_that_just_fits_into_an_envelope_counts() -> None:
    ecs, one = Ecs(), look(0)
    ecs.listed["arn-0", "RUNNING"] = [task_id(n) for n in range(UNFINISHED_MAX)]

    look_at(ecs, one)

    assert one.listed_at == NOW
    assert len(one.drain.unfinished) == UNFINISHED_MAX


def test_a_task_that_is_known_and_missing_is_unfinished_once() -> None:
    # Twice in each pass, it would fill the envelope.
    one = look(0, [task_id(1)])

    look_at(Ecs(), one)

    assert one.listed_at == NOW
    assert one.drain.unfinished == (task_id(1),)


# A crowd of thousands went on as before: one read in ten was refused, and each refusal cost its
# drains a look.
@pytest.mark.parametrize("refused", ["list", "describe"])
def test_after_a_throttle_half_as_many_are_listed(refused: str) -> None:
    ecs, listings = Ecs(fails={refused: THROTTLED}), Listings()
    look_at(ecs, look(0, [task_id(0)]), listings=listings)

    assert listings.grant(100, NOW) == LISTINGS_MIN // 2


def test_another_failure_than_a_throttle_lists_as_many_as_before() -> None:
    listings = Listings()
    look_at(Ecs(fails={"describe": DENIED}), look(0, [task_id(0)]), listings=listings)

    assert listings.grant(100, NOW) > LISTINGS_MIN


# -- what is left of earlier registrations

TOLD = replace(task(1), desired_status="STOPPED")  # no agent is there to stop it


def left(number: int = 0, **of: Any) -> Look:
    """A drain of which all is known but the tasks of an earlier registration."""
    one, arn = look(number, **{"closed": True, **of}), f"old-{number}"
    one.registrations[arn] = container_instance(
        arn, f"i-{number}", agent_connected=False, cluster="search"
    )
    return one


def test_what_ecs_has_told_to_stop_on_an_earlier_registration_is_found() -> None:
    # It is in no count. Seed 4495: the instance went, and cut a task that was RUNNING.
    ecs, one = Ecs(), left()
    ecs.lists("old-0", TOLD)

    look_at(ecs, one)

    assert ecs.asked == [("list", ("old-0", "STOPPED")), ("describe", [TOLD.id])]
    assert one.behind == 1
    # In the set it would be waited for until the deadline, if its end is never reported.
    assert (one.tasks, one.drain.unfinished) == ({}, ())


def test_an_instance_with_one_registration_costs_no_read_more() -> None:
    # ECS grants the account 20 a second, for all drains.
    ecs, one = Ecs(), look(0, closed=True)

    look_at(ecs, one)

    assert ecs.asked == []
    assert one.behind is None


def test_what_has_stopped_on_an_earlier_registration_is_described_once() -> None:
    ecs, stopped = Ecs(), StoppedTasks()
    ecs.lists("old-0", task(1, "STOPPED"))
    first, second = left(), left()

    look_at(ecs, first, stopped=stopped)
    look_at(ecs, second, stopped=stopped)

    assert (first.behind, second.behind) == (0, 0)
    assert ecs.described() == [task_id(1)]


@pytest.mark.parametrize(
    ("rule", "described", "behind"),
    [
        pytest.param(StandaloneTasks.WAIT, True, 1, id="waited for"),
        pytest.param(StandaloneTasks.IGNORE, True, 0, id="ignored"),
        pytest.param(StandaloneTasks.IGNORE, False, 1, id="nothing is known of it"),
    ],
)
def test_a_job_on_an_earlier_registration_keeps_the_instance_as_its_policy_says(
    rule: StandaloneTasks, behind: int, *, described: bool
) -> None:
    policy = Policy(None, 3600, LifecycleActionResult.CONTINUE, rule, 300)
    ecs, one = Ecs(), left(policy=policy)
    ecs.lists("old-0", replace(TOLD, owner=Owner.STANDALONE))
    if not described:
        ecs.tasks_by_id.clear()

    look_at(ecs, one)

    assert one.behind == behind


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
@pytest.mark.parametrize("what", ["list", "describe"])
def test_what_is_left_over_and_cannot_be_read_is_not_taken_for_clear(
    what: str, error: DrainerError
) -> None:
    ecs, one = Ecs(fails={what: error}), left()
    ecs.lists("old-0", TOLD)

    look_at(ecs, one)

    assert (one.behind, one.in_doubt) == (None, True)


@pytest.mark.parametrize(("error", "asked"), [(THROTTLED, 1), (DENIED, 2)])
def test_a_throttle_ends_the_listing_of_what_is_left_over(error: DrainerError, asked: int) -> None:
    # To ask on for the others would only make it last.
    ecs, listings = Ecs(fails={"old-0": error}), Listings()
    one, other = left(0), left(1)

    look_at(ecs, one, other, listings=listings)

    assert len(ecs.asked) == asked
    assert other.behind == (0 if asked == 2 else None)
    assert (listings.grant(100, NOW) == LISTINGS_MIN // 2) == (error is THROTTLED)


def test_what_is_left_over_is_listed_of_no_more_drains_than_are_granted() -> None:
    # A pass of a custom resource may list as many as fit into ECS's burst, in both listings.
    drains = [left(n) for n in range(3)]
    due = look(9)

    look_at(Ecs(), *drains, due, listings=AtMost(3))

    assert due.listed_at == NOW
    assert [one.behind for one in drains] == [0, 0, None]


def test_without_time_what_is_left_over_is_not_listed() -> None:
    ecs, one = Ecs(seconds_left=16.9), left()

    look_at(ecs, one)

    assert (ecs.asked, one.behind) == ([], None)


@dataclass
class Answering(Ecs):
    """ECS whose listings have these answers, one after the other."""

    answers: list[list[str] | DrainerError] = field(default_factory=list)

    def task_ids(self, *_: Any, **__: Any) -> list[str]:
        answer = self.answers.pop(0)
        if isinstance(answer, DrainerError):
            raise answer
        return answer


@pytest.mark.parametrize("again", [[task_id(1)], [task_id(1), task_id(2)]])
def test_what_ecs_forgets_between_listing_and_description_is_not_unfinished(
    again: list[str],
) -> None:
    # On a host of a thousand jobs an hour it held each drain five minutes longer, and each pass of
    # a drain of hours looked for it.
    ecs, one = Answering(answers=[[task_id(1), task_id(2)], again]), look(0)
    ecs.has(task(1))

    look_at(ecs, one)

    left = tuple(again[1:])
    assert (one.drain.unfinished, one.missing, one.listed_at) == (left, left, NOW)


def test_what_is_missing_is_looked_for_again_among_what_was_listed() -> None:
    # Listed for a count that the described task explains, the other one would be left out by a
    # listing of STOPPED tasks alone, and the instance released over it.
    policy = Policy(None, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.IGNORE, 300)
    ecs = Ecs(listed={("arn-0", "RUNNING"): [task_id(1), task_id(2)]})
    one = look(0, counted=1, closed=True, policy=policy, listed_at=FIRST_LISTED_AT)
    ecs.has(task(1, owner=Owner.STANDALONE))

    look_at(ecs, one)

    assert one.missing == one.drain.unfinished == (task_id(2),)


def test_where_all_that_was_listed_is_described_nothing_is_listed_again() -> None:
    ecs, one = Answering(answers=[[task_id(1)]]), look(0)
    ecs.has(task(1))

    look_at(ecs, one)

    assert (ecs.answers, one.listed_at) == ([], NOW)


def test_without_its_second_listing_a_listing_with_a_missing_task_is_thrown_away() -> None:
    # It is not known which of its tasks may be left out.
    ecs, one = Answering(answers=[[task_id(2)], THROTTLED]), look(0)

    look_at(ecs, one)

    assert (one.in_doubt, one.listed_at, one.drain.unfinished) == (True, None, ())
