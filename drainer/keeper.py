"""
Keep what a custom resource guards as it is: the target exists, and none of it is DRAINING for us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer import mark as marks
from drainer.acts import TOGETHER_MAX, UNIT_SECONDS
from drainer.errors import MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.acts import Ecs
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
            raise MisconfiguredError(f"{guard.kind} is {guard.names[0]!r}; there is none")
        if not self._targets.cluster_exists(guard.cluster):
            raise MisconfiguredError(f"Cluster is {guard.cluster!r}; there is none")
        if not ids:
            return ()
        stack = marks.checksum(errand.request.stack_id)
        described = self._ecs.describe(guard.cluster, self._ecs.find(guard.cluster, ids))
        ours = [instance for instance in described if instance.drained_for == stack]
        troubles: list[str] = []
        for start in range(0, len(ours), TOGETHER_MAX):
            if seconds_left() < UNIT_SECONDS:
                raise UnavailableError("no time was left to set all ACTIVE; the next pass does")
            unit = ours[start : start + TOGETHER_MAX]
            troubles += self._set_active(guard.cluster, unit)
        return tuple(troubles)

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

    def leaves(self, old: Guard, new: Guard) -> tuple[set[str], set[str]]:
        """Return which instances two targets share, and which the new one lacks."""
        before, after = set(self._targets.instances(old) or ()), self._targets.instances(new) or ()
        return before & set(after), before - set(after)
