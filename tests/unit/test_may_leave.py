from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain import holding_tasks, may_leave
from drainer.drain.admission import Admission, Admitted
from drainer.drain.may_leave import Act, Phase
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    UNFINISHED_MAX,
    ContainerInstance,
    Drain,
    Hook,
    LifecycleAction,
    LifecycleActionResult,
    Origin,
    Owner,
    Place,
    Policy,
    StandaloneTasks,
    Task,
)
from drainer.drain.task_set import needs_listing, stops_standalone
from drainer.lifecycle import heartbeats, rules
from drainer.lifecycle.look import HookLook, Waiting
from drainer.lifecycle.outcome import HookOutcome
from drainer.lifecycle.rules import (
    HookDecision,
    HookPhase,
    Step,
    deadline,
    decide,
    is_beyond_hop_limit,
    is_early,
    waits_no_more,
)
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/payments/0123456789abcdef"
ACTION = LifecycleAction("payments-asg", "drainer", "i-0123456789abcdef0", "t" * 36)
ABANDON = LifecycleActionResult.ABANDON
POLICY = Policy("payments", 3600, ABANDON, StandaloneTasks.WAIT, 300)
NOW_SECONDS = 600


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def task(
    last: str = "RUNNING", desired: str = "RUNNING", *, owner: Owner = Owner.SERVICE, id: str = "a"
) -> Task:
    return Task(id=id, owner=owner, group="service:web", desired_status=desired, last_status=last)


STOPPED = task("STOPPED", "STOPPED")


@cache
def instance(status: str = "DRAINING", running: int = 0, pending: int = 0) -> ContainerInstance:
    return container_instance(
        ARN, ACTION.ec2_instance_id, status, running_tasks=running, pending_tasks=pending
    )


def drain(hop: int = 5, since: datetime | None = START, **changes: Any) -> Drain:
    of: dict[str, Any] = {"closed": True, "settled": True, "policy": POLICY, **changes}
    return Drain(
        action=ACTION,
        started_at=START,
        last_heartbeat_at=START,
        hop=hop,
        deadline_at=START + timedelta(hours=1),
        heartbeat_timeout_seconds=1800,
        cluster="payments",
        container_instance_arn=ARN,
        draining_since=since,
        **of,
    )


# Many looks of the small space have the same past, and nothing changes it.
kept_drain = cache(drain)
POLICIES = {rule: replace(POLICY, standalone_tasks=rule) for rule in StandaloneTasks}


def look_at(
    seen_instance: ContainerInstance | None = None,
    *tasks: Task,
    of: Drain | None = None,
    seconds: float = 60,
    waiting: Waiting = Waiting.YES,
    proven: bool = True,
    **seen: Any,
) -> HookLook:
    """A look that lacks nothing, at a drain whose set of tasks is closed, unless it is said."""
    default: dict[str, Any] = {"described": True, "settled": True}
    look = HookLook(
        ec2_instance_id=ACTION.ec2_instance_id,
        drain=of or drain(),
        now=at(seconds),
        waiting=waiting,
        proven=proven,
        pass_interval_seconds=15,
        deadline_result=ABANDON,
        registrations={ARN: seen_instance} if seen_instance else {},
        tasks={one.id: one for one in tasks},
        **{**default, **seen},
    )
    look.to_report = look.is_late
    return look


def phase_of(a_look: HookLook) -> StrEnum:
    return decide(a_look).phase


