"""
Walk all states of a model, and say which property one of them breaks, by the shortest way there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.model.passes import FAULT, TICK, under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.model.protocol import Model
    from tests.model.values import State

UNVISITED, ON_THE_WAY = -1, -2


@dataclass(slots=True)
class Verdict:
    """
    What a walk has shown.

    Attributes:
        states: How many there are.
        broken: Which property does not hold; empty where all do.
        trace: The shortest way there, step by step.
        answered: The most ticks until the answer, once no fault happens any more.
        forked: The most ticks with two messages under way, without a fault.
    """

    states: int
    broken: str = ""
    trace: tuple[str, ...] = ()
    answered: int = 0
    forked: int = 0


class Graph:
    """All states that can be reached, in the order of their distance."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.states: list[State] = []
        self.parents: list[int] = []
        self.edges: list[tuple[tuple[int, int], ...]] = []
        self._numbers: dict[State, int] = {}
        self._shared: dict[Any, Any] = {}

    def number(self, state: State, parent: int) -> int:
        found = self._numbers.get(state)
        if found is None:
            share = self._shared.setdefault
            state = type(state)(*(share(part, part) for part in state))
            found = self._numbers[state] = len(self.states)
            self.states.append(state)
            self.parents.append(parent)
        return found

    def walk(self) -> tuple[str, int, str]:
        """Return the first property that breaks, in which state and by which step."""
        model, steady = self.model, self.model.forever
        for state in model.initial():
            self.number(state, -1)
        i = 0
        while i < len(self.states):
            state, without_faults = self.states[i], []
            for label, kind, after, violation in model.successors(state):
                j = self.number(after, i)
                if violation:
                    return violation, i, label
                # A table that is down is a fault until it is back.
                if kind != FAULT and (not state.down or steady or label == "the table is back"):
                    without_faults.append((j, kind))
            self.edges.append(tuple(without_faults))
            i += 1
        return "", -1, ""

    def trace(self, number: int, last: str = "") -> tuple[str, ...]:
        """Return what leads from the beginning to a state, and then a last step."""
        path = [number]
        while self.parents[path[-1]] >= 0:
            path.append(self.parents[path[-1]])
        path.reverse()
        steps = []
        for before, after in pairwise(path):
            follows = self.model.successors(self.states[before])
            steps.append(next(e.label for e in follows if e.state == self.states[after]))
        return (*steps, last) if last else tuple(steps)

    def longest(self, inside: Sequence[bool]) -> tuple[int, int]:
        """
        Return the most ticks that faultless ways stay inside.

        Returns:
            The ticks, and a state on a circle that never leaves, or -1.
        """
        most = [UNVISITED] * len(self.states)
        for root, within in enumerate(inside):
            if not within or most[root] != UNVISITED:
                continue
            stack = [(root, 0, 0)]
            most[root] = ON_THE_WAY
            while stack:
                i, k, best = stack.pop()
                circle, best, k = self._onward(i, k, best, inside, most, stack)
                if circle:
                    return -1, i
                if k == len(self.edges[i]):
                    most[i] = best
        return max((0, max(most, default=0))), -1

    def _onward(  # noqa: PLR0917 (one turn of the walk above, which keeps its place in them)
        self,
        i: int,
        k: int,
        best: int,
        inside: Sequence[bool],
        most: list[int],
        stack: list[tuple[int, int, int]],
    ) -> tuple[bool, int, int]:
        edges = self.edges[i]
        while k < len(edges):
            j, kind = edges[k]
            ticks = int(kind == TICK)
            if not inside[j]:
                best = max(best, ticks)
            elif most[j] == ON_THE_WAY:
                return True, best, k
            elif most[j] == UNVISITED:
                stack.append((i, k, best))
                most[j] = ON_THE_WAY
                stack.append((j, 0, 0))
                return False, best, k
            else:
                best = max(best, ticks + most[j])
            k += 1
        return False, best, k


def check(make: Callable[[], Model], within: int = 0, apart: int = 0) -> Verdict:
    """
    Walk a model and judge it.

    Args:
        make: Makes the model.
        within: In how many ticks the answer must come once faults have stopped; 0 for any.
        apart: For how many ticks two messages may be under way; 0 for any.
    """
    model = make()
    graph = Graph(model)
    broken, at, label = graph.walk()
    if broken:
        return Verdict(len(graph.states), broken, graph.trace(at, label))
    waits = [bool(s.action.alive) and not model.endless for s in graph.states]
    answered, stuck = graph.longest(waits)
    forked, fork = graph.longest([under_way(s) > 1 for s in graph.states])
    verdict = Verdict(len(graph.states), answered=answered, forked=forked)
    if fork >= 0:
        verdict.broken, verdict.trace = "FORK: two chains stay alive", graph.trace(fork)
    elif stuck >= 0:
        verdict.broken = "STUCK: no answer comes, though faults have stopped"
        verdict.trace = graph.trace(stuck)
    elif within and answered > within:
        verdict.broken = f"LATE: an answer comes after {answered} ticks, not {within}"
    elif apart and forked > apart:
        verdict.broken = f"LONG: two messages are under way for {forked} ticks, not {apart}"
    return verdict
