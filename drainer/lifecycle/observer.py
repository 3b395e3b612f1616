"""
Look at the world: one pass's view of all its drains, in as few calls as the APIs allow.

It changes nothing. A look that fails leaves its drain unseen, never absent, and spoils no other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer.config import is_own_metadata
from drainer.drain import machine
from drainer.drain.admission import Admission
from drainer.drain.finder import ACTING_SECONDS, Finder
from drainer.drain.model import Drain, LifecycleAction, Origin, Waiting
from drainer.drain.record import key_of
from drainer.drain.sight import Sight, turn, unseen
from drainer.drain.task_look import TaskLook
from drainer.errors import DrainerError, RefusedError, UnavailableError
from drainer.fields import ECS_OWN_HOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.drain.admission import Admitted
    from drainer.drain.finder import EcsReads
    from drainer.drain.model import Hook
    from drainer.drain.record import Key
    from drainer.drain.task_look import StoppedTasks
    from drainer.drain.view import View
    from drainer.invocation import InvocationClock

# A terminating hook waits in an instance's last moments, in a warm pool, on the way back to it
# ("pauses ... at the Warmed:Pending:Wait state for the EC2_INSTANCE_TERMINATING lifecycle action"),
# and before a root volume is replaced. A state that a later version of Auto Scaling adds is taken
# for one as well; whether an action of our hook is open is said by the heartbeat.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
WAIT_STATE_SUFFIX = ":Wait"
# The one state in which only a launching hook waits.
LAUNCH_WAIT_STATE = "Pending:Wait"
# What comes after the last answer of all. Not so Terminating:Retained, Warmed:Pending:Proceed or
# ReplacingRootVolume:Proceed, after which an instance may wait at the same hook again: such an
# answer may be an old one.
LATER_STATES = frozenset(
    {
        "Terminating:Proceed",
        "Terminated",
        "Warmed:Terminating:Proceed",
        "Warmed:Terminated",
    }
)


def is_waiting(lifecycle_state: str) -> bool:
    """Whether an instance in this state may wait at a terminating hook."""
    return lifecycle_state.endswith(WAIT_STATE_SUFFIX) and lifecycle_state != LAUNCH_WAIT_STATE


# How many groups are described in one call, with all their instances; AWS allows a hundred.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
GROUPS_TOGETHER = 50

# The time between two sweeps, in infra/drainer.yaml at most; with another they only step otherwise.
SWEEP_SECONDS = 300.0
GOLDEN_RATIO = (5**0.5 - 1) / 2

# What a sweep leaves of an invocation (30 s in infra/drainer.yaml) for looking at what it finds.
LOOKING_SECONDS = 8.0


class AutoScalingReads(Protocol):
    """What the observer asks of Auto Scaling; every method may raise a DrainerError."""

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance that is in a group."""

    def group_names(self) -> list[str]:
        """Return the names of all groups."""

    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """Return group and lifecycle state of the groups' instances, and who has a warm pool."""

    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance of a group's warm pool."""

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        """Return the group's hooks by name."""


def _is_proven(admitted: Admitted) -> bool:
    """Whether Auto Scaling has confirmed the action to an earlier pass."""
    if admitted.admission == Admission.UNREAD:
        # DRAINING is set once the action is confirmed, and a record is written.
        return (admitted.drain.generation or admitted.drain.draining_since) is not None
    return admitted.admission not in {Admission.NEW, Admission.JOIN}