LAST = ("PENDING", "RUNNING", "DEACTIVATING", "STOPPED", "DELETED", "SOMETHING_NEW")
STATUSES = (None, "ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "SOMETHING_NEW")
TASKS: list[tuple[Task, ...]] = [()] + [
    (task(last, desired, owner=owner),)
    for last, desired, owner in product(LAST, ("RUNNING", "STOPPED"), Owner)
]
FEW_TASKS: list[tuple[Task, ...]] = [
    (),
    (STOPPED,),
    (STOPPED, task(id="b")),
    (task("DEACTIVATING", "STOPPED"),),
    (task(owner=Owner.STANDALONE),),
]
# Never, closer to now than answers are assumed to be late, and by just as much.
INSTANTS = (None, at(NOW_SECONDS - 19), at(NOW_SECONDS - 20))


def what_the_world_can_look_like() -> Iterator[HookLook]:
    """Every look by what is seen, with a past that says least and one that says most."""
    for waiting, absent, status in product(Waiting, (False, True), STATUSES):
        if absent and status is not None:
            continue
        for some, counted, late, since, known, standalone, instant in product(
            TASKS if status else [()], (0, 1) if status else (0,), (False, True), (None, START),
            (False, True), StandaloneTasks, INSTANTS if status is None else (None, START),
        ):  # fmt: skip
            a_drain = kept_drain(
                since=since,
                closed=known,
                settled=known,
                policy=POLICIES[standalone],
                listed_at=instant,
                searched_at=instant,
                absent_since=instant,
                not_waiting_since=instant,
            )
            yield look_at(
                instance(status, counted) if status else None, *some, of=a_drain,
                seconds=3600 if late else NOW_SECONDS, waiting=waiting,
                absent=absent, settled=known, described=known,
                listed_at=at(NOW_SECONDS) if known else None,
            )  # fmt: skip


def what_can_be_known_of_the_tasks() -> Iterator[HookLook]:
    """Every state of a set of tasks, of a container instance that is DRAINING."""
    every: Iterator[tuple[Any, ...]] = product(
        FEW_TASKS, ("described", "not described", "failed"), (0, 1), (False, True), INSTANTS,
        (False, True), INSTANTS, (False, True), (False, True), (False, True),
        (*INSTANTS, START, "not seen missing"), (False, True),
    )  # fmt: skip
    for (
        some, looked, counted, late, since, closed, before, listed, settled, was_settled, missing,
        ignore,
    ) in every:  # fmt: skip
        missing_since = missing if isinstance(missing, datetime) else None
        is_missing = missing != "not seen missing"
        if was_settled and not settled:
            continue
        rule = StandaloneTasks.IGNORE if ignore else StandaloneTasks.WAIT
        a_drain = kept_drain(
            since=since,
            closed=closed,
            settled=was_settled,
            policy=POLICIES[rule],
            listed_at=before,
            missing_since=missing_since,
            unfinished=("gone",) if is_missing else (),
        )
        yield look_at(
            instance("DRAINING", counted), *some, of=a_drain,
            seconds=3600 if late else NOW_SECONDS, settled=settled,
            missing=("gone",) if is_missing else (), described=looked == "described",
            # A look that failed has listed nothing.
            listed_at=at(NOW_SECONDS) if listed and looked != "failed" else None,
            failed=looked == "failed",
        )  # fmt: skip


@cache
def space() -> list[tuple[HookLook, HookDecision]]:
    """The whole small space, decided once; not at import, for each worker imports every file."""
    looks = [*what_the_world_can_look_like(), *what_can_be_known_of_the_tasks()]
    return [(a_look, decide(a_look)) for a_look in looks]


def released_early(a_look: HookLook, decision: HookDecision) -> bool:
    return decision.step == Step.COMPLETE and a_look.now < a_look.deadline_at


def early_over_a_container_instance() -> list[HookLook]:
    found = [
        a_look
        for a_look, decision in space()
        if released_early(a_look, decision) and a_look.registrations
    ]
    assert found, "a space without a release would prove nothing"
    return found


def test_the_whole_small_space_is_answered() -> None:
    assert len(space()) > 50_000
    assert {decision.phase for _, decision in space()} == {*Phase, *HookPhase}


def test_never_released_before_the_deadline_without_a_set_that_two_listings_have_closed() -> None:
    # What no listing has seen may run: one stale answer beside idle counts cut a serving task.
    for a_look in early_over_a_container_instance():
        of, seen = a_look.drain, a_look
        by_this_look = (
            seen.listed_at is not None
            and of.listed_at is not None
            and of.draining_since is not None
            and a_look.now - of.listed_at >= timedelta(seconds=20)
            and a_look.now - of.draining_since >= timedelta(seconds=20)
        )

        assert of.closed or by_this_look, a_look


def test_never_released_before_the_deadline_while_registrations_are_searched_for() -> None:
    # A left-over registration is clear at once, while the one that serves is in another cluster.
    for a_look in early_over_a_container_instance():
        assert a_look.settled, a_look


def test_never_released_before_the_deadline_by_a_look_that_lacks_a_task() -> None:
    # What could not be read may run; and a set that is closed is no reason to look no more.
    for a_look in early_over_a_container_instance():
        assert a_look.described, a_look
        assert not a_look.failed, a_look


def test_tasks_that_ecs_does_not_know_keep_the_instance_for_five_minutes() -> None:
    # A stale answer of DescribeTasks is MISSING, for a task that serves.
    for a_look in early_over_a_container_instance():
        since = a_look.drain.missing_since
        if a_look.missing:
            assert since is not None
            assert a_look.now - since >= timedelta(seconds=300), a_look


def test_a_set_of_which_each_task_is_stopped_releases_at_once() -> None:
    # Every second more costs money; a machine that never released would pass all tests above.
    assert phase_of(look_at(instance(), STOPPED)) == Phase.DRAINED
    second = drain(closed=False, listed_at=at(40))
    assert phase_of(look_at(instance(), of=second, listed_at=at(60))) == Phase.DRAINED
    assert phase_of(look_at(instance(), of=second, listed_at=at(59), seconds=59)) == Phase.CLOSING


def test_defect_01_never_released_before_the_deadline_over_a_task_that_is_not_stopped() -> None:
    # DEACTIVATING means that the load balancer still sends requests to the task.
    for a_look, decision in space():
        ignored = a_look.drain.policy and a_look.drain.policy.standalone_tasks == "ignore"
        alive = [
            t
            for t in a_look.tasks.values()
            if t.last_status not in ("STOPPED", "DELETED")
            and not (ignored and t.owner == Owner.STANDALONE)
        ]
        if alive and a_look.registrations:
            assert not released_early(a_look, decision), a_look


def test_defect_04_pending_provisioning_and_activating_tasks_keep_the_instance() -> None:
    # A task that is about to run is cut like any other.
    for last in ("PENDING", "PROVISIONING", "ACTIVATING"):
        assert phase_of(look_at(instance(pending=1), task(last))) == Phase.DRAINING


def test_defect_05_never_released_by_a_look_that_did_not_begin_draining() -> None:
    # Before DRAINING is set, ECS may place a task right after the look.
    for a_look, decision in space():
        if released_early(a_look, decision) and decision.phase == Phase.DRAINED:
            assert a_look.status == "DRAINING"
            assert a_look.drain.draining_since is not None


def test_defect_05_an_idle_active_instance_is_drained_first() -> None:
    decision = decide(look_at(instance("ACTIVE")))

    assert (decision.act, decision.step) == (Act.SET_DRAINING, Step.RE_INVOKE)


def test_defect_07_a_failed_look_never_answers_before_the_deadline() -> None:
    # One throttle must not kill tasks.
    for a_look, decision in space():
        if a_look.waiting == Waiting.UNSEEN or not (a_look.registrations or a_look.absent):
            assert not released_early(a_look, decision)


def test_defect_07_a_failed_look_is_re_invoked_so_that_the_chain_does_not_die() -> None:
    decision = decide(look_at(None, waiting=Waiting.UNSEEN))

    assert (decision.phase, decision.republish) == (Phase.UNSEEN, True)


def test_counts_alone_never_mean_drained() -> None:
    # runningTasksCount is blind to a task that is stopping.
    idle = instance()
    assert phase_of(look_at(idle, of=drain(closed=False))) == Phase.CLOSING
    assert phase_of(look_at(idle, of=drain(unfinished=("a",)), described=False)) == Phase.CLOSING


def test_a_count_that_no_known_task_explains_keeps_the_instance() -> None:
    # Somebody has set it ACTIVE and DRAINING again between two looks, and ECS has placed a task.
    for a_look in early_over_a_container_instance():
        assert holding_tasks.unexplained(a_look) == 0, a_look


def test_only_the_deadline_answers_with_the_declared_policy() -> None:
    for _, decision in space():
        if decision.step == Step.COMPLETE:
            overdue = decision.phase == HookPhase.OVERDUE
            assert decision.result == ("ABANDON" if overdue else "CONTINUE")


def test_no_heartbeat_once_the_drain_is_overdue_or_has_visibly_gone_on() -> None:
    # An endless heartbeat holds an instance that nobody waits for.
    asked = 0
    for a_look, decision in space():
        if decision.phase == HookPhase.OVERDUE or a_look.now >= a_look.deadline_at:
            assert not decision.heartbeat, a_look
        if decision.phase == HookPhase.OVER and decision.heartbeat:
            assert a_look.waiting == Waiting.NO, a_look
            asked += 1

    assert asked


def test_defect_10_gone_container_instance_needs_two_looks_that_agree() -> None:
    # One stale answer must not release an instance whose tasks serve.
    absent = look_at(None, absent=True)
    soon = replace(absent, drain=drain(absent_since=at(41)))
    again = replace(absent, drain=drain(absent_since=at(40)))

    assert phase_of(absent) == Phase.UNSEEN
    assert phase_of(soon) == Phase.UNSEEN  # one stale answer is given twice within its lag
    assert phase_of(again) == Phase.UNREGISTERED


@pytest.mark.parametrize(("seconds", "phase"), [(299, Phase.UNSEEN), (300, Phase.UNREGISTERED)])
@pytest.mark.parametrize(
    "of",
    [{"unfinished": ("a",)}, {"closed": False, "counted": True}],
    ids=["seen", "counted, and not listed yet"],
)
def test_what_is_gone_with_tasks_that_ran_is_waited_for_as_long_as_a_missing_task(
    of: dict[str, Any], seconds: float, phase: Phase
) -> None:
    # For 40 s ECS said that a living cluster did not exist: three known jobs were cut.
    known = drain(absent_since=START, **of)
    decision = decide(look_at(None, absent=True, of=known, seconds=seconds))

    assert decision.phase == phase
    assert decision.reason == (
        "The EC2 instance is in no cluster. It is searched for again" * (seconds < 300)
    )


@pytest.mark.parametrize(
    ("seen", "phase", "searched_at"),
    [
        pytest.param({"seconds": 319}, Phase.DRAINED, at(20), id="lately"),
        pytest.param({"seconds": 320}, Phase.CLOSING, None, id="five minutes ago"),
        # As a request of CloudFormation does in each pass.
        pytest.param({"seconds": 320, "searched": True}, Phase.DRAINED, at(320), id="just now"),
    ],
)
def test_with_no_agent_connected_all_clusters_are_searched_again_before_the_answer(
    seen: dict[str, Any], phase: Phase, searched_at: datetime | None
) -> None:
    # Its agent may have registered in another cluster an hour after the last search, which is made
    # more and more seldom: six tasks would be cut there.
    lone = replace(instance(), agent_connected=False)
    found = look_at(lone, of=drain(searched_at=at(20)), **seen)

    assert phase_of(found) == phase
    assert carried(found).searched_at == searched_at
    assert (phase == Phase.CLOSING) == ("are searched for" in decide(found).reason)


def test_while_tasks_are_left_an_old_search_still_counts() -> None:
    # A hundred of them would search a hundred clusters in each pass.
    lone = replace(instance(running=1), agent_connected=False)
    found = look_at(lone, task(), of=drain(searched_at=at(20), unfinished=("a",)), seconds=320)

    assert carried(found).searched_at == at(20)


def test_an_instance_that_no_cluster_ever_had_is_released_on_the_second_look() -> None:
    # Returning without an answer would hang it until the hook's timeout.
    never = replace(drain(), container_instance_arn=None, absent_since=START)
    decision = decide(look_at(None, absent=True, of=never))

    assert (decision.phase, decision.result) == (Phase.UNREGISTERED, "CONTINUE")


def test_one_listing_alone_never_means_drained() -> None:
    # One stale ListTasks would cut what still serves.
    first = drain(closed=False)

    assert phase_of(look_at(instance(), of=first, listed_at=at(60))) == Phase.CLOSING


def test_nothing_is_over_by_one_look_or_by_two_within_the_lag() -> None:
    # A drain that stops quietly leaves its hook without heartbeats, with tasks that serve.
    for a_look, decision in space():
        since = a_look.drain.not_waiting_since
        if decision.phase == HookPhase.OVER and a_look.waiting != Waiting.OVER:
            assert a_look.waiting == Waiting.NO
            assert since is not None
            assert a_look.now - since >= timedelta(seconds=20)


def test_what_is_drained_at_the_deadline_is_continued_and_not_abandoned() -> None:
    # ABANDON would retain an instance on which nothing runs.
    done = look_at(instance(), STOPPED, seconds=3600)

    assert decide(done).result == "CONTINUE"


@pytest.mark.parametrize(
    ("a_look", "phase"),
    [
        pytest.param(look_at(instance("ACTIVE", 2)), Phase.ACTIVE, id="ECS may place tasks"),
        pytest.param(look_at(instance(running=2)), Phase.DRAINING, id="counts suffice"),
        pytest.param(
            look_at(instance(), task("STOPPING", "STOPPED")), Phase.CLOSING, id="a task stops"
        ),
        pytest.param(
            look_at(instance(), task("DEACTIVATING", "STOPPED"), failed=True),
            Phase.CLOSING,
            id="a task lives, whatever else has failed",
        ),
        pytest.param(look_at(instance(), described=False), Phase.CLOSING, id="put off"),
        pytest.param(
            look_at(instance(), described=False, failed=True), Phase.UNSEEN, id="tasks not seen"
        ),
        pytest.param(look_at(instance(), STOPPED), Phase.DRAINED, id="all ended"),
        pytest.param(look_at(instance()), Phase.DRAINED, id="no task at all"),
        pytest.param(
            look_at(instance(), of=drain(closed=False)), Phase.CLOSING, id="the set is open"
        ),
        pytest.param(look_at(instance(), settled=False), Phase.CLOSING, id="searched elsewhere"),
        pytest.param(look_at(instance(), missing=("b",)), Phase.CLOSING, id="missing, seen once"),
        pytest.param(
            look_at(instance(), of=drain(since=None)), Phase.DRAINING, id="DRAINING only now"
        ),
        pytest.param(
            look_at(instance(running=1)), Phase.DRAINING, id="a count that no list explains"
        ),
        pytest.param(look_at(instance("REGISTERING")), Phase.UNREADY, id="registering"),
        pytest.param(look_at(None, waiting=Waiting.OVER), HookPhase.OVER, id="answered by another"),
        pytest.param(look_at(None, waiting=Waiting.NO), Phase.UNSEEN, id="not waiting, seen once"),
        pytest.param(
            look_at(None, waiting=Waiting.NO, of=drain(not_waiting_since=at(40))),
            HookPhase.OVER,
            id="not waiting, seen twice",
        ),
        pytest.param(
            look_at(None, waiting=Waiting.NO, of=drain(not_waiting_since=at(41))),
            Phase.UNSEEN,
            id="not waiting, seen twice in a moment",
        ),
        pytest.param(look_at(instance(running=9), seconds=3600), HookPhase.OVERDUE, id="deadline"),
        pytest.param(
            look_at(None, waiting=Waiting.UNSEEN, seconds=3600),
            HookPhase.OVERDUE,
            id="blind deadline",
        ),
    ],
)
def test_phase(a_look: HookLook, phase: Phase) -> None:
    assert phase_of(a_look) == phase


def test_every_phase_is_in_one_row_and_the_last_row_waits() -> None:
    assert sorted(rule.phase for rule in may_leave.RULES) == sorted(Phase)
    assert sorted(rule.phase for rule in rules.RULES if rule.phase) == sorted(HookPhase)
    assert may_leave.RULES[-1].act == Act.WAIT
    assert rules.RULES[-1].step == Step.RE_INVOKE


# -- time


HOOK = Hook("drainer", 1800, 172_800, None, None)


@pytest.mark.parametrize(
    ("timeout", "global_timeout", "seconds"),
    [
        (3600, 172_800, 3600),
        (172_800, 172_800, 172_800 - 180),
        (3600, 3000, 3000 - 180),
    ],
)
def test_defect_12_deadline_is_an_instant_bounded_by_the_global_timeout(
    timeout: int, global_timeout: int, seconds: int
) -> None:
    # Past the global timeout Auto Scaling answers for us, tasks or not.
    hook = replace(HOOK, global_timeout_seconds=global_timeout)
    policy = replace(POLICY, drain_timeout_seconds=timeout)
    new = replace(drain(), deadline_at=None)

    assert deadline(new, hook, policy, 180) == START + timedelta(seconds=seconds)


def test_a_hook_that_was_never_read_ends_no_drain() -> None:
    # It may grant two days: one failed read of it must not answer at the default timeout.
    unread = replace(drain(hop=0), deadline_at=None, policy=None)

    assert phase_of(look_at(None, of=unread, seconds=100_000)) == Phase.UNSEEN
    assert phase_of(look_at(None, of=unread, seconds=172_800)) == HookPhase.OVERDUE


def test_defect_12_deadline_is_only_ever_tightened() -> None:
    # Metadata changed in mid-drain must not keep an instance for ever.
    later = deadline(drain(), HOOK, replace(POLICY, drain_timeout_seconds=7200), 180)
    earlier = deadline(drain(), HOOK, replace(POLICY, drain_timeout_seconds=60), 180)

    assert later == START + timedelta(hours=1)
    assert earlier == START + timedelta(minutes=1)


@pytest.mark.parametrize("timeout", [30, 60, 300, 1800, 7200])
def test_defect_11_heartbeats_come_at_about_half_the_timeout_and_never_too_late(
    timeout: int,
) -> None:
    # Slower than the timeout, and the hook answers for us; every pass, and we spend API calls.
    last, beats = 0, []
    for second in range(0, 20_000, 15):
        a_drain = replace(
            drain(),
            last_heartbeat_at=START + timedelta(seconds=last),
            heartbeat_timeout_seconds=timeout,
            deadline_at=START + timedelta(seconds=20_000),
        )
        if heartbeats.is_due(look_at(instance(running=1), of=a_drain, seconds=second)):
            beats.append(second - last)
            last = second

    assert max(beats) <= timeout / 2
    assert min(beats[1:]) > timeout / 2 - 30


NAMELESS = replace(ACTION, lifecycle_action_token="")


@pytest.mark.parametrize("action", [ACTION, NAMELESS])
def test_a_heartbeat_proves_the_action_before_anything_is_changed(action: LifecycleAction) -> None:
    # A notification that Auto Scaling never sent must not set an instance DRAINING. What has no
    # token may wait at another hook, as an instance does that is launched into a warm pool:
    # DRAINING, it would never serve.
    new, later = drain(since=None), drain()
    first = look_at(instance("ACTIVE"), of=replace(new, action=action), proven=False)
    again = look_at(instance(), of=replace(later, action=action), proven=False)
    known = look_at(instance(), of=replace(later, action=action))
    back = look_at(instance("ACTIVE"), of=replace(new, action=action))

    assert [heartbeats.is_due(one) for one in (first, again, known, back)] == [
        True,
        True,
        False,
        True,
    ]
    assert [heartbeats.is_unproven(one) for one in (first, again, known, back)] == [
        True,
        True,
        False,
        True,
    ]


def test_an_action_that_is_not_proven_is_asked_about_whatever_was_seen() -> None:
    # With the container instance unseen, nothing would show that the notification is a true one.
    unseen = look_at(None, waiting=Waiting.UNSEEN, proven=False)

    assert heartbeats.is_due(unseen)
    assert not heartbeats.is_due(replace(unseen, proven=True))
    assert not heartbeats.is_due(replace(unseen, now=at(3600)))


def test_a_hook_that_was_never_read_gets_no_heartbeat_by_what_event_bridge_says() -> None:
    # EventBridge tells of the actions of all hooks: a heartbeat at another's hook holds an instance
    # that nobody drains.
    told = replace(drain(), by_event_bridge=True, policy=None)
    unread = look_at(None, waiting=Waiting.UNSEEN, of=told, proven=False)

    assert not heartbeats.is_due(unread)
    assert heartbeats.is_due(replace(unread, drain=replace(told, policy=POLICY)))
    assert heartbeats.is_due(replace(unread, drain=replace(told, by_event_bridge=False)))


def test_no_heartbeat_for_what_is_not_waiting() -> None:
    old = replace(drain(), last_heartbeat_at=START - timedelta(hours=1))

    assert not heartbeats.is_due(look_at(None, waiting=Waiting.NO, of=old))
    assert heartbeats.is_due(look_at(None, waiting=Waiting.UNSEEN, of=old))


# -- what only Auto Scaling's word ends


def gone(**changes: Any) -> HookLook:
    """Two looks agree that Auto Scaling does not wait."""
    of = replace(drain(not_waiting_since=at(40)), **changes)
    return look_at(None, waiting=Waiting.NO, of=of)


def test_no_look_alone_ends_a_drain_of_which_there_is_a_record() -> None:
    # Two stale answers would end the drain quietly, and leave its hook without heartbeats.
    decision = decide(gone())

    assert waits_no_more(gone())
    assert (decision.phase, decision.step) == (HookPhase.OVER, Step.STOP)
    assert (decision.heartbeat, decision.republish) == (True, True)


def test_what_auto_scaling_is_asked_about_once_more_is_looked_at_soon() -> None:
    # It may wait after all. After 75 s its heartbeat could be too late.
    assert decide(gone()).quiet is False


@pytest.mark.parametrize("waiting", [Waiting.NO, Waiting.UNSEEN])
def test_an_instance_that_is_not_known_to_wait_is_not_released_for_what_ecs_says(
    waiting: Waiting,
) -> None:
    # The answer would go to whatever waits by then.
    decision = decide(look_at(instance(), STOPPED, waiting=waiting))

    assert (decision.phase, decision.step) == (Phase.UNSEEN, Step.RE_INVOKE)


def test_an_answer_at_the_deadline_comes_alone_and_says_what_is_left() -> None:
    # If it is not taken, the rest of the pass must not stop a task, or set DRAINING, any more.
    jobs = alone(StandaloneTasks.STOP, 3600, JOB)
    active = look_at(instance("ACTIVE", running=1), task(), seconds=3600)

    late, other = decide(jobs), decide(active)

    assert (late.phase, late.stop_tasks) == (HookPhase.OVERDUE, ())
    assert (other.phase, other.act) == (HookPhase.OVERDUE, Act.WAIT)
    assert late.reason == "Standalone tasks are left (stop): 1"
    assert other.reason == "Tasks are left of service:web"


def test_before_the_deadline_there_is_no_answer_and_the_reason_is_the_instances() -> None:
    decision = decide(look_at(instance("ACTIVE", running=1), task()))

    assert decision.result is None
    assert decision.reason.startswith("DRAINING is set in this pass")


@pytest.mark.parametrize(
    "ended",
    [
        pytest.param(replace(gone(), proven=False), id="Auto Scaling has never confirmed it"),
        pytest.param(gone(origin=Origin.WAKE_UP), id="a wake-up only answers"),
        pytest.param(replace(gone(action=NAMELESS), now=at(3600)), id="past its deadline"),
        pytest.param(look_at(None, waiting=Waiting.OVER), id="it has visibly gone on"),
    ],
)
def test_what_is_over_and_not_to_be_asked_about_stops(ended: HookLook) -> None:
    # An endless heartbeat holds an instance that nobody waits for.
    decision = decide(ended)

    assert (decision.phase, decision.step) == (HookPhase.OVER, Step.STOP)
    assert (decision.heartbeat, decision.republish) == (False, False)


def test_the_deadline_of_an_action_that_is_known_by_its_token_is_answered_unseen() -> None:
    # Auto Scaling tells our action from all others by the token; a listing that is late must not
    # let the hook time out. Without a token the answer would be for whatever waits by then.
    late = replace(gone(), now=at(3600))
    unproven_one = replace(late, proven=False)
    nameless = replace(late, drain=replace(late.drain, action=NAMELESS))

    assert [phase_of(one) for one in (late, unproven_one, nameless)] == [
        HookPhase.OVERDUE, HookPhase.OVER, HookPhase.OVER,
    ]  # fmt: skip


# -- hops and messages that come too soon


def test_a_chain_with_more_hops_than_can_be_ends_and_the_sweep_goes_on() -> None:
    # Something publishes without delay: each hop costs an invocation, and an end of heartbeats
    # would cut what runs.
    hops_max = look_at(instance(running=1)).hops_max
    spinning = look_at(instance(running=1), of=drain(hop=hops_max))
    swept = replace(spinning, drain=replace(spinning.drain, origin=Origin.SWEEP))

    assert (is_beyond_hop_limit(spinning), decide(spinning).republish) == (True, False)
    assert decide(spinning).hop_limit
    assert decide(spinning).phase == Phase.DRAINING
    assert not is_beyond_hop_limit(look_at(instance(running=1), of=drain(hop=hops_max - 1)))
    assert decide(look_at(instance(running=1), of=drain(hop=hops_max - 1))).republish
    assert not is_beyond_hop_limit(swept)


def test_hops_without_end_still_get_heartbeats_and_the_answer() -> None:
    # The limit is for what spins; it is no reason to let a hook time out over a task that runs.
    far = drain(hop=999_999)
    old = replace(far, last_heartbeat_at=START - timedelta(hours=1))

    assert decide(look_at(instance(running=1), of=old)).heartbeat
    assert decide(look_at(instance(), STOPPED, of=far)).step == Step.COMPLETE
    assert decide(look_at(instance(running=1), of=far, seconds=3600)).step == Step.COMPLETE


@pytest.mark.parametrize(
    ("sent_seconds", "early"), [(60, True), (52.6, True), (52.5, False), (45, False), (None, False)]
)
def test_what_comes_before_its_delay_acts_but_does_not_re_invoke(
    sent_seconds: float | None, early: bool
) -> None:
    # A subscription's filter takes minutes to apply: what goes past the queue that delays would go
    # round without any delay, hundreds of times a minute; its delayed twin goes on.
    sent = drain(sent_at=None if sent_seconds is None else at(sent_seconds))
    a_look = look_at(instance("ACTIVE", 1), of=sent)

    assert is_early(a_look) is early
    assert decide(a_look).republish is not early
    assert decide(a_look).act == Act.SET_DRAINING


@pytest.mark.parametrize(
    ("origin", "seen", "republish"),
    [
        (Origin.CHAIN, instance(running=1), True),
        (Origin.WAKE_UP, instance(running=1), False),
        (Origin.SWEEP, instance(running=1), True),
        (Origin.SWEEP, None, True),
    ],
)
def test_a_wake_up_is_never_re_invoked_and_what_the_sweep_takes_up_is(
    origin: Origin, seen: ContainerInstance | None, republish: bool
) -> None:
    # A wake-up would fork the chain whose event it is; the sweep takes up only what is silent.
    found = replace(drain(), origin=origin)

    assert decide(look_at(seen, of=found)).republish is republish


# -- what is carried along


def carried(a_look: HookLook, **done: Any) -> Drain:
    admitted = Admitted(Admission.DUE, a_look.drain, None)
    outcome = HookOutcome(look=a_look, decision=decide(a_look), admitted=admitted, **done)
    return outcome.following()


def test_a_drain_remembers_that_it_has_found_its_instance_active() -> None:
    # Back in service, it is set ACTIVE although an operator had set it DRAINING before that.
    found = [carried(look_at(instance(status=one), of=drain())) for one in ("ACTIVE", "DRAINING")]
    again = carried(look_at(instance(status="DRAINING"), of=replace(drain(), was_active=True)))

    assert [one.was_active for one in (*found, again)] == [True, False, True]


def test_a_drain_remembers_whether_tasks_were_counted_when_it_was_found_last() -> None:
    # An instance that Spot has taken back would be waited for although it had none any more.
    found = [carried(look_at(instance(running=count))).counted for count in (0, 1)]
    lost = [carried(look_at(of=drain(counted=one))).counted for one in (False, True)]

    assert found == lost == [False, True]


@pytest.mark.parametrize("of", [{"closed": True, "counted": True}, {"closed": False}])
def test_what_is_gone_and_had_no_task_is_not_waited_for_any_longer(of: dict[str, Any]) -> None:
    # Spot takes back what it has interrupted, and ECS deregisters it: its group waits for minutes.
    gone = look_at(None, absent=True, of=drain(absent_since=START, **of), seconds=20)

    assert phase_of(gone) == Phase.UNREGISTERED


@pytest.mark.parametrize(
    ("seeing", "before", "after"),
    [
        pytest.param({"seen_at": at(61)}, None, at(61), id="looked for"),
        pytest.param({"seen_at": at(61), "failed": True}, at(30), at(30), id="a call failed"),
        pytest.param({"seen_at": at(61), "denied": True}, at(30), at(30), id="one was denied"),
        # A crowd in a hundred clusters began its search again in each pass, and found nothing.
        pytest.param(
            {"seen_at": at(61), "failed": True, "searched_on": True},
            None,
            at(61),
            id="no time left",
        ),
        pytest.param({}, at(30), at(30), id="not looked for"),
    ],
)
def test_a_drain_remembers_when_its_instance_was_last_looked_for(
    seeing: dict[str, Any], before: datetime | None, after: datetime | None
) -> None:
    # Passes that see nothing write too. Seed 270: one listing lacked the instance, all looks failed
    # for 37 minutes, and then another listing lacked it. It was released while it was ACTIVE.
    known = drain(sought_at=before)

    assert carried(look_at(of=known, **seeing)).sought_at == after


def test_what_has_a_connected_agent_is_not_looked_for() -> None:
    found = look_at(instance(), of=drain(sought_at=at(30)), seen_at=at(61))

    assert carried(found).sought_at is None


@pytest.mark.parametrize("settled", [False, True])
def test_two_searches_count_from_the_end_of_the_second(*, settled: bool) -> None:
    # In a large account a search takes longer than it counts for: an instance would have to be
    # drained in the very pass in which the second ends.
    lone = replace(instance(), agent_connected=False)
    known = drain(searched_at=at(20), settled=False)
    found = look_at(lone, of=known, seen_at=at(61), searched=True, settled=settled)

    assert carried(found).searched_at == (at(61) if settled else at(20))


def test_defect_22_draining_since_is_forgotten_when_someone_sets_the_instance_active() -> None:
    # A remembered flag would release an instance on which ECS places tasks again.
    assert carried(look_at(instance("ACTIVE"))).draining_since is None
    assert carried(look_at(instance("ACTIVE")), drained_at=at(63)).draining_since == at(63)
    assert carried(look_at(instance())).draining_since == START


def test_what_a_reactivation_makes_untrue_is_forgotten() -> None:
    # ECS may have placed tasks: with one stale listing the old set would release over them, and
    # standalone tasks that came with them would never be stopped.
    known = drain(
        listed_at=at(30), unfinished=("b",), missing_since=at(40), standalone_stopped=True
    )
    active = carried(look_at(instance("ACTIVE"), of=known), drained_at=at(61), stopped=True)

    assert (active.listed_at, active.closed, active.missing_since) == (None, False, None)
    assert not active.standalone_stopped
    assert active.unfinished == ("b",)


def test_a_failed_look_forgets_nothing_that_was_seen_and_proves_nothing() -> None:
    # A task that is forgotten is released over; one that is proven STOPPED by a throttle, too.
    known = drain(
        listed_at=at(30), unfinished=("b",), others=(Place("c", "arn"),), searched_at=at(5)
    )
    unseen = carried(look_at(None, of=known, described=False, settled=False, failed=True))

    assert unseen.unfinished == ("b",)
    assert (unseen.others, unseen.searched_at, unseen.closed) == ((Place("c", "arn"),), at(5), True)
    assert unseen.settled


@pytest.mark.parametrize("settled", [True, False])
def test_whether_the_registrations_are_all_known_is_what_the_latest_look_found(
    *, settled: bool
) -> None:
    # Not remembered, all clusters would be searched in each pass; believed after the agent has
    # gone, another registration would not be looked for.
    looked = look_at(instance(), of=drain(settled=not settled), settled=settled)

    assert carried(looked).settled == settled


def test_a_search_is_forgotten_once_an_agent_is_connected() -> None:
    # The registration with the agent may go again: what was searched before then proves nothing.
    known = drain(searched_at=at(5))
    apart = replace(instance(), agent_connected=False)

    assert carried(look_at(instance(), of=known)).searched_at is None
    assert carried(look_at(apart, of=known)).searched_at == at(5)
    assert carried(look_at(apart, searched=True)).searched_at == at(60)


@pytest.mark.parametrize(
    ("statuses", "phase", "status"),
    [
        pytest.param(("DRAINING", "ACTIVE"), Phase.ACTIVE, "ACTIVE", id="the second is ACTIVE"),
        pytest.param(("ACTIVE", "DRAINING"), Phase.ACTIVE, "ACTIVE", id="the first is ACTIVE"),
        pytest.param(("REGISTERING", "ACTIVE"), Phase.ACTIVE, "ACTIVE", id="ACTIVE comes first"),
        pytest.param(("DRAINING", "REGISTERING"), Phase.UNREADY, "REGISTERING", id="one is new"),
        pytest.param(("DRAINING", "DRAINING"), Phase.DRAINING, "DRAINING", id="all are DRAINING"),
    ],
)
def test_without_a_connected_agent_an_instance_is_what_any_of_its_registrations_is(
    statuses: tuple[str, str], phase: Phase, status: str
) -> None:
    # ECS would go on to place tasks on the one that was left out, and tasks that run there would
    # not be counted: any of them may be the one with the agent.
    apart = [replace(instance(one, 2, 1), agent_connected=False) for one in statuses]
    look = look_at(apart[0])
    look.registrations["arn-2"] = replace(apart[1], arn="arn-2", running_tasks=3, pending_tasks=4)

    seen = look.container_instance

    assert seen is not None
    assert (phase_of(look), seen.status, seen.agent_connected) == (phase, status, False)
    assert (seen.running_tasks, seen.pending_tasks) == (5, 5)


def left_behind(status: str, *, tasks: int = 2, seconds: float = 60) -> HookLook:
    look = look_at(instance(), seconds=seconds)
    old = replace(instance(status, running=tasks), arn="arn-old", agent_connected=False)
    look.registrations["arn-old"] = replace(old, cluster="search")
    return look


def test_where_an_earlier_registration_has_tasks_it_is_drained_beside_the_live_one() -> None:
    # ECS did not replace them, and their containers ended with the instance 66 s later.
    look = left_behind("ACTIVE")

    assert decide(look).act == Act.SET_DRAINING
    assert [one.arn for one in look.to_drain] == [ARN, "arn-old"]
    # A pass that could not set it DRAINING is not the last one that looks at it.
    assert carried(look).others == (Place("search", "arn-old"),)


def test_what_ecs_still_counts_on_an_earlier_registration_is_waited_for_some_minutes() -> None:
    # Without a wait replacements do not start in time; without an end, a task that ECS does not
    # replace holds the instance to its deadline, since no agent is there to report its end.
    soon, late = (left_behind("DRAINING", seconds=seconds) for seconds in (299, 300))

    assert (decide(soon).phase, decide(late).phase) == (Phase.CLOSING, Phase.DRAINED)
    assert "ECS counts 2 tasks of earlier registrations" in decide(soon).reason
    assert decide(left_behind("ACTIVE", seconds=300)).phase == Phase.DRAINED


@pytest.mark.parametrize("status", ["ACTIVE", "DRAINING"])
def test_an_earlier_registration_without_tasks_is_not_waited_for(status: str) -> None:
    # Left over by every agent that lost its state: each drain after that took minutes longer.
    look = left_behind(status, tasks=0)
    look.behind = 0

    assert decide(look).phase == Phase.DRAINED


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        pytest.param(None, "The tasks are read in a later pass", id="not listed yet"),
        pytest.param(1, "Tasks of earlier registrations are not known to be STOPPED: 1", id="one"),
    ],
)
def test_what_ecs_has_told_to_stop_on_an_earlier_registration_is_waited_for(
    behind: int | None, reason: str
) -> None:
    # It is in no count. Seed 4495: a task was RUNNING when the hook was answered. And it may be
    # described so for ever, since no agent reports its end.
    soon, late = (left_behind("DRAINING", tasks=0, seconds=seconds) for seconds in (299, 300))
    soon.behind = late.behind = behind

    assert (decide(soon).phase, decide(late).phase) == (Phase.CLOSING, Phase.DRAINED)
    assert decide(soon).reason == reason


