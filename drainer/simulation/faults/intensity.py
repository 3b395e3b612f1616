"""
How much goes wrong in a run, as plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Intensity:
    """How much goes wrong: probabilities for each message, invocation or call, and counts."""

    message: float
    invocation: float
    windows: int
    background: float


INTENSITIES = {
    "calm": Intensity(0.0, 0.0, 0, 0.0),
    "mild": Intensity(0.03, 0.01, 1, 0.002),
    "rough": Intensity(0.12, 0.05, 3, 0.02),
    "wild": Intensity(0.35, 0.2, 6, 0.08),
}
WEIGHTS = {"calm": 15, "mild": 45, "rough": 27, "wild": 13}


@dataclass(frozen=True, slots=True)
class Window:
    """A while during which calls go wrong in one way."""

    kind: str
    begins_at: datetime
    ends_at: datetime
    operations: frozenset[str]
    probability: float
