"""
Run one seed: build its account, let things happen and go wrong, and say what was violated.

A run is the same for the same seed, on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.simulation.runs.world import Options, World

if TYPE_CHECKING:
    from collections import Counter

    from drainer.simulation.checkers.violation import Violation
    from drainer.simulation.production import Build


@dataclass(frozen=True, slots=True)
class Result:
    """
    What came of a seed.

    Attributes:
        returned: how many instances came back into service after a hook of ours.
    """

    seed: int
    violations: tuple[Violation, ...]
    faults: Counter[str]
    answered: int
    drain_seconds: float
    invocations: int
    lines: tuple[str, ...] = ()
    returned: int = 0


def run_seed(seed: int, build: Build, options: Options | None = None) -> Result:
    """
    Run one seed.

    Args:
        seed: decides everything.
        build: makes the function.
        options: how to run it.
    """
    world = World(seed, options or Options())
    world.install(build)
    world.run()
    actions = world.account.auto_scaling.actions
    return Result(
        seed,
        tuple(world.safety.violations),
        world.faults.injected,
        world.safety.answered,
        sum(((a.ended_at or world.account.now) - a.started_at).total_seconds() for a in actions),
        world.installed.function.invocations,
        tuple(world.trace.lines),
        world.returns.returned,
    )
