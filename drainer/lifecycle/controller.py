"""
Run a pass: observe, decide, act, for a batch of drains; it knows no AWS.

No write happens above the decision. Every act can be done twice; each drain stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer.drain import machine
from drainer.drain.actions import CALL_SECONDS, TOGETHER_MAX, UNIT_SECONDS, EcsActions, Outcome
from drainer.drain.machine import Step
from drainer.drain.model import Origin, Waiting
from drainer.drain.task_look import StoppedTasks
from drainer.errors import DrainerError, LifecycleActionOverError
from drainer.lifecycle import envelope
from drainer.lifecycle.marking import Marker
from drainer.lifecycle.observer import AutoScalingReads, Observer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.codec import Topic
    from drainer.config import Config
    from drainer.drain.actions import Ecs
    from drainer.drain.model import Drain, LifecycleAction, LifecycleActionResult
    from drainer.invocation import InvocationClock


NO_TIME = "no time was left in the invocation"

# What acting on a drain takes at most of the time that looking could have: a hundred take 8 s more.
ACTING_SECONDS_EACH = 0.08
# Publishing ten and marking them.
PASSING_ON_SECONDS = 1.0


class AutoScaling(AutoScalingReads, Protocol):
    """What a pass asks of Auto Scaling; every method may raise a DrainerError."""

    def record_heartbeat(self, action: LifecycleAction) -> None:
        """Restart the hook's heartbeat timeout."""

    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        """Answer the lifecycle action."""


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
        self._acts = EcsActions(ecs)
        self._topic = topic
        self._config = config
        self._stopped = StoppedTasks()

    def run_pass(
        self,
        drains: Sequence[Drain],
        *,
        time: InvocationClock,
        hints: Sequence[str] = (),
        sweep: bool = False,
    ) -> PassReport:
        """
        Look at all drains, decide about each, and act.

        Args:
            drains: At most one for each lifecycle action.
            hints: Ids of EC2 instances at which to look too, if they wait under a hook of ours.
            sweep: Whether to look at everything that waits under a hook of ours too.
            time: The invocation's.
        """
        observer = Observer(
            self._auto_scaling,
            self._ecs,
            self._config,
            time.less(ACTING_SECONDS_EACH * len(drains)),
            stopped=self._stopped,
        )
        known = {_place(drain) for drain in drains}
        discovered = observer.discover(hints, sweep=sweep)
        others = [drain for drain in discovered if _place(drain) not in known]
        sights = observer.look([*drains, *others])

        views = [observer.view(sight) for sight in sights]
        outcomes = [Outcome(view.drain, view, machine.decide(view)) for view in views]

        self._act(outcomes, Marker(self._ecs, time), time)
        return PassReport(tuple(outcomes), tuple(observer.problems))

    def _act(
        self,
        outcomes: Sequence[Outcome],
        marker: Marker,
        time: InvocationClock,
    ) -> None:
        # The answers come first: an instance that may go costs money and holds up its group.
        for outcome in outcomes:
            if outcome.decision.step == Step.COMPLETE:
                if time.seconds_left() < UNIT_SECONDS:
                    outcome.undone = NO_TIME
                else:
                    self._complete(outcome)
        rest = _one_chain_each([o for o in outcomes if not (o.ended or o.undone)])
        units = [rest[start : start + TOGETHER_MAX] for start in range(0, len(rest), TOGETHER_MAX)]
        for number, unit in enumerate(units):
            # Who gets no time to be acted upon goes round all the same, which takes two calls for
            # ten: given back to SQS, they would come again three minutes later, at the same place.
            for_others = PASSING_ON_SECONDS * (len(units) - number - 1)
            if time.seconds_left() >= UNIT_SECONDS + for_others:
                self._act_on(unit, marker, time)
            elif time.seconds_left() >= CALL_SECONDS:
                self._go_round([o for o in unit if not machine.is_unbounded(o.view)], marker, time)
                _put_off([o for o in unit if not o.published])
            else:
                _put_off(unit)
        # What others wait for comes before what only the next action of an instance needs.
        marker.write_off([o for o in outcomes if o.ended and o.decision.step != Step.STOP])
        # Not waiting is not believed at once, but a mark that is gone is only left once more. And a
        # look that has failed may have been answered for all the same, at the deadline.
        marker.write_off_unseen([o for o in outcomes if _is_gone(o)])

    def _act_on(
        self,
        unit: Sequence[Outcome],
        marker: Marker,
        time: InvocationClock,
    ) -> None:
        # What has no token has its deadline from the mark, so that there must be one before a
        # heartbeat keeps the hook waiting; it counts for nothing yet.
        unbounded = [o for o in unit if machine.is_unbounded(o.view)]
        marker.leave([o for o in unbounded if o.drain.origin != Origin.HINT], confirmed=True)
        # The heartbeat comes before every change: it proves that the action is a true one.
        for outcome in unit:
            unmarked = outcome in unbounded and not outcome.marked
            if not unmarked and time.seconds_left() >= 2 * CALL_SECONDS:
                self._heartbeat(outcome)
        marker.write_off([o for o in unit if o.over])
        unit = [outcome for outcome in unit if not outcome.over]
        proven = [o for o in unit if o.heartbeat or not machine.unproven(o.view)]
        # What somebody has set ACTIVE may have got tasks that no listing has: its chain has to know
        # that before it sees it DRAINING again.
        again = [
            o for o in proven if o.decision.step == Step.DRAIN_THEN_GO_ROUND and _was_draining(o)
        ]
        if time.seconds_left() < CALL_SECONDS:
            _put_off([o for o in unit if o.decision.republish])
            return
        self._go_round(again, marker, time)
        self._acts.set_draining([o for o in proven if o not in again or o.published], time.now)
        for outcome in proven:
            self._acts.stop_tasks(outcome, time.seconds_left)
        if time.seconds_left() >= CALL_SECONDS:
            self._go_round([o for o in unit if o not in again], marker, time)
        else:
            _put_off([o for o in unit if o.decision.republish and not o.published])
        # Who has kept the hook waiting says so, lest the mark seem to be of an action that is over.
        marker.leave([o for o in unit if o.heartbeat and not (o.published or o.marked)])

    def _go_round(self, unit: Sequence[Outcome], marker: Marker, time: InvocationClock) -> None:
        """Publish what goes round, and leave the chain's mark behind it."""
        going = [outcome for outcome in unit if outcome.decision.republish]
        # What has no token goes round only with a mark, because a chain that cannot be seen would
        # be begun again by every sweep; one that is not old yet is seen.
        nameless = [o for o in going if o.view.status and not o.drain.action.lifecycle_action_token]
        marker.leave([o for o in nameless if not o.marked])
        unseen = [o for o in nameless if not (o.marked or machine.has_live_mark(o.view))]
        self._publish([o for o in going if o not in unseen], time.now())
        marker.leave([outcome for outcome in going if outcome.published])

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

    def _publish(self, unit: Sequence[Outcome], sent_at: datetime) -> None:
        encoded: list[tuple[Outcome, str]] = []
        for outcome in unit:
            try:
                following = replace(outcome.following(), sent_at=sent_at)
                encoded.append((outcome, envelope.encode(following)))
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


