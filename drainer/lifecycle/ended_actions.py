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
from drainer.lifecycle.look import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

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
        # since when the others were seen not to wait
        self._not_waiting: OrderedDict[LifecycleAction, datetime] = OrderedDict()

    def applied(self, messages: Sequence[Admitted]) -> list[Admitted]:
        """
        Return messages, those of actions that have ended marked as such.

        Nothing but messages: what the sweep finds goes on, and writes the end of a record that is
        still open as soon as the table takes it.
        """
        return [self._applied(one) if one.admission.goes_on else one for one in messages]

    def _applied(self, message: Admitted) -> Admitted:
        action, drain = message.drain.action, message.drain
        if action in self._actions:
            return replace(message, admission=Admission.ENDED)
        since = self._not_waiting.get(action)
        if since is None or drain.not_waiting_since is not None:
            return message
        # Two looks agree that it does not wait. With the first of them in another message alone,
        # each message would take two.
        return replace(message, drain=replace(drain, not_waiting_since=since))

    def add(self, outcomes: Iterable[HookOutcome]) -> None:
        """
        Remember the actions that Auto Scaling has taken an answer for, or no longer waits for.

        Auto Scaling gives a token once, so an action that has ended does not wait again. One that
        it has never confirmed is not remembered: its first message may have come too early.
        """
        for outcome in outcomes:
            action, look = outcome.drain.action, outcome.look
            if not outcome.named:
                continue
            if outcome.answered or (outcome.over and look.proven):
                self._actions[action] = None
            if look.waiting == Waiting.NO and look.proven and not outcome.heartbeat:
                self._not_waiting.setdefault(action, look.seen_at or look.now)
            else:
                self._not_waiting.pop(action, None)
        for known in (self._actions, self._not_waiting):
            for _ in range(len(known) - self._most):
                known.popitem(last=False)