@pytest.mark.parametrize("last", ["RUNNING", "DEACTIVATING"])
def test_a_known_task_on_an_earlier_registration_is_waited_for_as_long(last: str) -> None:
    # Seen while the agent was connected there, it held the instance to its deadline, 48 hours by
    # default: nothing is there to report its end.
    soon, late, elsewhere = (
        left_behind("DRAINING", tasks=0, seconds=seconds) for seconds in (299, 300, 300)
    )
    for look, arn in ((soon, "arn-old"), (late, "arn-old"), (elsewhere, ARN)):
        known = replace(task(last, "STOPPED", id="b"), container_instance_arn=arn)
        look.tasks, look.behind = {"b": known}, 0
        look.drain = replace(look.drain, unfinished=("b",))

    assert [decide(look).phase for look in (soon, late, elsewhere)] == [
        Phase.CLOSING,
        Phase.DRAINED,
        Phase.CLOSING,
    ]


def test_a_known_task_on_what_is_no_registration_any_more_is_waited_for_as_long() -> None:
    # Deregistered by somebody, it was nothing that is left over, and its task held the instance to
    # the deadline. Without a connected agent nothing says that the task is not here.
    known = replace(task("RUNNING", "STOPPED", id="b"), container_instance_arn="c/payments/gone")
    looks = [look_at(instance(), seconds=seconds) for seconds in (299, 300, 300)]
    looks[2].registrations = {ARN: replace(instance(), agent_connected=False)}
    for look in looks:
        look.tasks, look.drain = {"b": known}, replace(look.drain, unfinished=("b",))

    assert [decide(look).phase for look in looks] == [
        Phase.CLOSING,
        Phase.DRAINED,
        Phase.CLOSING,
    ]


