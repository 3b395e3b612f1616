"""
Look for what waits at hooks of ours: in all groups, some in each sweep where time is short.

It changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain.earlier_looks import begun_at
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.look import turn
from drainer.drain.model import LifecycleAction
from drainer.errors import DrainerError
from drainer.lifecycle.hooks import is_waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from drainer.drain.model import Drain, Hook
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.hooks import AutoScalingReads, Hooks

# How many groups are described in one call, with all their instances; AWS allows a hundred.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
GROUPS_TOGETHER = 50

# The time between two sweeps, in infra/drainer.yaml at most; with another they only step otherwise.
SWEEP_SECONDS = 300.0
GOLDEN_RATIO = (5**0.5 - 1) / 2

# The time that reading the hooks of many groups, one call each, leaves of an invocation (30 s in
# infra/drainer.yaml) to look at the instances that wait there: 5 s of it to describe tasks.
LOOKING_SECONDS = 8.0


class WaitingInstances:
    """
    One sweep's search of all groups.

    Args:
        now: When the pass began: a drain must not begin after the looks and heartbeats of its pass.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        hooks: Hooks,
        time: InvocationClock,
        now: datetime,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._hooks = hooks
        self._now = now
        self._seconds_left = time.seconds_left
        self.problems: list[str] = []

    def find(self) -> list[Drain]:
        """Return a drain for each hook of ours under which an instance of any group waits."""
        drains: list[Drain] = []
        for groups, states in self._states():
            waiting = {one: group for one, (group, state) in states.items() if is_waiting(state)}
            held = set(waiting.values())
            for group in (one for one in groups if one in held):
                if self._no_time_for_more():
                    break  # another turn begins with other groups
                try:
                    hooks = self._hooks.of_group(group)
                except DrainerError as error:
                    self.problems.append(f"The hooks of group {group!r} were not read: {error}")
                    continue
                ours = [hook for hook in hooks.values() if self._hooks.is_found(hook)]
                members = [one for one, its_group in waiting.items() if its_group == group]
                # In an order that differs each time, so that none is always the last.
                members.sort(key=lambda one: (turn(one, self._now), one))
                drains += [
                    self._found(one, hook, group, states[one][1])
                    for one in members
                    for hook in ours
                ]
        return drains

    def _rotate(self, names: Iterable[str]) -> list[str]:
        """
        Return the names from another one on at each sweep.

        The steps are the golden ratio of all names, so that a sweep which comes through a part of
        them leaves none out for long: after n sweeps the beginnings are nowhere much further apart
        than one nth of all.
        """
        ordered = sorted(names)
        share = self._now.timestamp() / SWEEP_SECONDS * GOLDEN_RATIO % 1
        middle = int(share * len(ordered))
        return ordered[middle:] + ordered[:middle]

    def _no_time_for_more(self) -> bool:
        return self._seconds_left() < ACTING_SECONDS + LOOKING_SECONDS

    def _states(self) -> Iterator[tuple[Sequence[str], dict[str, tuple[str, str]]]]:
        """Yield some groups and the lifecycle states of their instances, while there is time."""
        try:
            # By group, and not fifty instances a page: what waits is few among thousands.
            names = self._rotate(self._auto_scaling.group_names())
            for start in range(0, len(names), GROUPS_TOGETHER):
                if self._no_time_for_more():
                    return
                together = names[start : start + GROUPS_TOGETHER]
                found, pools = self._auto_scaling.states_in_groups(together)
                yield together, found | self._in_warm_pools(pools)
        except DrainerError as error:
            self.problems.append(f"Waiting instances were not listed: {error}")

    def _in_warm_pools(self, groups: Sequence[str]) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for group in groups:
            if self._no_time_for_more():
                break
            try:
                found |= self._auto_scaling.states_in_warm_pool(group)
            except DrainerError as error:
                self.problems.append(f"The warm pool of group {group!r} was not read: {error}")
        return found

    def _found(self, ec2_instance_id: str, hook: Hook, group: str, state: str) -> Drain:
        action = LifecycleAction(group, hook.name, ec2_instance_id, "")
        return replace(begun_at(self._now, action, hook.heartbeat_timeout_seconds), waits_in=state)
