"""
How long ECS takes to replace the tasks of a service, by what it took before.
"""

from __future__ import annotations

import math
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.explain.messages import Kind, matched
from drainer.cli.explain.scheduler import limits

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.explain.facts import Facts, Service, Task

# "If there are no health checks, a task is healthy 40 s after RUNNING."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
HEALTHY_SECONDS = 40
START_SECONDS_DEFAULT = 50
# ECS's scheduler looks every ten seconds: a round is never over at once.
LOOK_SECONDS = 10
# A start that took longer than this waited for a place, which says nothing about the next one.
START_SECONDS_MAX = 1_800
MEASURED_MAX = 10


class Forecast(NamedTuple):
    """When the last task of a service is told to stop, and how that was computed."""

    at: datetime
    how: str


def replaced(facts: Facts, name: str) -> Forecast | None:
    """Return when ECS has replaced the tasks of a service; None where it is not known."""
    service = facts.services.get(name)
    if service is None:
        return None
    here = sum(task.service == name and task.wanted for task in facts.remaining)
    elsewhere = facts.elsewhere.get(name, ())
    seconds, is_measured = _round(service, elsewhere)
    rounds = math.ceil(here / _at_once(service))
    since = facts.draining_since
    live = [
        task.created_at
        for task in elsewhere
        if task.created_at and task.wanted and (since is None or task.created_at >= since)
    ]
    elapsed = (facts.now - max(live)).total_seconds() if live else 0.0
    if elapsed > seconds:
        elapsed = 0.0  # that one was of an earlier round
    left = max(float(LOOK_SECONDS), seconds - elapsed) + (rounds - 1) * seconds
    said = f"{rounds} rounds" if rounds > 1 else "1 round"
    source = "as measured" if is_measured else "assumed"
    how = f"{name}: {said} of {seconds:.0f} s ({source}) for start and health check."
    return Forecast(facts.now + timedelta(seconds=left), how)


def _at_once(service: Service) -> int:
    """Return how many tasks ECS replaces in one round."""
    lowest, highest = limits(service)
    if lowest >= service.desired:
        return max(1, highest - service.desired)
    return max(1, service.desired - lowest)


def _round(service: Service, tasks: tuple[Task, ...]) -> tuple[float, bool]:
    """Return how long a start and its health check take, and whether that was measured."""
    gaps = _gaps(service)
    if gaps:
        return median(gaps), True
    starts = [
        (task.started_at - task.created_at).total_seconds()
        for task in tasks
        if task.started_at and task.created_at
    ]
    starts = [one for one in starts if 0 < one < START_SECONDS_MAX]
    if starts:
        return median(starts) + HEALTHY_SECONDS, True
    return START_SECONDS_DEFAULT + HEALTHY_SECONDS, False


def _gaps(service: Service) -> list[float]:
    """Return the seconds between a start and the stop that followed it, the newest ones."""
    found: list[float] = []
    stopped = None
    for event in service.events:
        kind = matched(event.message).kind
        if kind == Kind.STOPPED:
            stopped = event.at
        elif kind == Kind.STARTED and stopped is not None:
            gap = (stopped - event.at).total_seconds()
            stopped = None
            if LOOK_SECONDS < gap < START_SECONDS_MAX:
                found.append(gap)
    return found[:MEASURED_MAX]
