"""
What is run: a small set that can be read, and more by options.
"""

from __future__ import annotations

from dataclasses import dataclass

from drainer.cli.bench.drains import LENGTHS, Drain
from drainer.cli.bench.subjects import CDK, CHAIN, DROPPED, OURS, SAMPLE, SHIPPED, SWEEP

SIZES = (1, 10, 100, 300, 1_000, 5_000)
# One drain says little about its lag: it depends on where in the interval a task ends.
RUNS = {1: 20, 10: 3}
# 5,000 function environments cannot run in an account that allows 1,000, and a model of what fails
# there would show only that.
OTHERS_MAX = 1_000
LEFT_OUT = (
    f"aws-cdk and sample above {OTHERS_MAX:,} instances: they hold an environment for each, and "
    "Lambda allows an account 1,000 by default"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A drain, who does it, and how often."""

    subject: str
    drain: Drain

    @property
    def runs(self) -> int:
        """How many accounts are drained, each with another seed."""
        return 1 if self.drain.length.job_seconds else RUNS.get(self.drain.instances, 1)


def default_rows(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """Return the rows of `make bench`, the crowds of seven-minute drains first."""
    rows: list[Row] = []
    for size in sizes:
        rows.append(Row(SHIPPED, Drain(size)))
        if size in (1, 300):
            rows += [Row(one, Drain(size)) for one in (SWEEP, CHAIN)]
        if size <= OTHERS_MAX:
            rows += [Row(one, Drain(size)) for one in (CDK, SAMPLE)]
        if size == 1:
            rows.append(Row(DROPPED, Drain(size)))
    for length, size, tasks in (("7m", 10, 20), ("1m", 1, 1), ("1m", 100, 1), ("2h", 1, 1)):
        drain = Drain(size, tasks, LENGTHS[length])
        if size <= max(sizes):
            rows += [Row(one, drain) for one in (SHIPPED, CDK, SAMPLE)]
    if max(sizes) >= 100:  # noqa: PLR2004 - the crowd of jobs
        rows.append(Row(SHIPPED, Drain(100, 1, LENGTHS["2h"])))
    return rows


def chosen_rows(
    names: list[str], sizes: list[int], tasks: list[int], lengths: list[str]
) -> list[Row]:
    """Return every combination of what was asked for."""
    return [
        Row(name, Drain(size, each, LENGTHS[length]))
        for length in lengths
        for each in tasks
        for size in sizes
        for name in names
        if name in OURS or size <= OTHERS_MAX
    ]
