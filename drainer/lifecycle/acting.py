"""
Act on what was decided about a pass's drains: answers first, and publications last.

Every action can be repeated. A message for which no time is left is delivered again, and the others
are not affected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from drainer.drain import envelope
from drainer.drain.actions import (
    CALL_SECONDS,
    NO_TIME,
    TOGETHER_MAX,
    UNIT_SECONDS,
    EcsActions,
    failure_of,
)
from drainer.drain.admission import Admission
from drainer.drain.earlier_looks import forgetting
from drainer.drain.may_leave import Act
from drainer.errors import DrainerError, MisconfiguredError, ThrottledError
from drainer.lifecycle import heartbeats
from drainer.lifecycle.hooks import AutoScalingReads
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.codec import Topic
    from drainer.drain.actions import Ecs
    from drainer.drain.model import Drain, LifecycleAction, LifecycleActionResult
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.outcome import HookOutcome
    from drainer.lifecycle.recorder import Recorder

# Publishing ten and writing their records.
PASSING_ON_SECONDS = 1.0

# How many passes wait to write a token that joins: a minute at the default interval of 15 s.
# Throttles of DynamoDB last for seconds. A denied write may last for ever, and so would the wait.
JOINING_PASSES_MAX = 4


class AutoScaling(AutoScalingReads, Protocol):
    """What a pass asks of Auto Scaling; every method may raise a DrainerError."""

    def record_heartbeat(self, action: LifecycleAction) -> None:
        """Restart the hook's heartbeat timeout."""

    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        """Answer the lifecycle action."""


