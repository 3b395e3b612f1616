"""
Look at the world: one pass's view of all its drains, in as few calls as the APIs allow.

It changes nothing. A look that fails leaves its drain unseen, never absent, and spoils no other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer import machine
from drainer.claims import ECS_OWN_HOOK
from drainer.config import CLUSTER_UNREADABLE
from drainer.errors import DrainerError, RefusedError
from drainer.finder import Finder
from drainer.model import Drain, LifecycleAction, Origin, Waiting
from drainer.sight import Sight, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.finder import EcsReads
    from drainer.model import Hook
    from drainer.view import View

# The states in which a terminating hook waits for its answer, and those that come after it; not
# so Terminating:Retained, from which an instance may come to wait again.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
WAIT_STATES = frozenset({"Terminating:Wait", "Warmed:Terminating:Wait"})
LATER_STATES = frozenset(
    {
        "Terminating:Proceed",
        "Terminated",
        "Warmed:Terminating:Proceed",
        "Warmed:Terminated",
    }
)


# What one sweep sees through: ten times a pass of a hundred, in turns of the next sweeps.
DISCOVERED_MAX = 1_000


class AutoScalingReads(Protocol):
    """What the observer asks of Auto Scaling; every method may raise a DrainerError."""

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance that is in a group."""

    def all_lifecycle_states(self) -> dict[str, tuple[str, str]]:
        """Return the same of every instance of every group."""

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        """Return the group's hooks by name."""


