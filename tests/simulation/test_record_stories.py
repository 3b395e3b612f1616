"""What a drain does while its record cannot be had: stories of an outage, a loss and an update."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.attributes import checksum
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.simulation.records import Call
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from tests.simulation.conftest import World

SWEEP_SECONDS = 300
PASS_SECONDS = 15 + 1
HOUR = 3_600
OF_THE_TABLE = frozenset({"BatchGetItem", "Query", "UpdateItem"})
# What deregistering a target takes before its task is STOPPED; see World.service.
DEREGISTRATION_SECONDS = 2_000.0


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(sweep_interval_seconds=SWEEP_SECONDS)


def lose_notifications(world: World) -> None:
    """Let no notification arrive: what the sweep finds has no token."""
    world.installed.topic.subscriptions[0].channel.faults.append(lambda _: ())


def refuse_the_table(
    world: World,
    code: str,
    *,
    from_seconds: float = 0,
    to_seconds: float = 1e9,
    operations: frozenset[str] = OF_THE_TABLE,
) -> None:
    """Let every call of the table, or others, fail for a while, in seconds since the start."""

    def intercept(call: Call) -> None:
        struck = from_seconds <= world.seconds(call.at) < to_seconds
        if struck and call.operation in operations:
            raise ApiError(code, "refused by the story", 500)

    world.account.interceptors.append(intercept)


def open_records(world: World) -> list[dict[str, Any]]:
    table = world.account.record_tables.tables[world.installed.records]
    return [item for item in table.items if "open" in item]


def assert_ended_right(world: World, action: LifecycleAction) -> None:
    """Never early, never stuck, one answer, no message given up, no second chain left."""
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.left_behind == []
    assert world.killed == []
    assert world.calls("CompleteLifecycleAction", error=None) == 1
    assert world.installed.dead_letters == []
    world.run(2 * SWEEP_SECONDS)
    assert world.installed.wait_queue.messages == []
    assert open_records(world) == []


def passes_after_the_last_task(world: World, action: LifecycleAction) -> float:
    stopped_at = world.last_stopped_seconds(action.ec2_instance_id)
    return (world.seconds(action.ended_at) - stopped_at) / PASS_SECONDS


# -- the table is down for an hour


def test_a_drain_that_outlasts_the_outage_of_its_table_goes_on_through_it(world: World) -> None:
    # An hour is longer than most hooks wait for a heartbeat: what stopped with the table would be
    # timed out, with the tasks still on it.
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=5_000.0)
    world.scale_in()
    refuse_the_table(world, "InternalServerError", from_seconds=100, to_seconds=100 + HOUR)
    world.run(100 + HOUR / 2)

    assert len(world.installed.wait_queue.messages) == 1

    action = world.until_answered()

    assert world.seconds(action.ended_at) > 100 + HOUR
    assert passes_after_the_last_task(world, action) <= 2
    assert_ended_right(world, action)


def test_a_drain_whose_tasks_end_in_the_outage_is_answered_in_it(world: World) -> None:
    # Kept waiting for the table, an instance without tasks costs money and holds up its group.
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    world.scale_in()
    refuse_the_table(world, "InternalServerError", from_seconds=100, to_seconds=100 + HOUR)

    action = world.until_answered()

    assert world.seconds(action.ended_at) < 100 + HOUR
    assert passes_after_the_last_task(world, action) <= 2
    # Its record stays open until the table is back: then the sweep asks Auto Scaling once more.
    world.run(HOUR)
    assert_ended_right(world, action)
    [item] = world.account.record_tables.tables[world.installed.records].items
    assert item["end"] == {"S": "over"}


def test_what_has_no_token_is_kept_waiting_through_the_outage_and_answered_after_it(
    world: World,
) -> None:
    # Without its record and a token, what a message says may be of another action: an answer by it
    # would be early, and without heartbeats the hook's timeout would cut what still runs.
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    lose_notifications(world)
    world.scale_in()
    back_at = 400 + HOUR
    refuse_the_table(world, "InternalServerError", from_seconds=400, to_seconds=back_at)

    action = world.until_answered()

    assert back_at <= world.seconds(action.ended_at) <= back_at + SWEEP_SECONDS + 6 * PASS_SECONDS
    assert_ended_right(world, action)


def test_a_deadline_that_passes_in_the_outage_is_kept(world: World) -> None:
    # The deadline is in the record, too: kept waiting past it, a task that never ends holds its
    # instance for as long as the table is down.
    world.group(metadata={"drain_timeout_seconds": 1_200}, heartbeat_timeout_seconds=600)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.scale_in()
    refuse_the_table(world, "InternalServerError", from_seconds=100, to_seconds=100 + HOUR)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert 1_200 <= world.seconds(action.ended_at) <= 1_200 + PASS_SECONDS


# -- the table is deleted, and never comes back; or was never to be had


@pytest.mark.parametrize("deleted_after_seconds", [0, 1, 100, 1_000])
def test_with_a_token_a_drain_ends_whose_table_is_deleted_for_ever(
    world: World, deleted_after_seconds: int
) -> None:
    # A table that never answers again must not keep an instance until its deadline, of 48 hours.
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    world.scale_in()
    world.account.after(
        deleted_after_seconds,
        lambda: world.account.record_tables.delete(world.installed.records),
    )

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert passes_after_the_last_task(world, action) <= 2
    assert world.left_behind == []
    assert world.installed.dead_letters == []


def test_without_a_token_and_a_table_nobody_is_kept_past_the_deadline(world: World) -> None:
    # Heartbeats that nothing bounds would keep it for the hook's global timeout, of 48 hours.
    world.group(metadata={"drain_timeout_seconds": 1_800}, heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    lose_notifications(world)
    world.scale_in()
    world.run(400)
    world.account.record_tables.delete(world.installed.records)

    action = world.until_answered()

    deadline = SWEEP_SECONDS + 1_800
    assert max(map(world.seconds, action.heartbeats)) <= deadline
    assert world.seconds(action.ended_at) <= deadline + 600
    assert world.calls("CompleteLifecycleAction") == 0
    assert world.installed.wait_queue.messages == []


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_drain_whose_table_is_denied_from_the_beginning_ends_by_its_messages(
    world: World, code: str
) -> None:
    # A policy that somebody has narrowed must not let the hook's timeout cut every drain.
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    refuse_the_table(world, code)
    world.scale_in()

    action = world.until_answered()

    assert passes_after_the_last_task(world, action) <= 2
    assert_ended_right(world, action)
    # One chain, whatever the sweeps in between have found.
    passes = world.seconds(action.ended_at) / PASS_SECONDS
    assert len(world.reports.passes) <= passes + DEREGISTRATION_SECONDS / SWEEP_SECONDS + 10


# -- the sweep is first, and the notification's token joins its record


def let_the_sweep_be_first(world: World) -> None:
    """Hold notifications up until right after the first sweep, which changes nothing in ECS."""
    heartbeats = frozenset({"RecordLifecycleActionHeartbeat"})
    refuse_the_table(world, "Throttling", to_seconds=SWEEP_SECONDS + 5, operations=heartbeats)
    delay = SWEEP_SECONDS + 10.0
    world.installed.topic.subscriptions[0].channel.faults.append(
        lambda _: (max(0.0, delay - world.seconds(world.account.now)),)
    )


def test_a_token_that_cannot_be_written_for_an_hour_delays_its_drain_by_a_minute(
    world: World,
) -> None:
    # No other message set it DRAINING: it served for an hour, with its deadline coming nearer.
    let_the_sweep_be_first(world)
    window = {"from_seconds": float(SWEEP_SECONDS), "to_seconds": SWEEP_SECONDS + float(HOUR)}
    publishes, sweeps = (
        frozenset({"PublishBatch"}),
        frozenset({"Query", "DescribeAutoScalingGroups"}),
    )
    refuse_the_table(world, "InternalError", to_seconds=SWEEP_SECONDS + 5, operations=publishes)
    world.group()
    world.service()
    world.scale_in()
    world.run(SWEEP_SECONDS + 5)
    assert len(open_records(world)) == 1
    refuse_the_table(world, "AccessDenied", **window, operations=sweeps | {"UpdateItem"})

    action = world.until_answered()

    assert (action.result, action.ended_by, world.left_behind) == ("CONTINUE", "completed", [])
    notified_at = SWEEP_SECONDS + 10
    [draining_at] = [
        world.seconds(fact.at)
        for fact in world.account.facts("container_instance", status="DRAINING")
    ]
    assert notified_at + 2 * PASS_SECONDS < draining_at <= notified_at + 4 * PASS_SECONDS


def test_a_token_that_auto_scaling_does_not_confirm_for_long_is_no_dead_letter(
    world: World,
) -> None:
    # After five deliveries, three minutes apart, its message was given up.
    let_the_sweep_be_first(world)
    heartbeats = frozenset({"RecordLifecycleActionHeartbeat"})
    refuse_the_table(world, "Throttling", to_seconds=1_500, operations=heartbeats)
    world.group()
    world.service()
    world.scale_in()

    action = world.until_answered()

    assert_ended_right(world, action)


# -- nobody may write the table for a while


@pytest.mark.parametrize("forgets_agent", [True, False])
def test_what_comes_back_while_nobody_may_write_serves_again_once_somebody_may(
    world: World, *, forgets_agent: bool
) -> None:
    # Forgotten with its open record, it would take no task permanently, and nothing would say so.
    world.group(desired=1)
    [instance] = world.account.auto_scaling.instances.values()
    world.account.auto_scaling.root_volumes.replace(instance, forgets_agent=forgets_agent)
    world.run(PASS_SECONDS)
    [drained] = world.account.ecs.registrations(instance.ec2_instance_id)
    assert drained.status == "DRAINING"
    table = world.account.record_tables.tables[world.installed.records]
    table.read_only = True
    world.until_answered()

    def status() -> list[tuple[str, bool]]:
        known = world.account.ecs.registrations(instance.ec2_instance_id)
        return [(one.status, one.agent_connected) for one in known]

    world.run(HOUR)
    assert instance.lifecycle_state == "InService"
    assert ("DRAINING", not forgets_agent) in status()  # the limit that docs/limits.md names
    assert len(open_records(world)) == 1

    table.read_only = False
    # A sweep hears that the action is over; another one comes after Auto Scaling has settled.
    world.run(2 * SWEEP_SECONDS + PASS_SECONDS)

    assert status() == [("ACTIVE", True)]


# -- an installation of the version before is updated while drains are under way


def before(
    world: World,
    action: LifecycleAction,
    version: int,
    *,
    token: bool,
    draining_since: datetime | None,
    closed: bool = False,
) -> dict[str, Any]:
    """Return a re-invocation as an installation has published it that knew no records."""
    [registration] = world.account.ecs.registrations(action.ec2_instance_id)
    tasks = [task.task_id for task in registration.remaining_tasks()]
    now = world.account.now.timestamp()
    policy = {
        "cluster": None,
        "drain_timeout_seconds": 7_200,
        "deadline_result": "CONTINUE",
        "standalone_tasks": "wait",
        "standalone_grace_seconds": 300,
    }
    known = {
        "drainer": "re-invocation",
        "version": version,
        "action": {
            "auto_scaling_group_name": action.hook.auto_scaling_group_name,
            "lifecycle_hook_name": action.hook.name,
            "ec2_instance_id": action.ec2_instance_id,
            "lifecycle_action_token": action.token if token else "",
        },
        "started_at": action.started_at.timestamp(),
        "last_heartbeat_at": now,
        "hop": 7,
        "origin": "chain",
        "by_event_bridge": False,
        "deadline_at": action.started_at.timestamp() + 7_200,
        "heartbeat_timeout_seconds": action.hook.heartbeat_timeout_seconds,
        "policy": policy if token else None,
        "cluster": registration.cluster.arn,
        "container_instance_arn": registration.arn,
        "draining_since": draining_since.timestamp() if draining_since else None,
        "standalone_stopped": False,
    }
    if version == 1:
        seen = {"witnesses": tasks, "listed_before": True}
        return {**known, **seen, "absent_before": False, "not_waiting_before": False}
    return {
        **known,
        "unfinished": tasks,
        "listed_at": draining_since.timestamp() + 25 if draining_since else None,
        "closed": closed,
        "missing_since": None,
        "others": [],
        "settled": closed,
        "searched_to": "",
        "search_failed": False,
        "searched_at": None,
        "absent_since": None,
        "not_waiting_since": None,
        "sent_at": now,
    }


def leave_a_mark(world: World, action: LifecycleAction, *, token: bool) -> None:
    """Put the attribute on the container instance in which that version kept a drain's state."""
    [registration] = world.account.ecs.registrations(action.ec2_instance_id)
    began, now = int(action.started_at.timestamp()), int(world.account.now.timestamp())
    times = f"{now}/{began}/{began + 7_200}/{now}/{began + 20}"
    whose = checksum(action.token) if token else "-"
    registration.attributes[f"drainer.pass.{checksum(action.hook.name)}"] = f"{whose}/7/{times}"