@pytest.mark.parametrize(
    "arn", [ARN, "", "arn:aws:ecs:us-east-1:123456789012:container-instance/0123456789abcdef"]
)
def test_a_task_that_may_be_on_the_live_registration_is_waited_for(arn: str) -> None:
    # ARNs have two formats, and both have the same id.
    look = look_at(instance(), seconds=300)
    known = replace(task("RUNNING", "STOPPED", id="b"), container_instance_arn=arn)
    look.tasks, look.drain = {"b": known}, replace(look.drain, unfinished=("b",))

    assert decide(look).phase == Phase.CLOSING


OLD = Place("search", "arn-old")


def lacking(seconds: float = 60, **changes: Any) -> HookLook:
    """A look that has not described a registration which earlier looks have found."""
    look = look_at(instance(), seconds=seconds)
    look.asked, look.drain = (Place("payments", ARN), OLD), replace(look.drain, others=(OLD,))
    for name, value in changes.items():
        setattr(look, name, value)
    return look


def test_an_earlier_registration_that_one_answer_lacks_is_waited_for_and_sought_again() -> None:
    # One throttle or one old answer, and its running tasks were in no look at the end.
    soon, late, gone = lacking(299), lacking(300), lacking(inactive={"arn-old"})

    assert [decide(look).phase for look in (soon, late, gone)] == [
        Phase.CLOSING,
        Phase.DRAINED,
        Phase.DRAINED,
    ]
    assert [carried(look).others for look in (soon, late, gone)] == [(OLD,), (), ()]
    assert "does not describe an earlier registration" in decide(soon).reason


