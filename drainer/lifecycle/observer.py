"""
Look at the world for one pass: all its drains, in as few calls as the APIs allow.

It changes nothing. A failed look leaves its drain unseen, not absent, and does not affect the
others.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain.admission import Admission
from drainer.drain.earlier_looks import forgetting_old_searches, unconfirmed
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.finder import Finder
from drainer.drain.look import turn, unseen
from drainer.drain.record import key_of
from drainer.drain.task_look import TaskLook
from drainer.errors import DrainerError, RefusedError, UnavailableError
from drainer.lifecycle import rules
from drainer.lifecycle.early_heartbeats import RECORDED
from drainer.lifecycle.hooks import LATER_STATES, is_waiting
from drainer.lifecycle.look import HookLook, Waiting
from drainer.lifecycle.sweep import LOOKING_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.drain.admission import Admitted
    from drainer.drain.ecs_reads import EcsReads
    from drainer.drain.listings import Listings
    from drainer.drain.model import Hook
    from drainer.drain.record import Key
    from drainer.drain.task_reads import StoppedTasks
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.hooks import AutoScalingReads, Hooks


class Observer:
    """
    Reads what one pass needs from Auto Scaling and ECS.

    Args:
        listings: For how many drains the tasks may be listed.
        stopped: Which tasks earlier passes have seen STOPPED.
        draining_again: Returns since when other drains, by their keys, have seen their instances
            DRAINING.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        ecs: EcsReads,
        hooks: Hooks,
        config: Config,
        time: InvocationClock,
        *,
        stopped: StoppedTasks,
        listings: Listings,
        draining_again: Callable[[Sequence[Key]], Mapping[Key, datetime]],
    ) -> None:
        self._auto_scaling = auto_scaling
        self._finder = Finder(ecs, config.clusters, time)
        self._tasks = TaskLook(ecs, time, stopped, listings)
        self._hooks = hooks
        self._time = time
        self._draining_again = draining_again
        self._config = config
        self.now = time.now()
        self._problems: list[str] = []

    @property
    def problems(self) -> list[str]:
        """What an operator has to correct, in words."""
        return self._problems + self._finder.problems

    def look(
        self,
        admitted: Sequence[Admitted],
        before_ecs: Callable[[Sequence[HookLook]], None] = lambda _: None,
    ) -> list[HookLook]:
        """
        Return what is to be seen of each drain, in the same order.

        Args:
            admitted: The drains.
            before_ecs: Called once it is known what waits, and whose hook holds it.
        """
        looks = [self._begun(one, len(admitted)) for one in admitted]
        self._look_at_lifecycle(looks)
        self._look_at_hooks([s for s in looks if s.waiting in {Waiting.YES, Waiting.UNSEEN}])
        before_ecs(looks)
        waiting = [look for look in looks if look.waiting == Waiting.YES]
        self._ask_other_hooks(waiting)
        self._finder.find(waiting)
        for look in looks:
            look.seen_at = self._time.now()
            look.to_report = look.is_late
            look.confirms = look.drain.closed and look.drain.listed_at is None
            look.take_from_other_hook()
        self._tasks.look(waiting, early=True)
        return looks

    def _begun(self, admitted: Admitted, together: int) -> HookLook:
        drain = admitted.drain
        if admitted.admission == Admission.JOIN and admitted.record and not drain.policy:
            drain = replace(drain, policy=admitted.record.drain.policy)
        before = admitted.record if admitted.admission in RECORDED else None
        interval = self._config.pass_interval_seconds
        drain = unconfirmed(drain, admitted.record, self.now)
        drain = forgetting_old_searches(drain, before, self.now, interval)
        return HookLook(
            ec2_instance_id=drain.action.ec2_instance_id,
            drain=drain,
            now=self.now,
            # How far a search has come does not count without a token.
            in_turns=bool(drain.action.lifecycle_action_token),
            proven=_is_proven(admitted),
            pass_interval_seconds=interval,
            deadline_result=self._config.deadline_result,
            before=before,
            has_events=self._config.use_fast_path,
            together=together,
        )

    def _look_at_lifecycle(self, looks: list[HookLook]) -> None:
        try:
            ids = list(dict.fromkeys(look.ec2_instance_id for look in looks))
            states = self._auto_scaling.lifecycle_states(ids)
        except RefusedError as error:
            if len(looks) > 1:
                # One id that Auto Scaling refuses must not hide the others beside it.
                middle = len(looks) // 2
                self._look_at_lifecycle(looks[:middle])
                self._look_at_lifecycle(looks[middle:])
            else:
                looks[0].unseen(error)
            return
        except DrainerError as error:
            unseen(looks, error)
            return
        for look in looks:
            group, state = states.get(look.ec2_instance_id, ("", ""))
            claimed = look.drain.action.auto_scaling_group_name
            if group and group != claimed:
                look.waiting = Waiting.OVER
                look.reason = f"The instance is in group {group!r}, not in {claimed!r}"
            elif is_waiting(state):
                _take_wait_state(look, state)
            else:
                look.waiting = Waiting.OVER if state in LATER_STATES else Waiting.NO
                look.reason = f"The instance is {state or 'in no group'}, not waiting"

    def _look_at_hooks(self, looks: Iterable[HookLook]) -> None:
        """Look up each group's hooks in every pass: an envelope does not count for its own hook."""
        by_group: dict[str, list[HookLook]] = defaultdict(list)
        for look in looks:
            by_group[look.drain.action.auto_scaling_group_name].append(look)
        # In an order that differs each time, so that none is always the last.
        groups = sorted(by_group, key=lambda group: (turn(group, self.now), group))
        for position, group in enumerate(groups):
            members = by_group[group]
            # With all the time spent on hooks, a crowd of groups that comes together in each pass
            # would be looked at in none. The first one's are read while there is time to act.
            at_once = not position or self._hooks.has_read(group)
            needed = ACTING_SECONDS + (0.0 if at_once else LOOKING_SECONDS)
            try:
                if self._time.seconds_left() < needed:
                    raise UnavailableError("No time was left to read the hook: the next pass does")
                hooks = self._hooks.of_group(group)
            except DrainerError as error:
                unseen(members, error)
                for look in members:
                    # The hook's owner is not known now, so that no change may be made.
                    look.failed, look.waiting = True, Waiting.UNSEEN
                continue
            for look in members:
                self._take_hook(look, hooks.get(look.drain.action.lifecycle_hook_name))

    def _ask_other_hooks(self, looks: Iterable[HookLook]) -> None:
        """Where a group has two hooks of ours, learn what the other hook's drain has seen."""
        beside: dict[Key, list[HookLook]] = defaultdict(list)
        for look in looks:
            for hook in self._hooks.ours_beside(look.drain.action):
                other = replace(look.drain.action, lifecycle_hook_name=hook.name)
                beside[key_of(other)].append(look)
        for key, since in self._draining_again([*beside]).items():
            for look in beside[key]:
                look.draining_again = max(since, look.draining_again or since)

    def _take_hook(self, look: HookLook, hook: Hook | None) -> None:
        drain, name = look.drain, look.drain.action.lifecycle_hook_name
        if hook is None:
            look.waiting = Waiting.NO
            look.reason = f"The group has no lifecycle hook {name!r}"
            return
        refusal = self._hooks.refusal(hook, by_event_bridge=drain.by_event_bridge)
        if refusal:
            look.waiting = Waiting.OVER
            look.reason = refusal
            return
        policy, problems = self._config.policy(hook.notification_metadata)
        if policy != drain.policy:  # said once for each drain, not at every pass
            self._problems += [f"Notification metadata of hook {name!r}: {p}" for p in problems]
        if problems and drain.policy:
            # A setting that is left out or not understood has its default, and a deadline is not
            # put off later: a typo that is corrected a minute later would end drains under way.
            policy = drain.policy
        unreadable = [problem for problem in problems if problem.hides_cluster]
        if unreadable:
            look.sound = False
            look.reason = f"No cluster can be read from hook {name!r}: {unreadable[0]}"
        look.drain = replace(
            drain,
            policy=policy,
            deadline_at=rules.deadline(drain, hook, policy, look.margin_seconds),
            heartbeat_timeout_seconds=hook.heartbeat_timeout_seconds,
        )


def _take_wait_state(look: HookLook, state: str) -> None:
    """
    Note that the instance waits, and in which lifecycle state.

    One action waits in one state, so that what waits in another state is a later action. Without a
    token nothing else tells them apart, and the deadline of the first is not that of the second.
    """
    drain = look.drain
    look.waiting = Waiting.YES
    if drain.action.lifecycle_action_token:
        look.drain = replace(drain, waits_in=None)
    elif drain.waits_in is None:
        look.drain = replace(drain, waits_in=state)
    elif drain.waits_in != state:
        look.waiting = Waiting.OVER
        look.reason = f"The instance was {drain.waits_in} and is {state}: that is another action"


def _is_proven(admitted: Admitted) -> bool:
    """Whether Auto Scaling has confirmed the action to an earlier pass."""
    if admitted.admission == Admission.UNREAD:
        # DRAINING is set once the action is confirmed, and a record is written.
        return (admitted.drain.generation or admitted.drain.draining_since) is not None
    return admitted.admission not in {Admission.NEW, Admission.JOIN}
