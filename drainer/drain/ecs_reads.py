"""
What is asked of ECS about container instances and tasks, and how long a pass may go on asking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.drain.model import ContainerInstance, Task

# The time of an invocation that is kept for acting: answers, heartbeats, and re-invocations.
ACTING_SECONDS = 12.0


class EcsReads(Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def clusters(self) -> list[str]:
        """Return the ARNs of all clusters."""

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        """Return the ARNs of the container instances of these EC2 instances."""

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        """Return the container instances that still are."""

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        """Return the ids of its tasks of one desired status; `go_on` may end a long listing."""

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks that ECS still knows, by id."""