class HookActions:
    """The actions of one pass."""

    def __init__(
        self,
        auto_scaling: AutoScaling,
        ecs: Ecs,
        topic: Topic,
        recorder: Recorder,
        time: InvocationClock,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._on_ecs = EcsActions(ecs)
        self._topic = topic
        self._recorder = recorder
        self._time = time

    def act(self, outcomes: Sequence[HookOutcome]) -> None:
        """Do what was decided, and note at each drain what came of it."""
        # The answers come first: an instance that may go costs money and holds up its group.
        answers = [o for o in outcomes if o.decision.step == Step.COMPLETE and not o.over]
        self._recorder.drop_outdated(answers)
        for outcome in answers:
            if outcome.duplicate or outcome.decision.step != Step.COMPLETE:
                continue
            if self._time.seconds_left() < UNIT_SECONDS:
                outcome.put_off(NO_TIME)
            else:
                self._answer(outcome)
        rest = [o for o in outcomes if not (o.ended or o.retry_reason)]
        rest.sort(key=lambda o: (heartbeats.runs_out_at(o.drain), o.cluster))
        units = [rest[start : start + TOGETHER_MAX] for start in range(0, len(rest), TOGETHER_MAX)]
        for number, unit in enumerate(units):
            # Drains for which no time is left are re-invoked all the same, with two calls for ten:
            # given back to SQS, they would come again three minutes later, in the same order.
            for_others = PASSING_ON_SECONDS * (len(units) - number - 1)
            if self._time.seconds_left() >= UNIT_SECONDS + for_others:
                self._act_on(unit)
            elif self._has_time():
                self._re_invoke([o for o in unit if not _is_unbounded(o)])
                _put_off([o for o in unit if not (o.published or o.duplicate)])
            else:
                _put_off(unit)
        self._hurry([o for o in outcomes if o.admitted.admission == Admission.LOOK and not o.ended])
        # Calls that an instance waits for come before those that only operators and the next action
        # need.
        self._recorder.end([o for o in outcomes if o.ended and not o.duplicate])

    def _act_on(self, unit: Sequence[HookOutcome]) -> None:
        # A drain without a token has its deadline from the record, so the record must exist before
        # a heartbeat keeps the hook waiting.
        self._recorder.create([o for o in unit if _is_unbounded(o)])
        unit = [o for o in unit if not (o.retry_reason or o.duplicate)]
        # The heartbeat comes before every change: it proves that the action is a true one.
        self._heartbeats(unit)
        unit = [outcome for outcome in unit if not outcome.over]
        proven = [o for o in unit if o.heartbeat or not heartbeats.is_unproven(o.look)]
        # An instance that was set ACTIVE by hand may have new tasks that are in no listing. Its
        # record has to say so before the instance is seen DRAINING again.
        again = [o for o in proven if o.decision.act == Act.SET_DRAINING and _is_written_first(o)]
        if not self._has_time():
            _put_off([o for o in unit if o.decision.republish])
            return
        self._re_invoke(again)
        if self._has_time():
            known = [o for o in again if o.published and (o.recorded or _waits_no_longer(o))]
            drained = [o for o in proven if o not in again or o in known]
            self._on_ecs.set_draining(drained, self._time.now)
        for outcome in proven:
            self._on_ecs.stop_tasks(outcome, self._time.seconds_left)
        if self._has_time():
            self._re_invoke([o for o in unit if o not in again])
        else:
            _put_off([o for o in unit if o.decision.republish and not o.published])

    def _re_invoke(self, unit: Sequence[HookOutcome]) -> None:
        """Claim the hops of drains that go on, and publish their re-invocations."""
        claimed = self._recorder.claim([outcome for outcome in unit if outcome.decision.republish])
        if self._has_time():
            self._publish(claimed, self._time.now())
        else:
            _put_off(claimed)

    def _has_time(self) -> bool:
        return self._time.seconds_left() >= CALL_SECONDS

    def _answer(self, outcome: HookOutcome) -> None:
        result = outcome.decision.result
        if result is None:
            raise AssertionError("a decision to complete names its result")
        if not (outcome.named or self._recorder.end_first(outcome, result)):
            outcome.put_off("The drain's end was not written, so the hook was not answered")
            return
        error = failure_of(self._auto_scaling.complete, outcome.drain.action, result)
        if error is None:
            outcome.answered = result
            return
        outcome.was_told("The hook was not answered", error)
        # An answer of which nothing is known may have been taken: the next action could begin.
        if isinstance(error, MisconfiguredError | ThrottledError) and not outcome.over:
            self._recorder.reopen(outcome)

    def _heartbeats(self, unit: Sequence[HookOutcome]) -> None:
        """Send heartbeats while there is time to write all records too, each as slowly as these."""
        slowest = 0.0
        for outcome in unit:
            left = self._time.seconds_left()
            if left >= 2 * CALL_SECONDS + slowest * len(unit) and outcome.decision.heartbeat:
                action = outcome.drain.action
                outcome.note_heartbeat(failure_of(self._auto_scaling.record_heartbeat, action))
            slowest = max(slowest, left - self._time.seconds_left())

    def _publish(self, unit: Sequence[HookOutcome], sent_at: datetime) -> None:
        refusals = self._send([outcome.following() for outcome in unit], sent_at)
        for position, outcome in enumerate(unit):
            if position in refusals:
                outcome.put_off(f"The re-invocation was not published: {refusals[position]}")
            else:
                outcome.published_at = sent_at

    def _send(self, drains: Sequence[Drain], sent_at: datetime) -> dict[int, str]:
        """Publish at most TOGETHER_MAX messages; return by position why some were not."""
        refusals, encoded = {}, {}
        for position, drain in enumerate(drains):
            try:
                encoded[position] = envelope.encode(replace(drain, sent_at=sent_at))
            except DrainerError as error:
                refusals[position] = str(error)
        if encoded:
            positions = [*encoded]
            try:
                refused = self._topic.publish([*encoded.values()])
            except DrainerError as error:
                refused = dict.fromkeys(range(len(encoded)), str(error))
            refusals |= {positions[number]: why for number, why in refused.items()}
        return refusals

    def _hurry(self, woken: Sequence[HookOutcome]) -> None:
        """
        Publish the messages of quiet drains again, with the short delay: ECS's answer may be older
        than its event, and name the task as one that is wanted.

        Such a message has the hop of the one that is on its way. The pass of the first one that
        comes claims it, and the other is a duplicate, as SQS may deliver one too.
        """
        # Of what it knows the record tells: where none is read, the pass has to look for itself.
        hurried = [
            (one, forgetting(one.record.next_message()))
            for one in woken
            if one.record is not None and one.drain.quiet
        ]
        for start in range(0, len(hurried), TOGETHER_MAX):
            unit = hurried[start : start + TOGETHER_MAX]
            # Without time for it, the message that is on its way comes a little later.
            messages = [message for _, message in unit] if self._has_time() else []
            for position, why in self._send(messages, self._time.now()).items():
                unit[position][0].add_error("The next pass was not hurried", why)


def _put_off(outcomes: Sequence[HookOutcome]) -> None:
    """Have messages delivered again: a call that could outlast the invocation is not begun."""
    for outcome in outcomes:
        outcome.put_off(NO_TIME)


def _is_unbounded(outcome: HookOutcome) -> bool:
    """Whether nothing remembers when this drain must end: what the sweep has just found."""
    return outcome.admitted.admission == Admission.NEW and not outcome.named


def _is_written_first(outcome: HookOutcome) -> bool:
    """
    Whether the record has to know of it before the instance is set DRAINING.

    So for what has been DRAINING before, and for a token that joins a record: were its write lost,
    an instance that comes back would not be known for one that was drained.
    """
    return outcome.admitted.admission == Admission.JOIN or _was_draining(outcome)


def _waits_no_longer(outcome: HookOutcome) -> bool:
    """
    Whether a token that joins waits for its write no longer.

    An instance that comes back may stay DRAINING then, which is better than never to be drained.
    What has been DRAINING waits on: a pass that goes by a record which does not know of tasks
    placed since would answer too early.
    """
    tries = outcome.drain.hop + 1
    return tries >= JOINING_PASSES_MAX and not _was_draining(outcome)


def _was_draining(outcome: HookOutcome) -> bool:
    """
    Whether the instance has been DRAINING for its action, by the message or by the record.

    What goes ahead of its record without a token follows passes that could not write.
    """
    record, drain = outcome.record, outcome.drain
    if record is None:
        return drain.draining_since is not None
    ahead = drain.hop > record.hop and not outcome.named
    return ahead or bool(drain.draining_since or record.drain.draining_since)
