from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from drainer.machine import (
    LADDER,
    Decision,
    Phase,
    Step,
    carry_on,
    deadline,
    decide,
    heartbeat_due,
    needs_exact_look,
)
from drainer.mark import checksum
from drainer.model import (
    WITNESSES_MAX,
    ContainerInstance,
    Drain,
    Hook,
    LifecycleAction,
    LifecycleActionResult,
    Mark,
    Observation,
    Origin,
    Owner,
    Policy,
    Registration,
    StandaloneTasks,
    Task,
    Waiting,
)
from drainer.view import View

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/payments/0123456789abcdef"
ACTION = LifecycleAction("payments-asg", "drainer", "i-0123456789abcdef0", "t" * 36)
ABANDON = LifecycleActionResult.ABANDON
POLICY = Policy("payments", 3600, ABANDON, StandaloneTasks.WAIT, 300)


def task(
    last: str = "RUNNING", desired: str = "RUNNING", *, owner: Owner = Owner.SERVICE, id: str = "a"
) -> Task:
    return Task(id=id, owner=owner, group="service:web", desired_status=desired, last_status=last)


def instance(
    status: str = "DRAINING",
    running: int = 0,
    pending: int = 0,
    mark: Mark | None = None,
    hook: str = "drainer",
    *,
    free: bool = True,
) -> ContainerInstance:
    return ContainerInstance(
        ARN, ACTION.ec2_instance_id, status, agent_connected=True,
        running_tasks=running, pending_tasks=pending, free=free,
        marks={checksum(hook): mark} if mark else {},
    )  # fmt: skip


def drain(hop: int = 5, since: datetime | None = START) -> Drain:
    return Drain(
        action=ACTION,
        started_at=START,
        last_heartbeat_at=START,
        hop=hop,
        deadline_at=START + timedelta(hours=1),
        heartbeat_timeout_seconds=1800,
        policy=POLICY,
        cluster="payments",
        container_instance_arn=ARN,
        draining_since=since,
    )


def view(
    seen_instance: ContainerInstance | None = None,
    *tasks: Task,
    exact: bool = True,
    of: Drain | None = None,
    seconds: float = 60,
    waiting: Waiting = Waiting.YES,
    registration: Registration | None = None,
) -> View:
    found = Registration.FOUND if seen_instance else Registration.UNSEEN
    seen = Observation(waiting, registration or found, seen_instance, tasks, exact)
    return View(of or drain(), seen, START + timedelta(seconds=seconds), 15, ABANDON)


def phase_of(a_view: View) -> Phase:
    return decide(a_view).phase


