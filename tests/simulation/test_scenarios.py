"""What seeds have found, as drains that can be read: each was a violation once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.records import ApiError, Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.conftest import World

SWEEP_SECONDS = 300.0
PASS_SECONDS = 16.0


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(
        {"DRAINER_DRAIN_TIMEOUT_SECONDS": "300"},
        fast_path=True,
        sweep_interval_seconds=SWEEP_SECONDS,
    )


def fail(
    world: World, operation: str, code: str, *, from_seconds: float, to_seconds: float
) -> None:
    """Let an operation fail for a while, in seconds since the start."""
    begins_at = world.account.now + timedelta(seconds=from_seconds)
    ends_at = world.account.now + timedelta(seconds=to_seconds)

    def intercept(call: Call) -> None:
        if call.operation == operation and begins_at <= call.at < ends_at:
            raise ApiError(code, "refused by the scenario")

    world.account.interceptors.append(intercept)


def hold_notifications(world: World, seconds: float) -> None:
    """Let notifications arrive so much later."""
    world.installed.topic.subscriptions[0].channel.faults.append(lambda _: (seconds,))


def lose(world: World, *, subscription: int, after_seconds: float = 0.0) -> None:
    """Let a subscription lose what comes after an instant, in seconds since the start."""
    since = world.account.now + timedelta(seconds=after_seconds)
    world.installed.topic.subscriptions[subscription].channel.faults.append(
        lambda _: (0.0,) if world.account.now < since else ()
    )


def forge(world: World, ec2_instance_id: str, **changes: Any) -> None:
    """Publish a notification that Auto Scaling did not."""
    world.say(
        {
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "LifecycleHookName": "drainer",
            "AutoScalingGroupName": "payments-asg",
            "EC2InstanceId": ec2_instance_id,
            "LifecycleActionToken": "forged-token",
            "Time": world.account.now.isoformat(),
            **changes,
        }
    )


def test_a_late_notification_whose_hook_cannot_be_read_is_not_answered_by_the_default_deadline(
    world: World,
) -> None:
    # One failed DescribeLifecycleHooks answered CONTINUE at the function's own
    # drain timeout of 300 s, where the hook grants an hour.
    world.group(metadata={"drain_timeout_seconds": 3_600})
    world.service(healthy_after_seconds=1_000)
    world.scale_in()
    world.installed.schedule.faults.append(lambda _: ())
    hold_notifications(world, 400)
    fail(world, "DescribeLifecycleHooks", "InternalFailure", from_seconds=0, to_seconds=500)

    world.until_answered()

    assert world.left_behind == []


def test_a_deadline_restored_from_the_record_is_no_second_early(world: World) -> None:
    # What was stored held whole seconds, rounded down, and a sweep answered by it.
    world.group(metadata={"drain_timeout_seconds": 900})
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.account.run_for(0.75)
    world.scale_in()
    lose(world, subscription=1, after_seconds=100)

    action = world.until_answered()

    assert action.ended_at
    assert action.ended_at - action.started_at >= timedelta(seconds=900)


def test_a_deleted_hook_beside_another_that_waits_ends_the_chain(world: World) -> None:
    # "No Lifecycle Hook found" sent the chain round until the deadline.
    world.group(desired=1, heartbeat_timeout_seconds=60)
    world.service(desired=1, healthy_after_seconds=10_000)
    hook = world.account.auto_scaling.groups["payments-asg"].hooks["drainer"]
    world.hook("backup", target=None, heartbeat_timeout_seconds=7_200)
    world.scale_in()
    world.run(100)
    world.account.auto_scaling.delete_hook(hook)
    world.run(200)
    before = world.installed.topic.published
    world.run(600)

    assert world.installed.topic.published == before


def test_two_hooks_of_ours_keep_a_chain_each(world: World) -> None:
    # What was stored of one hid the other's, so that each sweep began two more chains;
    # and chains that the sweep had begun were taken for one another.
    world.group(desired=1, metadata={"drain_timeout_seconds": 7_200})
    world.hook("drainer-too", metadata={"drain_timeout_seconds": 7_200})
    world.service(desired=1, healthy_after_seconds=10_000)
    lose(world, subscription=0)
    world.scale_in()
    world.run(3_000)

    bodies = [
        json.loads(message.body)["Message"] for message in world.installed.wait_queue.messages
    ]
    hooks = [json.loads(body)["action"]["lifecycle_hook_name"] for body in bodies]
    assert sorted(hooks) == ["drainer", "drainer-too"]


def test_the_cluster_is_deleted_in_mid_drain(world: World) -> None:
    # Blind until the deadline, while duplicates multiplied.
    world.group(metadata={"drain_timeout_seconds": 7_200})
    world.service(healthy_after_seconds=10_000)
    [leaving] = world.scale_in()
    world.run(100)
    ecs = world.account.ecs
    instance = ecs.container_instance(leaving)
    assert instance
    cluster = instance.cluster
    cluster.services.clear()
    for member in [*cluster.container_instances.values()]:
        for task in member.remaining_tasks():
            ecs.life.kill(task, "deregistered by force")
        ecs.deregister(member)
    del ecs.clusters[cluster.name]

    action = world.until_answered()

    # Tasks that nothing tells of any more are waited for five minutes.
    assert action.ended_by == "completed"
    assert 400 <= (world.seconds(action.ended_at) or 0) <= 400 + 4 * PASS_SECONDS


def test_a_sweep_that_wrote_but_could_not_publish_leaves_time_for_the_next(
    world: World,
) -> None:
    # The redelivered notification is a duplicate of what the sweep has written: with no heartbeat
    # from that sweep, the hook's timeout came before the next one and cut the tasks.
    world.group(metadata={"drain_timeout_seconds": 3_600}, heartbeat_timeout_seconds=390)
    world.service(healthy_after_seconds=1_500)
    world.account.run_for(200)
    world.scale_in()
    fail(world, "PublishBatch", "Throttled", from_seconds=0, to_seconds=110)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


def test_a_blind_pass_does_not_move_the_deadline(world: World) -> None:
    # A chain without a token, which saw nothing stored, wrote that it began at that pass.
    world.group(metadata={"drain_timeout_seconds": 1_200})
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    lose(world, subscription=0)
    world.scale_in()
    seen_at = SWEEP_SECONDS
    fail(world, "DescribeAutoScalingInstances", "Throttling", from_seconds=900, to_seconds=950)

    action = world.until_answered()

    assert world.seconds(action.ended_at) <= seen_at + 1_200 + 2 * PASS_SECONDS


def test_a_forged_notification_does_not_move_the_deadline_of_the_real_one(world: World) -> None:
    # Stamped before the instance began to wait, it made the sweep answer early.
    world.group(metadata={"drain_timeout_seconds": 1_000})
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    leaving = world.oldest
    hold_notifications(world, 250)
    forge(world, leaving)
    world.run(240)
    world.installed.topic.subscriptions[0].channel.faults.clear()
    world.scale_in()
    world.run(30)
    lose(world, subscription=1)

    action = world.until_answered()

    assert action.ended_at
    assert action.ended_at - action.started_at >= timedelta(seconds=1_000)


def test_sweeps_that_keep_a_lost_chain_open_do_not_begin_its_deadline_anew(world: World) -> None:
    # The sweep's heartbeats kept the action open beyond what was stored of it, which was then taken
    # for that of an action long over.
    world.group(metadata={"drain_timeout_seconds": 3_000}, heartbeat_timeout_seconds=700)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.scale_in()
    lose(world, subscription=1, after_seconds=200)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.seconds(action.ended_at) <= 3_000 + SWEEP_SECONDS + 2 * PASS_SECONDS


def test_an_instance_nowhere_with_a_misnamed_cluster_and_a_lost_notification_is_not_kept_for_days(
    world: World,
) -> None:
    # Each sweep heartbeat it and none could know since when it had waited.
    world.group(
        metadata={"cluster": "no-such-cluster"},
        heartbeat_timeout_seconds=1_800,
    )
    instance = world.account.ecs.container_instance(world.oldest)
    assert instance
    world.account.ecs.deregister(instance)
    lose(world, subscription=0)
    world.scale_in()

    action = world.until_answered()

    assert world.seconds(action.ended_at) <= 1_800 + SWEEP_SECONDS


def test_a_task_is_gone_only_if_more_than_one_stale_listing_says_so(world: World) -> None:
    # A list that is some seconds old holds a task among neither the wanted nor the stopping ones.
    world.group(metadata={"drain_timeout_seconds": 3_600})
    world.service()
    world.scale_in()
    listing = world.account.apis["ecs"].list_tasks  # type: ignore[attr-defined]
    stopped_as_of_before: dict[str, Any] = {"taskArns": []}

    def stale(parameters: dict[str, Any]) -> dict[str, Any]:
        recent = world.seconds(world.account.now) < 75
        if parameters.get("desiredStatus") == "STOPPED" and recent:
            return stopped_as_of_before
        return dict(listing(parameters))

    world.account.apis["ecs"].list_tasks = stale  # type: ignore[attr-defined]

    world.until_answered()

    assert world.left_behind == []
