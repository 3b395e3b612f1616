"""The fast path and the sweep: what makes a drain quick, and what finds it when all is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.listings import LISTINGS_MAX
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call
    from tests.simulation.conftest import World

SWEEP_SECONDS = 300
PASS_SECONDS = 15 + 1
FOR_GOOD = 1e9


def notification(world: World) -> dict[str, Any]:
    action = world.account.auto_scaling.actions[-1]
    return {
        "LifecycleHookName": action.hook.name,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": action.hook.auto_scaling_group_name,
        "Time": action.started_at.isoformat(),
        "EC2InstanceId": action.ec2_instance_id,
        "LifecycleActionToken": action.token,
    }


def lose_everything(world: World, *, until_seconds: float) -> None:
    """Let SNS, EventBridge and the schedule take every message and deliver none, for a while."""

    def fault(_item: object) -> tuple[float, ...]:
        return (0.0,) if world.seconds(world.account.now) >= until_seconds else ()

    for subscription in world.installed.topic.subscriptions:
        subscription.channel.faults.append(fault)
    world.installed.rule.faults.append(fault)
    if until_seconds < FOR_GOOD:
        world.installed.schedule.faults.append(fault)


def assert_only_looked(world: World) -> None:
    """The sweep has looked for what is silent and what waits, and has touched nothing."""
    operations = {call.operation for call in world.account.calls}
    assert operations == {"DescribeAutoScalingGroups", "DescribeLifecycleHooks", "Query"}


# -- the fast path


def test_the_answer_follows_the_last_task_at_once(make_world: Callable[..., World]) -> None:
    # Waiting for the next pass keeps an instance that nobody needs for half an interval.
    world = make_world(fast_path=True)
    # Where the container instance event comes; where it does not, see `make simulate-lag`.
    world.account.ecs.life.instance_event_at_end = True
    world.group()
    world.service()
    [leaving] = world.scale_in()

    action = world.until_answered()

    assert world.seconds(action.ended_at) - world.last_stopped_seconds(leaving) <= 1
    assert world.left_behind == []


def test_wake_ups_never_fork_the_chain_nor_look_in_vain(make_world: Callable[..., World]) -> None:
    # ECS tells of every task that starts or stops; most of it is not worth a call.
    world = make_world(fast_path=True)
    world.group()
    world.service(6)
    world.account.ecs.create_daemon("payments", "logs")
    world.scale_in()
    world.run(380)

    slow = make_world()
    slow.group()
    slow.service(6)
    slow.account.ecs.create_daemon("payments", "logs")
    slow.scale_in()
    slow.run(380)

    assert len({message.body for message in world.installed.waiting}) == 1
    # While no task ends there is less to look at, too.
    assert len(world.account.calls) < len(slow.account.calls)


def test_a_wake_up_about_an_instance_that_does_not_wait_changes_nothing(
    make_world: Callable[..., World],
) -> None:
    # An operator may set any container instance DRAINING; that is not ours to answer.
    world = make_world(fast_path=True)
    world.group()
    instance = world.account.ecs.container_instance(world.oldest)
    assert instance
    world.account.ecs.set_status(instance, "DRAINING")
    world.run(60)

    # Whether a drain of it has ended with the instance staying.
    assert [call.operation for call in world.account.calls] == ["Query"]


# -- the sweep


def test_a_lost_notification_is_found_by_the_sweep(make_world: Callable[..., World]) -> None:
    # Otherwise the instance stands undrained until the hook's timeout, and is then cut.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group()
    world.service()
    lose_everything(world, until_seconds=100)
    world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.seconds(action.ended_at) >= SWEEP_SECONDS + 390
    assert world.seconds(action.ended_at) <= SWEEP_SECONDS + 390 + 2 * PASS_SECONDS
    assert world.left_behind == []


def test_a_lost_chain_is_begun_again_once(make_world: Callable[..., World]) -> None:
    # Once: each sweep that began another would double the calls.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group()
    world.service(healthy_after_seconds=3000)
    world.scale_in()
    world.run(100)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)
    world.run(2000)

    assert len(world.installed.wait_queue.messages) == 1

    world.until_answered()
    assert world.left_behind == []


def test_the_sweep_leaves_a_live_chain_alone(make_world: Callable[..., World]) -> None:
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group()
    world.service(healthy_after_seconds=3000)
    world.scale_in()
    world.run(2900)

    assert len(world.installed.wait_queue.messages) == 1
    assert world.calls("UpdateContainerInstancesState") == 1


def test_the_sweep_carries_a_drain_through_alone(make_world: Callable[..., World]) -> None:
    # SNS silent from the first re-invocation on: the sweep drains, keeps the hook waiting, and
    # answers once the tasks have ended.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(heartbeat_timeout_seconds=900, metadata={"drain_timeout_seconds": 7200})
    world.service(healthy_after_seconds=3000)
    world.scale_in()
    world.run(1)
    lose_everything(world, until_seconds=FOR_GOOD)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.seconds(action.ended_at) <= 3340 + 2 * SWEEP_SECONDS
    assert world.left_behind == []
    assert action.heartbeats


def test_a_drain_of_the_sweep_alone_and_without_a_token_ends_at_its_deadline(
    make_world: Callable[..., World],
) -> None:
    # Between two sweeps the action may have ended and another begun, and only a token would tell:
    # what one sweep has seen releases nothing in the next. It must end all the same.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(heartbeat_timeout_seconds=900, metadata={"drain_timeout_seconds": 7200})
    world.service(healthy_after_seconds=3000)
    lose_everything(world, until_seconds=FOR_GOOD)
    world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.seconds(action.ended_at) <= 7200 + 2 * SWEEP_SECONDS
    assert world.left_behind == []
    assert action.heartbeats


def test_the_sweep_keeps_the_deadline(make_world: Callable[..., World]) -> None:
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 1200, "deadline_result": "ABANDON"})
    world.service(maximum_percent=100)
    world.scale_in()
    world.run(100)
    lose_everything(world, until_seconds=FOR_GOOD)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)

    action = world.until_answered()

    assert action.result == "ABANDON"
    assert 1200 <= world.seconds(action.ended_at) <= 1200 + SWEEP_SECONDS


def test_the_deadline_of_the_sweep_is_that_of_the_notification(
    make_world: Callable[..., World],
) -> None:
    # A drain whose chain is begun again must not get its time again.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 3000})
    world.service(maximum_percent=100)
    world.scale_in()
    for at_seconds in (100, 900, 1700, 2500):
        world.account.after(
            at_seconds,
            lambda: world.installed.wait_queue.delete(world.installed.wait_queue.messages),
        )

    action = world.until_answered()

    assert 3000 <= world.seconds(action.ended_at) <= 3000 + SWEEP_SECONDS


def test_an_hour_of_silence_costs_no_more_than_a_sweep(make_world: Callable[..., World]) -> None:
    # SNS, SQS and EventBridge all silent: nothing is early, nothing waits longer than a sweep.
    world = make_world(fast_path=True, sweep_interval_seconds=SWEEP_SECONDS)
    world.group(6, metadata={"drain_timeout_seconds": 10_800}, heartbeat_timeout_seconds=7200)
    world.service(6)
    world.scale_in(2)
    world.run(60)
    silence_ends = 3660
    lose_everything(world, until_seconds=silence_ends)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.seconds(action.ended_at) <= silence_ends + SWEEP_SECONDS + PASS_SECONDS
    assert world.left_behind == []


def test_records_that_cannot_be_written_do_not_multiply_chains(
    make_world: Callable[..., World],
) -> None:
    # A chain that nobody can see would be begun again by every sweep.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 10_000})
    world.service(healthy_after_seconds=8000)

    def deny(call: Call) -> None:
        if call.operation == "UpdateItem":
            raise ApiError("AccessDeniedException", "not authorized")

    world.account.interceptors.append(deny)
    world.scale_in()
    world.run(5000)

    assert len(world.installed.wait_queue.messages) == 1


def test_the_sweep_leaves_foreign_hooks_alone(make_world: Callable[..., World]) -> None:
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.topic("another")
    world.account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    world.hook("backup", target="arn:aws:sns:us-east-1:123456789012:another")
    world.hook("ecs-managed-draining-termination-hook", target=None)
    world.service()
    world.scale_in()
    world.run(1000)

    assert_only_looked(world)


def test_two_hooks_of_ours_on_one_group_are_both_answered(
    make_world: Callable[..., World],
) -> None:
    # One instance, two chains: neither may take the other for a duplicate.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS, fast_path=True)
    world.group()
    world.hook("second")
    world.service()
    world.scale_in()

    world.until_answered()

    assert {a.ended_by for a in world.account.auto_scaling.actions} == {"completed"}
    assert world.left_behind == []


def test_a_late_notification_beside_a_chain_of_the_sweep_forks_nothing(
    make_world: Callable[..., World],
) -> None:
    # The sweep's chain knows no token; the notification that comes an hour late does.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 10_000})
    world.service(healthy_after_seconds=8000)
    lose_everything(world, until_seconds=100)
    world.scale_in()
    world.run(3600)
    world.say(notification(world))
    world.run(600)

    assert len(world.installed.wait_queue.messages) == 1


@pytest.mark.parametrize("seconds", [30, 300, 1200, 5000])
def test_an_old_envelope_from_a_dead_letter_queue_is_safe(
    make_world: Callable[..., World], seconds: int
) -> None:
    # Redriving is what an operator does first; it must never restart or release anything early.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group()
    world.service(healthy_after_seconds=800)
    world.scale_in()
    world.run(20)
    [old] = [message.body for message in world.installed.wait_queue.messages]
    world.account.after(seconds, lambda: world.redrive(old))

    action = world.until_answered()
    world.run(6000)

    assert action.ended_by == "completed"
    assert world.left_behind == []
    assert world.calls("CompleteLifecycleAction") == 1
    assert world.installed.wait_queue.messages == []


def test_a_sweep_over_a_crowd_that_goes_on_reads_records_alone(
    make_world: Callable[..., World],
) -> None:
    # Looked at by the sweep beside its chain, each instance of a crowd would cost twice the calls.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(400)
    world.service(400, healthy_after_seconds=3000)
    # No pass of a chain falls together with the sweep.
    world.run(7)
    world.scale_in(200)
    world.run(291)
    before = len(world.account.calls)
    world.run(3)

    made = [call.operation for call in list(world.account.calls)[before:]]
    # The open records, those of what waits, those that have ended with the instance staying, and
    # the open requests of CloudFormation.
    assert set(made) == {
        "Query",
        "BatchGetItem",
        "DescribeAutoScalingGroups",
        "DescribeLifecycleHooks",
    }
    assert made.count("Query") <= 4
    assert made.count("BatchGetItem") <= 4


def test_a_sweep_over_a_crowd_stays_within_its_calls(make_world: Callable[..., World]) -> None:
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(400)
    world.service(400, healthy_after_seconds=3000)
    world.scale_in(200)
    world.run(400)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)
    world.run(199)
    before = len(world.account.calls)
    world.run(1)

    assert len(world.reports.passes[-1].outcomes) == 200
    made = [call.operation for call in list(world.account.calls)[before:]]
    assert made.count("DescribeContainerInstances") <= 3
    assert made.count("ListContainerInstances") <= 2
    assert made.count("ListTasks") <= 2 * LISTINGS_MAX
    assert made.count("UpdateItem") == 200
    assert made.count("PublishBatch") <= 20


# -- what seeded runs have found


def test_a_sweep_whose_publication_fails_leaves_the_notification_its_turn(
    make_world: Callable[..., World],
) -> None:
    # What it had stored made the redelivered notification a duplicate, and no chain was left.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(heartbeat_timeout_seconds=300)
    world.service(healthy_after_seconds=2000)

    def throttle(call: Call) -> None:
        if call.operation == "PublishBatch" and world.seconds(world.account.now) < 302:
            raise ApiError("Throttling", "Rate exceeded")

    world.account.interceptors.append(throttle)
    world.run(290)
    world.scale_in()
    world.run(200)
    assert len(world.installed.wait_queue.messages) == 1

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


def test_a_cluster_that_is_deleted_takes_its_container_instances_with_it(
    make_world: Callable[..., World],
) -> None:
    # Blind until the deadline is what a typo in a name deserves, not this: its tasks, which nothing
    # tells of any more, are waited for five minutes.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"cluster": "payments", "drain_timeout_seconds": 7200})
    world.service(healthy_after_seconds=5000)
    world.scale_in()
    world.run(100)
    del world.account.ecs.clusters["payments"]

    action = world.until_answered()

    assert action.result == "CONTINUE"
    assert 400 <= (world.seconds(action.ended_at) or 0) <= 400 + 4 * PASS_SECONDS


def test_a_notification_with_another_token_does_not_move_the_deadline(
    make_world: Callable[..., World],
) -> None:
    # The sweep believes the record; a false notification must not have written it.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 1200}, heartbeat_timeout_seconds=7200)
    world.service(maximum_percent=100)
    world.scale_in()
    world.run(60)
    early = (world.account.now - timedelta(seconds=900)).isoformat()
    false = {**notification(world), "LifecycleActionToken": "0" * 36, "Time": early}
    world.installed.notification_queue.send(json.dumps(false))
    world.run(30)
    token = world.account.auto_scaling.actions[-1].token
    queue = world.installed.wait_queue
    queue.delete([message for message in queue.messages if token in message.body])

    action = world.until_answered()

    assert 1200 <= world.seconds(action.ended_at) <= 1200 + SWEEP_SECONDS


def test_a_sweep_that_keeps_the_hook_waiting_keeps_the_deadline_too(
    make_world: Callable[..., World],
) -> None:
    # What was stored seemed to be of an action that was over, as it said nothing of heartbeats, and
    # the drain got its time again.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 2400}, heartbeat_timeout_seconds=700)
    world.service(maximum_percent=100)
    world.scale_in()
    world.run(1290)
    lose_everything(world, until_seconds=FOR_GOOD)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert 2400 <= world.seconds(action.ended_at) <= 2400 + SWEEP_SECONDS


# -- what the last review has found


def test_the_sweep_leaves_a_hook_without_target_to_its_owner(
    make_world: Callable[..., World],
) -> None:
    # Its metadata is another tool's; answering it would end what that tool does.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS, fast_path=True)
    world.account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    world.hook("backup-logs", target=None, metadata={"bucket": "my-logs"})
    world.service()
    world.scale_in()
    world.run(1500)

    assert_only_looked(world)


def test_a_made_up_token_moves_nothing_beside_a_chain_of_the_sweep(
    make_world: Callable[..., World],
) -> None:
    # That chain knows no token either; the forged one must not write the record that it reads.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 3000})
    world.service(healthy_after_seconds=2000)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=2500)
    lose_everything(world, until_seconds=100)
    world.scale_in()
    world.run(400)
    [body] = [message.body for message in world.installed.wait_queue.messages]
    real = json.loads(json.loads(body)["Message"])
    long_ago = world.account.now.timestamp() - 10_000
    false = {
        **real,
        "action": {**real["action"], "lifecycle_action_token": "0" * 36},
        "started_at": long_ago,
        "draining_since": long_ago,
        "deadline_at": world.account.now.timestamp() + 20,
        "hop": 50,
    }
    world.say(false)
    world.run(30)

    action = world.until_answered()

    assert world.calls("StopTask") == 0
    assert world.seconds(action.ended_at) >= 2340
    assert world.left_behind == []


def test_ignored_standalone_tasks_do_not_hold_a_drain_that_the_sweep_began(
    make_world: Callable[..., World],
) -> None:
    # They hold memory, so that nothing but an earlier listing can agree with the last one.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"standalone_tasks": "ignore"})
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    lose_everything(world, until_seconds=100)
    world.scale_in()

    action = world.until_answered()

    assert world.seconds(action.ended_at) <= SWEEP_SECONDS + 4 * PASS_SECONDS


def test_a_chain_with_a_token_and_one_without_become_one(
    make_world: Callable[..., World],
) -> None:
    # Both in one batch read the same record; in step they would go on side by side.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 10_000})
    world.service(healthy_after_seconds=8000)
    world.scale_in()
    world.run(20)
    queue = world.installed.wait_queue
    held = [message.body for message in queue.messages]
    queue.delete(queue.messages)
    world.run(700)
    [begun] = queue.messages
    queue.delete([begun])
    world.redrive(begun.body)
    world.redrive(held[0])
    world.run(300)

    assert len(queue.messages) == 1
