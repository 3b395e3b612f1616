"""
Run the production code in simulated accounts by the thousand: `make simulate`.

It prints what it ran and found; its exit code is 0 only if nothing was violated.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Annotated

import typer

from drainer.cli.simulate import hunt
from drainer.cli.simulate.causes.run import run_seed as explained_seed
from drainer.cli.simulate.causes.run import score_of
from drainer.cli.simulate.hunt import (
    ANSWER_ERRORS,
    keep_what_is_loaded,
    lifecycle_seed,
    request_seed,
)
from drainer.handler import build
from drainer.simulation.runs.lag import measure
from drainer.simulation.runs.request_world import run_request_seed
from drainer.simulation.runs.run import Result, run_seed
from drainer.simulation.runs.world import Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEEDS_DEFAULT = 2_000
SEEDS_MAX = 10_000_000
LAG_DRAINS = 1_000
# What is measured: whether the fast path is there, and whether the end of a task whose stop was
# requested before sends a container instance event; the documentation leaves that open.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
LAG_ROWS = {
    "without fast path": (False, False),
    "with fast path, where the container instance event comes": (True, True),
    "with fast path, where that event does not come": (True, False),
}
VIOLATIONS_SHOWN_MAX = 20
# Seeds that a process takes at a time: enough to keep it busy, few enough to share evenly.
CHUNK = 25
BAR_CHARACTERS = 50
SECONDS_PER_HOUR = 3_600
SECONDS_PER_MINUTE = 60

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass
class Sum:
    """What many seeds came to."""

    seeds: int = 0
    answered: int = 0
    invocations: int = 0
    drain_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    violated: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Add a seed."""
        self.seeds += 1
        self.answered += result.answered
        self.invocations += result.invocations
        self.drain_seconds += result.drain_seconds
        self.faults += result.faults
        if result.violations:
            self.violated.append(result)


@app.command()
def simulate(
    *,
    seeds: Annotated[int, typer.Option(min=1, max=SEEDS_MAX, help="Seeds.")] = SEEDS_DEFAULT,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Replay this seed, with a trace.")] = None,
    processes: Annotated[int, typer.Option(min=0, help="Processes. 0: one per core.")] = 0,
    requests: Annotated[
        bool, typer.Option("--requests", help="Requests of CloudFormation, not lifecycle actions.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="What `drainer explain` says, against the truth.")
    ] = False,
    show_lag: Annotated[
        bool, typer.Option("--lag", help="Show the seconds from the last task to the answer.")
    ] = False,
    mutations: Annotated[
        bool, typer.Option("--mutations", help="Show that the checkers catch deliberate bugs.")
    ] = False,
) -> None:
    """
    Run the drainer in simulated accounts, where a seed decides workload and faults.

    Exits with 0 only if no seed shows a violation. With --explain: only if precision and recall of
    the causes are at least 0.98, and the median error of the estimated end is at most 20 %.
    """
    count = processes or os.cpu_count() or 1
    if explain:
        found = _explain([seed] if seed is not None else range(first, first + seeds), count)
    elif seed is not None:
        found = _replay(seed, requests=requests)
    elif show_lag:
        found = _show_lag(count)
    elif mutations:
        found = hunt.show(count)
    else:
        found = _run_all(range(first, first + seeds), count, requests=requests)
    raise typer.Exit(int(found))


def _run_all(seeds: Iterable[int], processes: int, *, requests: bool) -> bool:
    run, what = (request_seed, "requests") if requests else (lifecycle_seed, "lifecycle actions")
    total, began = Sum(), time.monotonic()
    with get_context("spawn").Pool(processes, keep_what_is_loaded) as pool:
        for result in pool.imap_unordered(run, seeds, chunksize=CHUNK):
            total.add(result)
    minutes = (time.monotonic() - began) / SECONDS_PER_MINUTE
    print(f"{total.seeds} seeds, {total.seeds / minutes:,.0f} a minute on {processes} processes")
    print(f"{total.drain_seconds / SECONDS_PER_HOUR:,.0f} simulated drain-hours")
    print(f"{total.invocations:,} invocations, {total.answered:,} {what} answered")
    print("faults injected:")
    for kind, number in total.faults.most_common():
        print(f"  {number:>8,}  {kind}")
    print(f"violations: {sum(len(result.violations) for result in total.violated)}")
    for result in sorted(total.violated, key=lambda one: one.seed)[:VIOLATIONS_SHOWN_MAX]:
        target = "simulate-requests" if requests else "simulate"
        print(f"  make {target} SEED={result.seed}    # {result.violations[0]}")
    return bool(total.violated)


def _explain(seeds: Sequence[int], processes: int) -> bool:
    run = partial(explained_seed, build=build)
    with get_context("spawn").Pool(min(processes, len(seeds)), keep_what_is_loaded) as pool:
        outcomes = pool.map(run, seeds, chunksize=1 + len(seeds) // (CHUNK * processes))
    score = score_of(outcomes)
    if len(seeds) == 1:
        print("\n".join(str(look) for outcome in outcomes for look in outcome.looks))
    print("\n".join(score.lines()))
    return not score.passed


def _replay(seed: int, *, requests: bool) -> bool:
    if requests:
        result = run_request_seed(seed, build, ANSWER_ERRORS, steps=True)
    else:
        result = run_seed(seed, build, Options(steps=True, judged=True))
    print("\n".join(result.lines))
    for violation in result.violations:
        print(f"VIOLATION {violation}")
    print(f"seed {seed}: {len(result.violations)} violations")
    return bool(result.violations)


def _show_lag(processes: int) -> bool:
    for name, (fast_path, event_at_end) in LAG_ROWS.items():
        measured = partial(measure, build=build, fast_path=fast_path, event_at_end=event_at_end)
        with get_context("spawn").Pool(processes) as pool:
            lags = pool.map(measured, range(LAG_DRAINS), chunksize=CHUNK)
        print(f"release after the last task STOPPED, {name}")
        cuts = statistics.quantiles(lags, n=100)
        print(f"  p50 {cuts[49]:.2f} s   p90 {cuts[89]:.2f} s   p99 {cuts[98]:.2f} s")
        bins = Counter(int(seconds) for seconds in lags)
        for second in range(max(bins) + 1):
            bar = "#" * round(BAR_CHARACTERS * bins[second] / max(bins.values()))
            print(f"  {second:>3} s {bins[second]:>5} {bar}")
    return False
