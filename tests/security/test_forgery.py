"""
What is false changes nothing, and beside what is true it changes nothing for the worse.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from drainer.simulation.lifecycle import LifecycleHook
from drainer.simulation.records import ApiError
from tests.security.forgeries import ENVELOPES, EVENTS, NOTICES, enveloped

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.model import Drain
    from drainer.simulation.records import Call
    from tests.security.forgeries import Message
    from tests.simulation.conftest import World

FORGERIES = {**NOTICES, **ENVELOPES, **EVENTS}
WRITES = {
    "CompleteLifecycleAction",
    "RecordLifecycleActionHeartbeat",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "StopTask",
    "DeregisterTargets",
}
TIMEOUT_SECONDS, GRACE_SECONDS, HEARTBEAT_SECONDS = 1800, 900, 600
SWEEP_SECONDS, PASS_SECONDS, PASSES = 300, 15 + 1, 24
# The first look publishes one envelope, so that a second may agree that nothing waits.
PUBLISHED_MAX = 2


def stuck(make_world: Callable[..., World]) -> World:
    """A drain that takes until its deadline, beside a group whose hook is another's."""
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS, fast_path=True)
    world.group(
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        metadata={
            "drain_timeout_seconds": TIMEOUT_SECONDS,
            "standalone_tasks": "stop",
            "standalone_grace_seconds": GRACE_SECONDS,
        },
    )
    world.service(maximum_percent=100)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.topic("another")
    scaling = world.account.auto_scaling
    scaling.create_group("search-asg", cluster="search", desired=2)
    target = world.account.arn("sns", "another")
    scaling.put_hook(LifecycleHook("backup", "search-asg", notification_target_arn=target))
    world.account.ecs.create_service("search", "index", desired=2)
    return world


def deliver(world: World, message: Message) -> None:
    """Let a message in by every door there is: the topic, and both queues."""
    text = json.dumps(message)
    world.installed.topic.publish(text)
    world.installed.notice_queue.send(text)
    world.installed.wait_queue.send(text)


def writes(world: World) -> list[Call]:
    return [call for call in world.account.calls if call.operation in WRITES]


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_false_about_an_instance_that_stays_changes_nothing(
    make_world: Callable[..., World], name: str
) -> None:
    # A message is a hint to look: nobody's word may drain an instance that is not leaving.
    world = stuck(make_world)

    deliver(world, FORGERIES[name](world, world.oldest))
    world.run(2 * SWEEP_SECONDS)

    assert writes(world) == []
    assert world.reports.crashes == []
    assert world.installed.dead_letters == []
    assert world.installed.wait_queue.messages == []
    assert world.calls("PublishBatch") <= PUBLISHED_MAX


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_false_about_an_instance_under_anothers_hook_changes_nothing(
    make_world: Callable[..., World], name: str
) -> None:
    # To answer another's hook is to cut what it protects.
    world = stuck(make_world)
    [leaving] = world.account.auto_scaling.scale_in("search-asg", 1)

    deliver(world, FORGERIES[name](world, leaving.ec2_instance_id))
    deliver(
        world,
        {**FORGERIES[name](world, leaving.ec2_instance_id), "AutoScalingGroupName": "search-asg"},
    )
    world.run(2 * SWEEP_SECONDS)

    assert writes(world) == []
    assert world.reports.crashes == []


def judge(world: World, leaving: str) -> None:
    """What holds of a drain that is stuck until its deadline, whatever was said about it."""
    [action] = [one for one in world.account.auto_scaling.actions if one.hook.name == "drainer"]
    answers = [one for one in writes(world) if one.operation == "CompleteLifecycleAction"]
    stops = [one for one in writes(world) if one.operation == "StopTask"]
    instance = world.account.ecs.container_instance(leaving)
    touched = {
        arn
        for one in writes(world)
        if one.operation == "UpdateContainerInstancesState"
        for arn in one.parameters["containerInstances"]
    }

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert TIMEOUT_SECONDS <= world.seconds(action.ended_at) <= TIMEOUT_SECONDS + SWEEP_SECONDS
    assert all(world.seconds(one.at) >= GRACE_SECONDS for one in stops)
    assert {one.parameters["InstanceId"] for one in answers} == {leaving}
    assert instance is None or touched == {instance.arn}
    assert len(touched) == 1
    assert world.reports.crashes == []
    assert world.installed.dead_letters == []