class Observer:
    """
    One pass's eyes.

    Args:
        auto_scaling: Reads of Auto Scaling.
        ecs: Reads of ECS.
        config: The function's settings.
        now: The pass's instant; read once.
        seconds_left: How much of the invocation's time is left.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        ecs: EcsReads,
        config: Config,
        now: datetime,
        seconds_left: Callable[[], float],
    ) -> None:
        self._auto_scaling = auto_scaling
        self._finder = Finder(ecs, config.clusters, seconds_left)
        self._config = config
        self._now = now
        self._problems: list[str] = []
        self._hooks: dict[str, dict[str, Hook]] = {}

    @property
    def problems(self) -> list[str]:
        """What somebody has to mend, in words for an operator."""
        return self._problems + self._finder.problems

    def look(self, drains: Sequence[Drain]) -> list[Sight]:
        """Return what is to be seen of each drain, in the same order."""
        sights = [Sight(drain, self._now) for drain in drains]
        self._look_at_lifecycle(sights)
        self._look_at_hooks([s for s in sights if s.waiting in {Waiting.YES, Waiting.UNSEEN}])
        self._finder.find(sights)
        self._finder.look_at_witnesses(sights)
        self._finder.look_exactly([s for s in sights if machine.needs_exact_look(self.view(s))])
        return sights

    def discover(self, hints: Sequence[str], *, sweep: bool) -> list[Drain]:
        """
        Return a drain for each hook of ours under which an instance waits.

        Args:
            hints: Ids of EC2 instances to ask about; others are not looked at.
            sweep: Whether to ask about every instance of every group instead.
        """
        states = self._ask_for_states(hints, sweep=sweep)
        waiting = {
            ec2_instance_id: group
            for ec2_instance_id, (group, state) in states.items()
            if state in WAIT_STATES
        }
        drains = []
        for group in sorted(set(waiting.values())):
            try:
                hooks = self._hooks_of(group)
            except DrainerError as error:
                self._problems.append(f"the hooks of group {group!r}: {error}")
                continue
            ours = [h for h in hooks.values() if not self._refusal(h, by_event_bridge=False)]
            members = [one for one, its_group in waiting.items() if its_group == group]
            drains += [
                self._found(one, hook, group, sweep=sweep) for one in members for hook in ours
            ]
        return drains[:DISCOVERED_MAX]

    def _ask_for_states(self, hints: Sequence[str], *, sweep: bool) -> dict[str, tuple[str, str]]:
        try:
            if sweep:
                return self._auto_scaling.all_lifecycle_states()
            return self._auto_scaling.lifecycle_states(hints) if hints else {}
        except DrainerError as error:
            self._problems.append(f"looking for what waits: {error}")
            return {}

    def _found(self, ec2_instance_id: str, hook: Hook, group: str, *, sweep: bool) -> Drain:
        # Until a mark tells more: it waits since now, and nobody has kept it waiting.
        timeout = timedelta(seconds=hook.heartbeat_timeout_seconds)
        return Drain(
            action=LifecycleAction(group, hook.name, ec2_instance_id, ""),
            started_at=self._now,
            last_heartbeat_at=self._now - timeout,
            origin=Origin.SWEEP if sweep else Origin.HINT,
            by_event_bridge=True,
        )

    def _hooks_of(self, group: str) -> dict[str, Hook]:
        if group not in self._hooks:
            self._hooks[group] = self._auto_scaling.lifecycle_hooks(group)
        return self._hooks[group]

    def view(self, sight: Sight) -> View:
        """Return the sight with all that is needed to judge it."""
        return sight.view(self._config)

    def _look_at_lifecycle(self, sights: list[Sight]) -> None:
        try:
            ids = list(dict.fromkeys(sight.id for sight in sights))
            states = self._auto_scaling.lifecycle_states(ids)
        except RefusedError as error:
            if len(sights) > 1:
                # One id that Auto Scaling refuses must not blind the others beside it.
                middle = len(sights) // 2
                self._look_at_lifecycle(sights[:middle])
                self._look_at_lifecycle(sights[middle:])
            else:
                sights[0].unseen(error)
            return
        except DrainerError as error:
            unseen(sights, error)
            return
        for sight in sights:
            group, state = states.get(sight.id, ("", ""))
            claimed = sight.drain.action.auto_scaling_group_name
            if group and group != claimed:
                sight.waiting = Waiting.OVER
                sight.reason = f"the instance is in group {group!r}, not in {claimed!r}"
            elif state in WAIT_STATES:
                sight.waiting = Waiting.YES
            else:
                sight.waiting = Waiting.OVER if state in LATER_STATES else Waiting.NO
                sight.reason = f"the instance is {state or 'in no group'}, not waiting"

    def _look_at_hooks(self, sights: Iterable[Sight]) -> None:
        """Look up each group's hooks in every pass: no envelope is believed about its own."""
        by_group: dict[str, list[Sight]] = defaultdict(list)
        for sight in sights:
            by_group[sight.drain.action.auto_scaling_group_name].append(sight)
        for group, members in by_group.items():
            try:
                hooks = self._hooks_of(group)
            except DrainerError as error:
                unseen(members, error)
                for sight in members:
                    # Whose hook it is cannot be told now, so that nothing may be changed.
                    sight.failed, sight.waiting = True, Waiting.UNSEEN
                continue
            for sight in members:
                self._take_hook(sight, hooks.get(sight.drain.action.lifecycle_hook_name))

    def _take_hook(self, sight: Sight, hook: Hook | None) -> None:
        drain, name = sight.drain, sight.drain.action.lifecycle_hook_name
        if hook is None:
            sight.waiting = Waiting.NO
            sight.reason = f"the group has no lifecycle hook {name!r}"
            return
        refusal = self._refusal(hook, by_event_bridge=drain.by_event_bridge)
        if refusal:
            sight.waiting = Waiting.OVER
            sight.reason = refusal
            return
        policy, problems = self._config.policy(hook.notification_metadata)
        if drain.policy is None:  # said once for each drain, not at every pass
            self._problems += [f"notification metadata of hook {name!r}: {p}" for p in problems]
        unreadable = [problem for problem in problems if problem.startswith(CLUSTER_UNREADABLE)]
        if unreadable:
            sight.sound = False
            sight.reason = f"no cluster can be read from hook {name!r}: {unreadable[0]}"
        margin_seconds = self.view(sight).margin_seconds
        sight.drain = replace(
            drain,
            policy=policy,
            deadline_at=machine.deadline(drain, hook, policy, margin_seconds),
            heartbeat_timeout_seconds=hook.heartbeat_timeout_seconds,
        )

    def _refusal(self, hook: Hook, *, by_event_bridge: bool) -> str:
        """Say why the hook is not ours to answer; empty where it is."""
        target = hook.notification_target_arn
        if hook.name == ECS_OWN_HOOK:
            return f"hook {hook.name!r} is ECS's own"
        if target and target != self._config.topic_arn:
            return f"hook {hook.name!r} notifies {target}, not this drainer"
        if not target and not (by_event_bridge and hook.notification_metadata):
            return f"hook {hook.name!r} has neither our topic as target nor metadata for us"
        return ""
