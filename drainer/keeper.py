"""
Keep what a custom resource guards as it is: the target exists, and none of it is DRAINING for us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer import mark as marks
from drainer.acts import TOGETHER_MAX, UNIT_SECONDS
from drainer.custom_resource import TargetKind
from drainer.errors import MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.acts import Ecs
    from drainer.cloudformation import Request
    from drainer.custom_resource import Guard
    from drainer.errand import Errand
    from drainer.fleet import Targets
    from drainer.model import ContainerInstance


class Keeper:
    """
    Looks at targets that stay, and sets ACTIVE again what a stack has set DRAINING.

    Args:
        ecs: ECS.
        targets: Says whose instances they are.
    """

    def __init__(self, ecs: Ecs, targets: Targets) -> None:
        self._ecs = ecs
        self._targets = targets

    def restore(
        self, errand: Errand, guard: Guard, seconds_left: Callable[[], float]
    ) -> tuple[str, ...]:
        """
        Set ACTIVE again what this stack has set DRAINING, for the target is to stay.

        Returns:
            A sentence for each that could not be.

        Raises:
            MisconfiguredError: There is no such cluster or target, or it may not be read.
            UnavailableError: A call did not succeed.
        """
        ids = self._targets.instances(guard)
        if ids is None:
            raise MisconfiguredError(f"{guard.kind} is {guard.name!r}; there is none")
        there = [one for one in guard.clusters if self._targets.cluster_exists(one)]
        if not there:
            named = ", ".join(guard.clusters)
            raise MisconfiguredError(f"Cluster is {named!r}; there is none")
        troubles: list[str] = []
        for cluster in there if ids else ():
            troubles += self._restore(errand, cluster, ids, seconds_left)
        return tuple(troubles)

    def _restore(
        self, errand: Errand, cluster: str, ids: Sequence[str], seconds_left: Callable[[], float]
    ) -> list[str]:
        stack = marks.checksum(errand.request.stack_id)
        described = self._ecs.describe(cluster, self._ecs.find(cluster, ids))
        ours = [instance for instance in described if instance.drained_for == stack]
        troubles: list[str] = []
        for start in range(0, len(ours), TOGETHER_MAX):
            if seconds_left() < UNIT_SECONDS:
                raise UnavailableError("no time was left to set all ACTIVE; the next pass does")
            unit = ours[start : start + TOGETHER_MAX]
            troubles += self._set_active(cluster, unit)
        return troubles

    def _set_active(self, cluster: str, unit: Sequence[ContainerInstance]) -> list[str]:
        """Set up to ten ACTIVE that are DRAINING for a stack; what is refused keeps its note."""
        draining = [instance.arn for instance in unit if instance.status == "DRAINING"]
        try:
            refusals = self._targets.set_active(cluster, draining) if draining else {}
            noted = [instance.arn for instance in unit if instance.arn not in refusals]
            if noted:
                self._targets.delete_attribute(cluster, noted, marks.DRAINED_FOR)
        except MisconfiguredError as error:
            # One that leaves by another way, or is gone, must not hold up the others.
            if len(unit) > 1:
                return [text for one in unit for text in self._set_active(cluster, [one])]
            return [f"setting {unit[0].ec2_instance_id} ACTIVE: {error}"]
        return [f"setting {arn} ACTIVE: {reason}" for arn, reason in refusals.items()]

    def physical_id(self, request: Request, guard: Guard, old: Guard | None, *, back: bool) -> str:
        """
        Return what the resource is called from now on; another name makes CloudFormation drain.

        A group and its capacity provider have the same instances, and so the same name.

        Raises:
            MisconfiguredError: It may not be read.
            UnavailableError: A call did not succeed.
        """
        settled = settled_id(request, guard, old, back=back)
        if old is None or settled == request.physical_id:
            return settled
        if TargetKind.SPOT_FLEET in (guard.kind, old.kind):
            return settled
        group = self._targets.group(guard)
        same = group and group in (request.physical_id, self._targets.group(old))
        return request.physical_id if same else settled


def settled_id(request: Request, guard: Guard, old: Guard | None, *, back: bool) -> str:
    """Return what the resource is called, as far as its properties tell."""
    if request.stays_refused or not request.physical_id:
        return guard.physical_id
    if old is None:
        # What an update that failed had is of no use; CloudFormation goes back to what it knows.
        return request.physical_id if back else guard.physical_id
    # Which an earlier update may have kept.
    same = (old.kind, old.name) == (guard.kind, guard.name)
    return request.physical_id if same else guard.physical_id
