"""
The EventBridge events of ECS: state changes of container instances and tasks.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.records import stamp
from drainer.simulation.services.ecs.shapes import describe_container_instance, describe_task

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.model import ContainerInstance, Task


def emit_container_instance_event(account: Account, instance: ContainerInstance) -> None:
    """Tell the bus that a container instance has changed."""
    if not account.on_event:
        return
    detail = describe_container_instance(instance)
    # The documented example of this event carries neither of the two counts.
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
    detail.pop("runningTasksCount")
    detail.pop("pendingTasksCount")
    detail["clusterArn"] = instance.cluster.arn
    detail["updatedAt"] = stamp(account.now)
    account.emit("aws.ecs", "ECS Container Instance State Change", [instance.arn], _plain(detail))


def emit_task_event(account: Account, task: Task) -> None:
    """Tell the bus that a task has changed."""
    if not account.on_event:
        return
    detail = {**describe_task(task), "updatedAt": stamp(account.now)}
    # The event calls by its short name what the operation calls ElasticNetworkInterface, and tells
    # nothing of health (same page as above).
    detail["attachments"] = [{**one, "type": "eni"} for one in detail["attachments"]]
    del detail["healthStatus"]
    account.emit("aws.ecs", "ECS Task State Change", [task.arn], _plain(detail))


def _plain(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        name: stamp(value) if hasattr(value, "isoformat") else value
        for name, value in detail.items()
    }
