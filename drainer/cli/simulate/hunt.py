"""
Show that the checkers bite: how many seeds it takes them to catch each deliberate bug.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from functools import partial
from inspect import isfunction
from multiprocessing import get_context
from typing import TYPE_CHECKING

from drainer import handler
from drainer.cli.simulate import mutations, record_mutations, request_mutations
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.simulation.runs.request_world import run_request_seed
from drainer.simulation.runs.run import run_seed
from drainer.simulation.runs.world import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

SEEDS_MAX = 1_000
# So many new objects before the garbage collector looks at them, where Python has 700.
COLLECTED_AFTER = 100_000
# What production calls an answer that may be given later, and one that never will be taken.
ANSWER_ERRORS = (UnavailableError, MisconfiguredError)
# One seed of lifecycle actions, or of CloudFormation's requests, as processes can be sent them.
lifecycle_seed = partial(run_seed, build=handler.build)
request_seed = partial(run_request_seed, build=handler.build, errors=ANSWER_ERRORS)
# A bug is caught by the first violation; what comes after it took half of the time.
_hunted_seed = partial(run_seed, build=handler.build, options=Options(first_only=True))


def bugs_of(module: ModuleType) -> dict[str, Callable[[], None]]:
    """Return a module's own public functions by their names, so that no bug is left out."""
    return {
        name: function
        for name, function in vars(module).items()
        if isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
    }


REQUEST_BUGS = bugs_of(request_mutations)
BUGS = {**bugs_of(mutations), **bugs_of(record_mutations), **REQUEST_BUGS}


@dataclass(frozen=True, slots=True)
class Caught:
    """How a bug was caught; `seed` is None for one that was not."""

    name: str
    seed: int | None
    sentence: str


def catch(name: str, *, first: Mapping[str, int], seeds_max: int = SEEDS_MAX) -> Caught:
    """
    Make one bug in this process, and run seeds until one shows a violation.

    The process is spoilt by it, and should end.

    Args:
        name: The bug.
        first: Which seed to try first, by name.
        seeds_max: How many seeds are tried at most.
    """
    BUGS[name]()
    run = request_seed if name in REQUEST_BUGS else _hunted_seed
    tried_first = [first[name]] if name in first else []
    for seed in (*tried_first, *range(seeds_max)):
        violations = run(seed).violations
        if violations:
            return Caught(name, seed, str(violations[0]))
    return Caught(name, None, "")


def keep_what_is_loaded() -> None:
    """
    Keep Python's garbage collector from walking through all modules again and again.

    They stay until the end, and a seed leaves little behind: a fifth of all computing was this
    search for cycles.
    """
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)


def catch_all(processes: int, *, first: Mapping[str, int]) -> Iterator[Caught]:
    """Catch every bug, each in a process of its own."""
    context = get_context("forkserver")
    # What takes a second to import is imported once, and each bug's process begins with it.
    context.set_forkserver_preload([__name__])
    with context.Pool(processes, keep_what_is_loaded, maxtasksperchild=1) as pool:
        yield from pool.imap(partial(catch, first=first), BUGS, chunksize=1)


def show(processes: int) -> bool:
    """Hunt each bug from seed 0 on, and print how it was caught; return whether one was not."""
    began, missed = time.monotonic(), 0
    for caught in catch_all(processes, first={}):
        missed += caught.seed is None
        seed = "NOT CAUGHT" if caught.seed is None else f"by seed {caught.seed:>3}"
        print(f"{caught.name:<42} {seed}  {caught.sentence}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(BUGS)} deliberate bugs, {missed} not caught, {seconds:.0f} s")
    return bool(missed)
