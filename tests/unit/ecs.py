"""
ECS as unit tests tell it: a container instance, and calls that a test does not expect.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.drain.model import ContainerInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.drain.model import Task


def container_instance(
    arn: str = "arn", of: str = "i-0", status: str = "DRAINING", **changes: Any
) -> ContainerInstance:
    """A container instance with a connected agent and no task."""
    one = ContainerInstance(arn, of, status, agent_connected=True, running_tasks=0, pending_tasks=0)
    return replace(one, **changes)


class UnaskedEcs:
    """The reads of ECS that a test does not expect; a fake has those that it does."""

    def clusters(self) -> list[str]:
        raise AssertionError("the clusters are not asked for")

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        raise AssertionError("nothing is searched for")

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        raise AssertionError("no container instance is described")

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        raise AssertionError("no tasks are listed")

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        raise AssertionError("no tasks are described")
