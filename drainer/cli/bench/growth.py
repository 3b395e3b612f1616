"""
How reads grow with the number of instances: a straight line through logarithms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.cli.bench.results import Figures

# The wait queue's delay, by default.
INTERVAL_SECONDS = 15.0
SIZES_MIN = 3


def reads_per_interval(row: Figures) -> float:
    """Return the reads of an average pass interval, of all instances together."""
    return row.reads * row.instances / (row.seconds / INTERVAL_SECONDS)


def exponent(rows: Sequence[Figures]) -> float | None:
    """
    Fit reads per interval = a * instances ** b by least squares, and return b.

    1 is proportional to the instances, as one read for each hundred of them would be; 0 does not
    grow. None for too few sizes.
    """
    points = [(math.log(row.instances), math.log(reads_per_interval(row))) for row in rows]
    if len(points) < SIZES_MIN:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
