"""
How long tasks take to stop, by how long others of their service took.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drainer.cli.explain.facts import Facts

# What the scheduler stopped has stopped as a drained task does.
STOPPED_BY_SCHEDULER = "ServiceSchedulerInitiated"


def delay_of(facts: Facts, name: str) -> int:
    """Return the deregistration delay of a service in seconds: the longest, 0 without any."""
    service = facts.services.get(name)
    groups = [facts.target_groups.get(arn) for arn in service.target_groups] if service else []
    return max((one.delay_seconds or 0 for one in groups if one), default=0)


def measured_stop(facts: Facts, name: str) -> float | None:
    """
    Return how many seconds tasks of a service took from the stop signal to STOPPED.

    AWS does not say whether stoppingAt is set before the targets are deregistered. If a stop took
    longer than the deregistration delay, it was.
    """
    delay = delay_of(facts, name)
    seconds = [
        (task.stopped_at - task.stopping_at).total_seconds()
        for task in (*(facts.tasks or ()), *facts.elsewhere.get(name, ()))
        if task.service == name
        and task.stop_code == STOPPED_BY_SCHEDULER
        and task.started_at
        and task.stopping_at
        and task.stopped_at
    ]
    return median(one - delay if one >= delay else one for one in seconds) if seconds else None
