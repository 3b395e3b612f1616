"""
Run a pass: observe, decide, act, for a batch of drains; it reads no clock and knows no AWS.

No write happens above the decision. Every act can be done twice; each drain stands alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from drainer import envelope, machine
from drainer import mark as marks
from drainer.acts import TOGETHER_MAX, UNIT_SECONDS, EcsActs, Outcome
from drainer.errors import DrainerError, LifecycleActionOverError, MisconfiguredError
from drainer.machine import Step
from drainer.model import Mark, Origin
from drainer.observer import AutoScalingReads, Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from drainer.acts import Ecs
    from drainer.config import Config
    from drainer.model import Drain, LifecycleAction, LifecycleActionResult


class AutoScaling(AutoScalingReads, Protocol):
    """What a pass asks of Auto Scaling; every method may raise a DrainerError."""

    def record_heartbeat(self, action: LifecycleAction) -> None:
        """Restart the hook's heartbeat timeout."""

    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        """Answer the lifecycle action."""


class Topic(Protocol):
    """Our own topic."""

    def publish(self, messages: Sequence[str]) -> dict[int, str]:
        """Publish up to TOGETHER_MAX messages; return refusals by position."""


@dataclass(frozen=True, slots=True)
class PassReport:
    """All outcomes of a pass, and what somebody has to mend."""

    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]


class Controller:
    """
    Passes over drains.

    Args:
        auto_scaling: Auto Scaling.
        ecs: ECS.
        topic: Where re-invocations go.
        config: The function's settings.
    """

    def __init__(self, auto_scaling: AutoScaling, ecs: Ecs, topic: Topic, config: Config) -> None:
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._acts = EcsActs(ecs)
        self._topic = topic
        self._config = config

    def run_pass(
        self,
        drains: Sequence[Drain],
        *,
        now: datetime,
        seconds_left: Callable[[], float],
        hints: Sequence[str] = (),
        sweep: bool = False,
    ) -> PassReport:
        """
        Look at all drains, decide about each, and act.

        Args:
            drains: At most one for each lifecycle action.
            hints: Ids of EC2 instances at which to look too, if they wait under a hook of ours.
            sweep: Whether to look at everything that waits under a hook of ours too.
            now: The pass's instant; the clock is read once.
            seconds_left: How much of the invocation's time is left.
        """
        observer = Observer(self._auto_scaling, self._ecs, self._config, now, seconds_left)
        known = {_place(drain) for drain in drains}
        discovered = observer.discover(hints, sweep=sweep)
        others = [drain for drain in discovered if _place(drain) not in known]
        sights = observer.look([*drains, *others])

        views = [observer.view(sight) for sight in sights]
        outcomes = [Outcome(view.drain, view, machine.decide(view)) for view in views]

        self._act(outcomes, seconds_left)
        return PassReport(tuple(outcomes), tuple(observer.problems))

    def _act(self, outcomes: Sequence[Outcome], seconds_left: Callable[[], float]) -> None:
        # The answers come first: an instance that may go costs money and holds up its group.
        for outcome in outcomes:
            if outcome.decision.step == Step.COMPLETE:
                if seconds_left() < UNIT_SECONDS:
                    outcome.undone = "no time was left in the invocation"
                else:
                    self._complete(outcome)
        self._mark([o for o in outcomes if o.answered is not None])
        rest = _one_chain_each([o for o in outcomes if not (o.ended or o.undone)])
        for start in range(0, len(rest), TOGETHER_MAX):
            unit = rest[start : start + TOGETHER_MAX]
            if seconds_left() < UNIT_SECONDS:
                for outcome in unit:
                    outcome.undone = "no time was left in the invocation"
            else:
                self._act_on(unit)

    def _act_on(self, unit: Sequence[Outcome]) -> None:
        # The heartbeat comes before every change: it proves that the action is a true one.
        for outcome in unit:
            self._heartbeat(outcome)
        unit = [outcome for outcome in unit if not outcome.over]
        proven = [o for o in unit if o.heartbeat or not machine.unproven(o.view)]
        self._acts.set_draining(proven)
        for outcome in proven:
            self._acts.stop_tasks(outcome)
        going = [outcome for outcome in unit if outcome.decision.republish]
        # A chain leaves its mark behind what it has published. The sweep tries first whether one
        # can be left, with a mark that counts for nothing yet, because a chain that cannot be seen
        # would be begun again by every sweep.
        swept = [o for o in going if o.drain.origin == Origin.SWEEP and o.view.status]
        self._mark(swept)
        self._publish([o for o in going if o.marked or o not in swept])
        # Who has kept the hook waiting says so, lest the mark seem to be of an action that is over.
        self._mark([o for o in unit if o.published or (o.heartbeat and not o.marked)])

    def _complete(self, outcome: Outcome) -> None:
        result = outcome.decision.result
        if result is None:
            raise AssertionError("a decision to complete names its result")
        try:
            self._auto_scaling.complete(outcome.drain.action, result)
        except LifecycleActionOverError:
            outcome.over = True
        except DrainerError as error:
            outcome.trouble("answering", error)
        else:
            outcome.answered = result

    def _heartbeat(self, outcome: Outcome) -> None:
        if not outcome.decision.heartbeat:
            return
        try:
            self._auto_scaling.record_heartbeat(outcome.drain.action)
        except LifecycleActionOverError:
            outcome.over = True
        except DrainerError as error:
            outcome.trouble("recording a heartbeat", error)
        else:
            outcome.heartbeat = True

    def _publish(self, unit: Sequence[Outcome]) -> None:
        encoded: list[tuple[Outcome, str]] = []
        for outcome in unit:
            try:
                encoded.append((outcome, envelope.encode(outcome.following())))
            except DrainerError as error:
                outcome.undone = f"encoding the re-invocation: {error}"
        if not encoded:
            return
        try:
            refusals = self._topic.publish([text for _, text in encoded])
        except DrainerError as error:
            refusals = dict.fromkeys(range(len(encoded)), str(error))
        for position, (outcome, _) in enumerate(encoded):
            if position in refusals:
                outcome.undone = f"publishing the re-invocation: {refusals[position]}"
            else:
                outcome.published = True

    def _mark(self, outcomes: Sequence[Outcome]) -> None:
        """Leave a mark for each, or write it off where the action has been abandoned."""
        by_cluster: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            if machine.may_mark(outcome.view, confirmed=outcome.heartbeat):
                by_cluster[outcome.cluster].append(outcome)
        for cluster, members in by_cluster.items():
            for start in range(0, len(members), TOGETHER_MAX):
                self._mark_together(cluster, members[start : start + TOGETHER_MAX])

    def _mark_together(self, cluster: str, members: Sequence[Outcome]) -> None:
        values = [
            (o.container_instance_arn, marks.name(o.drain.action), marks.write(_mark_of(o)))
            for o in members
        ]
        try:
            self._ecs.put_attributes(cluster, values)
        except MisconfiguredError as error:
            if len(members) > 1:
                # One container instance that is gone must not cost the others their marks.
                for outcome in members:
                    self._mark_together(cluster, [outcome])
            else:
                members[0].trouble("marking the container instance", error)
        except DrainerError as error:
            for outcome in members:
                outcome.trouble("marking the container instance", error)
        else:
            for outcome in members:
                outcome.marked = True


