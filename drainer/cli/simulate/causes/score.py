"""
What `explain` said against the truth, counted by cause.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.cli.simulate.causes.truth import Named

PRECISION_MIN = RECALL_MIN = 0.98
ERROR_MEDIAN_MAX = 0.20
MISTAKES_SHOWN_MAX = 12
PERCENTILE = 90


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look of `explain` at one drain.

    Attributes:
        where: the seed, the instance and the moment.
        found: what `explain` named.
        true: what held it.
        error: of the estimate, as a part of the time that was left; None without one.
    """

    where: str
    found: frozenset[Named]
    true: frozenset[Named]
    error: float | None = None

    def __str__(self) -> str:
        """Return it in one line, as a seed that is replayed is printed."""
        error = "" if self.error is None else f", error of the estimate {self.error:.1%}"
        return f"{self.where}: named {_said(self.found)}, true {_said(self.true)}{error}"


@dataclass
class Score:
    """What many looks came to."""

    seeds: int = 0
    drains: int = 0
    too_early: int = 0
    surprised: int = 0
    looks: int = 0
    found: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    errors: list[float] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def add(self, look: Look) -> None:
        """Count a look."""
        self.looks += 1
        self.found.update(one.cause for one in look.found & look.true)
        self.missed.update(one.cause for one in look.true - look.found)
        self.wrong.update(one.cause for one in look.found - look.true)
        if look.found != look.true:
            said, held = (_said(one) for one in (look.found - look.true, look.true - look.found))
            self.mistakes.append(f"{look.where}: said {said or '-'}, missed {held or '-'}")
        if look.error is not None:
            self.errors.append(look.error)

    @property
    def precision(self) -> float:
        """How much of what was named is true."""
        return part(self.found.total(), self.wrong.total())

    @property
    def recall(self) -> float:
        """How much of what is true was named."""
        return part(self.found.total(), self.missed.total())

    @property
    def error_median(self) -> float:
        """The median error of the estimates."""
        return statistics.median(self.errors) if self.errors else math.nan

    @property
    def passed(self) -> bool:
        """Whether all that is promised was kept; a score of nothing keeps nothing."""
        return (
            self.precision >= PRECISION_MIN
            and self.recall >= RECALL_MIN
            and self.error_median <= ERROR_MEDIAN_MAX
        )

    def lines(self) -> Iterator[str]:
        """Yield the score as it is printed."""
        yield (
            f"{self.seeds} seeds, {self.drains} drains, {self.looks} looks at random moments "
            f"({self.too_early} more were too early for any sign)"
        )
        yield f"{'CAUSE':<24}{'TRUE':>6}{'NAMED':>7}{'PRECISION':>11}{'RECALL':>8}"
        every = {*self.found, *self.missed, *self.wrong}
        for cause in sorted(every, key=lambda one: (-self.found[one] - self.missed[one], one)):
            yield self._row(cause, self.found[cause], self.missed[cause], self.wrong[cause])
        yield self._row("all", self.found.total(), self.missed.total(), self.wrong.total())
        cuts = sorted(self.errors)
        if cuts:
            ninth = cuts[min(len(cuts) - 1, len(cuts) * PERCENTILE // 100)]
            yield (
                f"estimate of the end: {len(cuts)} looks, error median {self.error_median:.1%}, "
                f"p90 {ninth:.1%} of the time that was left"
            )
            yield f"  ({self.surprised} more met a new mishap after the look)"
        for mistake in self.mistakes[:MISTAKES_SHOWN_MAX]:
            yield f"  {mistake}"

    @staticmethod
    def _row(cause: str, found: int, missed: int, wrong: int) -> str:
        precision, recall = part(found, wrong), part(found, missed)
        return (
            f"{cause:<24}{found + missed:>6}{found + wrong:>7}{_share(precision):>11}"
            f"{_share(recall):>8}"
        )


def part(good: int, bad: int) -> float:
    """Return which part is good; not a number of none."""
    return good / (good + bad) if good + bad else math.nan


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _said(some: frozenset[Named]) -> str:
    return ", ".join(sorted(f"{one.cause} {one.name}".strip() for one in some))
