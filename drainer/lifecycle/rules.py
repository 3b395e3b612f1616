"""
The rules for a terminating hook: when its action is over, when it is answered and with what, and
when a re-invocation follows. Pure. `heartbeats.py` says when a heartbeat is due. Whether the
instance may leave its cluster is decided in `drainer/drain/may_leave.py`.

The deadline is the notification's time plus the drain timeout, bounded by the hook's global timeout
less a margin; fixed once, then only ever tightened, but for an operator's extension within the same
bound (`drainer extend`). Past the deadline the answer is the one that the hook's owner has
configured, whatever was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.drain import may_leave
from drainer.drain.may_leave import Act, Decision
from drainer.drain.model import LifecycleActionResult, Origin
from drainer.drain.task_set import ANSWER_LAG
from drainer.lifecycle import heartbeats, pace
from drainer.lifecycle.look import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.drain.model import Drain, Hook, Policy
    from drainer.lifecycle.look import HookLook


class HookPhase(StrEnum):
    """What a look means where the instance's own phase does not matter."""

    OVER = "over"
    OVERDUE = "overdue"


class Step(StrEnum):
    """What to do about the lifecycle action."""

    STOP = "stop"
    COMPLETE = "complete"
    RE_INVOKE = "re-invoke"


@dataclass(frozen=True, slots=True)
class HookDecision(Decision):
    """What a look at a lifecycle action leads to, beside what is to be done about its instance."""

    step: Step = Step.RE_INVOKE  # what to do about the action
    result: LifecycleActionResult | None = None  # the answer, where the step is to complete
    # whether the hook's timeout is to be restarted, if a re-invocation follows this pass
    heartbeat: bool = False
    # whether a re-invocation may follow: not of a wake-up, an early message, or beyond the hop
    # limit
    republish: bool = False
    hop_limit: bool = False  # whether there were more hops than can be; the sweep goes on
    quiet: bool = False  # whether the re-invocation takes the queue with the longer delay


def is_over(look: HookLook) -> bool:
    """Whether Auto Scaling no longer waits: it has visibly gone on, or two looks agree."""
    if look.waiting != Waiting.NO:
        return look.waiting == Waiting.OVER
    return waits_no_more(look) and not _is_named_and_late(look)


def waits_no_more(look: HookLook) -> bool:
    """Whether two looks agree that Auto Scaling does not wait for the instance."""
    since = look.drain.not_waiting_since
    agreed = since is not None and look.now >= since + ANSWER_LAG
    return agreed and look.waiting == Waiting.NO


def is_overdue(look: HookLook) -> bool:
    """Whether the deadline has passed of an action that may still wait."""
    # One look that finds the instance not waiting is not enough. A drain without a token is not
    # answered then: the answer would go to another action that waits by now.
    late = look.is_late and look.waiting in {Waiting.YES, Waiting.UNSEEN}
    return late or _is_named_and_late(look)


def _is_named_and_late(look: HookLook) -> bool:
    """Whether the deadline has passed of an action that Auto Scaling knows by our token."""
    named = look.proven and bool(look.drain.action.lifecycle_action_token)
    return named and look.is_late and look.waiting != Waiting.OVER


@dataclass(frozen=True, slots=True)
class HookRule:
    """One row of the hook's table: a question, the step, and the phase where it is the hook's."""

    question: str
    holds: Callable[[HookLook, Decision], bool]
    step: Step
    phase: HookPhase | None = None


RULES = (
    HookRule(
        "Auto Scaling no longer waits?", lambda look, _: is_over(look), Step.STOP, HookPhase.OVER
    ),
    HookRule("may the instance leave?", lambda _, instance: instance.may_leave, Step.COMPLETE),
    HookRule(
        "deadline passed?", lambda look, _: is_overdue(look), Step.COMPLETE, HookPhase.OVERDUE
    ),
    HookRule("anything else", lambda *_: True, Step.RE_INVOKE),
)


def decide(look: HookLook) -> HookDecision:
    """Decide what the hook gets; total over every possible look."""
    waits = look.waiting == Waiting.YES
    instance = may_leave.decide(look) if waits else may_leave.unseen(look)
    rule = next(rule for rule in RULES if rule.holds(look, instance))
    republish = may_re_invoke(look)
    if rule.step == Step.STOP:
        # A look alone ends no drain of which there is a record: Auto Scaling is asked once more.
        asked = look.waiting == Waiting.NO and look.proven and not look.is_late
        asked = asked and look.drain.origin != Origin.WAKE_UP
        return HookDecision(
            HookPhase.OVER, reason=may_leave.unseen(look).reason, step=rule.step, heartbeat=asked,
            republish=asked and republish,
        )  # fmt: skip
    re_invokes = rule.step == Step.RE_INVOKE
    return HookDecision(
        phase=rule.phase or instance.phase,
        act=instance.act if re_invokes else Act.WAIT,
        stop_tasks=instance.stop_tasks if re_invokes else (),
        reason=may_leave.what_is_left(look) if rule.phase else instance.reason,
        step=rule.step,
        result=None if re_invokes else _result(look, rule),
        # With an answer too, for the case that it is not taken now.
        heartbeat=heartbeats.is_due(look),
        republish=republish,
        hop_limit=is_beyond_hop_limit(look),
        quiet=re_invokes and pace.is_quiet(look, instance.phase),
    )


def _result(look: HookLook, rule: HookRule) -> LifecycleActionResult:
    if rule.phase != HookPhase.OVERDUE:
        return LifecycleActionResult.CONTINUE
    policy = look.drain.policy
    return policy.deadline_result if policy else look.deadline_result


def deadline(drain: Drain, hook: Hook, policy: Policy, margin_seconds: int) -> datetime:
    """
    Fix the deadline, or tighten the one there is. An operator may have extended it.

    "You can extend ... up to the global timeout, which is 48 hours or 100 times the heartbeat
    timeout, whichever is smaller."
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
    """
    limit = drain.started_at + timedelta(seconds=hook.global_timeout_seconds - margin_seconds)
    asked = drain.started_at + timedelta(seconds=policy.drain_timeout_seconds)
    extended = max(asked, drain.extended_to) if drain.extended_to else asked
    fixed = min(extended, limit)
    return min(fixed, drain.deadline_at) if drain.deadline_at else fixed


def may_re_invoke(look: HookLook) -> bool:
    """
    Whether a re-invocation may follow.

    A wake-up is never re-invoked: it would fork the chain whose event it is.
    """
    if look.drain.origin == Origin.WAKE_UP or is_early(look):
        return False
    return look.drain.hop < look.hops_max


def is_early(look: HookLook) -> bool:
    """
    Whether the message has not been delayed: the queue that does has yet to deliver its twin.

    "Additions or changes to a subscription filter policy require up to 15 minutes to fully take
    effect", so that both subscriptions of the topic may get what only the delayed one should.
    https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
    """
    half = timedelta(seconds=look.pass_interval_seconds / 2)
    return look.drain.sent_at is not None and look.now < look.drain.sent_at + half


def is_beyond_hop_limit(look: HookLook) -> bool:
    """
    Whether a chain has had more hops than can be, so that something publishes without delay.

    The chain ends then; the sweep sends heartbeats and answers at the deadline.
    """
    return look.drain.origin == Origin.CHAIN and look.drain.hop >= look.hops_max