def _one_chain_each(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """
    Return the outcomes by cluster, and let one of each action go round.

    A message with the action's token and one of a chain that the sweep began are of one action,
    though they do not collapse into one drain; the one that is known to be true goes on.
    """
    ordered = sorted(
        outcomes,
        key=lambda o: (
            o.cluster,
            machine.unproven(o.view),
            not o.drain.action.lifecycle_action_token,
        ),
    )
    seen: set[tuple[str, str, str]] = set()
    for outcome in ordered:
        if not outcome.decision.republish:
            continue
        if _place(outcome.drain) in seen:
            outcome.decision = replace(outcome.decision, republish=False)
        seen.add(_place(outcome.drain))
    return ordered


def _place(drain: Drain) -> tuple[str, str, str]:
    action = drain.action
    return action.auto_scaling_group_name, action.lifecycle_hook_name, action.ec2_instance_id


def _mark_of(outcome: Outcome) -> Mark | None:
    if outcome.answered is not None:
        return None
    following, view = outcome.following(), outcome.view
    # What has published nothing leaves the chain's footprint as it was; where there is none, one
    # that counts for nothing.
    hop, at = following.hop - 1, machine.stale_before(view)
    if outcome.published:
        at = view.now
    elif view.mark:
        hop, at = view.mark.hop, view.mark.at
    return Mark(
        token_checksum=marks.checksum(following.action.lifecycle_action_token)
        or (view.mark.token_checksum if view.mark else ""),
        hop=hop,
        at=at,
        started_at=following.started_at,
        deadline_at=view.deadline_at,
        last_heartbeat_at=following.last_heartbeat_at,
        draining_since=following.draining_since,
    )
