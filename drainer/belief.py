"""
Ask CloudFormation whether a request is its own, until answers minutes apart have denied it.

Whoever may publish to the topic can write a request; only the stack's own rows make one true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.errors import NotForUsError, UnavailableError
from drainer.stack import Fate, Stack, also_guarded_by, doubt, fate_of, made_up

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.config import Config
    from drainer.custom_resource import Guard
    from drainer.errand import Errand
    from drainer.fleet import Targets

# CloudFormation says nowhere how old an answer may be. Two that were 60 ms apart were both too old,
# and the stack waited its whole hour.
DOUBTED = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What was seen of the stack that a request names.

    Attributes:
        errand: With what is remembered of it.
        stack: The stack; None where it is not asked about, or not any more.
        doubt: Why the request is not believed yet; empty where it is.
    """

    errand: Errand
    stack: Stack | None = None
    doubt: str = ""


class Belief:
    """
    Looks at stacks.

    Args:
        targets: Reads them.
        config: The function's settings.
        durable: Whether what is remembered of a request is out of reach of who may publish.
    """

    def __init__(self, targets: Targets, config: Config, *, durable: bool) -> None:
        self._targets = targets
        self._config = config
        self._durable = durable

    def look(self, errand: Errand, now: datetime) -> Seen:
        """
        Look at the stack that a request names.

        Raises:
            NotForUsError: For minutes no answer has confirmed it.
            UnavailableError: CloudFormation did not answer, or
            MisconfiguredError: it may not be asked; neither is a doubt.
        """
        if not self._config.verify_stacks or (errand.believed and self._durable):
            return Seen(errand)
        stack = self._targets.stack(errand.request.stack_id)
        why = doubt(errand.request, stack)
        if not why:
            return Seen(replace(errand, doubted_at=None), stack)
        since = errand.doubted_at or now
        if now >= since + DOUBTED:
            raise NotForUsError(why)
        return Seen(replace(errand, doubted_at=since), stack, why)

    def stays(self, seen: Seen, guard: Guard) -> str:
        """
        Return why a Delete must drain nothing; empty where its target goes.

        Raises:
            UnavailableError: It cannot be told yet.
            MisconfiguredError: It may not be read.
        """
        request, stack = seen.errand.request, seen.stack
        if stack is None:
            # Without the stack a made-up id is all that can be told of a Create that was cancelled.
            alone = made_up(request) and not seen.errand.believed
            return "its creation was never answered" if alone else ""
        if other := also_guarded_by(request, stack):
            return f"{guard} is guarded by {other} of this stack, too"
        target = guard.name
        if stack.rolls_back or made_up(request):
            target = self._targets.group(guard) or target
        fate = fate_of(request, guard, target, stack)
        if fate == Fate.BY_TAG:
            made_here = self._targets.made_by(target) == request.stack_id
            fate = Fate.GOES if made_here else Fate.STAYS
        if fate == Fate.OPEN:
            raise UnavailableError(f"a Delete, and the stack is {stack.status}")
        if fate == Fate.STAYS:
            return f"{guard} stays: the stack is {stack.status}, and only its guard is deleted"
        return ""