@pytest.mark.parametrize("at_seconds", [1, 50, 400], ids=lambda at: f"after {at} s")
@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_false_about_a_drain_makes_nothing_early_or_late(
    make_world: Callable[..., World], name: str, at_seconds: int
) -> None:
    # The true notice comes after ten seconds, so that the false one may be the first.
    world = stuck(make_world)
    for subscription in world.installed.topic.subscriptions:
        subscription.channel.faults.append(lambda _: (10.0,))
    [leaving] = world.scale_in()
    world.run(at_seconds)

    deliver(world, FORGERIES[name](world, leaving))
    world.until_answered()

    judge(world, leaving)


THROTTLED_SECONDS = 200


def hooks_cannot_be_read(world: World) -> None:
    def throttle(call: Call) -> None:
        hooks = call.operation == "DescribeLifecycleHooks"
        if hooks and world.seconds(call.at) < THROTTLED_SECONDS:
            raise ApiError("Throttling", "Rate exceeded")

    world.account.interceptors.append(throttle)


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_throttle_on_hooks_makes_nobodys_word_good_for_stopping_tasks(
    make_world: Callable[..., World], name: str
) -> None:
    # Whoever may publish could else choose the moment of a throttle to have tasks stopped.
    world = stuck(make_world)
    [leaving] = world.scale_in()
    world.run(50)

    hooks_cannot_be_read(world)
    deliver(world, FORGERIES[name](world, leaving))
    world.until_answered()

    judge(world, leaving)


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_throttle_on_hooks_makes_nobodys_word_good_for_a_release(
    make_world: Callable[..., World], name: str
) -> None:
    # The hook says to wait for the job; only while it cannot be read could an envelope say else.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 3000})
    [leaving] = world.scale_in()
    world.account.ecs.run_standalone("payments", leaving, seconds=1000)
    world.run(50)

    hooks_cannot_be_read(world)
    deliver(world, FORGERIES[name](world, leaving))
    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


ELSEWHERE = "arn:aws:ecs:us-east-1:123456789012:container-instance/search/" + "0" * 32
# Each is refused by ECS together with all that is asked for in the same call.
POISONS: dict[str, Callable[[Drain], Drain]] = {
    "a container instance of another cluster": lambda drain: replace(
        drain, container_instance_arn=ELSEWHERE
    ),
    "no ARN": lambda drain: replace(drain, container_instance_arn="nonsense"),
    "no task": lambda drain: replace(drain, witnesses=("no task",)),
}


def as_strict_as_ecs(call: Call) -> None:
    """
    Refuse references as ECS does, which the simulated account takes for things it does not have.

    "Identifier is for cluster search. Your cluster is payments", and a task's id has a length.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
    """
    named = {
        "DescribeContainerInstances": call.parameters.get("containerInstances", ()),
        "DescribeTasks": call.parameters.get("tasks", ()),
    }.get(call.operation, ())
    for one in named:
        of_cluster = "/" not in one or one.split("/")[1] == call.parameters["cluster"]
        if not of_cluster or not re.fullmatch(r"[0-9a-f]{32}", one.rpartition("/")[2]):
            raise ApiError("InvalidParameterException", f"Invalid identifier: {one}")


@pytest.mark.parametrize("name", POISONS)
def test_a_reference_that_ecs_refuses_does_not_blind_the_drains_beside_it(
    make_world: Callable[..., World], name: str
) -> None:
    # One false envelope could else hold up every drain of the account until their deadlines.
    world = make_world()
    world.account.interceptors.append(as_strict_as_ecs)
    world.group(6)
    world.service(6)
    leaving, *_ = world.scale_in(3)

    def poison(number: int) -> None:
        change = POISONS[name]
        token = f"{number:036}"
        false = enveloped(lambda _, drain: change(drain), lifecycle_action_token=token)
        world.say(false(world, leaving))

    # Half a second after each pass, so that it shares the next batch with what is true.
    for number in range(PASSES):
        world.account.after(number * PASS_SECONDS + 0.5, partial(poison, number))
    world.until_answered()

    ends = [world.seconds(one.ended_at) for one in world.account.auto_scaling.actions]
    refused = world.calls("DescribeContainerInstances", error="InvalidParameterException")
    refused += world.calls("DescribeTasks", error="InvalidParameterException")
    assert refused >= PASSES
    assert max(ends) <= 390 + 2 * PASS_SECONDS
    assert world.left_behind == []
