"""
Run a pass: observe, decide, act, for a batch of drains; it knows no AWS.

No write happens above the decision. Every act can be done twice; each drain stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer.drain import envelope, machine
from drainer.drain.actions import CALL_SECONDS, TOGETHER_MAX, UNIT_SECONDS, EcsActions, Outcome
from drainer.drain.admission import Admission
from drainer.drain.machine import Step
from drainer.drain.record import key_of
from drainer.drain.task_look import StoppedTasks
from drainer.errors import DrainerError, LifecycleActionOverError
from drainer.lifecycle.early_heartbeats import EarlyHeartbeats, is_nowhere, note_heartbeat
from drainer.lifecycle.observer import AutoScalingReads, Observer
from drainer.lifecycle.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.codec import Topic
    from drainer.config import Config
    from drainer.drain.actions import Ecs
    from drainer.drain.admission import Admitted
    from drainer.drain.machine import Decision
    from drainer.drain.model import Drain, LifecycleAction, LifecycleActionResult
    from drainer.drain.record import Key
    from drainer.drain.view import View
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.recording import Records


NO_TIME = "no time was left in the invocation"

# What one sweep sees through: ten times a pass of a hundred, in turns of the next sweeps.
SWEPT_MAX = 1_000

# What acting on a drain takes at most of the time that looking could have, its record's write
# included: a hundred take 10 s more.
ACTING_SECONDS_EACH = 0.1
# Publishing ten and writing their records.
PASSING_ON_SECONDS = 1.0


class AutoScaling(AutoScalingReads, Protocol):
    """What a pass asks of Auto Scaling; every method may raise a DrainerError."""

    def record_heartbeat(self, action: LifecycleAction) -> None:
        """Restart the hook's heartbeat timeout."""

    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        """Answer the lifecycle action."""


@dataclass(frozen=True, slots=True)
class PassReport:
    """
    What a pass has done.

    Attributes:
        outcomes: One for each drain that was looked at.
        problems: What somebody has to correct, in words for an operator.
        not_admitted: Messages of which another pass or the record's end has taken care.
    """

    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]
    not_admitted: tuple[Admitted, ...] = ()


