"""
Show that the checkers bite: how many seeds it takes them to catch each deliberate bug.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

from drainer import handler
from drainer.cli.mutations import MUTATIONS
from drainer.simulation.run import run_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS_MAX = 500


@dataclass(frozen=True, slots=True)
class Caught:
    """How a bug was caught; `seeds` is None for one that was not."""

    name: str
    seeds: int | None
    sentence: str


def catch(name: str, *, seeds_max: int = SEEDS_MAX) -> Caught:
    """
    Make one bug in this process, and run seeds until one shows a violation.

    The process is spoilt by it, and should end.
    """
    mutate = next(mutation for mutation in MUTATIONS if mutation.__name__ == name)
    mutate()
    for seed in range(seeds_max):
        violations = run_seed(seed, handler.build).violations
        if violations:
            return Caught(name, seed + 1, str(violations[0]))
    return Caught(name, None, "")


def catch_all(processes: int, *, seeds_max: int = SEEDS_MAX) -> Iterator[Caught]:
    """Catch every bug, each in a process of its own."""
    names = [mutation.__name__ for mutation in MUTATIONS]
    with get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        yield from pool.imap(partial(catch, seeds_max=seeds_max), names, chunksize=1)


def show(processes: int) -> bool:
    """Print each bug and how it was caught; return whether one was not."""
    began, missed = time.monotonic(), 0
    for caught in catch_all(processes):
        missed += caught.seeds is None
        seeds = f"{caught.seeds:>4} seeds" if caught.seeds else "NOT CAUGHT"
        print(f"{caught.name:<42} {seeds}  {caught.sentence}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(MUTATIONS)} deliberate bugs, {missed} not caught, {seconds:.0f} s")
    return bool(missed)
