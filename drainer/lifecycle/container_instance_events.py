"""
Read ECS's container instance events: each is a reason to look whether an instance is back in
service.

They are best effort: their content does not count, and where one is lost the next sweep looks.
"""

from __future__ import annotations

from typing import Any

from drainer.drain.model import WakeUp
from drainer.errors import MalformedEventError, QuietError
from drainer.fields import PATTERNS, quoted

DETAIL_TYPE = "ECS Container Instance State Change"


def read(source: Any, detail: Any) -> WakeUp:
    """
    Read a container instance state change; unknown properties and missing counts are tolerated.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
    """
    if source != "aws.ecs" or not isinstance(detail, dict):
        raise MalformedEventError(f"Source of a container instance change is {quoted(source)}")
    if detail.get("status") != "DRAINING":
        raise QuietError("the container instance is not DRAINING")
    ec2_instance_id = detail.get("ec2InstanceId")
    pattern = PATTERNS["EC2InstanceId"]
    if not isinstance(ec2_instance_id, str) or not pattern.fullmatch(ec2_instance_id):
        raise MalformedEventError(f"ec2InstanceId is {quoted(ec2_instance_id)}")
    if _holds_tasks(detail):
        raise QuietError("tasks still hold resources of the container instance")
    return WakeUp(ec2_instance_id)


def _holds_tasks(detail: dict[str, Any]) -> bool:
    """
    Whether the event itself shows that tasks are left, so that looking would be in vain.

    The counts are in real events, though not in AWS's example; the resources are in both, and are
    given back when a task is STOPPED.
    """
    counts = (detail.get("runningTasksCount"), detail.get("pendingTasksCount"))
    if any(isinstance(count, int) and count > 0 for count in counts):
        return True
    registered, remaining = (
        _memory(detail.get(key)) for key in ("registeredResources", "remainingResources")
    )
    return registered is not None and remaining is not None and remaining < registered


def _memory(resources: Any) -> int | None:
    for resource in resources if isinstance(resources, list) else ():
        if isinstance(resource, dict) and resource.get("name") == "MEMORY":
            value = resource.get("integerValue")
            return value if isinstance(value, int) else None
    return None