def test_before_it_could_be_set_draining_what_one_answer_lacks_is_not_forgotten() -> None:
    # Two passes could not set it DRAINING, and the second saw one of two registrations.
    look = lacking()
    look.drain = replace(look.drain, draining_since=None)
    look.registrations = {ARN: instance("ACTIVE")}

    assert carried(look).others == (OLD,)


def test_a_look_that_fails_does_not_begin_the_wait_for_a_missing_task_again() -> None:
    # With every tenth pass throttled, five minutes of missing were never over.
    before = drain(unfinished=("b",), missing_since=at(40))

    assert carried(look_at(instance(), of=before, failed=True)).missing_since == at(40)
    assert carried(look_at(instance(), of=before)).missing_since is None


def test_one_that_could_not_be_asked_about_is_asked_about_again_while_it_may_count() -> None:
    # A throttle is no reason to forget what the agent may be connected to again. But to be denied
    # what no longer counts held an instance without a task to its deadline.
    agent_off = lacking(600, failed=True)
    agent_off.registrations = {ARN: replace(instance(), agent_connected=False)}

    assert carried(lacking(299, failed=True)).others == (OLD,)
    assert carried(lacking(300, failed=True)).others == ()
    assert carried(agent_off).others == (OLD,)


def test_no_more_registrations_are_asked_about_again_than_a_record_takes() -> None:
    # A longer list than that is no envelope: the drain's next message would be refused.
    many = tuple(Place("search", f"arn-{n}") for n in range(REGISTRATIONS_MAX))

    assert carried(lacking(asked=many)).others == many[: REGISTRATIONS_MAX - 1]


