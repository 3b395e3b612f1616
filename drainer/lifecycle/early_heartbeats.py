"""
Heartbeats that are sent before ECS is looked at: a look that hangs must cost no drain its hook.

A token says which action is meant: the heartbeat changes nothing where that is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from drainer.drain.actions import CALL_SECONDS, failure_of
from drainer.drain.admission import Admission
from drainer.lifecycle import rules
from drainer.lifecycle.look import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.drain.admission import Admitted
    from drainer.drain.model import LifecycleAction
    from drainer.errors import DrainerError
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.look import HookLook
    from drainer.lifecycle.outcome import HookOutcome

# An earlier pass has shown that the action is a true one, and has written until when it may last.
RECORDED = frozenset({Admission.DUE, Admission.TAKEOVER})
# This pass has to, by a heartbeat.
CLAIMED = frozenset({Admission.NEW, Admission.JOIN})


class AutoScaling(Protocol):
    """What is asked of Auto Scaling; it may raise a DrainerError."""

    def record_heartbeat(self, action: LifecycleAction) -> None:
        """Restart the hook's heartbeat timeout."""


class EarlyHeartbeats:
    """The heartbeats of one pass that do not wait for its look at ECS."""

    def __init__(
        self,
        auto_scaling: AutoScaling,
        admitted: Sequence[Admitted],
        time: InvocationClock,
        pass_interval_seconds: int,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._admitted = admitted
        self._time = time
        self._pass_interval_seconds = pass_interval_seconds
        self._sent: dict[int, DrainerError | None] = {}

    def send_due(self) -> None:
        """Send those of drains that have a record or a copy of it, before anything is looked at."""
        for position, one in enumerate(self._admitted):
            if self._is_due(one):
                self._send(position, one.drain.action)

    def send_proofs(self, looks: Sequence[HookLook]) -> None:
        """Send those that show whether a new action is a true one; its hook is known to be ours."""
        for position, (one, look) in enumerate(zip(self._admitted, looks, strict=True)):
            waits = look.waiting == Waiting.YES and one.admission in CLAIMED
            ends_at = look.drain.deadline_at
            if waits and ends_at is not None and self._time.now() < ends_at:
                self._send(position, look.drain.action)

    def _is_due(self, one: Admitted) -> bool:
        drain, now = one.drain, self._time.now()
        copied = one.admission == Admission.UNREAD and drain.generation is not None
        if not (one.admission in RECORDED or copied) or drain.deadline_at is None:
            return False
        # What looks have found not to wait is asked about at the end, by what they agree on.
        if now >= drain.deadline_at or drain.not_waiting_since is not None:
            return False
        return rules.half_is_over(drain, now, self._pass_interval_seconds)

    def _send(self, position: int, action: LifecycleAction) -> None:
        has_time = self._time.seconds_left() >= 2 * CALL_SECONDS
        if has_time and action.lifecycle_action_token and position not in self._sent:
            self._sent[position] = failure_of(self._auto_scaling.record_heartbeat, action)

    def tell(self, position: int, outcome: HookOutcome) -> None:
        """Note at a drain what came of its heartbeat; what failed is for the next pass."""
        if position not in self._sent:
            return
        outcome.decision = replace(outcome.decision, heartbeat=False)
        outcome.note_heartbeat(self._sent[position])
