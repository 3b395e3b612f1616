"""
Run a pass: observe, decide, act, for a batch of drains; it knows no AWS.

No write happens above the decision. Every action can be repeated; each drain stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drainer.drain.admission import Admission
from drainer.drain.listings import Listings
from drainer.drain.may_leave import Act
from drainer.drain.record import key_of
from drainer.drain.task_reads import StoppedTasks
from drainer.lifecycle import rules
from drainer.lifecycle.acting import HookActions
from drainer.lifecycle.early_heartbeats import EarlyHeartbeats
from drainer.lifecycle.ended_actions import EndedActions
from drainer.lifecycle.hooks import Hooks
from drainer.lifecycle.observer import Observer
from drainer.lifecycle.open_drains import OpenDrains
from drainer.lifecycle.outcome import HookOutcome
from drainer.lifecycle.recorder import Recorder
from drainer.lifecycle.rules import Step
from drainer.lifecycle.sweep import WaitingInstances

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from drainer.codec import Topic
    from drainer.config import Config
    from drainer.drain.actions import Ecs
    from drainer.drain.admission import Admitted
    from drainer.drain.model import Drain
    from drainer.drain.record import Key
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.acting import AutoScaling
    from drainer.lifecycle.look import HookLook
    from drainer.lifecycle.records import Records
    from drainer.lifecycle.rules import HookDecision

# The most drains that are found beside the messages: ten passes of a hundred. The next sweeps find
# the others.
FOUND_MAX = 1_000

# What acting on a drain takes at most of the time that looking could have, its record's write
# included: a hundred take 10 s more.
ACTING_SECONDS_EACH = 0.1


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a pass has done."""

    outcomes: tuple[HookOutcome, ...]  # one for each drain that was looked at
    problems: tuple[str, ...]  # what an operator has to correct, in words
    # messages of which another pass or the record's end has taken care
    not_admitted: tuple[Admitted, ...] = ()


class Controller:
    """Passes over drains."""

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
        self._topic = topic
        self._records = records
        self._config = config
        self._stopped = StoppedTasks()
        self._listings = Listings()
        self._open_drains = OpenDrains()
        self._ended = EndedActions()

    def run_pass(
        self,
        drains: Sequence[Drain],
        *,
        time: InvocationClock,
        stopped: Collection[str] = (),
        sweep: bool = False,
    ) -> PassReport:
        """
        Look at all drains, decide about each, and act.

        Args:
            drains: At most one for each lifecycle action.
            stopped: ARNs of container instances on which a task has stopped, to look at too.
            sweep: Whether to resume drains whose chains are lost, and to look at everything that
                waits under a hook of ours, too.
            time: The invocation's.
        """
        problems: list[str] = []
        recorder = Recorder(self._records, time, self._config.pass_interval_seconds)
        hooks = Hooks(self._auto_scaling, self._config.topic_arn)
        time_to_look = time.less(ACTING_SECONDS_EACH * len(drains))
        observer = Observer(
            self._auto_scaling,
            self._ecs,
            hooks,
            self._config,
            time_to_look,
            stopped=self._stopped,
            listings=self._listings,
            draining_again=recorder.draining_again,
        )
        read = self._ended.applied(recorder.admit(drains))
        told = [*zip(read, (drain.action for drain in drains), strict=True)]
        found = recorder.silent() if sweep else []
        found += recorder.stopped(stopped, self._open_drains)
        if sweep:
            waiting = WaitingInstances(self._auto_scaling, hooks, time_to_look, observer.now)
            found += recorder.waiting(waiting.find())
            problems += waiting.problems
        served = {key_of(action) for one, action in told if one.admission.goes_on}
        admitted = [*told, *((one, None) for one in _once(found, served)[:FOUND_MAX])]
        passing = [one for one, _ in admitted if one.admission.goes_on]
        messages = [message for one, message in admitted if one.admission.goes_on]
        beats = EarlyHeartbeats(
            self._auto_scaling, passing, time_to_look, self._config.pass_interval_seconds
        )
        beats.send_due()
        looks = observer.look(passing, before_ecs=beats.send_proofs)

        outcomes = []
        for position, (one, look) in enumerate(zip(passing, looks, strict=True)):
            decision = _withheld(rules.decide(look), one, look)
            outcome = HookOutcome(
                look=look, decision=decision, admitted=one, message=messages[position]
            )
            if one.error is not None:
                outcome.add_error("The drain's record was not read", one.error)
            beats.tell(position, outcome)
            outcomes.append(outcome)

        HookActions(self._auto_scaling, self._ecs, self._topic, recorder, time).act(outcomes)
        self._ended.add(outcomes)
        others = [one for one, _ in admitted if not one.admission.goes_on]
        return PassReport(
            tuple(outcomes), (*problems, *recorder.problems, *observer.problems), tuple(others)
        )


def _once(found: Iterable[Admitted], served: Collection[Key]) -> list[Admitted]:
    """Return the first of each drain that no message serves: it may be found in three ways."""
    by_key: dict[Key, Admitted] = {}
    for one in found:
        by_key.setdefault(key_of(one.drain.action), one)
    return [one for key, one in by_key.items() if key not in served]


def _withheld(decision: HookDecision, admitted: Admitted, look: HookLook) -> HookDecision:
    """
    Return the decision without what its admission does not allow.

    A wake-up only answers. A drain with no token and no readable record may be of another action
    than the one that waits now. It is kept waiting until its deadline and not answered.
    """
    if admitted.admission == Admission.LOOK:
        return replace(decision, act=Act.WAIT, heartbeat=False, stop_tasks=(), republish=False)
    unread = admitted.admission == Admission.UNREAD
    if unread and not look.drain.action.lifecycle_action_token:
        step = Step.RE_INVOKE if decision.step == Step.COMPLETE else decision.step
        republish = decision.republish and not look.is_late
        return replace(decision, step=step, result=None, republish=republish)
    return decision