def test_while_an_earlier_registration_is_unseen_no_listing_counts() -> None:
    # Its tasks may be told to stop after the listing, which is to show them all.
    first = drain(listed_at=None, closed=False)
    look = look_at(instance(), of=first, listed_at=at(55))
    unseen = look_at(instance(), of=first, listed_at=at(55))
    unseen.asked = (Place("payments", ARN), OLD)

    assert carried(look).listed_at is not None
    assert carried(unseen).listed_at is None


def test_an_earlier_registration_is_looked_at_by_each_pass_though_ecs_counts_no_task_there() -> (
    None
):
    # Forgotten by the next pass, it was in no look at the end, and so were its tasks.
    assert carried(left_behind("ACTIVE", tasks=0)).others == (Place("search", "arn-old"),)


def test_not_waiting_is_forgotten_by_the_first_look_that_sees_it_wait() -> None:
    # Two stale answers an hour apart would end a drain quietly.
    before = drain(not_waiting_since=at(5))

    assert carried(look_at(None, waiting=Waiting.NO)).not_waiting_since == at(60)
    assert carried(look_at(None, waiting=Waiting.NO, of=before)).not_waiting_since == at(5)
    assert carried(look_at(instance(), of=before)).not_waiting_since is None


def test_draining_since_survives_a_failed_look() -> None:
    assert carried(look_at(None, waiting=Waiting.UNSEEN)).draining_since == START


