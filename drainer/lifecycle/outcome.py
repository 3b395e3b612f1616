"""What a pass did about one drain under a lifecycle hook, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drainer.drain import may_leave
from drainer.drain.actions import Outcome
from drainer.drain.model import Origin
from drainer.errors import LifecycleActionOverError, RefusedError
from drainer.lifecycle import rules
from drainer.lifecycle.look import Waiting
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.admission import Admitted
    from drainer.drain.model import Drain, LifecycleAction, LifecycleActionResult
    from drainer.drain.record import DrainRecord
    from drainer.errors import DrainerError
    from drainer.lifecycle.look import HookLook
    from drainer.lifecycle.rules import HookDecision


@dataclass(slots=True, kw_only=True)
class HookOutcome(Outcome):
    """What a pass did about one drain."""

    look: HookLook  # what was seen, and when
    decision: HookDecision  # what it led to
    admitted: Admitted  # the drain's record as this pass has read it
    # the action as the message names it; None for what was found without one
    message: LifecycleAction | None = None
    heartbeat: bool = False  # whether a heartbeat was recorded
    answered: LifecycleActionResult | None = None  # the answer that Auto Scaling took
    over: bool = False  # whether Auto Scaling said that it no longer waits
    # of the record, as this pass has written it; None where it has not
    generation: int | None = None
    hop: int | None = None  # of that; None where this pass has written none
    recorded: bool = False  # whether this pass has written the drain's record, as far as is known
    duplicate: bool = False  # whether another pass had written this hop already
    published_at: datetime | None = None  # when the re-invocation went out; None where it did not
    retry_reason: str = ""  # why the message must be delivered again

    @property
    def drain(self) -> Drain:
        """The drain as the look left it."""
        return self.look.drain

    @property
    def record(self) -> DrainRecord | None:
        """The drain's record as this pass has read it; None where there is none."""
        return self.admitted.record

    @property
    def named(self) -> bool:
        """Whether the lifecycle action's token is known."""
        return bool(self.drain.action.lifecycle_action_token)

    @property
    def published(self) -> bool:
        """Whether the re-invocation went out."""
        return self.published_at is not None

    @property
    def missed_deadline(self) -> bool:
        """Whether the hook was answered because the deadline has passed."""
        return self.answered is not None and self.decision.phase == rules.HookPhase.OVERDUE

    @property
    def tasks_left(self) -> int:
        """How many tasks are left, by their descriptions, or else as ECS counts them."""
        return len(self.look.remaining) or self.look.counted

    @property
    def ended(self) -> bool:
        """Whether no re-invocation of the drain follows."""
        stops = self.decision.step == Step.STOP and not self.decision.heartbeat
        return self.over or self.answered is not None or stops or self.duplicate

    def following(self) -> Drain:
        """Return the drain as the next pass gets it, after what this one has done so far."""
        look = self.look
        drain = may_leave.carry_on(
            look, look.drain, drained_at=self.drained_at, stopped=self.stopped
        )
        waits_not = look.waiting == Waiting.NO and not self.heartbeat
        seen_at = look.seen_at or look.now
        # Once a second search has ended, both count from there on.
        settles = look.searched and look.settled and drain.searched_at is not None
        in_vain = look.in_doubt and not look.searched_on
        sought_at = drain.sought_at if in_vain else look.seen_at or drain.sought_at
        return replace(
            drain,
            sought_at=None if look.connected else sought_at,
            searched_at=seen_at if settles else drain.searched_at,
            origin=Origin.CHAIN,
            generation=drain.generation if self.generation is None else self.generation,
            hop=drain.hop + 1 if self.hop is None else self.hop,
            last_heartbeat_at=look.now if self.heartbeat else drain.last_heartbeat_at,
            not_waiting_since=(drain.not_waiting_since or seen_at) if waits_not else None,
            quiet=self.decision.quiet and not self.errors,
            was_active=drain.was_active or look.status == "ACTIVE",
            # What was not seen DRAINING may have been ACTIVE: its tasks are listed once more.
            listed_at=drain.listed_at if look.status or not drain.closed else None,
        )

    def put_off(self, why: str) -> None:
        """Have the message delivered again; the first reason stays."""
        self.retry_reason = self.retry_reason or why

    def answer_later(self, why: str) -> None:
        """Re-invoke instead of answering."""
        self.decision = replace(self.decision, step=Step.RE_INVOKE, result=None, reason=why)

    def was_told(self, what: str, error: DrainerError) -> None:
        """Note why Auto Scaling took no heartbeat or answer: the action may be over."""
        if isinstance(error, LifecycleActionOverError):
            self.over = True
            return
        # The group or its hook is no more, as looks and the refusal agree.
        self.over = isinstance(error, RefusedError) and rules.waits_no_more(self.look)
        self.add_error(what, error)

    def note_heartbeat(self, error: DrainerError | None) -> None:
        """Note what came of a heartbeat; without an error it was recorded."""
        self.heartbeat = error is None
        if error is not None:
            self.was_told("The heartbeat was not recorded", error)
