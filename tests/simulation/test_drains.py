"""The whole drainer in virtual time: production code, real event shapes, simulated account."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain import envelope
from drainer.drain.listings import LISTINGS_MAX
from drainer.drain.model import (
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Policy,
    StandaloneTasks,
)
from drainer.simulation.records import ApiError
from drainer.simulation.services.quotas import Quotas

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call
    from tests.simulation.conftest import World

PASS_SECONDS = 15 + 1  # the queue's delay and the event source mapping's window

WRITES = (
    "CompleteLifecycleAction",
    "RecordLifecycleActionHeartbeat",
    "UpdateContainerInstancesState",
    "StopTask",
    "PutAttributes",
)


def notification(world: World, **changes: Any) -> dict[str, Any]:
    """The notification of the latest lifecycle action, as Auto Scaling wrote it."""
    action = world.account.auto_scaling.actions[-1]
    body = {
        "LifecycleHookName": action.hook.name,
        "AccountId": world.account.account_id,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": action.hook.auto_scaling_group_name,
        "Service": "AWS Auto Scaling",
        "Time": action.started_at.isoformat(),
        "EC2InstanceId": action.ec2_instance_id,
        "LifecycleActionToken": action.token,
    }
    return {**body, **changes}


def refuse(world: World, operation: str, code: str, *, when: Callable[[], bool]) -> None:
    """Let an operation fail while `when` says so."""

    def intercept(call: Call) -> None:
        if call.operation == operation and when():
            raise ApiError(code, "refused by the test")

    world.account.interceptors.append(intercept)


# -- one drain


def test_defect_01_a_drain_is_answered_after_the_last_task_stopped_and_within_a_pass(
    world: World,
) -> None:
    # Every sample of others answers this drain at +60 s, 330 s early.
    world.group()
    world.service()
    [leaving] = world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.last_stopped_seconds(leaving) == pytest.approx(390, abs=1)
    assert 390 <= world.seconds(action.ended_at) <= 390 + PASS_SECONDS
    assert world.left_behind == []
    assert world.reports.phases == ["active", "draining", "closing", "drained"]


@pytest.mark.parametrize("after_seconds", [0, 5, 30, 70, 200, 380])
def test_defect_06_a_notification_that_comes_again_releases_nothing_and_forks_nothing(
    world: World, after_seconds: int
) -> None:
    # SNS delivers at least once and Lambda retries: a look that knows nothing of the first must
    # not take "no task is wanted" for drained, nor may two chains go on side by side.
    world.group()
    world.service()
    world.scale_in()
    world.run(after_seconds)
    world.say(notification(world))

    action = world.until_answered()

    assert 390 <= world.seconds(action.ended_at) <= 390 + 2 * PASS_SECONDS
    assert world.left_behind == []
    assert world.calls("CompleteLifecycleAction") == 1


def test_defect_15_a_hundred_duplicates_end_as_one_chain(world: World) -> None:
    # Each duplicate that is re-invoked costs calls for the rest of the drain.
    world.group()
    world.service(healthy_after_seconds=3000)
    world.scale_in()
    for copy in range(100):
        world.account.after(copy * 7, lambda: world.say(notification(world)))
    world.run(1500)
    before = world.installed.topic.published
    world.run(600)

    assert world.installed.topic.published - before <= 600 / 15
    assert len(world.installed.wait_queue.messages) == 1


def test_defect_15_a_notification_that_comes_after_the_end_restarts_nothing(world: World) -> None:
    world.group()
    world.service()
    world.scale_in()
    world.until_answered()
    world.run(600)
    writes = sum(world.calls(write) for write in WRITES)

    world.say(notification(world))
    world.run(600)

    assert sum(world.calls(write) for write in WRITES) == writes
    assert world.installed.wait_queue.messages == []


def test_defect_05_an_idle_instance_is_drained_and_then_released(world: World) -> None:
    # Never draining an idle one lets ECS place a task on it at the last moment.
    world.group()
    [leaving] = world.scale_in()

    action = world.until_answered()

    assert world.calls("UpdateContainerInstancesState") == 1
    # Two listings, 20 s after DRAINING and 20 s after each other, at the passes that follow.
    assert 40 < world.seconds(action.ended_at) <= 4 * PASS_SECONDS
    assert world.account.ecs.remaining_tasks(leaving) == []


def test_a_daemon_is_waited_for_too(world: World) -> None:
    world.group()
    world.service()
    world.account.ecs.create_daemon("payments", "logs")
    [leaving] = world.scale_in()

    world.until_answered()

    assert world.left_behind == []
    assert world.last_stopped_seconds(leaving) >= 390


def test_defect_22_draining_is_set_once_and_again_if_someone_sets_it_active(world: World) -> None:
    world.group()
    world.service()
    [leaving] = world.scale_in()
    world.run(100)
    once = world.calls("UpdateContainerInstancesState")
    instance = world.account.ecs.container_instance(leaving)
    assert instance
    world.account.ecs.set_status(instance, "ACTIVE")

    world.until_answered()

    assert once == 1
    assert world.calls("UpdateContainerInstancesState") == 2
    assert world.left_behind == []


def test_an_instance_that_never_registered_is_released_by_a_later_search(world: World) -> None:
    # Returning without an answer would hang it until the hook's timeout (aws-cdk #6867).
    world.group()
    instance = world.account.ecs.container_instance(world.oldest)
    assert instance
    world.account.ecs.deregister(instance)
    world.scale_in()

    action = world.until_answered()

    assert action.result == "CONTINUE"
    # A registration may be listed 20 s late, so that the searches are that far apart.
    assert 20 < world.seconds(action.ended_at) <= 2 * PASS_SECONDS


def test_an_instance_deregistered_in_mid_drain_is_released_after_five_minutes(world: World) -> None:
    # Its tasks may run on, and nothing tells of them any more.
    world.group()
    world.service()
    [leaving] = world.scale_in()
    world.run(100)
    instance = world.account.ecs.container_instance(leaving)
    assert instance
    world.account.ecs.deregister(instance)

    action = world.until_answered()

    assert world.reports.phases[-2:] == ["unseen", "unregistered"]
    assert 400 <= (world.seconds(action.ended_at) or 0) <= 400 + 3 * PASS_SECONDS


# -- time


def test_defect_11_a_two_hour_drain_on_a_300_second_hook(world: World) -> None:
    # Without heartbeats the hook's default result would cut the task after five minutes.
    world.group(metadata={"drain_timeout_seconds": 10_800}, heartbeat_timeout_seconds=300)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=7200)
    world.scale_in()

    action = world.until_answered()

    gaps = [
        (later - earlier).total_seconds()
        for earlier, later in zip(
            [action.started_at, *action.heartbeats], action.heartbeats, strict=False
        )
    ]
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert 7200 <= world.seconds(action.ended_at) <= 7200 + 10 + PASS_SECONDS
    assert world.left_behind == []
    # The first one comes at once: it proves that the notification is a true one.
    assert gaps[0] == 0
    assert min(gaps[1:]) > 100
    assert max(gaps) <= 150


def test_defect_12_a_30_second_hook_is_answered_before_its_3000_seconds_are_over(
    world: World,
) -> None:
    # No heartbeat gets past 100 times the heartbeat timeout; then Auto Scaling would answer.
    world.group(
        metadata={"drain_timeout_seconds": 172_800, "deadline_result": "ABANDON"},
        heartbeat_timeout_seconds=30,
    )
    world.service(healthy_after_seconds=100_000)
    world.scale_in()

    action = world.until_answered()

    deadline = 3000 - 180
    assert (action.result, action.ended_by) == ("ABANDON", "completed")
    assert deadline <= world.seconds(action.ended_at) <= deadline + PASS_SECONDS
    assert action.ended_at
    assert action.heartbeats[-1] < action.ended_at


@pytest.mark.parametrize("result", ["CONTINUE", "ABANDON"])
def test_the_deadline_is_answered_by_the_declared_policy_and_says_what_was_left(
    world: World, result: str
) -> None:
    # Never stuck: containers-roadmap #2467 and #2685 ask for just this.
    world.group(metadata={"drain_timeout_seconds": 600, "deadline_result": result})
    world.service()
    leaving = world.oldest
    world.account.ecs.run_standalone("payments", leaving, seconds=None)
    world.scale_in()

    action = world.until_answered()

    [last] = world.reports.passes[-1].outcomes
    assert action.result == result
    assert 600 <= world.seconds(action.ended_at) <= 600 + PASS_SECONDS
    assert last.decision.phase == "overdue"
    assert [task.owner for task in last.look.remaining] == ["standalone"]
    assert last.decision.reason == "Standalone tasks are left (wait): 1"


def test_defect_26_abandon_retains_the_instance_where_the_group_says_so(world: World) -> None:
    world.group(
        metadata={"drain_timeout_seconds": 60, "deadline_result": "ABANDON"}, retain_on_abandon=True
    )
    world.service(healthy_after_seconds=1000)
    [leaving] = world.scale_in()

    world.until_answered()
    world.run(60)

    state = world.account.auto_scaling.instances[leaving].lifecycle_state
    assert state == "Terminating:Retained"
    assert world.killed == []


def test_defect_26_another_hook_of_the_group_goes_on_beside_ours(world: World) -> None:
    # CONTINUE lets it finish, and its notification is not ours to answer.
    world.group()
    world.service()
    other = world.hook("backup", target=None)
    world.scale_in()
    world.account.run_until(
        lambda: any(fact.kind == "answered" for fact in world.account.history),
        timedelta(hours=1),
    )

    still_open = [a for a in world.account.auto_scaling.actions if a.is_open]
    assert [action.hook for action in still_open] == [other]
    assert world.left_behind == []


def test_minimum_equal_to_maximum_is_answered_at_the_deadline(world: World) -> None:
    # min = max = 100 %: ECS can neither stop the old task nor start a new one.
    world.group(metadata={"drain_timeout_seconds": 900})
    world.service(maximum_percent=100)
    world.scale_in()

    action = world.until_answered()

    assert 900 <= world.seconds(action.ended_at) <= 900 + PASS_SECONDS


def test_a_disconnected_agent_is_waited_for_and_named(world: World) -> None:
    world.group(metadata={"drain_timeout_seconds": 900})
    world.service(healthy_after_seconds=10_000)
    [leaving] = world.scale_in()
    world.account.ecs.connect_agent(leaving, connected=False)

    world.until_answered()

    reasons = {o.decision.reason for r in world.reports.passes for o in r.outcomes}
    assert any("agent is disconnected" in reason for reason in reasons)


# -- standalone tasks


def test_a_standalone_task_is_waited_for(world: World) -> None:
    world.group()
    leaving = world.oldest
    world.account.ecs.run_standalone("payments", leaving, seconds=1000)
    world.scale_in()

    action = world.until_answered()

    assert 1000 <= world.seconds(action.ended_at) <= 1010 + PASS_SECONDS
    assert world.left_behind == []
    assert world.calls("StopTask") == 0


def test_standalone_tasks_are_stopped_after_their_grace_period(world: World) -> None:
    world.group(metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 120})
    world.service()
    leaving = world.oldest
    for _ in range(12):
        world.account.ecs.run_standalone("payments", leaving, seconds=None)
    world.scale_in()
    world.run(115)
    assert world.calls("StopTask") == 0

    action = world.until_answered()

    assert world.calls("StopTask") == 12
    assert 390 <= world.seconds(action.ended_at) <= 390 + PASS_SECONDS
    assert world.left_behind == []


def test_a_stop_that_is_throttled_is_done_again(world: World) -> None:
    world.group(metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 0})
    leaving = world.oldest
    for _ in range(5):
        world.account.ecs.run_standalone("payments", leaving, seconds=None)
    allowed = iter([False, False, True, False, True, True, True, False, True])
    refuse(world, "StopTask", "ThrottlingException", when=lambda: not next(allowed, True))
    world.scale_in()

    action = world.until_answered()

    assert action.result == "CONTINUE"
    assert world.left_behind == []


def test_ignored_standalone_tasks_are_left_behind_and_services_are_not(world: World) -> None:
    world.group(metadata={"standalone_tasks": "ignore"})
    world.service()
    leaving = world.oldest
    world.account.ecs.run_standalone("payments", leaving, seconds=None)
    world.scale_in()

    action = world.until_answered()

    assert 390 <= world.seconds(action.ended_at) <= 390 + PASS_SECONDS
    assert len(world.left_behind) == 1
    assert world.left_behind[0].startswith("standalone")


# -- what must never lead to CONTINUE


def test_defect_10_a_missing_cluster_is_waited_out_until_someone_fixes_it(world: World) -> None:
    # A typo in the metadata is not "not in the cluster".
    world.group(metadata={"cluster": "paymints"})
    world.service()
    world.account.interceptors.append(_hide_list_clusters)
    world.scale_in()
    world.run(600)
    assert world.reports.phases == ["unseen"]
    assert world.left_behind == []

    world.hook(metadata={"cluster": "payments"})
    action = world.until_answered()

    assert action.result == "CONTINUE"
    assert 990 <= world.seconds(action.ended_at) <= 990 + 3 * PASS_SECONDS
    assert world.left_behind == []


def _hide_list_clusters(call: Call) -> None:
    if call.operation == "ListClusters":
        raise ApiError("AccessDeniedException", "not authorized to perform: ecs:ListClusters")


@pytest.mark.parametrize("named", ["another", "missing"])
def test_defect_18_an_instance_in_a_cluster_other_than_the_named_is_drained_there(
    world: World, named: str
) -> None:
    # The wrong cluster has no such instance, and so nothing that would keep it.
    world.account.ecs.create_cluster("another")
    world.group(metadata={"cluster": named})
    world.service()
    world.scale_in()

    action = world.until_answered()

    problems = [problem for report in world.reports.passes for problem in report.problems]
    assert 390 <= world.seconds(action.ended_at) <= 390 + PASS_SECONDS
    assert world.left_behind == []
    assert f"name {named}" in problems[0]


def test_defect_18_no_cluster_named_anywhere_finds_the_right_one(
    make_world: Callable[..., World],
) -> None:
    world = make_world({"DRAINER_CLUSTERS": ""})
    world.group()
    world.service()
    world.scale_in()

    world.until_answered()

    assert world.left_behind == []


READS = (
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "ListTasks",
    "DescribeTasks",
)


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_defect_07_a_read_that_fails_never_releases_and_never_ends_the_chain(
    world: World, operation: str, code: str
) -> None:
    # "Any error: CONTINUE" kills tasks; "any error: stop" hangs the instance.
    world.group()
    world.service()
    refuse(world, operation, code, when=lambda: world.seconds(world.account.now) < 700)
    world.scale_in()

    action = world.until_answered()

    assert action.result == "CONTINUE"
    assert world.seconds(action.ended_at) >= 700
    assert world.seconds(action.ended_at) <= 700 + 390 + 3 * PASS_SECONDS
    assert world.left_behind == []


@pytest.mark.parametrize("operation", [*WRITES, "PublishBatch"])
def test_defect_08_a_write_that_fails_is_done_again(world: World, operation: str) -> None:
    # A swallowed error of complete, publish or heartbeat is an instance that hangs or is cut.
    world.group(
        heartbeat_timeout_seconds=1200,
        metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 10},
    )
    world.service()
    leaving = world.oldest
    world.account.ecs.run_standalone("payments", leaving, seconds=None)
    refuse(world, operation, "Throttling", when=lambda: world.seconds(world.account.now) < 500)
    world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.left_behind == []


def test_a_denied_account_is_answered_by_policy_at_the_deadline(world: World) -> None:
    # Never stuck: the deadline counts whatever can be seen.
    world.group(metadata={"drain_timeout_seconds": 600, "deadline_result": "ABANDON"})
    world.service()
    for read in READS[2:]:
        refuse(world, read, "AccessDeniedException", when=lambda: True)
    world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("ABANDON", "completed")
    assert 600 <= world.seconds(action.ended_at) <= 600 + PASS_SECONDS


@pytest.mark.parametrize("call_number", range(1, 60))
def test_the_function_may_die_before_any_call(world: World, call_number: int) -> None:
    # Out of memory, a deployment, a host that goes: a pass is cut in half and harms nothing.
    world.group()
    world.service(desired=6)
    ours = 0

    def die(_call: Call) -> None:
        nonlocal ours
        ours += 1
        if ours == call_number:
            raise KeyboardInterrupt

    def survive(event: Any, context: Any) -> Any:
        try:
            return function(event, context)
        except KeyboardInterrupt as death:
            raise RuntimeError("the function died") from death

    function = world.installed.function.handler
    world.installed.function.handler = survive
    world.account.interceptors.append(die)
    world.scale_in(2)

    action = world.until_answered(7200)

    assert action.ended_by == "completed"
    assert world.left_behind == []
    assert world.installed.dead_letters == []


def test_a_hook_that_cannot_be_read_is_no_reason_to_answer(world: World) -> None:
    # Its metadata may grant more time than the function's default.
    world.group(metadata={"drain_timeout_seconds": 20_000})
    world.service(healthy_after_seconds=8000)
    refuse(
        world,
        "DescribeLifecycleHooks",
        "AccessDenied",
        when=lambda: world.seconds(world.account.now) < 7000,
    )
    world.scale_in()

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


def test_a_hook_deleted_beside_another_is_not_asked_about_until_the_deadline(world: World) -> None:
    # Its action is over, but the instance still waits, for the other hook.
    world.group(metadata={"drain_timeout_seconds": 20_000})
    world.hook("other", target=None)
    world.service(healthy_after_seconds=3000)
    world.scale_in()
    world.run(100)
    group = world.account.auto_scaling.groups["payments-asg"]
    world.account.auto_scaling.delete_hook(group.hooks["drainer"])
    world.run(1500)

    assert world.installed.wait_queue.messages == []


# -- whose message is it


def test_defect_16_the_notification_of_an_instance_in_service_changes_nothing(world: World) -> None:
    # Right shape, but nothing waits: a message is a reason to look, never the truth.
    world.group()
    world.service()
    victim = world.oldest
    forged = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "LifecycleHookName": "drainer",
        "AutoScalingGroupName": "payments-asg",
        "EC2InstanceId": victim,
        "LifecycleActionToken": "0" * 36,
        "Time": "2026-11-20T12:00:00Z",
    }
    for change in (
        {},
        {"AutoScalingGroupName": "other-asg"},
        {"LifecycleHookName": "other"},
        {"EC2InstanceId": "i-0000000000000000f"},
        {"Time": "2020-01-01T00:00:00Z"},
    ):
        world.say({**forged, **change})
    world.run(600)

    assert [world.calls(write) for write in WRITES] == [0] * len(WRITES)
    assert world.installed.wait_queue.messages == []


@pytest.mark.parametrize(
    ("hook", "target"),
    [
        ("ecs-managed-draining-termination-hook", None),
        ("backup", "arn:aws:sns:us-east-1:123456789012:another"),
        ("backup", None),
    ],
)
def test_defect_16_another_hooks_notification_is_left_to_its_owner(
    world: World, hook: str, target: str | None
) -> None:
    # EventBridge carries the notifications of all hooks of all groups.
    world.topic("another")
    world.account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    world.hook(hook, target=target)
    world.service()
    world.account.on_event.append(_to_function(world))
    world.scale_in()
    world.run(600)

    assert [world.calls(write) for write in WRITES] == [0] * len(WRITES)


def _to_function(world: World) -> Callable[[dict[str, Any]], None]:
    def deliver(event: dict[str, Any]) -> None:
        if event["source"] == "aws.autoscaling":
            world.installed.function.invoke_asynchronously(event)

    return deliver


def test_a_hook_without_target_is_served_by_event_bridge(world: World) -> None:
    world.group(metadata={"cluster": "payments"}, target=None)
    world.service()
    world.account.on_event.append(_to_function(world))
    world.scale_in()

    action = world.until_answered()

    assert 390 <= world.seconds(action.ended_at) <= 390 + PASS_SECONDS


def test_the_same_notification_by_sns_and_by_event_bridge_is_one_drain(world: World) -> None:
    world.group()
    world.service(healthy_after_seconds=2000)
    world.account.on_event.append(_to_function(world))
    world.scale_in()
    world.run(1000)

    assert len(world.installed.wait_queue.messages) == 1


def test_defect_16_bad_input_is_refused_in_one_line_each_and_nothing_is_lost_beside_it(
    world: World,
) -> None:
    world.group()
    world.service()
    world.scale_in()
    bad = ["{nope", "[]", '{"hello": "world"}', '{"drainer": "re-invocation", "version": 9}']
    bad += [json.dumps(notification(world, EC2InstanceId="i-1 or true"))]
    for body in bad:
        world.installed.notification_queue.send(body)
        world.installed.wait_queue.send(body)

    world.until_answered()

    assert len(world.reports.refusals) == 2 * len(bad)
    assert world.left_behind == []
    assert world.installed.dead_letters == []


# -- crowds


def test_defect_02_230_tasks_on_one_instance_in_a_cluster_of_350(world: World) -> None:
    # First pages end at 100; the whole cluster is never paged.
    world.group(350)
    leaving = world.oldest
    for number in range(230):
        world.account.ecs.run_standalone("payments", leaving, seconds=300 + number)
    world.scale_in()

    action = world.until_answered()

    assert 539 <= world.seconds(action.ended_at) <= 540 + PASS_SECONDS
    assert world.left_behind == []
    assert world.calls("ListContainerInstances") == 1


def test_defect_28_300_instances_at_once_stay_inside_the_quotas_of_ecs(world: World) -> None:
    # Five instances of the sample empty the account's read bucket.
    world.group(600)
    world.service(600)
    quotas = Quotas(world.account.clock)
    world.account.interceptors.append(quotas)
    world.scale_in(300)

    world.until_answered()

    assert world.left_behind == []
    assert sum(quotas.throttled.values()) <= 5
    ended = [action.ended_at for action in world.account.auto_scaling.actions]
    # The last looks are made in turns, so that nobody else's calls are throttled either.
    assert max(world.seconds(at) for at in ended) <= 390 + 8 * PASS_SECONDS


def test_a_pass_of_100_drains_makes_few_calls(world: World) -> None:
    world.group(200)
    world.service(200, healthy_after_seconds=5000)
    world.scale_in(100)
    world.run(100)
    before, passes = len(world.account.calls), len(world.reports.passes)
    world.account.run_until(lambda: len(world.reports.passes) > passes, timedelta(seconds=60))

    made = [call.operation for call in list(world.account.calls)[before:]]
    assert len(world.reports.passes[-1].outcomes) == 100
    counted = {name: made.count(name) for name in set(made)}
    assert counted["DescribeContainerInstances"] == 1
    assert counted["DescribeAutoScalingInstances"] == 2
    assert counted["PublishBatch"] == 10
    assert counted.get("ListTasks", 0) <= LISTINGS_MAX
    assert counted["DescribeTasks"] <= 6 + LISTINGS_MAX
    assert "ListContainerInstances" not in counted


def test_one_drain_that_fails_does_not_hold_up_the_others(world: World) -> None:
    world.group(20)
    world.service(20)
    leaving = world.scale_in(10)
    odd = world.account.ecs.container_instance(leaving[0])
    assert odd
    odd.status = "DEREGISTERING"

    world.account.run_until(
        lambda: sum(a.is_open for a in world.account.auto_scaling.actions) <= 1,
        timedelta(seconds=390 + 3 * PASS_SECONDS),
    )

    assert world.left_behind == []


# -- one answer that is stale or odd, found by a review


def stale_once(world: World, operation: str, answer: dict[str, Any], *, nth: int = 1) -> None:
    """Let the nth call of an operation get another answer than the right one."""
    call, seen = world.account.call, 0

    def with_one_wrong_answer(service: str, name: str, parameters: dict[str, Any]) -> Any:
        nonlocal seen
        right = call(service, name, parameters)
        seen += name == operation
        return answer if name == operation and seen == nth else right

    setattr(world.account, "call", with_one_wrong_answer)  # noqa: B010 (it is the simulation's)


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("ListContainerInstances", {"containerInstanceArns": []}),
        ("ListContainerInstances", {}),
        ("ListClusters", {"clusterArns": []}),
        ("ListClusters", {}),
        ("DescribeContainerInstances", {"containerInstances": [], "failures": []}),
        ("DescribeContainerInstances", {}),
        ("ListTasks", {"taskArns": []}),
        ("ListTasks", {}),
        ("DescribeTasks", {"tasks": [], "failures": []}),
        ("DescribeAutoScalingInstances", {"AutoScalingInstances": []}),
        ("DescribeAutoScalingInstances", {}),
        ("DescribeLifecycleHooks", {"LifecycleHooks": []}),
        ("PublishBatch", {}),
    ],
)
def test_one_stale_or_odd_answer_neither_releases_nor_ends_a_drain(
    world: World, operation: str, answer: dict[str, Any], nth: int
) -> None:
    world.group()
    world.service(start_seconds=0, healthy_after_seconds=40)
    stale_once(world, operation, answer, nth=nth)
    world.scale_in()

    action = world.until_answered(3000)

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.left_behind == []


def test_the_connected_one_of_two_registrations_counts(world: World) -> None:
    # An agent that started before ECS_CLUSTER was set is in `default` too, disconnected.
    world.group()
    world.service()
    world.account.ecs.register("default", world.oldest, agent_gone=True)
    world.hook(metadata={"cluster": "default"})
    world.scale_in()

    action = world.until_answered()

    assert world.seconds(action.ended_at) >= 390
    assert world.left_behind == []


def test_a_retained_instance_that_is_freed_is_drained_anew(
    make_world: Callable[..., World],
) -> None:
    # What is stored of the abandoned action must not answer for the next one.
    world = make_world(sweep_interval_seconds=300)
    world.group(
        metadata={"drain_timeout_seconds": 300, "deadline_result": "ABANDON"},
        retain_on_abandon=True,
    )
    world.service(healthy_after_seconds=1000)
    [leaving] = world.scale_in()
    first = world.until_answered()
    world.hook(metadata={"drain_timeout_seconds": 7200})
    world.run(10)
    world.installed.topic.subscriptions.clear()  # the next notification is lost
    world.account.auto_scaling.terminate(
        world.account.auto_scaling.instances[leaving], decrement=False
    )

    second = world.until_answered()

    assert (first.result, second.result) == ("ABANDON", "CONTINUE")
    assert second is not first
    assert world.left_behind == []


def test_a_forged_envelope_answers_nothing(world: World) -> None:
    # Whoever may publish to the topic must not be able to end a drain early.
    world.group()
    world.service()
    world.scale_in()
    world.run(40)
    [body] = [message.body for message in world.installed.wait_queue.messages]
    real = json.loads(json.loads(body)["Message"])
    long_ago = world.account.now.timestamp() - 100_000
    times = {"deadline_at": long_ago, "started_at": long_ago, "draining_since": long_ago}
    for token in ("", "0" * 36):
        for hop in (0, 3, 50):
            named = {**real["action"], "lifecycle_action_token": token}
            world.say({**real, **times, "action": named, "hop": hop, "listed_before": True})

    action = world.until_answered()

    assert world.seconds(action.ended_at) >= 390
    assert world.left_behind == []


def test_a_notification_with_a_made_up_token_changes_nothing(world: World) -> None:
    # The instance does wait; but Auto Scaling takes no heartbeat for a token that it never gave.
    world.group()
    world.service()
    for subscription in world.installed.topic.subscriptions:
        subscription.channel.faults.append(lambda _item: ())
    world.scale_in()
    forged = notification(world, LifecycleActionToken="0" * 36, Time="2020-01-01T00:00:00Z")
    world.installed.notification_queue.send(json.dumps(forged))
    world.run(300)

    # Not even the heartbeat was taken.
    assert {write: world.calls(write) for write in WRITES} == dict.fromkeys(WRITES, 0)


def test_a_forged_envelope_touches_no_foreign_hook(world: World) -> None:
    world.topic("another")
    world.account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    world.hook("backup", target="arn:aws:sns:us-east-1:123456789012:another")
    world.service()
    world.scale_in()
    action = world.account.auto_scaling.actions[-1]
    instance = world.account.ecs.container_instance(action.ec2_instance_id)
    assert instance
    at = world.account.now.timestamp()
    forged = Drain(
        LifecycleAction("payments-asg", "backup", action.ec2_instance_id, action.token),
        started_at=datetime.fromtimestamp(at - 9999, UTC),
        last_heartbeat_at=datetime.fromtimestamp(at - 9999, UTC),
        hop=3,
        deadline_at=datetime.fromtimestamp(at - 5000, UTC),
        heartbeat_timeout_seconds=300,
        policy=world_policy(),
        cluster="payments",
        container_instance_arn=instance.arn,
    )
    world.say(json.loads(envelope.encode(forged)))
    world.run(300)

    assert [world.calls(write) for write in WRITES] == [0] * len(WRITES)


def world_policy() -> Policy:
    return Policy("payments", 60, LifecycleActionResult.CONTINUE, StandaloneTasks.STOP, 0)


def test_a_stop_policy_without_standalone_tasks_costs_no_further_listing(world: World) -> None:
    world.group(metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 0})
    world.service(healthy_after_seconds=1000)
    world.scale_in()
    world.run(300)

    assert world.calls("ListTasks") == 2  # of one desired status each


def test_hundreds_of_standalone_tasks_are_stopped_some_at_a_time(world: World) -> None:
    # A container instance full of them must not use up an invocation.
    world.group(metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 0})
    for _ in range(70):
        world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.scale_in()
    world.run(40)
    after_one_pass = world.calls("StopTask")

    action = world.until_answered()

    assert after_one_pass == 20
    assert world.calls("StopTask") == 70
    assert action.result == "CONTINUE"
    assert world.left_behind == []