def test_every_task_that_is_not_stopped_is_remembered_and_those_that_live_longest_come_first() -> (
    None
):
    # One that is left out of the set is released over.
    many = [task("STOPPING", "STOPPED", id=f"x{n:03}") for n in range(200)]
    before = drain(unfinished=("unseen", "x007"))
    left = carried(look_at(instance(), *many, task(id="zz"), of=before, described=False)).unfinished

    assert left[0] == "zz"
    assert sorted(left) == sorted([*(one.id for one in many), "zz", "unseen"])


def test_more_tasks_than_an_envelope_holds_leave_the_set_open() -> None:
    # A set that was cut off, and is taken for all there is, releases over the rest.
    many = [task("STOPPING", "STOPPED", id=f"x{n:03}") for n in range(UNFINISHED_MAX + 1)]
    left = carried(look_at(instance(), *many, of=drain(listed_at=at(30)), listed_at=at(60)))

    assert len(left.unfinished) == UNFINISHED_MAX
    assert (left.closed, left.listed_at) == (False, None)


def test_heartbeat_instant_moves_only_with_a_recorded_heartbeat() -> None:
    # "Ended for ever by one error" is what a moved instant without a heartbeat comes to.
    assert carried(look_at(instance())).last_heartbeat_at == START
    assert carried(look_at(instance()), heartbeat=True).last_heartbeat_at > START


