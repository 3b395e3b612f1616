"""
Why an instance of a simulated account is still draining: by the simulation's own objects.

It reads no answer of AWS and no rule of `explain`.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.explain.causes import Cause
from drainer.cli.simulate.causes.story import (
    CLUSTER,
    FOREIGN_HOOK,
    FULL,
    MANAGED_HOOK,
    OWN_HOOK,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drainer.cli.simulate.causes.story import Drain, Story
    from drainer.simulation.services.ecs.model import Service, Task

# Classes of causes that are one in the simulation: a replacement is on its way, in whatever state.
BEING_REPLACED, NEXT_LOOK = "being-replaced", "next-look"
PLACES = {"memory": Cause.NO_MEMORY, "cpu": Cause.NO_CPU, "": Cause.NO_PLACE}
FUNCTION = {
    "failing": Cause.FUNCTION_FAILING,
    "throttled": Cause.FUNCTION_THROTTLED,
    "disabled": Cause.FUNCTION_DISABLED,
}
# What cannot be known sooner. An agent disconnects several times an hour for a short time:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
AGENT_BLINKS = timedelta(minutes=5)
# A quiet drain has a pass every 75 s, and one that is 75 s late is missed.
PASS_MISSED = timedelta(seconds=75 + 75 + 15)
# After the function works again, the next sweep or the queue brings the message.
RESUMED_WITHIN = timedelta(seconds=300 + 60)
# The agent tries five times, each two minutes longer than the stop timeout.
# https://github.com/aws/amazon-ecs-agent/blob/master/agent/engine/docker_task_engine.go
TRIES, TRY_SECONDS_MORE, STOP_SECONDS_DEFAULT = 5, 120, 30
CRASHES = 2


class Named(NamedTuple):
    """A cause, and the service or hook that it is of; empty for the instance."""

    cause: str
    name: str = ""


class TooEarlyError(Exception):
    """Something has just begun of which no answer of AWS has a sign yet."""


def truth(story: Story, drain: Drain) -> set[Named]:
    """
    Return what holds an instance.

    Raises:
        TooEarlyError: A cause is younger than its first sign.
    """
    found = set(_of_drainer(story, drain))
    instance = story.account.ecs.container_instance(drain.id)
    tasks = instance.remaining_tasks() if instance else []
    if not tasks:
        return found or {_after_tasks(drain)}
    away = story.disconnected_at.get(drain.id)
    if instance and not instance.agent_connected and away:
        if story.now - away < AGENT_BLINKS:
            raise TooEarlyError
        found.add(Named(Cause.AGENT_DISCONNECTED))
    connected = instance is not None and instance.agent_connected
    found |= set(_stopping(story, tasks, connected=connected))
    wanted = [task for task in tasks if task.desired_status == "RUNNING"]
    found |= {Named(Cause.STANDALONE_TASK) for task in wanted if task.service is None}
    held = [task for task in wanted if task.is_protected(story.now)]
    found |= {Named(Cause.TASK_PROTECTED, task.service.name) for task in held if task.service}
    if instance and instance.status != "DRAINING":
        return found  # nothing was told to leave
    services = {
        task.service.name: task.service for task in wanted if task.service and task not in held
    }
    return found | {_of_service(story, drain, one) for one in services.values()}


def _of_drainer(story: Story, drain: Drain) -> Iterator[Named]:
    """Yield what is wrong with the drainer, if the drain is its own and not over."""
    action = drain.action(OWN_HOOK)
    if story.installed is None or action is None or not action.is_open:
        return
    now, broken_at, repaired_at = story.now, story.broken_at, story.repaired_at
    if broken_at is not None and repaired_at is None:
        since = max(broken_at, drain.began_at)
        if now - since < PASS_MISSED:
            raise TooEarlyError
        yield Named(FUNCTION[story.broken])
        return
    if repaired_at is not None and now - repaired_at < RESUMED_WITHIN:
        raise TooEarlyError
    missed_at = story.missed_at.get(action.token)
    if missed_at is not None and not story.installed.is_followed(action.token):
        if now < missed_at:
            raise TooEarlyError
        buried = "dead letter" in story.plants and bool(story.installed.dead_letters)
        yield Named(Cause.DEAD_LETTERS if buried else Cause.CHAIN_LOST)


def _after_tasks(drain: Drain) -> Named:
    waiting = [one.hook.name for one in drain.instance.past if one.is_open]
    if OWN_HOOK in waiting:
        return Named(NEXT_LOOK)
    if FOREIGN_HOOK in waiting and MANAGED_HOOK not in waiting:
        return Named(Cause.OTHER_HOOK, FOREIGN_HOOK)
    if MANAGED_HOOK in waiting:
        # Both are open: Auto Scaling waits for both, and the other one for longer.
        foreign = FOREIGN_HOOK in waiting
        return Named(Cause.OTHER_HOOK, FOREIGN_HOOK) if foreign else Named(Cause.MANAGED_DRAINING)
    return Named(Cause.FINISHED)


def _stopping(story: Story, tasks: Iterable[Task], *, connected: bool) -> Iterator[Named]:
    """Yield what the tasks that ECS no longer wants wait for."""
    for task in tasks:
        if task.desired_status == "RUNNING":
            continue
        name = task.service.name if task.service else f"{task.family}:1"
        if task.last_status == "DEACTIVATING":
            yield Named(Cause.TARGET_DRAINING, name)
        elif task.last_status == "DEPROVISIONING":
            yield Named(Cause.DEPROVISIONING, name)
        elif connected:
            yield Named(_of_stop(story, task), name)


def _of_stop(story: Story, task: Task) -> Cause:
    timeout = task.profile.stop_timeout_seconds
    if timeout != math.inf or task.signalled_at is None:
        return Cause.STOP_TIMEOUT
    # Its definition has no timeout of its own, so that ECS's default holds.
    tries = timedelta(seconds=TRIES * (STOP_SECONDS_DEFAULT + TRY_SECONDS_MORE))
    is_over = story.now - task.signalled_at > tries
    return Cause.STUCK_STOPPING if is_over else Cause.STOP_TIMEOUT


def _of_service(story: Story, drain: Drain, service: Service) -> Named:
    """Return why a service's task stays, by the numbers that its scheduler decides by."""
    if service.strategy == "DAEMON":
        return Named(Cause.DAEMON, service.name)
    wanted = [task for task in service.tasks.values() if task.desired_status == "RUNNING"]
    staying = [task for task in wanted if task.container_instance.status != "DRAINING"]
    most = math.floor(service.desired * service.maximum_percent / 100)
    least = math.ceil(service.desired * service.minimum_healthy_percent / 100)
    lacking = service.desired - len(staying)
    if lacking > 0 and most > len(wanted) and (cause := _no_place(story)):
        return Named(cause, service.name)
    crashes = sum(name == service.name and at > drain.began_at for at, name in story.crashed)
    if crashes and story.lives[service.name].crashes:
        if crashes < CRASHES:
            raise TooEarlyError
        return Named(Cause.CRASH_LOOP, service.name)
    on_the_way = any(not task.healthy for task in wanted)
    if not on_the_way and sum(task.healthy for task in wanted) <= least:
        return Named(Cause.MINIMUM_EQUALS_MAXIMUM, service.name)
    return Named(BEING_REPLACED, service.name)


def _no_place(story: Story) -> Cause | None:
    """Return why a task has no place anywhere; None where it has."""
    cluster = story.account.ecs.clusters[CLUSTER]
    others = [one for one in cluster.container_instances.values() if one.status == "ACTIVE"]
    if not others:
        return Cause.NO_INSTANCES
    is_full = all(len(one.wanted_tasks()) >= FULL for one in others)
    return PLACES[story.unit] if is_full else None
