"""
Ask CloudFormation whether a request is its own, until answers minutes apart have denied it.

Whoever may publish to the topic can write a request; only the stack's own rows make one true.
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
    other_guards,
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

    def foreign(self, seen: Seen, guard: DrainTarget, now: datetime) -> str:
        """
        Return why a Delete's properties name another target than its physical id; empty if not.

        A row of the stack confirms the physical id alone: who may publish could else write the name
        of any group beside an id that is true.

        Raises:
            UnavailableError: It cannot be told yet.
            MisconfiguredError: It may not be read.
        """
        request, stack = seen.progress.request, seen.stack
        if stack is None or self._is_called(request.physical_id, guard) or made_up(request):
            return ""
        # An update may have kept the name of a provider that is no more.
        if goes_along(stack, self._targets.group(guard) or guard.name):
            return ""
        why = f"{guard} is not the target that the physical resource id names"
        if now < request.started_at + DOUBTED:
            raise UnavailableError(why)
        return why

    def _is_called(self, physical_id: str, guard: DrainTarget) -> bool:
        """Whether a physical id is the target's name, its group's, or a provider's of the group."""
        if physical_id == guard.name or guard.kind == TargetKind.SPOT_FLEET:
            return physical_id == guard.name
        group = self._targets.group(guard)
        return bool(group) and group in (physical_id, *self._groups([physical_id]).values())

    def _groups(self, physical_ids: Iterable[str]) -> dict[str, str]:
        pattern = TARGET_PATTERNS[TargetKind.CAPACITY_PROVIDER]
        return self._targets.groups([one for one in physical_ids if pattern.fullmatch(one)])

    def _also_guarded_by(self, request: Request, guard: DrainTarget, stack: Stack) -> str:
        """Return another resource of the stack for the same, by whatever name of it."""
        others, mine = other_guards(request, stack), {request.physical_id}
        groups: dict[str, str] = {}
        if others and guard.kind != TargetKind.SPOT_FLEET:
            mine |= {guard.name, self._targets.group(guard) or guard.name}
            groups = self._groups(others)
        same = (name for name in others if mine & {name, groups.get(name, name)})
        return next((others[name] for name in same), "")

    def stays(self, seen: Seen, guard: DrainTarget) -> str:
        """
        Return why a Delete must drain nothing; empty where its target goes.

        Raises:
            UnavailableError: It cannot be told yet.
            MisconfiguredError: It may not be read.
        """
        request, stack = seen.progress.request, seen.stack
        if stack is None:
            # Without the stack a made-up id is all that can be told of a Create that was cancelled.
            alone = made_up(request, guard.name) and not seen.progress.believed
            if alone and made_up(request, self._targets.group(guard)):
                return "the creation of the resource was not answered"
            return ""
        if other := self._also_guarded_by(request, guard, stack):
            return f"{other} of this stack guards {guard} too"
        target = guard.name
        if stack.rolls_back or made_up(request):
            target = self._targets.group(guard) or target
        fate = fate_of(request, guard, target, stack)
        if fate == Fate.BY_TAG:
            made_here = self._targets.made_by(target) == request.stack_id
            fate = Fate.GOES if made_here else Fate.STAYS
        if fate == Fate.OPEN:
            raise UnavailableError(f"Not known yet whether it stays: the stack is {stack.status}")
        if fate == Fate.STAYS:
            return f"{guard} stays: the stack is {stack.status} and deletes only its guard"
        return ""
