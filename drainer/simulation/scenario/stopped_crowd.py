"""
A crowd of tasks that stopped a while ago: what a busy batch host has, and any listing shows.

"Stopped tasks only appear in the returned results for at least one hour."
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.simulation.services.ecs.tasks import BY_ITSELF, STOPPED_VISIBLE_SECONDS

if TYPE_CHECKING:
    from drainer.simulation.aws import Aws
    from drainer.simulation.services.ecs.model import ContainerInstance, Task

# They are forgotten by the minute: one row of the timetable for each task would cost more than
# the tasks.
FORGOTTEN_SECONDS = 60.0
RAN_SECONDS = 30.0
FAMILY = "batch"


def add_stopped_tasks(account: Aws, instance: ContainerInstance, count: int) -> None:
    """Add tasks that stopped one after the other within the last hour."""
    profile = TaskProfile()
    now = account.now
    tasks = [
        account.ecs.make_task(instance, FAMILY, profile, group=f"family:{FAMILY}")
        for _ in range(count)
    ]
    minutes = int(STOPPED_VISIBLE_SECONDS / FORGOTTEN_SECONDS)
    for number, task in enumerate(tasks):
        ago = timedelta(seconds=STOPPED_VISIBLE_SECONDS * number / count)
        task.stopped_at = task.stopping_at = task.ended_at = now - ago
        task.started_at = task.created_at = task.stopped_at - timedelta(seconds=RAN_SECONDS)
        task.desired_status = task.last_status = "STOPPED"
        task.stop_code = BY_ITSELF
        task.stopped_reason = "Essential container in task exited"
        del instance.tasks[task.arn]
        instance.long_stopped[task.arn] = task
    for minute in range(minutes):
        share = tasks[count * minute // minutes : count * (minute + 1) // minutes]
        account.after(
            STOPPED_VISIBLE_SECONDS - minute * FORGOTTEN_SECONDS,
            lambda share=share: _forget(instance, share),  # type: ignore[misc]
        )


def _forget(instance: ContainerInstance, tasks: list[Task]) -> None:
    for task in tasks:
        instance.long_stopped.pop(task.arn, None)
        instance.cluster.tasks.pop(task.arn, None)
