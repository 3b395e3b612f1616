"""
Read ECS's task events: a task that is STOPPED is a reason to look at its container instance now.

ECS sends one for each task that stops, also where the service scheduler has stopped it.
A container instance event is not documented for the end of a task that the scheduler stops.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
"""

from __future__ import annotations

from typing import Any

from drainer.drain.model import StoppedTask
from drainer.errors import MalformedEventError, QuietError
from drainer.fields import CONTAINER_INSTANCE_ARN, quoted

DETAIL_TYPE = "ECS Task State Change"
KEY = "containerInstanceArn"  # a task on Fargate has none


def is_on_instance(detail: Any) -> bool:
    """Whether an event is about a task on a container instance, and not on Fargate."""
    return isinstance(detail, dict) and detail.get(KEY) is not None


def read(source: Any, detail: Any) -> StoppedTask:
    """
    Read the change of a task on a container instance.

    Raises:
        MalformedEventError: It is not of ECS, or names no container instance.
        QuietError: The task is not STOPPED.
    """
    if source != "aws.ecs" or not isinstance(detail, dict):
        raise MalformedEventError(f"Source of a task change is {quoted(source)}")
    arn = detail.get(KEY)
    if not isinstance(arn, str) or not CONTAINER_INSTANCE_ARN.fullmatch(arn):
        raise MalformedEventError(f"{KEY} is {quoted(arn)}")
    if detail.get("lastStatus") != "STOPPED":
        raise QuietError("the task is not STOPPED")
    return StoppedTask(arn)