class Controller:
    """
    Passes over drains.

    Args:
        auto_scaling: Auto Scaling.
        ecs: ECS.
        topic: Where re-invocations go.
        records: Where the drains' records are.
        config: The function's settings.
    """

    def __init__(
        self,
        auto_scaling: AutoScaling,
        ecs: Ecs,
        topic: Topic,
        records: Records,
        config: Config,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._acts = EcsActions(ecs)
        self._topic = topic
        self._records = records
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
            hints: Ids of EC2 instances at whose open drains to look too.
            sweep: Whether to resume drains whose chains are lost, and to look at everything that
                waits under a hook of ours, too.
            time: The invocation's.
        """
        recorder = Recorder(self._records, time, self._config.pass_interval_seconds)
        observer = Observer(
            self._auto_scaling,
            self._ecs,
            self._config,
            time.less(ACTING_SECONDS_EACH * len(drains)),
            stopped=self._stopped,
            draining_again=recorder.draining_again,
        )
        told = [*zip(recorder.admit(drains), (drain.action for drain in drains), strict=True)]
        found = recorder.woken(hints)
        if sweep:
            found += self._swept(observer, recorder, {key_of(one.action) for one in drains})
        admitted = [*told, *((one, None) for one in found)]
        messages = [message for one, message in admitted if one.admission.goes_on]
        passing = [one for one, _ in admitted if one.admission.goes_on]
        beats = EarlyHeartbeats(
            self._auto_scaling, passing, time, self._config.pass_interval_seconds
        )
        beats.send_due()
        sights = observer.look(passing, before_ecs=beats.send_proofs)
        outcomes = []
        for position, (one, sight) in enumerate(zip(passing, sights, strict=True)):
            view = observer.view(sight)
            decision = _withheld(machine.decide(view), one, view)
            outcome = Outcome(view.drain, view, decision, message=messages[position], admitted=one)
            if one.error is not None:
                outcome.trouble("reading the drain's record", one.error)
            beats.tell(position, outcome)
            outcomes.append(outcome)
        self._act(outcomes, recorder, time)
        others = [one for one, _ in admitted if not one.admission.goes_on]
        return PassReport(tuple(outcomes), tuple(observer.problems), tuple(others))

    def _swept(self, observer: Observer, recorder: Recorder, known: set[Key]) -> list[Admitted]:
        """Return what the sweep resumes, and what waits of which there is no record."""
        silent: list[Admitted] = []
        try:
            silent = [one for one in recorder.silent() if key_of(one.drain.action) not in known]
        except DrainerError as error:
            # What waits is found by Auto Scaling's list too, and its record by its key.
            observer.problems_of_sweep(f"looking for silent records: {error}")
        taken = known | {key_of(one.drain.action) for one in silent}
        waiting = recorder.waiting(observer.discover())
        new = [one for one in waiting if key_of(one.drain.action) not in taken]
        return [*silent, *new][:SWEPT_MAX]

    def _act(self, outcomes: Sequence[Outcome], recorder: Recorder, time: InvocationClock) -> None:
        # The answers come first: an instance that may go costs money and holds up its group.
        answers = [o for o in outcomes if o.decision.step == Step.COMPLETE and not o.over]
        recorder.drop_outdated(answers)
        for outcome in answers:
            if time.seconds_left() < UNIT_SECONDS:
                outcome.undone = NO_TIME
            elif not outcome.duplicate:
                self._answer(outcome, recorder)
        rest = [o for o in outcomes if not (o.ended or o.undone)]
        rest.sort(key=lambda o: (_runs_out_at(o), o.cluster))
        units = [rest[start : start + TOGETHER_MAX] for start in range(0, len(rest), TOGETHER_MAX)]
        for number, unit in enumerate(units):
            # Who gets no time to be acted upon goes round all the same, which takes two calls for
            # ten: given back to SQS, they would come again three minutes later, at the same place.
            for_others = PASSING_ON_SECONDS * (len(units) - number - 1)
            if time.seconds_left() >= UNIT_SECONDS + for_others:
                self._act_on(unit, recorder, time)
            elif time.seconds_left() >= CALL_SECONDS:
                self._go_round([o for o in unit if not _is_unbounded(o)], recorder, time)
                _put_off([o for o in unit if not (o.published or o.duplicate)])
            else:
                _put_off(unit)
        # What others wait for comes before what only people and the next action need.
        recorder.end([o for o in outcomes if o.ended and not o.duplicate])

    def _act_on(self, unit: Sequence[Outcome], recorder: Recorder, time: InvocationClock) -> None:
        # What has no token has its deadline from the record, so that there must be one before a
        # heartbeat keeps the hook waiting.
        recorder.create([o for o in unit if _is_unbounded(o)])
        unit = [o for o in unit if not (o.undone or o.duplicate)]
        # The heartbeat comes before every change: it proves that the action is a true one.
        self._heartbeats(unit, time)
        unit = [outcome for outcome in unit if not outcome.over]
        proven = [o for o in unit if o.heartbeat or not machine.unproven(o.view)]
        # What somebody has set ACTIVE may have got tasks that no listing has: its record has to
        # know that before it is seen DRAINING again.
        again = [
            o for o in proven if o.decision.step == Step.DRAIN_THEN_GO_ROUND and _was_draining(o)
        ]
        if time.seconds_left() < CALL_SECONDS:
            _put_off([o for o in unit if o.decision.republish])
            return
        self._go_round(again, recorder, time)
        if time.seconds_left() >= CALL_SECONDS:
            self._acts.set_draining([o for o in proven if o not in again or o.published], time.now)
        for outcome in proven:
            self._acts.stop_tasks(outcome, time.seconds_left)
        if time.seconds_left() >= CALL_SECONDS:
            self._go_round([o for o in unit if o not in again], recorder, time)
        else:
            _put_off([o for o in unit if o.decision.republish and not o.published])

    def _go_round(self, unit: Sequence[Outcome], recorder: Recorder, time: InvocationClock) -> None:
        """Claim the hop of what goes round, and publish what follows."""
        claimed = recorder.claim([outcome for outcome in unit if outcome.decision.republish])
        if time.seconds_left() < CALL_SECONDS:
            _put_off(claimed)
            return
        self._publish(claimed, time.now())

    def _answer(self, outcome: Outcome, recorder: Recorder) -> None:
        result = outcome.decision.result
        named = bool(outcome.drain.action.lifecycle_action_token)
        if result is None or named or recorder.end_first(outcome, result):
            self._complete(outcome)
        else:
            outcome.undone = "its end could not be written before the answer"

    def _complete(self, outcome: Outcome) -> None:
        result = outcome.decision.result
        if result is None:
            raise AssertionError("a decision to complete names its result")
        try:
            self._auto_scaling.complete(outcome.drain.action, result)
        except LifecycleActionOverError:
            outcome.over = True
        except DrainerError as error:
            outcome.over = is_nowhere(outcome, error)
            outcome.trouble("answering", error)
        else:
            outcome.answered = result

    def _heartbeats(self, unit: Sequence[Outcome], time: InvocationClock) -> None:
        """Send heartbeats while there is time to write all records too, each as slowly as these."""
        slowest = 0.0
        for outcome in unit:
            left = time.seconds_left()
            if left >= 2 * CALL_SECONDS + slowest * len(unit) and outcome.decision.heartbeat:
                self._heartbeat(outcome)
            slowest = max(slowest, left - time.seconds_left())

    def _heartbeat(self, outcome: Outcome) -> None:
        try:
            self._auto_scaling.record_heartbeat(outcome.drain.action)
        except DrainerError as error:
            note_heartbeat(outcome, error)
        else:
            note_heartbeat(outcome, None)

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


def _withheld(decision: Decision, admitted: Admitted, view: View) -> Decision:
    """
    Return the decision without what its admission does not allow.

    A wake-up only answers. What has no token, and no record that can be read, may be of another
    action than the one that waits now: it is kept waiting until its deadline, and not answered.
    """
    if admitted.admission == Admission.LOOK:
        only_looks = decision.step == Step.DRAIN_THEN_GO_ROUND
        step = Step.GO_ROUND if only_looks else decision.step
        return replace(decision, step=step, heartbeat=False, stop_tasks=(), republish=False)
    unread = admitted.admission == Admission.UNREAD
    if unread and not view.drain.action.lifecycle_action_token:
        step = Step.GO_ROUND if decision.step == Step.COMPLETE else decision.step
        late = view.now >= view.deadline_at
        return replace(decision, step=step, result=None, republish=decision.republish and not late)
    return decision


def _is_unbounded(outcome: Outcome) -> bool:
    """Whether nothing remembers when this drain must end: what the sweep has just found."""
    admitted = outcome.admitted
    new = admitted is not None and admitted.admission == Admission.NEW
    return new and not outcome.drain.action.lifecycle_action_token


def _was_draining(outcome: Outcome) -> bool:
    return outcome.drain.draining_since is not None


def _runs_out_at(outcome: Outcome) -> datetime:
    """Return when the hook's timeout ends the action, as far as is known."""
    drain = outcome.drain
    return drain.last_heartbeat_at + timedelta(seconds=drain.heartbeat_timeout_seconds or 0)