KINDS = [(version, token) for version in (1, 2) for token in (True, False)]


@pytest.mark.parametrize("stage", ["just begun", "draining", "closed"])
def test_drains_of_the_version_before_end_right_after_an_update(world: World, stage: str) -> None:
    # An update replaces the function within seconds. What its messages do not find any more, or
    # say otherwise, must release nothing early and leave nothing behind.
    world.group(8, heartbeat_timeout_seconds=600)
    world.service(8, deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    lose_notifications(world)
    world.scale_in(len(KINDS))
    actions = list(world.account.auto_scaling.actions)
    world.run(5)
    since = None
    if stage != "just begun":
        since = world.account.now
        for action in actions:
            [registration] = world.account.ecs.registrations(action.ec2_instance_id)
            world.account.ecs.set_status(registration, "DRAINING")
        world.run(95)
    for action, (version, token) in zip(actions, KINDS, strict=True):
        leave_a_mark(world, action, token=token)
        closed = stage == "closed"
        world.say(before(world, action, version, token=token, draining_since=since, closed=closed))
    updated_at = world.account.now
    world.run(PASS_SECONDS)

    # Those that name their token go on at once; what has none is found by the next sweep.
    [first] = world.reports.passes
    assert len(first.outcomes) == 2
    assert {len(world.installed.wait_queue.messages), len(open_records(world))} == {2}

    world.until_answered()

    latest = max(SWEEP_SECONDS, world.seconds(updated_at)) + DEREGISTRATION_SECONDS + 400
    for action in actions:
        assert (action.result, action.ended_by) == ("CONTINUE", "completed")
        assert world.seconds(action.ended_at) <= latest
    assert world.left_behind == []
    assert world.killed == []
    assert world.calls("CompleteLifecycleAction", error=None) == len(KINDS)
    assert world.installed.dead_letters == []
    world.run(2 * SWEEP_SECONDS)
    assert (world.installed.wait_queue.messages, open_records(world)) == ([], [])


@pytest.mark.parametrize("version", [1, 2])
def test_a_drain_of_the_version_before_keeps_its_deadline_over_an_update(
    world: World, version: int
) -> None:
    # Counted again from the update on, a task that never ends holds its instance twice as long.
    world.group(heartbeat_timeout_seconds=600)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    lose_notifications(world)
    world.scale_in()
    [action] = world.account.auto_scaling.actions
    world.run(100)
    leave_a_mark(world, action, token=True)
    body = before(world, action, version, token=True, draining_since=None)
    world.say({**body, "deadline_at": (action.started_at + timedelta(seconds=900)).timestamp()})

    world.until_answered()

    assert action.ended_by == "completed"
    assert 900 <= world.seconds(action.ended_at) <= 900 + PASS_SECONDS


def test_ten_duplicates_of_a_message_of_the_version_before_are_one_chain(world: World) -> None:
    # None of them names a generation, and there is no record: each could begin a chain.
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=DEREGISTRATION_SECONDS)
    lose_notifications(world)
    world.scale_in()
    [action] = world.account.auto_scaling.actions
    world.run(5)
    body = before(world, action, 2, token=True, draining_since=None)
    for number in range(10):
        world.account.after(3.0 * number, lambda: world.say(body))
    world.run(120)

    assert len(world.installed.wait_queue.messages) == 1

    world.until_answered()

    assert_ended_right(world, action)
