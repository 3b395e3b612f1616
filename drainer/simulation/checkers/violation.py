"""
What a broken promise is, and the one instant that most promises are about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction

# The deadline is the notification's time plus the drain timeout, bounded by the hook's global
# timeout less a margin: this many seconds, and four passes.
GLOBAL_TIMEOUT_MARGIN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: when, and a sentence about it."""

    seconds: float
    rule: str
    sentence: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"at {self.seconds:.3f} s: {self.rule}: {self.sentence}"


def deadline(action: LifecycleAction, workload: Workload) -> datetime:
    """Return the instant from which an action may be answered with tasks left."""
    promised = workload.promise(action).drain_timeout_seconds
    margin_seconds = GLOBAL_TIMEOUT_MARGIN_SECONDS + 4 * workload.pass_interval_seconds
    most = action.hook.global_timeout_seconds - margin_seconds
    return action.started_at + timedelta(seconds=min(promised, most))
