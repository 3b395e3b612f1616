"""The set of a drain's unfinished tasks, tried on every task there can be and every late answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain import task_set
from drainer.drain.look import Look
from drainer.drain.model import (
    UNFINISHED_MAX,
    ContainerInstance,
    InstanceProgress,
    LifecycleActionResult,
    Owner,
    Policy,
    StandaloneTasks,
    Task,
)
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INSTANCE = container_instance(of="i-0123456789abcdef0")
TASK_ID = "0123456789abcdef" * 2
NEVER = 10_000
LAG_SECONDS = (0, 10, 20)
PASS_SECONDS, END_SECONDS = 5, 75


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def drain(**changes: Any) -> InstanceProgress:
    known = InstanceProgress(
        cluster="payments", container_instance_arn="arn", draining_since=START, settled=True
    )
    return replace(known, **changes)


def look(of: InstanceProgress, seconds: float, *tasks: Task, **seen: Any) -> Look:
    instance = seen.pop("instance", INSTANCE)
    default: dict[str, Any] = {"described": True, "settled": True, **seen}
    default.setdefault("registrations", {instance.arn: instance})
    return Look(
        "i-0123456789abcdef0", of, at(seconds), tasks={one.id: one for one in tasks}, **default
    )


@cache
def task(last: str = "RUNNING", id: str = TASK_ID) -> Task:
    wanted = "RUNNING" if last == "RUNNING" else "STOPPED"
    return Task(id, Owner.SERVICE, "service:web", desired_status=wanted, last_status=last)


# -- a small model of ECS, and every course of events in it


@dataclass(frozen=True)
class Life:
    """A task by the seconds after DRAINING at which it was placed, told to stop, and stopped."""

    placed: int
    told: int
    stopped: int

    def listed(self, as_of: int, desired_status: str) -> bool:
        if as_of < self.placed:
            return False
        return (as_of < self.told) == (desired_status == "RUNNING")

    def host(self, as_of: int, *, counted: bool) -> ContainerInstance:
        wanted = self.listed(as_of, "RUNNING")
        return replace(INSTANCE, running_tasks=int(wanted and counted), memory_is_free=not wanted)

    def described(self, as_of: int) -> Task | None:
        if as_of < self.placed:
            return None
        told = "DEACTIVATING" if as_of >= self.told else "RUNNING"
        return task("STOPPED" if as_of >= self.stopped else told)


@dataclass(frozen=True)
class Lags:
    """How late the answers of each kind are: two listings, of either status, and descriptions."""

    running: tuple[int, int]
    stopped: tuple[int, int]
    described: int
    host: int = NEVER  # of the container instance; by default it shows memory that is taken


@dataclass(frozen=True)
class Rule:
    """By how many seconds the passes are wrong about what they remember; the rule is by none."""

    draining_since: int = 0
    listed_at: int = 0
    other_status: bool = False  # whether they list the status that the other listing should have
    any_memory: bool = False  # whether they take a container instance for free by its counters


def lives() -> Iterator[Life]:
    for placed, told in product((-15, 0), (*range(-5, 50, 5), NEVER)):
        if told >= placed:
            for lasts in (0, 15, NEVER):
                yield Life(placed, told, min(told + lasts, NEVER))


def all_lags() -> Iterator[Lags]:
    for first, second, third, fourth, described in product(*[LAG_SECONDS] * 4, (0, 20)):
        yield Lags((first, second), (third, fourth), described)
    # Where a description has said what the first listing would, the one that is made comes first.
    for first, host, running, second, described in product(LAG_SECONDS, *[(0, 20)] * 4):
        yield Lags((running, running), (first, second), described, host)


def listing(
    known: InstanceProgress, seconds: int, answer: Task | None, host: ContainerInstance
) -> frozenset[str] | None:
    """Return which tasks a pass lists, by their desired status; None where it lists none."""
    a_look = look(known, seconds, *([answer] if answer else ()), instance=host)
    needs = task_set.needs_listing(a_look, early=True)
    return frozenset(task_set.statuses_to_list(a_look)) if needs else None


def following(
    known: InstanceProgress,
    seconds: int,
    answer: Task | None,
    host: ContainerInstance,
    *,
    listed_at: datetime | None,
    missing: tuple[str, ...],
) -> InstanceProgress:
    """Return what a pass leaves for the next one."""
    if missing:
        known = replace(known, unfinished=missing)  # there is no other task
    tasks = [answer] if answer else []
    a_look = look(known, seconds, *tasks, missing=missing, instance=host, listed_at=listed_at)
    return task_set.carry_on(a_look, known)


class AskedOnce:
    """What the rules say of a pass, asked once of each: most courses differ in a few passes."""

    def __init__(self) -> None:
        self.listing = cache(listing)
        self.following = cache(following)


def closes_without_it(life: Life, lags: Lags, rule: Rule, rules: AskedOnce) -> bool | None:
    """
    Pass again and again as the rule says, until the set is closed.

    Returns:
        Whether the closed set lacks the task though it has not stopped; None if it never closes.
    """
    known = drain(draining_since=at(rule.draining_since))
    listings = 0
    for seconds in range(0, END_SECONDS, PASS_SECONDS):
        listed_at = None
        answer = life.described(seconds - lags.described)
        ids = set(known.unfinished)
        # Its counters may leave out what has been placed and does not run yet.
        host = INSTANCE if lags.host == NEVER else life.host(seconds - lags.host, counted=False)
        if rule.any_memory:
            host = replace(host, memory_is_free=not host.counted_tasks)
        statuses = rules.listing(known, seconds, answer if ids else None, host)
        if statuses is not None:
            late = {"RUNNING": lags.running[listings], "STOPPED": lags.stopped[listings]}
            if rule.other_status:
                statuses = frozenset(late) - statuses
            ids |= {TASK_ID for one in statuses if life.listed(seconds - late[one], one)}
            # A listing says that it was made at its end.
            listed_at = at(seconds + rule.listed_at)
            listings += 1
        missing = (TASK_ID,) if ids and not answer else ()
        seen = answer if ids else None
        known = rules.following(known, seconds, seen, host, listed_at=listed_at, missing=missing)
        if known.closed:
            return TASK_ID not in known.unfinished and seconds < life.stopped
    return None


def results(rule: Rule) -> Iterator[bool | None]:
    """Yield how each course ends under a rule."""
    rules = AskedOnce()
    for life, lags in product(lives(), all_lags()):
        yield closes_without_it(life, lags, rule, rules)


def test_no_closed_set_lacks_a_task_that_has_not_stopped_however_late_the_answers_are() -> None:
    # What the set lacks nobody waits for: the instance goes, and cuts it.
    assert set(results(Rule())) == {False}  # each course has an end, and none lacks the task


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(Rule(draining_since=-20), id="first listing at DRAINING"),
        pytest.param(Rule(draining_since=-5), id="first listing 15 s after DRAINING"),
        pytest.param(Rule(listed_at=-20), id="second listing with the first"),
        pytest.param(Rule(listed_at=-5), id="second listing 15 s after the first"),
        pytest.param(Rule(other_status=True), id="first the stopped ones, then the wanted ones"),
        pytest.param(Rule(any_memory=True), id="counters without the memory"),
    ],
)
def test_each_second_of_the_rule_is_needed(rule: Rule) -> None:
    # A test that would pass with a weaker rule proves nothing about this one.
    assert any(results(rule))


# -- when a set is closed


def test_a_listing_before_drainings_lag_is_over_does_not_count() -> None:
    # A task that was placed in the last moment before DRAINING is in no listing yet.
    early = task_set.carry_on(look(drain(), 19, listed_at=at(19)), drain())
    in_time = task_set.carry_on(look(drain(), 20, listed_at=at(21)), drain())

    assert early.listed_at is None
    assert in_time.listed_at == at(21)


def test_the_second_listing_is_far_enough_from_the_firsts_end() -> None:
    once = drain(listed_at=at(25))

    assert not task_set.is_closed(look(once, 44, listed_at=at(44)))
    assert task_set.is_closed(look(once, 45, listed_at=at(45)))
    assert not task_set.is_closed(look(once, 45))
    assert not task_set.is_closed(look(once, 45, listed_at=at(45), settled=False))


def test_the_first_listing_stays_the_first() -> None:
    # Moved on by each listing, it would never be followed by a second.
    once = drain(listed_at=at(25))

    assert task_set.carry_on(look(once, 40, listed_at=at(40)), once).listed_at == at(25)


def test_a_listing_of_some_registrations_only_does_not_count() -> None:
    # The task may be on the registration that is yet to be found.
    unsettled = look(drain(settled=False), 30, listed_at=at(30), settled=False)

    assert task_set.carry_on(unsettled, drain(settled=False)).listed_at is None


def test_a_set_that_was_closed_is_of_no_use_while_registrations_are_searched_for() -> None:
    closed = drain(closed=True)

    assert task_set.all_stopped(look(closed, 60))
    assert not task_set.all_stopped(look(closed, 60, settled=False))


@pytest.mark.parametrize("status", ["ACTIVE", "REGISTERING", "DEREGISTERING", "SOMETHING_NEW"])
def test_nothing_is_closed_where_the_instance_is_not_draining(status: str) -> None:
    # On what is ACTIVE, ECS may place a task right after the look.
    seen = look(drain(closed=True), 60, instance=replace(INSTANCE, status=status))

    assert not task_set.is_closed(seen)
    assert not task_set.all_stopped(seen)


def test_one_task_more_than_there_is_room_for_leaves_the_set_open_until_there_is() -> None:
    # Cut off, the set would be closed without the tasks that did not fit.
    once = drain(listed_at=at(25))
    ids = [f"{number:032x}" for number in range(UNFINISHED_MAX + 1)]
    tasks = [task(id=one) for one in ids]

    assert not task_set.is_closed(look(once, 60, *tasks, listed_at=at(60)))
    assert task_set.is_closed(look(once, 60, *tasks[1:], listed_at=at(60)))
    again = task_set.carry_on(look(once, 60, *tasks, listed_at=at(60)), once)
    assert (again.listed_at, again.closed) == (None, False)


# -- when a description stands for the first listing

FREE = replace(INSTANCE, memory_is_free=True)


def test_without_a_wanted_task_a_description_stands_for_the_first_listing() -> None:
    # A crowd of thousands reads ten thousand listings, of which ECS grants twenty a second.
    seen = look(drain(), 20, instance=FREE, seen_at=at(22))

    assert not task_set.needs_listing(seen, early=True)
    assert task_set.carry_on(seen, drain()).listed_at == at(22)
    assert task_set.carry_on(look(drain(), 20, instance=FREE), drain()).listed_at == at(20)


@pytest.mark.parametrize(
    ("seconds", "known", "seen"),
    [
        pytest.param(19, {}, {}, id="before the lag is over"),
        pytest.param(30, {}, {"instance": replace(FREE, running_tasks=1)}, id="a task is running"),
        pytest.param(30, {}, {"instance": replace(FREE, pending_tasks=1)}, id="a task is pending"),
        pytest.param(30, {}, {"instance": INSTANCE}, id="memory is taken"),
        pytest.param(30, {"settled": False}, {"settled": False}, id="registrations are sought"),
        pytest.param(30, {"draining_since": None}, {}, id="not DRAINING before this look"),
        pytest.param(30, {}, {"instance": replace(FREE, status="DEREGISTERING")}, id="no DRAINING"),
        pytest.param(90, {"closed": True}, {}, id="a closed set is to be confirmed"),
        pytest.param(
            30,
            {},
            {"registrations": {"a": FREE, "b": replace(INSTANCE, arn="b")}},
            id="the other registration has a task",
        ),
        pytest.param(30, {}, {"registrations": {}}, id="not found"),
    ],
)
def test_no_other_description_stands_for_it(
    seconds: int, known: dict[str, Any], seen: dict[str, Any]
) -> None:
    # A task that is wanted, and told to stop later, is in no listing of the stopped ones: it would
    # be cut.
    of = drain(**known)
    a_look = look(of, seconds, **{"instance": FREE, **seen})

    assert task_set.carry_on(a_look, of).listed_at is None


def test_what_was_not_found_is_not_free() -> None:
    assert look(drain(), 30, instance=FREE).wants_none
    assert not look(drain(), 30, registrations={}).wants_none


def test_a_description_that_follows_does_not_move_the_first_instant() -> None:
    # Moved on by each look, it would never be followed by a listing.
    once = drain(listed_at=at(25))

    assert task_set.carry_on(look(once, 40, instance=FREE), once).listed_at == at(25)
    assert task_set.needs_listing(look(once, 45, instance=FREE), early=True)
    assert task_set.statuses_to_list(look(once, 45, instance=FREE)) == ("STOPPED",)


# -- which tasks are unfinished


def test_a_task_stays_until_it_is_seen_stopped() -> None:
    known = drain(unfinished=(TASK_ID, "b" * 32))

    assert task_set.unfinished(look(known, 60)) == (TASK_ID, "b" * 32)
    assert task_set.unfinished(look(known, 60, task("DEACTIVATING"))) == (TASK_ID, "b" * 32)
    assert task_set.unfinished(look(known, 60, task("STOPPED"))) == ("b" * 32,)
    assert task_set.unfinished(look(known, 60, missing=(TASK_ID, "b" * 32))) == known.unfinished


# -- tasks that ECS does not know


def test_what_is_missing_keeps_the_instance_for_five_minutes_and_not_for_ever() -> None:
    # A task that stopped over an hour ago is known to nobody: the sweep may take up such a chain.
    known = drain(closed=True, unfinished=(TASK_ID,))
    seen: dict[str, Any] = {"missing": (TASK_ID,)}

    first = task_set.carry_on(look(known, 60, **seen), known)
    assert first.missing_since == at(60)
    assert task_set.carry_on(look(first, 75, **seen), first).missing_since == at(60)
    assert not task_set.all_stopped(look(first, 359, **seen))
    assert task_set.all_stopped(look(first, 360, **seen))


def test_what_was_missing_and_is_seen_again_is_missing_anew_the_next_time() -> None:
    # A task that serves may be missing from one stale answer now and from another in an hour.
    known = drain(closed=True, unfinished=(TASK_ID,), missing_since=at(60))

    assert task_set.carry_on(look(known, 75, task()), known).missing_since is None


def test_what_is_missing_beside_a_task_that_lives_does_not_count_its_time_yet() -> None:
    # The answer is of a moment at which the others were known, and may be out of date for one.
    known = drain(closed=True, unfinished=(TASK_ID, "b" * 32))
    seen = look(known, 60, task(), missing=("b" * 32,))

    assert task_set.carry_on(seen, known).missing_since is None


# -- when a look lists


def counting(tasks: int) -> ContainerInstance:
    return replace(INSTANCE, running_tasks=tasks)


def policy(standalone: StandaloneTasks, grace_seconds: int = 300) -> Policy:
    return Policy(None, 3600, LifecycleActionResult.CONTINUE, standalone, grace_seconds)


def lists(
    of: InstanceProgress, seconds: float, *tasks: Task, early: bool = True, **seen: Any
) -> bool:
    return task_set.needs_listing(look(of, seconds, *tasks, **seen), early=early)


def test_a_listing_is_due_when_the_lag_is_over() -> None:
    assert [lists(drain(), seconds) for seconds in (19, 20)] == [False, True]
    assert [lists(drain(listed_at=at(30)), seconds) for seconds in (49, 50)] == [False, True]
    assert not lists(drain(draining_since=None), 60)


def test_what_was_not_found_is_never_listed() -> None:
    # Not even for the report at the deadline: each listing is two reads and more.
    seen = look(drain(), 3600, to_report=True)

    assert task_set.needs_listing(seen, early=True)
    assert not task_set.needs_listing(replace(seen, registrations={}), early=True)


def test_at_the_deadline_whatever_is_left_is_listed_for_the_report() -> None:
    busy: dict[str, Any] = {"instance": replace(counting(3), status="ACTIVE"), "early": False}

    assert [lists(drain(), 60, to_report=late, **busy) for late in (False, True)] == [False, True]


def test_a_closed_set_is_listed_again_only_where_ecs_counts_a_task_that_it_lacks() -> None:
    # ECS would have placed it nevertheless, and nobody would ever look for it.
    closed = drain(closed=True)

    assert lists(closed, 60, instance=counting(1))
    assert not lists(closed, 60)
    assert not lists(closed, 60, task(), instance=counting(1))
    assert lists(closed, 60, task("DEACTIVATING"), instance=counting(1))


def test_what_lists_late_does_so_once_nothing_is_known_to_keep_the_instance() -> None:
    assert lists(drain(), 60, early=False)
    assert not lists(drain(), 60, early=False, instance=counting(1))
    assert not lists(drain(), 60, task("DEACTIVATING"), early=False)


STANDALONE = replace(task(), owner=Owner.STANDALONE)


def test_standalone_tasks_are_listed_once_they_are_to_be_stopped() -> None:
    # Only what a listing names is told to stop.
    known = drain(policy=policy(StandaloneTasks.STOP))
    busy: dict[str, Any] = {"instance": counting(1), "early": False}

    assert not lists(known, 299, STANDALONE, **busy)
    assert lists(known, 300, STANDALONE, **busy)
    assert not lists(replace(known, standalone_stopped=True), 300, STANDALONE, **busy)


def test_standalone_tasks_that_are_ignored_do_not_put_a_listing_off() -> None:
    # Counted for ever, they would keep the set from being closed.
    known = drain(policy=policy(StandaloneTasks.IGNORE))
    busy: dict[str, Any] = {"instance": counting(1), "early": False}

    assert lists(known, 60, STANDALONE, **busy)
    assert not lists(known, 60, task(), **busy)


def test_the_grace_period_of_standalone_tasks_counts_from_draining() -> None:
    known = drain(policy=policy(StandaloneTasks.STOP, 100), draining_since=at(50))

    assert [task_set.grace_is_over(look(known, seconds)) for seconds in (149, 150)] == [False, True]
    for changes in (
        {"policy": None},
        {"draining_since": None},
        {"policy": policy(StandaloneTasks.WAIT, 0)},
    ):
        assert not task_set.grace_is_over(look(replace(known, **changes), 150))


# -- what is left of earlier registrations


def behind(seconds: float, *tasks: Task, of: InstanceProgress | None = None, **seen: Any) -> Look:
    """A look at an instance that was registered before, where ECS counts some tasks or none."""
    counted, count = seen.pop("counted", 0), seen.pop("behind", None)
    old = container_instance("arn-old", agent_connected=False, running_tasks=counted)
    both = {"arn": INSTANCE, "arn-old": old}
    found = look(of or drain(closed=True), seconds, *tasks, registrations=both, **seen)
    found.behind = count
    return found


def test_no_listing_counts_while_ecs_counts_tasks_on_an_earlier_registration() -> None:
    # ECS may have told the last of them to stop just now: it is in no count, and in no listing yet.
    once = drain(listed_at=at(25))

    assert task_set.carry_on(behind(30, of=drain(), counted=1, listed_at=at(30)), drain()) == (
        drain()
    )
    assert not task_set.is_closed(behind(60, of=once, counted=1, listed_at=at(60)))
    assert task_set.is_closed(behind(60, of=once, listed_at=at(60)))
    # Once they are waited for no longer, the listings go on.
    assert task_set.is_closed(behind(300, of=once, counted=1, listed_at=at(300)))


def test_a_listing_that_would_not_count_is_not_made_but_for_tasks_that_are_to_be_stopped() -> None:
    # Each takes a read, of which all drains of the account share 20 a second.
    stops = drain(policy=policy(StandaloneTasks.STOP, 100))

    assert not task_set.needs_listing(behind(60, of=drain(), counted=1), early=True)
    assert task_set.needs_listing(behind(60, of=drain()), early=True)
    assert task_set.needs_listing(behind(300, of=drain(), counted=1), early=True)
    assert task_set.needs_listing(behind(100, of=stops, counted=1), early=True)


def test_what_is_left_over_is_listed_where_nothing_else_keeps_the_instance() -> None:
    # In each pass of a drain of hours it would cost a read each.
    assert task_set.must_list_behind(behind(60))
    assert not task_set.must_list_behind(behind(60, task("DEACTIVATING")))
    assert not task_set.must_list_behind(behind(60, of=drain()))
    assert not task_set.must_list_behind(behind(60, counted=1))
    assert not task_set.must_list_behind(behind(300))
    assert not task_set.must_list_behind(look(drain(closed=True), 60))
    # Where its agent is not connected to another one, it may be the one.
    apart = replace(INSTANCE, agent_connected=False)
    assert not task_set.must_list_behind(look(drain(closed=True), 60, instance=apart))


def passes(
    known: InstanceProgress, seconds: int, told: int, lags: tuple[int, int], *, blind: bool = False
) -> Look:
    """
    One pass, with a task on an earlier registration that ECS tells to stop, and that never does.

    Args:
        known: What earlier passes know.
        seconds: When, after DRAINING.
        told: When ECS tells the task to stop.
        lags: How late the counts are, and the listing.
        blind: Whether it does not see what ECS counts there.
    """
    counted = 0 if blind else int(seconds - lags[0] < told)
    lists_now = task_set.needs_listing(behind(seconds, of=known, counted=counted), early=True)
    listed_at = at(seconds) if lists_now else None
    seen = behind(seconds, of=known, counted=counted, listed_at=listed_at)
    if task_set.must_list_behind(seen):
        seen.behind = int(seconds - lags[1] >= told)
    return seen


def leaves_early(
    told: int, usual: tuple[int, int], last: tuple[int, int], *, blind: bool = False
) -> bool:
    """
    Whether any pass lets the instance leave before it need wait no longer for that task.

    The answers of the last pass may be later than those of the others, or less late.
    """
    known = drain()
    for seconds in range(0, told + END_SECONDS, PASS_SECONDS):
        seen = passes(known, seconds, told, last)
        if task_set.is_clear_behind(seen) and task_set.all_stopped(seen):
            return True
        known = task_set.carry_on(passes(known, seconds, told, usual, blind=blind), known)
    return False


def test_no_task_on_an_earlier_registration_is_left_early_however_late_the_answers_are() -> None:
    # The instance goes, and cuts it.
    lags = [(counts, listing) for counts in (0, 20) for listing in (0, 20)]
    courses = [*product(range(-20, 60, PASS_SECONDS), lags, lags)]

    assert not any(leaves_early(*course) for course in courses)
    # A listing that counts while ECS counts the task is not enough.
    assert any(leaves_early(*course, blind=True) for course in courses)


def test_what_is_left_over_is_waited_for_no_longer_than_five_minutes() -> None:
    # Its task may be described as RUNNING for ever: no agent is there to report its end.
    for seconds, clear in ((299, False), (300, True)):
        assert task_set.is_clear_behind(behind(seconds, counted=1)) is clear
        assert task_set.is_clear_behind(behind(seconds, behind=1)) is clear


# -- what is left, and what is carried on


def test_a_task_that_is_wanted_is_asked_about_before_one_that_is_stopping() -> None:
    # It lives longest: one that is not STOPPED decides.
    stopping, wanted = task("DEACTIVATING", "a" * 32), task("RUNNING", "b" * 32)

    assert task_set.unfinished(look(drain(), 60, stopping, wanted)) == ("b" * 32, "a" * 32)


def test_neither_a_stopping_task_nor_a_counted_one_is_released_over() -> None:
    # ECS counts no task that is stopping; and what it counts may be one that no listing had.
    closed = drain(closed=True)

    assert task_set.all_stopped(look(closed, 60))
    assert not task_set.all_stopped(look(closed, 60, task("DEACTIVATING")))
    assert not task_set.all_stopped(look(closed, 60, instance=counting(1)))


def test_a_set_that_just_fits_counts_its_listing() -> None:
    tasks = [task(id=f"{number:032x}") for number in range(UNFINISHED_MAX)]
    known = task_set.carry_on(look(drain(), 60, *tasks, listed_at=at(60)), drain())

    assert (len(known.unfinished), known.listed_at) == (UNFINISHED_MAX, at(60))


def test_what_is_active_again_forgets_all_but_its_tasks() -> None:
    # ECS may place tasks again, standalone ones too, which nobody has told to stop.
    before = drain(
        listed_at=at(25), closed=True, missing_since=at(30), standalone_stopped=True,
        unfinished=(TASK_ID,),
    )  # fmt: skip
    seen = look(before, 60, instance=replace(INSTANCE, status="ACTIVE"))

    after = task_set.carry_on(seen, before)

    assert after == replace(drain(), unfinished=(TASK_ID,))


@pytest.mark.parametrize(
    ("status", "running", "pending", "empty"),
    [
        pytest.param("DRAINING", 0, 0, True, id="as it was found"),
        pytest.param("ACTIVE", 0, 0, False, id="tasks may be placed again"),
        pytest.param("DRAINING", 1, 0, False, id="a task runs"),
        pytest.param("DRAINING", 0, 1, False, id="a task is about to"),
    ],
)
def test_what_was_found_empty_stays_so_while_nothing_can_be_placed(
    status: str, running: int, pending: int, *, empty: bool
) -> None:
    # Of a thousand instances that may go, each would else be listed twice more at the end; and one
    # that serves again would be taken down with its tasks.
    instance = container_instance(
        status=status, agent_connected=False, running_tasks=running, pending_tasks=pending
    )
    found = Look("i-1", InstanceProgress(), START, registrations={"arn": instance})

    assert task_set.stays_empty(found) is empty
