"""
Ask CloudFormation whether a request is its own, until answers minutes apart have denied it.

Every principal that may publish to the topic can write a request. A request counts once the stack's
own rows confirm it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.custom_resource.properties import TARGET_PATTERNS, TargetKind
from drainer.custom_resource.stack import (
    Fate,
    Stack,
    doubt,
    fate_of,
    goes_along,
    made_up,
    other_resources,
)
from drainer.errors import NotForUsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from drainer.config import Config
    from drainer.custom_resource.progress import RequestProgress
    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.request import Request
    from drainer.custom_resource.targets import Targets

# CloudFormation says nowhere how old an answer may be. Two that were 60 ms apart were both too old,
# and the stack waited its whole hour.
DOUBTED = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What was seen of the stack that a request names.

    Attributes:
        progress: With what is remembered of it.
        stack: The stack; None where it is not asked about, or not any more.
        doubt: Why the request is not believed yet; empty where it is.
    """

    progress: RequestProgress
    stack: Stack | None = None
    doubt: str = ""


class Belief:
    """Looks at stacks."""

    def __init__(self, targets: Targets, config: Config) -> None:
        self._targets = targets
        self._config = config

    def look(self, progress: RequestProgress, now: datetime) -> Seen:
        """
        Look at the stack that a request names.

        Raises:
            NotForUsError: For minutes no answer has confirmed it.
            UnavailableError: CloudFormation did not answer, or
            MisconfiguredError: it may not be asked; neither is a doubt.
        """
        if not self._config.verify_stacks or progress.believed:
            return Seen(progress)
        stack = self._targets.stack(progress.request.stack_id)
        why = doubt(progress.request, stack)
        if not why:
            return Seen(replace(progress, doubted_at=None), stack)
        since = progress.doubted_at or now
        if now >= since + DOUBTED:
            raise NotForUsError(why)
        return Seen(replace(progress, doubted_at=since), stack, why)

    def foreign(self, seen: Seen, target: DrainTarget, now: datetime) -> str:
        """
        Return why a Delete's properties name another target than its physical id; empty if not.

        A row of the stack confirms the physical id alone: otherwise a publisher could write the
        name of any group beside a true id.

        Raises:
            UnavailableError: It cannot be told yet.
            MisconfiguredError: It may not be read.
        """
        request, stack = seen.progress.request, seen.stack
        if stack is None or self._is_called(request.physical_id, target) or made_up(request):
            return ""
        # An update may have kept the name of a provider that is no more.
        if goes_along(stack, self._targets.group(target) or target.name):
            return ""
        why = f"{target} is not the target that the physical resource id names"
        if now < request.started_at + DOUBTED:
            raise UnavailableError(why)
        return why

    def _is_called(self, physical_id: str, target: DrainTarget) -> bool:
        """Whether a physical id is the target's name, its group's, or a provider's of the group."""
        if physical_id == target.name or target.kind == TargetKind.SPOT_FLEET:
            return physical_id == target.name
        group = self._targets.group(target)
        return bool(group) and group in (physical_id, *self._groups([physical_id]).values())

    def _groups(self, physical_ids: Iterable[str]) -> dict[str, str]:
        pattern = TARGET_PATTERNS[TargetKind.CAPACITY_PROVIDER]
        return self._targets.groups([one for one in physical_ids if pattern.fullmatch(one)])

    def _other_resource_of(self, request: Request, target: DrainTarget, stack: Stack) -> str:
        """Return another resource of the stack for the same, by whatever name of it."""
        others, mine = other_resources(request, stack), {request.physical_id}
        groups: dict[str, str] = {}
        if others and target.kind != TargetKind.SPOT_FLEET:
            mine |= {target.name, self._targets.group(target) or target.name}
            groups = self._groups(others)
        same = (name for name in others if mine & {name, groups.get(name, name)})
        return next((others[name] for name in same), "")

    def stays(self, seen: Seen, target: DrainTarget) -> str:
        """
        Return why a Delete must drain nothing; empty where its target goes.

        Raises:
            UnavailableError: It cannot be told yet.
            MisconfiguredError: It may not be read.
        """
        request, stack = seen.progress.request, seen.stack
        if stack is None:
            # Without the stack, only a made-up id shows that a Create was cancelled.
            alone = made_up(request, target.name) and not seen.progress.believed
            if alone and made_up(request, self._targets.group(target)):
                return "the creation of the resource was not answered"
            return ""
        if other := self._other_resource_of(request, target, stack):
            return f"{other} of this stack guards {target} too"
        target_id = target.name
        if stack.rolls_back or made_up(request):
            target_id = self._targets.group(target) or target_id
        fate = fate_of(request, target, target_id, stack)
        if fate == Fate.BY_TAG:
            made_here = self._targets.made_by(target_id) == request.stack_id
            fate = Fate.GOES if made_here else Fate.STAYS
        if fate == Fate.OPEN:
            raise UnavailableError(f"Not known yet whether it stays: the stack is {stack.status}")
        if fate == Fate.STAYS:
            return f"{target} stays: the stack is {stack.status} and deletes only its guard"
        return ""