LAST = ("PENDING", "RUNNING", "DEACTIVATING", "STOPPED", "SOMETHING_NEW")
STATUSES = (None, "ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "SOMETHING_NEW")


def the_whole_small_space() -> list[tuple[View, Decision]]:
    """Every combination of what can be seen, of a task, of the policy, the past and the time."""
    tasks: list[tuple[Task, ...]] = [()]
    tasks += [
        (task(last, desired, owner=owner),)
        for last, desired, owner in product(LAST, ("RUNNING", "STOPPED"), Owner)
    ]
    views = []
    for waiting, registration, status in product(Waiting, Registration, STATUSES):
        if (registration == Registration.FOUND) != (status is not None):
            continue
        for some, exact, counted, free, late, since, listed, standalone, before in product(
            tasks if status else [()], (True, False), (0, 1) if status else (0,),
            (True, False) if status else (False,), (False, True), (None, START), (True, False),
            StandaloneTasks, (False, True),
        ):  # fmt: skip
            a_drain = replace(
                drain(since=since),
                policy=replace(POLICY, standalone_tasks=standalone),
                listed_before=listed,
                absent_before=before,
                not_waiting_before=before,
            )
            seen = instance(status, counted, free=free) if status else None
            seconds = 3600 if late else 600
            a_view = view(seen, *some, exact=exact, of=a_drain, seconds=seconds,
                          waiting=waiting, registration=registration)  # fmt: skip
            views.append((a_view, decide(a_view)))
    return views


SPACE = the_whole_small_space()


def released_early(a_view: View, decision: Decision) -> bool:
    return decision.step == Step.COMPLETE and a_view.now < a_view.deadline_at


def test_the_whole_small_space_is_answered() -> None:
    assert len(SPACE) > 50_000
    assert {decision.phase for _, decision in SPACE} == set(Phase) - {Phase.EXHAUSTED}


def test_defect_01_never_released_before_the_deadline_over_a_task_that_is_not_stopped() -> None:
    # DEACTIVATING means that the load balancer still sends requests to the task.
    for a_view, decision in SPACE:
        ignored = a_view.drain.policy and a_view.drain.policy.standalone_tasks == "ignore"
        alive = [
            t
            for t in a_view.seen.tasks
            if t.last_status not in ("STOPPED", "DELETED")
            and not (ignored and t.owner == Owner.STANDALONE)
        ]
        if alive and a_view.seen.registration == Registration.FOUND:
            assert not released_early(a_view, decision), a_view


def test_defect_04_pending_provisioning_and_activating_tasks_keep_the_instance() -> None:
    # A task that is about to run is cut like any other.
    for last in ("PENDING", "PROVISIONING", "ACTIVATING"):
        assert phase_of(view(instance(pending=1), task(last))) == Phase.DRAINING


def test_defect_05_never_released_by_a_look_that_did_not_begin_draining() -> None:
    # Before DRAINING is set, ECS may place a task right after the look.
    for a_view, decision in SPACE:
        if released_early(a_view, decision) and decision.phase == Phase.DRAINED:
            assert a_view.status == "DRAINING"
            assert a_view.drain.draining_since is not None


def test_defect_05_an_idle_active_instance_is_drained_first() -> None:
    decision = decide(view(instance("ACTIVE")))

    assert decision.step == Step.DRAIN_THEN_GO_ROUND


def test_defect_07_a_failed_look_never_answers_before_the_deadline() -> None:
    # One throttle must not kill tasks.
    for a_view, decision in SPACE:
        unseen = a_view.seen.waiting == Waiting.UNSEEN
        unseen = unseen or a_view.seen.registration == Registration.UNSEEN
        if unseen:
            assert not released_early(a_view, decision)


def test_defect_07_a_failed_look_goes_round_so_that_the_chain_does_not_die() -> None:
    decision = decide(view(None, waiting=Waiting.UNSEEN))

    assert (decision.phase, decision.republish) == (Phase.BLIND, True)


def test_counts_alone_never_mean_drained() -> None:
    # runningTasksCount is blind to a task that is stopping.
    for a_view, decision in SPACE:
        if decision.phase == Phase.DRAINED:
            assert a_view.seen.exact


def test_only_the_deadline_answers_with_the_declared_policy() -> None:
    for _, decision in SPACE:
        if decision.step == Step.COMPLETE:
            overdue = decision.phase == Phase.OVERDUE
            assert decision.result == ("ABANDON" if overdue else "CONTINUE")


def test_no_heartbeat_once_the_drain_is_over_or_overdue() -> None:
    # An endless heartbeat holds an instance that nobody waits for.
    for _, decision in SPACE:
        if decision.phase in (Phase.OVER, Phase.OVERDUE):
            assert not decision.heartbeat


def test_defect_10_gone_container_instance_needs_two_looks_that_agree() -> None:
    # One stale answer must not release an instance whose tasks serve.
    absent = view(None, registration=Registration.ABSENT)
    again = view(None, registration=Registration.ABSENT, of=replace(drain(), absent_before=True))

    assert phase_of(absent) == Phase.BLIND
    assert phase_of(again) == Phase.UNREGISTERED


def test_an_instance_that_no_cluster_ever_had_is_released_on_the_second_look() -> None:
    # Returning without an answer would hang it until the hook's timeout.
    never = replace(drain(), container_instance_arn=None, absent_before=True)
    decision = decide(view(None, registration=Registration.ABSENT, of=never))

    assert (decision.phase, decision.result) == (Phase.UNREGISTERED, "CONTINUE")


def test_one_listing_alone_never_means_drained() -> None:
    # One stale ListTasks would cut what still serves.
    for a_view, decision in SPACE:
        instance_seen = a_view.seen.container_instance
        if decision.phase == Phase.DRAINED:
            assert a_view.drain.listed_before or (instance_seen and instance_seen.free)


def test_what_is_drained_at_the_deadline_is_continued_and_not_abandoned() -> None:
    # ABANDON would retain an instance on which nothing runs.
    done = view(instance(), task("STOPPED", "STOPPED"), seconds=3600)

    assert decide(done).result == "CONTINUE"


@pytest.mark.parametrize(
    ("a_view", "phase"),
    [
        pytest.param(view(instance("ACTIVE", 2)), Phase.ACTIVE, id="ECS may place tasks"),
        pytest.param(view(instance(running=2), exact=False), Phase.DRAINING, id="counts suffice"),
        pytest.param(
            view(instance(), task("STOPPING", "STOPPED")), Phase.CLOSING, id="a task stops"
        ),
        pytest.param(
            view(instance(), task("DEACTIVATING", "STOPPED"), exact=False),
            Phase.CLOSING,
            id="a witness lives",
        ),
        pytest.param(view(instance(), exact=False), Phase.BLIND, id="the tasks were not listed"),
        pytest.param(view(instance(), task("STOPPED", "STOPPED")), Phase.DRAINED, id="all ended"),
        pytest.param(view(instance(free=False)), Phase.CLOSING, id="only one listing says so"),
        pytest.param(
            view(instance(free=False), of=replace(drain(), listed_before=True)),
            Phase.DRAINED,
            id="two listings say so",
        ),
        pytest.param(
            view(instance(), of=drain(since=None)), Phase.DRAINING, id="DRAINING only now"
        ),
        pytest.param(view(instance(running=1)), Phase.DRAINING, id="a count that no list explains"),
        pytest.param(view(instance("REGISTERING")), Phase.UNREADY, id="registering"),
        pytest.param(view(None, waiting=Waiting.OVER), Phase.OVER, id="answered by another"),
        pytest.param(view(None, waiting=Waiting.NO), Phase.BLIND, id="not waiting, seen once"),
        pytest.param(
            view(None, waiting=Waiting.NO, of=replace(drain(), not_waiting_before=True)),
            Phase.OVER,
            id="not waiting, seen twice",
        ),
        pytest.param(view(instance(running=9), seconds=3600), Phase.OVERDUE, id="deadline"),
        pytest.param(
            view(None, waiting=Waiting.UNSEEN, seconds=3600), Phase.OVERDUE, id="blind deadline"
        ),
        pytest.param(
            view(instance(running=1), of=drain(hop=10_000)), Phase.EXHAUSTED, id="spinning"
        ),
    ],
)
def test_phase(a_view: View, phase: Phase) -> None:
    assert phase_of(a_view) == phase


def test_every_phase_stands_on_one_rung_and_the_last_rung_waits() -> None:
    assert sorted(rung.phase for rung in LADDER) == sorted(Phase)
    assert LADDER[-1].step == Step.GO_ROUND


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

    assert phase_of(view(None, of=unread, seconds=100_000)) == Phase.BLIND
    assert phase_of(view(None, of=unread, seconds=172_800)) == Phase.OVERDUE


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
        seen = marked(0, seconds=second, heartbeat=last)
        if heartbeat_due(view(seen, of=a_drain, seconds=second)):
            beats.append(second - last)
            last = second

    assert max(beats) <= timeout / 2
    assert min(beats[1:]) > timeout / 2 - 30


def test_a_heartbeat_proves_the_token_before_anything_is_changed() -> None:
    # A notice that Auto Scaling never sent must not set an instance DRAINING.
    new, later = drain(since=None), drain()
    nameless = replace(new, action=replace(ACTION, lifecycle_action_token=""))

    assert heartbeat_due(view(instance("ACTIVE"), of=new))
    assert heartbeat_due(view(instance(), of=later))
    assert not heartbeat_due(view(marked(0), of=later))
    assert heartbeat_due(view(marked(9, token=""), of=later))
    assert heartbeat_due(view(marked(9, token="u" * 36), of=later))
    assert not heartbeat_due(view(instance("ACTIVE"), of=nameless))


def test_no_heartbeat_for_what_is_not_waiting() -> None:
    old = replace(drain(), last_heartbeat_at=START - timedelta(hours=1))

    assert not heartbeat_due(view(None, waiting=Waiting.NO, of=old))
    assert heartbeat_due(view(None, waiting=Waiting.UNSEEN, of=old))


def test_the_sweep_does_not_keep_what_no_cluster_has() -> None:
    # Without a chain nobody counts its time, and it would be kept waiting for 48 hours.
    swept = replace(drain(), origin=Origin.SWEEP, last_heartbeat_at=START - timedelta(hours=1))
    nowhere = view(None, of=swept)

    assert heartbeat_due(nowhere)
    assert not heartbeat_due(replace(nowhere, seen=replace(nowhere.seen, nowhere=True)))


# -- copies


def mark(hop: int, seconds: float = 30, token: str = "t" * 36, heartbeat: float = 0) -> Mark:
    at, deadline_at = START + timedelta(seconds=seconds), START + timedelta(hours=1)
    last_heartbeat_at = START + timedelta(seconds=heartbeat)
    return Mark(checksum(token), hop, at, START, deadline_at, last_heartbeat_at, START)


def marked(hop: int, hook: str = "drainer", **of: Any) -> ContainerInstance:
    return instance(running=1, mark=mark(hop, **of), hook=hook)


@pytest.mark.parametrize(
    ("seen", "republish"),
    [
        pytest.param(marked(4), True, id="the chain itself"),
        pytest.param(marked(5), False, id="a copy of the same hop"),
        pytest.param(marked(9), False, id="a copy of an old hop"),
        pytest.param(marked(9, token="u" * 36), True, id="another action's mark"),
        pytest.param(marked(9, hook="other"), True, id="another hook's mark"),
        pytest.param(marked(9, token=""), False, id="a mark of the sweep, without a token"),
        pytest.param(marked(9, seconds=60 - 300), True, id="a dead chain"),
        pytest.param(instance(running=1), True, id="no mark yet"),
    ],
)
def test_defect_15_a_copy_does_not_fork_the_chain(seen: ContainerInstance, republish: bool) -> None:
    # Every copy that goes round doubles the calls for the rest of the drain.
    assert decide(view(seen)).republish is republish


def test_a_copy_may_still_answer() -> None:
    # What is drained is drained, whoever looks.
    done = instance(mark=mark(9))
    decision = decide(view(done, task("STOPPED", "STOPPED")))

    assert (decision.step, decision.republish) == (Step.COMPLETE, False)


def test_a_revived_chain_goes_on_past_the_mark() -> None:
    # Else its next message would count as a copy at once.
    dead = view(marked(9, seconds=60 - 300))

    assert carry_on(dead, drained_now=False, heartbeat=False, stopped=False).hop == 10


@pytest.mark.parametrize(
    ("origin", "seen", "republish"),
    [
        (Origin.HINT, instance(running=1), False),
        (Origin.SWEEP, instance(running=1), True),
        (Origin.SWEEP, marked(5), False),
        (Origin.SWEEP, marked(5, seconds=60 - 300), True),
        (Origin.SWEEP, None, False),
    ],
)
def test_a_hint_never_goes_round_and_the_sweep_only_where_no_chain_is_alive(
    origin: Origin, seen: ContainerInstance | None, republish: bool
) -> None:
    # A chain that nobody can see would be begun again by every sweep.
    found = replace(drain(), origin=origin)

    assert decide(view(seen, of=found)).republish is republish


# -- what is carried along


def carried(a_view: View, *, drained_now: bool = False, heartbeat: bool = False) -> Drain:
    return carry_on(a_view, drained_now=drained_now, heartbeat=heartbeat, stopped=False)


def test_defect_22_draining_since_is_forgotten_when_someone_sets_the_instance_active() -> None:
    # A remembered flag would release an instance on which ECS places tasks again.
    assert carried(view(instance("ACTIVE"))).draining_since is None
    assert carried(view(instance("ACTIVE")), drained_now=True).draining_since is not None
    assert carried(view(instance())).draining_since == START


def test_draining_since_survives_a_failed_look() -> None:
    assert carried(view(None, waiting=Waiting.UNSEEN)).draining_since == START


def test_witnesses_are_a_bounded_sample_with_those_that_live_longest_first() -> None:
    many = [task("STOPPING", "STOPPED", id=f"x{n:03}") for n in range(200)]
    witnesses = carried(view(instance(), *many, task(id="zz"))).witnesses

    assert len(witnesses) == WITNESSES_MAX
    assert witnesses[0] == "zz"


def test_heartbeat_instant_moves_only_with_a_recorded_heartbeat() -> None:
    # "Ended for ever by one error" is what a moved instant without a heartbeat comes to.
    assert carried(view(instance())).last_heartbeat_at == START
    assert carried(view(instance()), heartbeat=True).last_heartbeat_at > START


# -- standalone tasks


def alone(policy: StandaloneTasks, seconds: float, *tasks: Task, counted: int = 1) -> View:
    a_drain = replace(drain(), policy=replace(POLICY, standalone_tasks=policy))
    return view(instance(running=counted), *tasks, of=a_drain, seconds=seconds)


JOB = task(owner=Owner.STANDALONE, id="job")


def test_defect_21_standalone_tasks_are_waited_for_by_default_and_said_so() -> None:
    decision = decide(alone(StandaloneTasks.WAIT, 3000, JOB))

    assert (decision.phase, decision.stop_tasks) == (Phase.DRAINING, ())
    assert "1 standalone (wait)" in decision.reason


def test_standalone_tasks_are_stopped_after_the_grace_period_and_not_before() -> None:
    assert decide(alone(StandaloneTasks.STOP, 299, JOB)).stop_tasks == ()
    assert decide(alone(StandaloneTasks.STOP, 300, JOB)).stop_tasks == ("job",)


def test_service_tasks_are_never_stopped_by_us() -> None:
    # ECS moves them; stopping one cuts its requests.
    assert decide(alone(StandaloneTasks.STOP, 900, task())).stop_tasks == ()


def test_ignored_standalone_tasks_do_not_keep_the_instance_but_others_do() -> None:
    assert phase_of(alone(StandaloneTasks.IGNORE, 60, JOB)) == Phase.DRAINED
    assert phase_of(alone(StandaloneTasks.IGNORE, 60, JOB, task())) == Phase.DRAINING
    assert phase_of(alone(StandaloneTasks.IGNORE, 60, JOB, counted=2)) == Phase.DRAINING


# -- the price of a look


@pytest.mark.parametrize(
    ("a_view", "needed"),
    [
        pytest.param(view(instance(running=1), exact=False), False, id="counts show tasks"),
        pytest.param(view(instance(), exact=False), True, id="counts are nil"),
        pytest.param(
            view(instance(), task("STOPPING", "STOPPED"), exact=False), False, id="witness lives"
        ),
        pytest.param(
            view(instance(), task("STOPPED", "STOPPED"), exact=False), True, id="witness ended"
        ),
        pytest.param(view(instance("ACTIVE"), exact=False), False, id="not draining yet"),
        pytest.param(view(instance(running=1), seconds=3600), True, id="report at the deadline"),
        pytest.param(alone(StandaloneTasks.IGNORE, 60), True, id="counts include the ignored"),
        pytest.param(alone(StandaloneTasks.STOP, 60), False, id="grace period runs"),
        pytest.param(alone(StandaloneTasks.STOP, 300), True, id="grace period is over"),
        pytest.param(view(None, waiting=Waiting.UNSEEN), False, id="nothing to look at"),
    ],
)
def test_tasks_are_listed_only_where_it_decides(a_view: View, needed: bool) -> None:
    assert needs_exact_look(a_view) is needed


def test_defect_21_a_long_drain_names_its_tasks_now_and_then() -> None:
    # Nobody should have to guess what an instance waits for.
    looks = [needs_exact_look(view(instance(running=1), of=drain(hop=h))) for h in range(200)]

    assert not any(looks[:40])
    assert sum(looks[40:]) == 8


def test_a_disconnected_agent_is_named_as_the_reason() -> None:
    seen = replace(instance(running=1), agent_connected=False)

    assert "agent is disconnected" in decide(view(seen)).reason
