"""
The status of a target's instances in one pass, as a value and in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drainer.custom_resource.progress import RequestProgress
    from drainer.drain.actions import Outcome

# How many instances an answer or a log line names.
NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """
    What one pass has seen of the target, and done: of so many instances in total, how many may go.

    Attributes:
        outcomes: Of the instances that were looked at and are not done.
        unsure: Why the look does not suffice to say that all may go; empty where it does.
        settled: Whether what is known of the target's instances is no news.
        gone: Whether there is no such target.
    """

    progress: RequestProgress
    outcomes: tuple[Outcome, ...] = ()
    total: int = 0
    done: int = 0
    unsure: str = ""
    settled: bool = True
    gone: bool = False
    errors: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every instance may go, and more than this look says which there are."""
        known = self.settled and self.progress.looks > 1
        return known and not self.unsure and self.done == self.total

    @property
    def as_far_as_known(self) -> bool:
        """Whether only news of the target's instances could say that one may not go."""
        seen = bool(self.total or self.gone) and self.progress.looks > 1
        return seen and not self.unsure and self.done == self.total

    def remaining(self) -> str:
        """Say what is waited for, in words for the stack's events."""
        lines = [f"{self.total - self.done} of {self.total} instances are not drained"]
        if not self.total:
            lines = [] if self.unsure else ["No instance is known yet. The next pass looks again"]
        for outcome in self.outcomes[:NAMED_MAX]:
            lines.append(
                f"{outcome.look.ec2_instance_id} is {outcome.decision.phase}: {_waits_for(outcome)}"
            )
        if self.unsure:
            lines.append(self.unsure)
        return ". ".join(lines)


def _waits_for(outcome: Outcome) -> str:
    look = outcome.look
    if look.remaining:
        return ", ".join(str(task) for task in look.remaining[:NAMED_MAX])
    if look.deferred:
        return "its tasks are listed in a later pass"
    return outcome.decision.reason or f"{look.counted} tasks"
