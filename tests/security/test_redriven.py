"""
Dead letters, put back: at whatever age, they release nothing early and start nothing twice.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from drainer.cli.dead_letters import FUNCTION, NOTIFICATION_QUEUE, WAIT_QUEUE, Fate, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.services.messaging.delivery import Publication
    from drainer.simulation.services.messaging.queues import Queue
    from tests.simulation.conftest import World

DAY_SECONDS = 86_400
SWEEP_SECONDS, PASS_SECONDS = 300, 15 + 1


def put_back(world: World, body: str) -> None:
    """Do as the command does: ask where it belongs, and send it there."""
    found = route(body, world.account.now)
    assert found.fate == Fate.MOVED
    if found.to == FUNCTION:
        world.installed.function.invoke_asynchronously(found.content)
        return
    queues = {
        NOTIFICATION_QUEUE: world.installed.notification_queue,
        WAIT_QUEUE: world.installed.wait_queue,
    }
    queues[found.to].send(found.content)


def broken_until(world: World, seconds: float) -> None:
    """Let the function fail as a whole, as one does whose zip lacks a library."""

    def fault(_event: object) -> None:
        if world.seconds(world.account.now) < seconds:
            raise ImportError("no module named drainer")

    world.installed.function.faults.append(fault)


def taken(queue: Queue) -> list[str]:
    bodies = [message.body for message in queue.messages]
    queue.delete(queue.messages)
    return bodies


def answers(world: World) -> int:
    """How many answers were given, and also those that nobody waited for."""
    return sum(call.operation == "CompleteLifecycleAction" for call in world.account.calls)


@pytest.mark.parametrize("sweep_seconds", [None, SWEEP_SECONDS], ids=["no sweep", "with the sweep"])
@pytest.mark.parametrize("broken_seconds", [1000, 3000, 20_000])
def test_what_a_broken_function_has_left_behind_is_drained_after_the_repair(
    make_world: Callable[..., World], broken_seconds: int, sweep_seconds: float | None
) -> None:
    # The first thing that an operator does after a repair must be safe without thinking.
    world = make_world(sweep_interval_seconds=sweep_seconds)
    world.group(heartbeat_timeout_seconds=7200, metadata={"drain_timeout_seconds": 100_000})
    world.service()
    broken_until(world, broken_seconds)
    [leaving] = world.scale_in()
    world.run(broken_seconds)
    letters = taken(world.installed.dead_notifications)
    ended_by_then = world.account.auto_scaling.actions[-1].ended_by

    for body in letters:
        put_back(world, body)
    action = world.until_answered()
    world.run(DAY_SECONDS)

    assert len(letters) == 1
    # What nobody answers for two hours, the hook's own timeout ends; the rest is ours.
    assert action.ended_by == ("completed" if ended_by_then is None else ended_by_then)
    assert answers(world) == (ended_by_then is None)
    if ended_by_then is None:
        assert world.last_stopped_seconds(leaving) <= world.seconds(action.ended_at)
        assert world.left_behind == []
    assert world.installed.wait_queue.messages == []


@pytest.mark.parametrize("after_seconds", [1, 100, 380, 450, 3000, DAY_SECONDS, 13 * DAY_SECONDS])
@pytest.mark.parametrize(
    "kind", ["notification", "first envelope", "late envelope", "all, three times"]
)
def test_a_message_of_any_age_changes_nothing_about_a_drain_or_after_it(
    make_world: Callable[..., World], kind: str, after_seconds: int
) -> None:
    # SQS keeps a dead letter for fourteen days; the drain has long been over, or another has begun.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS, fast_path=True)
    world.group(4)
    world.service(4)
    kept: dict[str, list[str]] = {"notification": [], "envelope": []}
    topic = world.installed.topic

    def keep(name: str, publication: Publication) -> tuple[float, ...]:
        kept[name].append(publication.message)
        return (0.0,)

    # The last one leads to the queue of quiet drains.
    for subscription, name in zip(topic.subscriptions, (*kept, "envelope"), strict=True):
        subscription.channel.faults.append(partial(keep, name))
    world.scale_in()
    world.account.run_for(380)
    letters = {
        "notification": kept["notification"],
        "first envelope": kept["envelope"][:1],
        "late envelope": kept["envelope"][-1:],
        "all, three times": [*kept["notification"], *kept["envelope"]] * 3,
    }[kind]

    def redrive() -> None:
        for body in letters:
            put_back(world, body)

    assert letters
    world.account.after(after_seconds, redrive)
    world.until_answered()
    world.run(after_seconds)
    world.scale_in()
    world.until_answered()
    world.run(7200)

    actions = world.account.auto_scaling.actions
    assert [action.ended_by for action in actions] == ["completed", "completed"]
    assert world.left_behind == []
    assert answers(world) == len(actions)
    assert world.installed.wait_queue.messages == []


def test_an_event_of_auto_scaling_that_failed_is_served_after_the_repair(
    make_world: Callable[..., World],
) -> None:
    # Without a topic there is no queue that would keep it: Lambda's record is all there is.
    world = make_world()
    world.group(metadata={"cluster": "payments"}, target=None)
    world.service()
    [leaving] = world.scale_in()
    action = world.account.auto_scaling.actions[-1]
    event = {
        "source": "aws.autoscaling",
        "detail-type": "EC2 Instance-terminate Lifecycle Action",
        "time": action.started_at.isoformat(),
        "detail": {
            "LifecycleActionToken": action.token,
            "AutoScalingGroupName": action.hook.auto_scaling_group_name,
            "LifecycleHookName": action.hook.name,
            "EC2InstanceId": leaving,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        },
    }
    record: dict[str, Any] = {
        "version": "1.0",
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
        "requestPayload": event,
    }
    world.run(600)

    put_back(world, json.dumps(record))
    world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []
