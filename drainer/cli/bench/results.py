"""
The figures of a run of the bench as plain values, kept in docs/bench.json.

Table, picture and README are drawn from these, without another run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from drainer.cli.bench.outcome import Outcome
    from drainer.cli.bench.plan import Row


@dataclass(frozen=True, slots=True)
class Figures:
    """
    One row: a subject and a drain.

    Attributes:
        missing: why there are no figures; empty if there are.
        alive: tasks that still ran when their instances were released.
        lag_last: seconds from the last task of all to the last answer.
        dollars: for one thousand drains.
        metrics: how many custom metrics were sent.
        cpu_seconds: what the simulation took of this machine.
    """

    subject: str
    instances: int
    tasks: int
    length: str
    runs: int = 0
    missing: str = ""
    alive: int = 0
    early: int = 0
    timed_out: int = 0
    lag_p50: float | None = None
    lag_p99: float | None = None
    lag_last: float | None = None
    seconds: float = 0.0
    reads: float = 0.0
    modifies: float = 0.0
    others: float = 0.0
    reads_per_second: int = 0
    modifies_per_second: int = 0
    throttles: int = 0
    reached: int = 0
    invocations: float = 0.0
    concurrency: int = 0
    gigabyte_seconds: float = 0.0
    messages: float = 0.0
    dollars: float = 0.0
    dollars_by_item: dict[str, float] = field(default_factory=dict)
    metrics: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Results:
    """
    A run of the bench.

    Attributes:
        date: the day of the run.
        command: what was typed.
        versions: of what was run.
        rows: the figures.
        left_out: what was not run, and why.
        idle: what a month of the drainer costs that drains nothing, by what is paid for.
        stops_cost: what idle.STOPS_A_DAY tasks that stop each day cost beside that.
    """

    date: str
    command: str
    versions: dict[str, str]
    rows: list[Figures]
    left_out: list[str] = field(default_factory=list)
    idle: dict[str, float] = field(default_factory=dict)
    stops_cost: float = 0.0

    def write(self, path: Path) -> None:
        """Keep the results."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """Read what was kept."""
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Results(**{**kept, "rows": [Figures(**row) for row in kept["rows"]]})


def absent(row: Row, why: str) -> Figures:
    """Return the figures of a row that could not be run."""
    return Figures(
        row.subject, row.drain.instances, row.drain.tasks, row.drain.length.name, missing=why
    )


def figures(outcome: Outcome) -> Figures:
    """Return what is kept of an outcome."""

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return Figures(
        subject=outcome.subject,
        instances=outcome.drain.instances,
        tasks=outcome.drain.tasks,
        length=outcome.drain.length.name,
        runs=outcome.runs,
        alive=outcome.alive,
        early=outcome.early,
        timed_out=outcome.timed_out,
        lag_p50=rounded(outcome.lag(0.50)),
        lag_p99=rounded(outcome.lag(0.99)),
        lag_last=rounded(outcome.last_seconds),
        seconds=round(outcome.seconds, 1),
        reads=round(outcome.reads, 3),
        modifies=round(outcome.modifies, 3),
        others=round(outcome.others, 3),
        reads_per_second=outcome.reads_per_second,
        modifies_per_second=outcome.modifies_per_second,
        throttles=outcome.throttles,
        reached=outcome.reached,
        invocations=round(outcome.invocations, 3),
        concurrency=outcome.concurrency,
        gigabyte_seconds=round(outcome.gigabyte_seconds, 4),
        messages=round(outcome.messages, 3),
        dollars=round(sum(outcome.dollars.values()), 4),
        dollars_by_item={str(item): round(cost, 5) for item, cost in outcome.dollars.items()},
        metrics=outcome.metrics,
        cpu_seconds=round(outcome.cpu_seconds, 1),
    )
