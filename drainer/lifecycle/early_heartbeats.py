"""
Heartbeats that are sent before ECS is looked at: a look that hangs must not let a hook time out.

A token says which action is meant: the heartbeat changes nothing where that is over. Without one
Auto Scaling is asked first whether the instance waits, as any action of the hook would be kept.
Those that need it most come first, as long as time for the look is left: an instance that is kept
waiting and not looked at would wait until its deadline.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from drainer.drain.actions import CALL_SECONDS, failure_of
from drainer.drain.admission import Admission
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.record import interval_of
from drainer.lifecycle import heartbeats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.drain.admission import Admitted
    from drainer.drain.model import Drain, LifecycleAction
    from drainer.errors import DrainerError
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.look import HookLook
    from drainer.lifecycle.outcome import HookOutcome

# An earlier pass has shown that the action is a true one, and has written until when it may last.
RECORDED = frozenset({Admission.DUE, Admission.TAKEOVER})
# This pass has to, by a heartbeat.
CLAIMED = frozenset({Admission.NEW, Admission.JOIN})

# The share of the time for looking that they may take together: the rest is sent after the look. Of
# a hundred drains in 30 s that is 4 s, in which 30 heartbeats of 0.13 s are sent.
SHARE_MAX = 0.5


class AutoScaling(Protocol):
    """What is asked of Auto Scaling; it may raise a DrainerError."""

    def record_heartbeat(self, action: LifecycleAction) -> None:
        """Restart the hook's heartbeat timeout."""


class EarlyHeartbeats:
    """
    The heartbeats of one pass that do not wait for its look at ECS.

    Args:
        time_to_look: The time that the look shares with them.
    """

    def __init__(
        self,
        auto_scaling: AutoScaling,
        admitted: Sequence[Admitted],
        time_to_look: InvocationClock,
        pass_interval_seconds: int,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._admitted = admitted
        self._time = time_to_look
        self._pass_interval_seconds = pass_interval_seconds
        self._seconds = SHARE_MAX * (time_to_look.seconds_left() - ACTING_SECONDS)
        self._sent: dict[int, DrainerError | None] = {}

    def send_due(self) -> None:
        """
        Send those of drains that have a record, or its fields in the message, before anything is
        looked at.
        """
        self._send({n: one.drain for n, one in enumerate(self._admitted) if self._is_due(one)})

    def send_proofs(self, looks: Sequence[HookLook]) -> None:
        """
        Send those that need to know what waits and whose hook holds it, which is known by now.

        A new action is shown to be a true one; what has no token is kept waiting.
        """
        self._send(
            {
                position: look.drain
                for position, (one, look) in enumerate(zip(self._admitted, looks, strict=True))
                if _is_sent_once_seen(one) and heartbeats.is_due(look)
            }
        )

    def _is_due(self, one: Admitted) -> bool:
        drain, now = one.drain, self._time.now()
        copied = one.admission == Admission.UNREAD and drain.generation is not None
        named = bool(drain.action.lifecycle_action_token)
        if not (named and (one.admission in RECORDED or copied)) or drain.deadline_at is None:
            return False
        # Drains that looks have found not to wait are asked about at the end, as two looks must
        # agree.
        if now >= drain.deadline_at or drain.not_waiting_since is not None:
            return False
        interval_seconds = interval_of(drain, self._pass_interval_seconds)
        return heartbeats.half_is_over(drain, now, interval_seconds)

    def _send(self, drains: Mapping[int, Drain]) -> None:
        for position, drain in sorted(
            drains.items(), key=lambda one: heartbeats.runs_out_at(one[1])
        ):
            left = self._time.seconds_left()
            if self._seconds <= 0 or left < 2 * CALL_SECONDS:
                return  # those that are left are sent after the look
            error = failure_of(self._auto_scaling.record_heartbeat, drain.action)
            self._sent[position] = error
            self._seconds -= left - self._time.seconds_left()

    def tell(self, position: int, outcome: HookOutcome) -> None:
        """Note at a drain what came of its heartbeat; what failed is for the next pass."""
        if position not in self._sent:
            return
        outcome.decision = replace(outcome.decision, heartbeat=False)
        outcome.note_heartbeat(self._sent[position])


def _is_sent_once_seen(one: Admitted) -> bool:
    """Whether a heartbeat is in order: by the drain's record, or by a token that is to be shown."""
    named = bool(one.drain.action.lifecycle_action_token)
    return one.admission in (CLAIMED if named else RECORDED)