class Observer:
    """
    Reads what one pass needs from Auto Scaling and ECS.

    Args:
        auto_scaling: Reads of Auto Scaling.
        ecs: Reads of ECS.
        config: The function's settings.
        time: What of the invocation's may be spent on looking.
        stopped: Which tasks earlier passes have seen STOPPED.
        draining_again: Returns since when other drains, by their keys, have seen their instances
            DRAINING.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        ecs: EcsReads,
        config: Config,
        time: InvocationClock,
        *,
        stopped: StoppedTasks,
        draining_again: Callable[[Sequence[Key]], Mapping[Key, datetime]],
    ) -> None:
        self._auto_scaling = auto_scaling
        self._finder = Finder(ecs, config.clusters, time)
        self._tasks = TaskLook(ecs, time, self.view, stopped)
        self._seconds_left = time.seconds_left
        self._draining_again = draining_again
        self._config = config
        self._now = time.now()
        self._problems: list[str] = []
        self._hooks: dict[str, dict[str, Hook]] = {}
        self._turns: dict[str, int] = {}

    @property
    def problems(self) -> list[str]:
        """What somebody has to mend, in words for an operator."""
        return self._problems + self._finder.problems

    def look(
        self,
        admitted: Sequence[Admitted],
        before_ecs: Callable[[Sequence[Sight]], None] = lambda _: None,
    ) -> list[Sight]:
        """
        Return what is to be seen of each drain, in the same order.

        Args:
            admitted: The drains.
            before_ecs: Called once it is known what waits, and whose hook holds it.
        """
        sights = [Sight(one.drain, self._now, proven=_is_proven(one)) for one in admitted]
        self._look_at_lifecycle(sights)
        self._look_at_hooks([s for s in sights if s.waiting in {Waiting.YES, Waiting.UNSEEN}])
        before_ecs(sights)
        self._ask_other_hooks([sight for sight in sights if sight.waiting == Waiting.YES])
        self._finder.find(sights)
        self._tasks.look(sights, early=True)
        return sights

    def discover(self) -> list[Drain]:
        """Return a drain for each hook of ours under which an instance of any group waits."""
        drains: list[Drain] = []
        for states in self._states():
            waiting = {one: group for one, (group, state) in states.items() if is_waiting(state)}
            for group in sorted(set(waiting.values()), key=self._turn_of):
                if self._no_time_for_more():
                    break  # another turn begins with other groups
                try:
                    hooks = self._hooks_of(group)
                except DrainerError as error:
                    self._problems.append(f"The hooks of group {group!r} were not read: {error}")
                    continue
                ours = [hook for hook in hooks.values() if self._is_ours_to_find(hook)]
                members = [one for one, its_group in waiting.items() if its_group == group]
                drains += [
                    self._found(one, hook, group) for one in self._in_turn(members) for hook in ours
                ]
        return drains

    def problems_of_sweep(self, problem: str) -> None:
        """Report what has kept a sweep from its work."""
        self._problems.append(problem)

    def _is_ours_to_find(self, hook: Hook) -> bool:
        """
        Whether what waits at a hook without a notice is ours to look after.

        A hook without a target is anybody's who listens to EventBridge: it is ours if its metadata
        is what only our hooks have.
        """
        if not hook.notification_target_arn and not is_own_metadata(hook.notification_metadata):
            return False
        return not self._refusal(hook, by_event_bridge=True)

    def _in_turn(self, names: Iterable[str]) -> list[str]:
        """Return the names in an order that differs each time, so that none is always the last."""
        return sorted(names, key=lambda name: (turn(name, self._now), name))

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

    def _turn_of(self, group: str) -> tuple[int, str]:
        return self._turns.get(group, 0), group

    def _no_time_for_more(self) -> bool:
        return self._seconds_left() < ACTING_SECONDS + LOOKING_SECONDS

    def _states(self) -> Iterator[dict[str, tuple[str, str]]]:
        """Yield the lifecycle states of instances, some groups at a time, while there is time."""
        try:
            # By group, and not fifty instances a page: what waits is few among thousands.
            names = self._rotate(self._auto_scaling.group_names())
            self._turns = {name: turn for turn, name in enumerate(names)}
            for start in range(0, len(names), GROUPS_TOGETHER):
                if self._no_time_for_more():
                    return
                together = names[start : start + GROUPS_TOGETHER]
                found, pools = self._auto_scaling.states_in_groups(together)
                yield found | self._in_warm_pools(pools)
        except DrainerError as error:
            self._problems.append(f"Waiting instances were not listed: {error}")

    def _in_warm_pools(self, groups: Sequence[str]) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for group in groups:
            if self._no_time_for_more():
                break
            try:
                found |= self._auto_scaling.states_in_warm_pool(group)
            except DrainerError as error:
                self._problems.append(f"The warm pool of group {group!r} was not read: {error}")
        return found

    def _found(self, ec2_instance_id: str, hook: Hook, group: str) -> Drain:
        # As far as is known it waits since now, and nobody has kept it waiting.
        timeout = timedelta(seconds=hook.heartbeat_timeout_seconds)
        return Drain(
            action=LifecycleAction(group, hook.name, ec2_instance_id, ""),
            started_at=self._now,
            last_heartbeat_at=self._now - timeout,
            origin=Origin.SWEEP,
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
                sight.reason = f"The instance is in group {group!r}, not in {claimed!r}"
            elif is_waiting(state):
                sight.waiting = Waiting.YES
            else:
                sight.waiting = Waiting.OVER if state in LATER_STATES else Waiting.NO
                sight.reason = f"The instance is {state or 'in no group'}, not waiting"

    def _look_at_hooks(self, sights: Iterable[Sight]) -> None:
        """Look up each group's hooks in every pass: no envelope is believed about its own."""
        by_group: dict[str, list[Sight]] = defaultdict(list)
        for sight in sights:
            by_group[sight.drain.action.auto_scaling_group_name].append(sight)
        for group in self._in_turn(by_group):
            members = by_group[group]
            try:
                if self._seconds_left() < ACTING_SECONDS:
                    raise UnavailableError("No time was left to read the hook: the next pass does")
                hooks = self._hooks_of(group)
            except DrainerError as error:
                unseen(members, error)
                for sight in members:
                    # Whose hook it is cannot be told now, so that nothing may be changed.
                    sight.failed, sight.waiting = True, Waiting.UNSEEN
                continue
            for sight in members:
                self._take_hook(sight, hooks.get(sight.drain.action.lifecycle_hook_name))

    def _ask_other_hooks(self, sights: Iterable[Sight]) -> None:
        """Where a group has two hooks of ours, learn what the other hook's drain has seen."""
        beside: dict[Key, list[Sight]] = defaultdict(list)
        for sight in sights:
            action = sight.drain.action
            for name, hook in self._hooks.get(action.auto_scaling_group_name, {}).items():
                if name != action.lifecycle_hook_name and self._is_ours_to_find(hook):
                    beside[key_of(replace(action, lifecycle_hook_name=name))].append(sight)
        for key, since in self._draining_again([*beside]).items():
            for sight in beside[key]:
                sight.draining_again = max(since, sight.draining_again or since)

    def _take_hook(self, sight: Sight, hook: Hook | None) -> None:
        drain, name = sight.drain, sight.drain.action.lifecycle_hook_name
        if hook is None:
            sight.waiting = Waiting.NO
            sight.reason = f"The group has no lifecycle hook {name!r}"
            return
        refusal = self._refusal(hook, by_event_bridge=drain.by_event_bridge)
        if refusal:
            sight.waiting = Waiting.OVER
            sight.reason = refusal
            return
        policy, problems = self._config.policy(hook.notification_metadata)
        if drain.policy is None:  # said once for each drain, not at every pass
            self._problems += [f"Notification metadata of hook {name!r}: {p}" for p in problems]
        unreadable = [problem for problem in problems if problem.hides_cluster]
        if unreadable:
            sight.sound = False
            sight.reason = f"No cluster can be read from hook {name!r}: {unreadable[0]}"
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
            return f"Hook {hook.name!r} is ECS's own"
        if not hook.terminating:
            return f"Hook {hook.name!r} is for instances that are launched"
        if target and target != self._config.topic_arn:
            return f"Hook {hook.name!r} notifies {target}, not this drainer"
        if not target and not (by_event_bridge and hook.notification_metadata):
            return f"Hook {hook.name!r} has no target and no metadata for the drainer"
        return ""
