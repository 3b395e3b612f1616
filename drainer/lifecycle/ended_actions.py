"""
Which lifecycle actions have ended, as far as an execution environment has heard of it.

The records say so too. While the table takes no write, or is deleted, each message of an action
that has ended would ask Auto Scaling once more, and with duplicates of messages these are hundreds:
Auto Scaling's calls are shared by the account, and their throttles delay drains that go on.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain.admission import Admission

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drainer.drain.admission import Admitted
    from drainer.drain.model import LifecycleAction
    from drainer.lifecycle.outcome import HookOutcome

# Some five megabytes: each is four short texts. A message is kept for hours at most.
REMEMBERED_MAX = 10_000


class EndedActions:
    """
    The actions that have ended, by their tokens.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int = REMEMBERED_MAX) -> None:
        self._most = most
        self._actions: OrderedDict[LifecycleAction, None] = OrderedDict()

    def applied(self, messages: Sequence[Admitted]) -> list[Admitted]:
        """
        Return messages, those of actions that have ended marked as such.

        Nothing but messages: what the sweep finds goes on, and writes the end of a record that is
        still open as soon as the table takes it.
        """
        return [
            replace(one, admission=Admission.ENDED)
            if one.admission.goes_on and one.drain.action in self._actions
            else one
            for one in messages
        ]

    def add(self, outcomes: Iterable[HookOutcome]) -> None:
        """
        Remember the actions that Auto Scaling has taken an answer for, or no longer waits for.

        Auto Scaling gives a token once, so an action that has ended does not wait again. One that
        it has never confirmed is not remembered: its first message may have come too early.
        """
        for outcome in outcomes:
            over = outcome.over and outcome.look.proven
            if outcome.named and (outcome.answered or over):
                self._actions[outcome.drain.action] = None
        for _ in range(len(self._actions) - self._most):
            self._actions.popitem(last=False)