# -- standalone tasks


def alone(policy: StandaloneTasks, seconds: float, *tasks: Task, counted: int = 1) -> HookLook:
    a_drain = replace(drain(), policy=replace(POLICY, standalone_tasks=policy))
    return look_at(instance(running=counted), *tasks, of=a_drain, seconds=seconds)


JOB = task(owner=Owner.STANDALONE, id="job")


def test_defect_21_standalone_tasks_are_waited_for_by_default_and_said_so() -> None:
    decision = decide(alone(StandaloneTasks.WAIT, 3000, JOB))

    assert (decision.phase, decision.stop_tasks) == (Phase.DRAINING, ())
    assert "Standalone tasks are left (wait): 1" in decision.reason


def test_standalone_tasks_are_stopped_after_the_grace_period_and_not_before() -> None:
    assert decide(alone(StandaloneTasks.STOP, 299, JOB)).stop_tasks == ()
    assert decide(alone(StandaloneTasks.STOP, 300, JOB)).stop_tasks == ("job",)


def test_standalone_tasks_are_not_called_stopped_while_some_may_be_unknown() -> None:
    # Told once that all are stopped, no later pass would stop the others.
    some = alone(StandaloneTasks.STOP, 300, JOB)
    partial = replace(some, drain=replace(some.drain, closed=False))
    listed = replace(partial, listed_at=at(300))
    unread = replace(some, described=False)

    assert [stops_standalone(one) for one in (some, partial, listed, unread)] == [
        True, False, True, False,
    ]  # fmt: skip


def test_service_tasks_are_never_stopped_by_us() -> None:
    # ECS moves them; stopping one cuts its requests.
    assert decide(alone(StandaloneTasks.STOP, 900, task())).stop_tasks == ()


def test_ignored_standalone_tasks_do_not_keep_the_instance_but_others_do() -> None:
    assert phase_of(alone(StandaloneTasks.IGNORE, 60, JOB)) == Phase.DRAINED
    assert phase_of(alone(StandaloneTasks.IGNORE, 60, JOB, task())) == Phase.DRAINING
    assert phase_of(alone(StandaloneTasks.IGNORE, 60, JOB, counted=2)) == Phase.DRAINING


# -- the price of a look


def unlisted(policy: StandaloneTasks = StandaloneTasks.WAIT, **changes: Any) -> Drain:
    return replace(drain(closed=False, **changes), policy=replace(POLICY, standalone_tasks=policy))


@pytest.mark.parametrize(
    ("a_look", "needed"),
    [
        pytest.param(look_at(instance(running=1), of=unlisted()), False, id="counts show tasks"),
        pytest.param(look_at(instance(), of=unlisted()), True, id="counts are nil"),
        pytest.param(look_at(instance(), of=unlisted(), seconds=19), False, id="not yet of use"),
        pytest.param(look_at(instance(), of=unlisted(), seconds=20), True, id="of use"),
        pytest.param(look_at(instance(), of=unlisted(listed_at=at(41))), False, id="no second yet"),
        pytest.param(look_at(instance(), of=unlisted(listed_at=at(40))), True, id="the second"),
        pytest.param(
            look_at(instance(), task("STOPPING", "STOPPED"), of=unlisted()),
            False,
            id="a task lives",
        ),
        pytest.param(look_at(instance(), STOPPED, of=unlisted()), True, id="the task ended"),
        pytest.param(look_at(instance("ACTIVE"), of=unlisted()), False, id="not draining yet"),
        pytest.param(look_at(instance()), False, id="all are known"),
        pytest.param(look_at(instance(running=1)), True, id="a count that no known task explains"),
        pytest.param(look_at(instance(running=1), task()), False, id="a count that one explains"),
        pytest.param(look_at(instance(running=1), seconds=3600), True, id="report at the deadline"),
        pytest.param(look_at(None, waiting=Waiting.UNSEEN), False, id="nothing to look at"),
        pytest.param(
            look_at(instance(running=1), of=unlisted(StandaloneTasks.IGNORE)),
            True,
            id="counts include the ignored",
        ),
        pytest.param(
            look_at(instance(running=1), of=unlisted(StandaloneTasks.STOP), seconds=299),
            False,
            id="grace period runs",
        ),
        pytest.param(
            look_at(instance(running=1), of=unlisted(StandaloneTasks.STOP), seconds=300),
            True,
            id="grace period is over",
        ),
    ],
)
def test_tasks_are_listed_only_where_it_decides(a_look: HookLook, needed: bool) -> None:
    assert needs_listing(a_look, early=False) is needed


@pytest.mark.parametrize(
    ("a_look", "needed"),
    [
        pytest.param(look_at(instance(running=1), task(), of=unlisted()), True, id="tasks run"),
        pytest.param(look_at(instance(running=1), of=unlisted(), seconds=19), False, id="too soon"),
        pytest.param(look_at(instance(running=1), task()), False, id="all are known"),
    ],
)
def test_what_remembers_every_task_lists_them_while_they_run(
    a_look: HookLook, needed: bool
) -> None:
    # Listed only after the last has stopped, each release would come 40 seconds late.
    assert needs_listing(a_look, early=True) is needed


def test_ignored_tasks_do_not_keep_a_lost_chains_set_from_being_completed() -> None:
    # A standalone task that is to be ignored is counted for as long as it runs: the instance would
    # be held until the deadline.
    lost = replace(
        drain(unfinished=("0badcafe",)),
        policy=replace(POLICY, standalone_tasks=StandaloneTasks.IGNORE),
    )

    assert needs_listing(look_at(instance(running=1), of=lost, described=False), early=True)


def test_defect_21_every_pass_says_what_it_waits_for() -> None:
    # Nobody should have to guess what an instance waits for, in its first minutes neither.
    waiting = (Phase.DRAINING, Phase.CLOSING, Phase.UNREADY, Phase.ACTIVE, Phase.UNSEEN)
    for a_look, decision in space():
        if decision.phase in waiting:
            assert decision.reason, a_look


def test_what_ecs_counts_is_said_before_any_task_is_known() -> None:
    # In its first minutes an operator would not learn how much an instance still runs.
    reason = decide(look_at(instance("ACTIVE", running=2, pending=1))).reason

    assert reason == "DRAINING is set in this pass. ECS counts 2 running and 1 pending tasks"


def test_a_disconnected_agent_is_named_as_the_reason() -> None:
    seen = replace(instance(running=1), agent_connected=False)

    assert "agent is disconnected" in decide(look_at(seen)).reason
