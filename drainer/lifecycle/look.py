"""
One look at a lifecycle action: at its EC2 instance, and at what Auto Scaling says of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.drain.look import Look
from drainer.drain.model import DRAIN_TIMEOUT_SECONDS_MAX, Drain, LifecycleActionResult

if TYPE_CHECKING:
    from drainer.drain.record import DrainRecord

GLOBAL_TIMEOUT_MARGIN_SECONDS = 120


class Waiting(StrEnum):
    """What a look at Auto Scaling says about the lifecycle action."""

    YES = "yes"  # the instance is in a wait state of the group
    NO = "no"  # it is in none; a stale answer says so too, hence the second look
    OVER = "over"  # it has gone on, or belongs to another group: never ours to answer
    UNSEEN = "unseen"  # the look failed


@dataclass(slots=True, eq=False, kw_only=True)
class HookLook(Look):
    """A look at a drain under a lifecycle hook, and the settings to judge it by."""

    drain: Drain  # what is known of the drain; the look keeps it up to date
    waiting: Waiting = Waiting.UNSEEN  # whether Auto Scaling still waits for an answer
    proven: bool = True  # whether Auto Scaling has confirmed the action to an earlier pass
    # since when another drain of the EC2 instance has seen it DRAINING, which had seen it ACTIVE
    # before; None where there is none
    draining_again: datetime | None = None
    pass_interval_seconds: int  # the time between two passes
    # the record that this pass goes by; None where it has read none
    before: DrainRecord | None = None
    has_events: bool = False  # whether ECS's events of stopped tasks reach the function
    together: int = 1  # how many drains the pass looks at
    # what is answered at the deadline where the hook says nothing else
    deadline_result: LifecycleActionResult

    @property
    def margin_seconds(self) -> int:
        """
        How long before the hook's global timeout a drain must end.

        The answer must be given before Auto Scaling gives it for us: four passes, an invocation
        that runs into its timeout, and the rest for a clock that differs.
        """
        return GLOBAL_TIMEOUT_MARGIN_SECONDS + 4 * self.pass_interval_seconds

    @property
    def deadline_at(self) -> datetime:
        """
        The deadline; until the hook has been read, the latest instant that it can grant.

        A read that failed must not end a drain to which the hook grants more time.
        """
        longest = timedelta(seconds=DRAIN_TIMEOUT_SECONDS_MAX - self.margin_seconds)
        return self.drain.deadline_at or self.drain.started_at + longest

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.now >= self.deadline_at

    @property
    def hops_max(self) -> int:
        """Twice the passes that fit before the deadline: more means that nothing delays them."""
        span_seconds = (self.deadline_at - self.drain.started_at).total_seconds()
        return int(2 * span_seconds / self.pass_interval_seconds) + 100

    def take_from_other_hook(self) -> None:
        """
        Take what another drain of the same EC2 instance knows better, which a second hook began.

        It may have been ACTIVE again since this drain saw it DRAINING: tasks may have been placed
        then that no listing from before has. Both go by the later instant.
        """
        since, again = self.drain.draining_since, self.draining_again
        if since is not None and again is not None and again > since:
            self.drain = replace(
                self.drain,
                draining_since=again,
                listed_at=None,
                closed=False,
                standalone_stopped=False,
            )