def _put_off(outcomes: Sequence[Outcome]) -> None:
    """Have messages delivered again: a call that could outlast the invocation is not begun."""
    for outcome in outcomes:
        outcome.undone = outcome.undone or NO_TIME


def _is_gone(outcome: Outcome) -> bool:
    """Whether the action is over, or seems so, of an instance that was not looked for in ECS."""
    seen = outcome.view.seen
    unseen = outcome.ended and seen.container_instance is None
    return unseen or seen.waiting in {Waiting.NO, Waiting.OVER}


def _was_draining(outcome: Outcome) -> bool:
    return outcome.drain.draining_since is not None


def _runs_out_at(outcome: Outcome) -> datetime:
    """Return when the hook's timeout ends the action, as far as is known."""
    drain = outcome.drain
    return drain.last_heartbeat_at + timedelta(seconds=drain.heartbeat_timeout_seconds or 0)


def _is_confirmed(outcome: Outcome) -> bool:
    """Whether this look shows that the action is a true one; without the hook, none does."""
    view = outcome.view
    return bool(view.waiting and view.status) and not machine.unproven(view)


def _one_chain_each(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """
    Return the outcomes, the most urgent first, and let one of each action go round.

    A message with the action's token and one of a chain that the sweep began are of one action,
    though they do not collapse into one drain; the one that is known to be true goes on. Which of
    two tokens is the true one is said by Auto Scaling.
    """
    ordered = sorted(
        outcomes,
        key=lambda o: (not _is_confirmed(o), not o.drain.action.lifecycle_action_token),
    )
    seen: dict[tuple[str, str, str], bool] = {}
    for outcome in ordered:
        if not outcome.decision.republish:
            continue
        place, named = _place(outcome.drain), bool(outcome.drain.action.lifecycle_action_token)
        # Of two tokens the one that is over ends at its next heartbeat: a mark that is read late
        # may speak for the wrong one.
        if place in seen and not (named and seen[place]):
            outcome.decision = replace(outcome.decision, republish=False)
        seen.setdefault(place, named)
    return sorted(ordered, key=lambda o: (_runs_out_at(o), o.cluster))


def _place(drain: Drain) -> tuple[str, str, str]:
    action = drain.action
    return action.auto_scaling_group_name, action.lifecycle_hook_name, action.ec2_instance_id
