"""
Keep what a custom resource guards as it is: the target exists, and none of it is DRAINING for us.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drainer.custom_resource.progress import Member
from drainer.custom_resource.properties import TargetKind
from drainer.drain.actions import TOGETHER_MAX, UNIT_SECONDS
from drainer.drain.attributes import DRAINED_FOR, checksum
from drainer.drain.finder import Finder
from drainer.drain.look import Look
from drainer.drain.model import InstanceProgress
from drainer.errors import MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.custom_resource.progress import RequestProgress
    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.request import Request
    from drainer.custom_resource.targets import Targets
    from drainer.drain.actions import Ecs
    from drainer.drain.model import ContainerInstance
    from drainer.invocation import InvocationClock


@dataclass(frozen=True, slots=True)
class Restored:
    """
    The result of setting the instances of a target ACTIVE.

    Attributes:
        progress: With how far a search of all clusters has come.
        errors: A sentence for each that could not be set ACTIVE, or looked at.
        complete: Whether all clusters have been searched.
    """

    progress: RequestProgress
    errors: tuple[str, ...] = ()
    complete: bool = True


class TargetReactivation:
    """Looks at targets that stay, and sets ACTIVE again what a stack has set DRAINING."""

    def __init__(self, ecs: Ecs, targets: Targets) -> None:
        self._ecs = ecs
        self._targets = targets

    def restore(
        self, progress: RequestProgress, target: DrainTarget, time: InvocationClock
    ) -> Restored:
        """
        Set ACTIVE again what this stack has set DRAINING, for the target is to stay.

        Raises:
            MisconfiguredError: There is no such cluster or target, or it may not be read.
            UnavailableError: A call did not succeed.
        """
        ids = self._targets.instances(target)
        if ids is None:
            raise MisconfiguredError(f"{target.kind} {target.name!r} was not found")
        there = [one for one in target.clusters if self._targets.cluster_exists(one)]
        if not there:
            named = ", ".join(target.clusters)
            raise MisconfiguredError(f"Cluster {named!r} was not found")
        errors: list[str] = []
        alive: set[str] = set()
        for cluster in there if ids else ():
            described = self._ecs.describe(cluster, self._ecs.find(cluster, ids))
            alive.update(one.ec2_instance_id for one in described if one.agent_connected)
            errors += self._restore(progress, cluster, described, time)
        others = [one for one in ids if one not in alive]
        if not others:
            return Restored(progress, tuple(errors))
        restored = self._restore_elsewhere(progress, target, others, time)
        return replace(restored, errors=(*errors, *restored.errors))

    def _restore_elsewhere(
        self,
        progress: RequestProgress,
        target: DrainTarget,
        ids: Sequence[str],
        time: InvocationClock,
    ) -> Restored:
        """Search all clusters, as a drain has done: whatever it found there is to be ACTIVE."""
        # What a drain had noted, before it was seen that the target stays, is of another search.
        history = {} if progress.believed else progress.history
        begun_at = max((member.searched_to for member in history.values()), default="")
        looks = [_look(one, target, begun_at, time.now()) for one in ids]
        Finder(self._ecs, (), time).find(looks)
        found: dict[str, list[ContainerInstance]] = defaultdict(list)
        for look in looks:
            for one in look.registrations.values():
                found[one.cluster].append(one)
        errors: list[str] = []
        for cluster, described in found.items():
            errors += self._restore(progress, cluster, described, time)
        failed = [look for look in looks if look.failed]
        # One row is enough, for all are searched for together; what has failed is asked again.
        open_ones = failed or [look for look in looks if look.sought]
        searched_to = min((look.drain.searched_to for look in open_ones), default="")
        if failed and not searched_to:
            raise UnavailableError(failed[0].reason)
        if searched_to:
            following = replace(
                progress, believed=False, history={ids[0]: Member(searched_to=searched_to)}
            )
            errors += [look.reason for look in open_ones[:1]]
            return Restored(following, tuple(errors), complete=False)
        denied = [look.reason for look in looks if look.denied]
        return Restored(progress, (*errors, *denied[:1]))

    def _restore(
        self,
        progress: RequestProgress,
        cluster: str,
        described: Iterable[ContainerInstance],
        time: InvocationClock,
    ) -> list[str]:
        stack = checksum(progress.request.stack_id)
        ours = [instance for instance in described if instance.drained_for == stack]
        errors: list[str] = []
        for start in range(0, len(ours), TOGETHER_MAX):
            if time.seconds_left() < UNIT_SECONDS:
                raise UnavailableError("No time was left to set all ACTIVE: the next pass does")
            unit = ours[start : start + TOGETHER_MAX]
            errors += self._set_active(cluster, unit)
        return errors

    def _set_active(self, cluster: str, unit: Sequence[ContainerInstance]) -> list[str]:
        """
        Set up to ten ACTIVE that are DRAINING for a stack; what is refused keeps its attribute.
        """
        draining = [instance.arn for instance in unit if instance.status == "DRAINING"]
        try:
            refusals = self._targets.set_active(cluster, draining) if draining else {}
            noted = [instance.arn for instance in unit if instance.arn not in refusals]
            if noted:
                self._targets.delete_attribute(cluster, noted, DRAINED_FOR)
        except MisconfiguredError as error:
            # An instance that is leaving or gone must not stop the others from being set ACTIVE.
            if len(unit) > 1:
                return [text for one in unit for text in self._set_active(cluster, [one])]
            return [f"{unit[0].ec2_instance_id} was not set ACTIVE: {error}"]
        return [f"{arn} was not set ACTIVE: {reason}" for arn, reason in refusals.items()]

    def physical_id(
        self, request: Request, target: DrainTarget, old: DrainTarget | None, *, back: bool
    ) -> str:
        """
        Return what the resource is called from now on; another name makes CloudFormation drain.

        A group and its capacity provider have the same instances, and so the same name.

        Raises:
            MisconfiguredError: It may not be read.
            UnavailableError: A call did not succeed.
        """
        settled = settled_id(request, target, old, back=back)
        if old is None or settled == request.physical_id:
            return settled
        if TargetKind.SPOT_FLEET in (target.kind, old.kind):
            return settled
        group = self._targets.group(target)
        same = group and group in (request.physical_id, self._targets.group(old))
        return request.physical_id if same else settled


def _look(
    ec2_instance_id: str,
    target: DrainTarget,
    searched_to: str,
    now: datetime,
) -> Look:
    """Return an instance as it is searched for: in no named cluster, for that was done."""
    known = InstanceProgress(policy=replace(target.policy, cluster=None), searched_to=searched_to)
    return Look(ec2_instance_id, known, now, remembers=False)


def settled_id(
    request: Request, target: DrainTarget, old: DrainTarget | None, *, back: bool
) -> str:
    """Return what the resource is called, as far as its properties tell."""
    if request.stays_refused or not request.physical_id:
        return target.physical_id
    if old is None:
        # The id of an update that failed is not used: CloudFormation rolls back to the id that it
        # has.
        return request.physical_id if back else target.physical_id
    # Which an earlier update may have kept.
    same = (old.kind, old.name) == (target.kind, target.name)
    return request.physical_id if same else target.physical_id
