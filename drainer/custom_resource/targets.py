"""
What is asked about the target of a custom resource, and its stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.stack import Stack


class Targets(Protocol):
    """What is asked about the target; every method may raise a DrainerError."""

    def stack(self, stack_id: str) -> Stack:
        """Return a stack and its resources; one without a status where there is none."""

    def group(self, target: DrainTarget) -> str:
        """Return the name of the group that has the instances; empty for a fleet, and for none."""

    def groups(self, capacity_providers: Sequence[str]) -> dict[str, str]:
        """Return the name of the group of each capacity provider that there is."""

    def made_by(self, auto_scaling_group_name: str) -> str:
        """Return the id of the stack that has made a group; empty for none."""

    def cluster_exists(self, cluster: str) -> bool:
        """Whether there is such a cluster."""

    def instances(self, target: DrainTarget) -> list[str] | None:
        """Return the ids of the target's EC2 instances; None where there is no such target."""

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set up to TOGETHER_MAX container instances ACTIVE; return refusals by ARN."""

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        """Take an attribute off up to TOGETHER_MAX container instances."""
