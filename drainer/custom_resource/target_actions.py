"""
Set the instances of a target DRAINING, each noted for its stack so that a rollback undoes it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from drainer.drain.actions import TOGETHER_MAX, UNIT_SECONDS, EcsActions
from drainer.drain.attributes import DRAINED_FOR, checksum
from drainer.drain.may_leave import Act
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from drainer.drain.actions import Ecs, Outcome
    from drainer.invocation import InvocationClock

# Ten instances take two calls that modify, of which ECS grants the account a burst of 100 and 40 a
# second; so four hundred are set DRAINING in one pass, and a thousand in three.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
UNITS_MAX = 40

# Tens of instances that could not be set DRAINING, before a pass leaves the others to the next.
FAILURES_MAX = 3

NOTING = "The attribute that names the stack was not written"


class TargetActions:
    """Acts on the instances of a target."""

    def __init__(self, ecs: Ecs) -> None:
        self._ecs = ecs
        self._ecs_actions = EcsActions(ecs)

    def act(self, outcomes: Iterable[Outcome], stack_id: str, time: InvocationClock) -> None:
        """Set DRAINING, and stop standalone tasks, where that was decided."""
        stack = checksum(stack_id)
        failures = 0
        by_cluster: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            if outcome.decision.act == Act.SET_DRAINING:
                by_cluster[outcome.cluster].append(outcome)
            elif outcome.decision.stop_tasks:
                self._ecs_actions.stop_tasks(outcome, time.seconds_left)
        units = [
            members[start : start + TOGETHER_MAX]
            for members in by_cluster.values()
            for start in range(0, len(members), TOGETHER_MAX)
        ]
        for unit in units[:UNITS_MAX]:
            if time.seconds_left() < UNIT_SECONDS or failures > FAILURES_MAX:
                return  # the next pass goes on: a throttled API needs a pause
            failures += not self._drain_together(unit, stack, time.now)

    def _drain_together(
        self, unit: Sequence[Outcome], stack: str, clock: Callable[[], datetime]
    ) -> bool:
        """Set up to ten DRAINING; return whether that has succeeded with any."""
        # First, for what is DRAINING without it would stay so after a rollback.
        if not self._name_stack(unit, stack):
            return False
        self._ecs_actions.set_draining(unit, clock)
        return any(outcome.drained_now for outcome in unit)

    def _name_stack(self, unit: Sequence[Outcome], stack: str) -> bool:
        """Note on all registrations for which stack they are set DRAINING; False if throttled."""
        by_cluster: dict[str, list[tuple[Outcome, tuple[str, str, str]]]] = defaultdict(list)
        for outcome in unit:
            for one in outcome.look.to_drain:
                by_cluster[one.cluster].append((outcome, (one.arn, DRAINED_FOR, stack)))
        for cluster, rows in by_cluster.items():
            for start in range(0, len(rows), TOGETHER_MAX):
                together = rows[start : start + TOGETHER_MAX]
                try:
                    self._ecs.put_attributes(cluster, [value for _, value in together])
                except UnavailableError as error:
                    unit[0].add_error(NOTING, error)
                    return False
                except MisconfiguredError:
                    for outcome, value in together:
                        try:
                            self._ecs.put_attributes(cluster, [value])
                        except DrainerError as error:
                            outcome.add_error(NOTING, error)
        return True
