"""The drainer with the settings that it is shipped with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.conftest import World

HOUR_SECONDS = 3_600
# "DelaySeconds: 0 to 900".
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
DELAY_SECONDS_MAX = 900
ANSWERED_WITHIN_SECONDS = 30


def test_a_job_of_hours_is_not_killed_on_a_default_installation(world: World) -> None:
    # With a deadline of one hour by default, a job of two hours was cut half-way, and nobody had
    # asked for a deadline. That none of two days is cut sooner than need be, the next test shows.
    hours = 2
    world.group(heartbeat_timeout_seconds=1_800)
    world.service()
    leaving = world.oldest
    world.account.ecs.run_standalone("payments", leaving, seconds=hours * HOUR_SECONDS)
    world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.left_behind == []
    ended = world.seconds(action.ended_at)
    assert ended >= hours * HOUR_SECONDS
    assert ended <= world.last_stopped_seconds(leaving) + ANSWERED_WITHIN_SECONDS


def test_a_job_that_never_ends_is_answered_before_auto_scaling_does(world: World) -> None:
    # The hook's own limit ends a drain without a word of what was left. Between its
    # first hour and its last, passes are as far apart as a queue can have them: they take 46 hours
    # as they do, in a sixtieth of the passes.
    world.group(heartbeat_timeout_seconds=1_800)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.scale_in()
    queue = world.installed.wait_queue
    shipped_seconds = queue.delay_seconds
    world.run(HOUR_SECONDS)
    queue.delay_seconds = DELAY_SECONDS_MAX
    world.run(46 * HOUR_SECONDS)
    queue.delay_seconds = shipped_seconds

    action = world.until_answered()

    deadline = 48 * HOUR_SECONDS - 180
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert deadline <= world.seconds(action.ended_at) <= deadline + ANSWERED_WITHIN_SECONDS
    assert world.reports.phases[-1] == "overdue"
