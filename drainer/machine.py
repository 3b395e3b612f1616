"""
Decide when an EC2 instance may go: pure, total, and the only file that knows the phases.

Theory of operation
===================

A *pass* looks at the world afresh and asks this file what the look means. The answer is a *phase*,
found by walking the ladder below from the top: the first rung whose question is answered yes is
the phase, and each phase has one step. The last rung answers yes to everything, and waits: what
was not foreseen can delay a release, never cause one.

A release (`complete CONTINUE` before the deadline) needs positive evidence, twice over:

* `drained` needs an exact look, begun with the container instance DRAINING since an earlier look,
  that found every task of both desired statuses STOPPED (or standalone, where those are to be
  ignored). Counts alone never suffice: a task that is DEACTIVATING (its load balancer target still
  serves) is in neither of them. Nor does one listing alone: there must have been one before, which
  showed tasks on their way out or none, or the container instance's memory must all be free.
* `unregistered` needs two sound searches in a row, of the named clusters and then of all others.

The same holds for stopping quietly: a look that finds Auto Scaling not waiting is believed at once
only where the instance has visibly gone on; else a second look must agree.

What happens when things go wrong:

* A message is **lost**: the sweep finds the instance waiting; nothing is early.
* A message is **doubled**: a copy may act, since every act can be done twice, but it is not
  published again. The mark on the container instance holds the last hop whose successor was
  published; a message whose hop is not past it is a copy. So chains do not fork. Were the chain
  lost (its mark is stale), the copy takes its place.
* Everything is **silent**: the sweep looks, every few minutes, for instances that wait under a
  hook of ours, and sees them through; where a chain is lost it begins another from the mark.
* A message is **late**: the look is what counts; the deadline is an instant, so lateness cannot
  extend it. An old notice of a finished drain finds nothing waiting and stops.
* The function **dies between two calls**: answers come first, then heartbeats (which prove that
  the action is a true one), DRAINING, the re-invocation, and last the mark. Whatever was not
  reached is done by the retry of the message, and no mark that counts is ahead of a re-invocation
  that was really published.
* A look **fails** (a throttle, a denied call, a missing cluster): the phase is `blind`, the hook
  gets its heartbeat, and the next pass looks again, until the deadline.

Time: the deadline is the notice's time plus the drain timeout, bounded by the hook's global
timeout less a margin; fixed once, then only ever tightened. Past it the hook's owner has decided
beforehand what to answer, whatever was or was not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zlib import crc32

from drainer.model import (
    WITNESSES_MAX,
    LifecycleActionResult,
    Origin,
    Registration,
    StandaloneTasks,
    Waiting,
)
from drainer.view import (
    View,
    ignores_standalone,
    is_standalone,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.model import Drain, Hook, Policy

# "HeartbeatTimeout ... The range is from 30 to 7200 seconds": until the hook has been looked up,
# assume the shortest, so that no heartbeat can come too late.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
HEARTBEAT_TIMEOUT_SECONDS_MIN = 30

# A mark that old, and two pass intervals more, belongs to a chain that was lost: every pass leaves
# one, and a message that failed comes back after three minutes (the queue's visibility timeout in
# infra/drainer.yaml).
MARK_STALE_AFTER_SECONDS = 270

# A drain that has waited for ten minutes says every five minutes which tasks it waits for, though
# the counts alone would do to decide: nobody should have to guess (40 and 20 passes of 15 s).
REPORT_FROM_HOP = 40
REPORT_EVERY_HOPS = 20


class Phase(StrEnum):
    """What a look means."""

    OVER = "over"
    OVERDUE = "overdue"
    EXHAUSTED = "exhausted"
    UNREGISTERED = "unregistered"
    ACTIVE = "active"
    DRAINING = "draining"
    CLOSING = "closing"
    DRAINED = "drained"
    UNREADY = "unready"
    BLIND = "blind"


class Step(StrEnum):
    """The one thing to do."""

    STOP = "stop"
    COMPLETE = "complete"
    DRAIN_THEN_GO_ROUND = "drain, then go round"
    GO_ROUND = "go round"


def _over(view: View) -> bool:
    gone_on = view.seen.waiting == Waiting.OVER
    return gone_on or (view.seen.waiting == Waiting.NO and view.drain.not_waiting_before)


def _overdue(view: View) -> bool:
    # Not waiting is not believed at once, but it is no reason to answer either.
    return view.now >= view.deadline_at and view.seen.waiting != Waiting.NO


def _exhausted(view: View) -> bool:
    return view.drain.hop >= view.hops_max


def _unregistered(view: View) -> bool:
    # One stale answer must not release an instance that serves.
    absent = view.waiting and view.seen.registration == Registration.ABSENT
    return absent and view.drain.absent_before


def _active(view: View) -> bool:
    return view.waiting and view.status == "ACTIVE"


def _draining(view: View) -> bool:
    if not view.waiting or view.status != "DRAINING":
        return False
    wanted = any(task.wanted for task in view.blocking)
    return wanted or view.unexplained > 0 or view.drain.draining_since is None


def _closing(view: View) -> bool:
    # What could not be looked at in this pass is taken for alive until it is; and so is what one
    # listing alone says is gone.
    alive = bool(view.blocking) or view.seen.deferred or (view.clear and not _confirmed(view))
    return view.waiting and view.status == "DRAINING" and alive


def _confirmed(view: View) -> bool:
    """Whether something beside this look's listing says that no task is left."""
    instance = view.seen.container_instance
    return view.drain.listed_before or (instance is not None and instance.free)


def _drained(view: View) -> bool:
    long_enough = view.drain.draining_since is not None and view.unexplained == 0
    return view.waiting and view.clear and long_enough and _confirmed(view)


def _unready(view: View) -> bool:
    return view.waiting and view.status not in {"", "ACTIVE", "DRAINING"}


def _anything(_view: View) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the ladder: a phase, the question that leads to it, and its step."""

    phase: Phase
    question: str
    holds: Callable[[View], bool]
    step: Step


LADDER = (
    Rung(Phase.OVER, "Auto Scaling no longer waits?", _over, Step.STOP),
    Rung(Phase.UNREGISTERED, "in no cluster, on two looks?", _unregistered, Step.COMPLETE),
    Rung(Phase.DRAINED, "DRAINING before, and surely no task left?", _drained, Step.COMPLETE),
    Rung(Phase.OVERDUE, "deadline passed?", _overdue, Step.COMPLETE),
    Rung(Phase.EXHAUSTED, "more hops than can be?", _exhausted, Step.STOP),
    Rung(Phase.ACTIVE, "may ECS still place tasks?", _active, Step.DRAIN_THEN_GO_ROUND),
    Rung(Phase.DRAINING, "does ECS still want a task to run?", _draining, Step.GO_ROUND),
    Rung(Phase.CLOSING, "may any task not be STOPPED?", _closing, Step.GO_ROUND),
    Rung(Phase.UNREADY, "registering or deregistering?", _unready, Step.GO_ROUND),
    Rung(Phase.BLIND, "anything else", _anything, Step.GO_ROUND),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What a look leads to.

    Attributes:
        phase: What the look means.
        step: The one thing to do.
        result: The answer, where the step is to complete.
        heartbeat: Whether the hook's timeout is to be restarted, if this pass goes round.
        stop_tasks: Ids of standalone tasks to stop.
        republish: Whether to go round, if at all; False for a copy of an old message.
        reason: What the drain waits for, in words for an operator.
    """

    phase: Phase
    step: Step
    result: LifecycleActionResult | None = None
    heartbeat: bool = False
    stop_tasks: tuple[str, ...] = ()
    republish: bool = False
    reason: str = ""


def decide(view: View) -> Decision:
    """Say what the look means and what to do about it; total over every possible look."""
    rung = next(rung for rung in LADDER if rung.holds(view))
    if rung.step == Step.STOP:
        return Decision(rung.phase, rung.step, reason=why(view, rung.phase))
    republish = may_go_round(view)
    if rung.step == Step.COMPLETE:
        policy, result = view.drain.policy, LifecycleActionResult.CONTINUE
        if rung.phase == Phase.OVERDUE:
            result = policy.deadline_result if policy else view.deadline_result
        return Decision(
            rung.phase,
            rung.step,
            result=result,
            # For an answer that is not taken now: the next pass gives it again.
            heartbeat=heartbeat_due(view),
            republish=republish,
            reason=why(view, rung.phase),
        )
    return Decision(
        rung.phase,
        rung.step,
        heartbeat=heartbeat_due(view),
        stop_tasks=_tasks_to_stop(view),
        republish=republish,
        reason=why(view, rung.phase),
    )


def is_copy(view: View) -> bool:
    """Whether the chain has gone past this message, so that publishing it again would fork it."""
    mark = view.mark
    return mark is not None and mark.at > stale_before(view) and view.drain.hop <= mark.hop


def stale_before(view: View) -> datetime:
    """Return the instant before which a mark belongs to a chain that was lost."""
    seconds = MARK_STALE_AFTER_SECONDS + 2 * view.pass_interval_seconds
    return view.now - timedelta(seconds=seconds)


def may_mark(view: View, *, confirmed: bool) -> bool:
    """
    Whether this look allows a mark to be left on the container instance.

    Not where it has seen no wait or no container instance: such a mark might outlive the action,
    and be taken for that of the next one. Nor over the mark of another action's chain, unless
    Auto Scaling has confirmed in this pass that ours is the action that it waits for.
    """
    return view.waiting and bool(view.status) and (confirmed or not unproven(view))


def may_go_round(view: View) -> bool:
    """
    Whether a re-invocation may follow.

    A hint never goes round: it would fork the chain whose event it is. What the sweep has found
    goes round where a mark can be left, so that the next sweep finds the chain alive; or where the
    next look decides, because this one has found the instance in no cluster.
    """
    origin, absent = view.drain.origin, view.seen.registration == Registration.ABSENT
    if origin == Origin.HINT or (origin == Origin.SWEEP and not (view.status or absent)):
        return False
    return not is_copy(view) and not _exhausted(view)


def heartbeat_due(view: View) -> bool:
    """
    Whether waiting for the next pass would leave less than half of the heartbeat timeout.

    A heartbeat restarts the whole timeout ("if the timeout is 1 h and you call after 30 min, the
    instance remains for an additional hour"), so half leaves room for a pass that is lost.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/completing-lifecycle-hooks.html
    """
    if view.seen.waiting not in {Waiting.YES, Waiting.UNSEEN} or view.now >= view.deadline_at:
        return False
    if unproven(view):
        return True
    if view.seen.nowhere and view.drain.origin == Origin.SWEEP:
        # No chain counts its time, and nothing in any cluster needs it: the hook's own timeout
        # must be able to end it.
        return False
    timeout_seconds = view.drain.heartbeat_timeout_seconds or HEARTBEAT_TIMEOUT_SECONDS_MIN
    next_pass_at = view.now + timedelta(seconds=view.pass_interval_seconds)
    return next_pass_at >= view.drain.last_heartbeat_at + timedelta(seconds=timeout_seconds / 2)


def unproven(view: View) -> bool:
    """
    Whether Auto Scaling has yet to confirm the token, which it does by taking a heartbeat.

    A mark with the token's checksum says that it has. Until then nothing is changed and no mark is
    left, so that a notice that Auto Scaling never sent changes nothing.
    """
    if not (view.waiting and view.status and view.drain.action.lifecycle_action_token):
        return False
    return view.mark is None or not view.mark.token_checksum or view.drain.draining_since is None


def _grace_over(view: View) -> bool:
    policy, since = view.drain.policy, view.drain.draining_since
    if policy is None or since is None or policy.standalone_tasks != StandaloneTasks.STOP:
        return False
    return view.now >= since + timedelta(seconds=policy.standalone_grace_seconds)


def _tasks_to_stop(view: View) -> tuple[str, ...]:
    if not stops_standalone(view):
        return ()
    return tuple(t.id for t in view.seen.remaining if is_standalone(t) and t.wanted)


def stops_standalone(view: View) -> bool:
    """Whether this look names all standalone tasks, and their grace period is over."""
    return view.seen.exact and view.status == "DRAINING" and _grace_over(view)


def needs_exact_look(view: View) -> bool:
    """
    Whether all tasks must be listed, given the counts and the witnesses already seen.

    Listing costs two calls or more for each container instance, while counts and witnesses come a
    hundred at a time; so it is done where "drained" is possible, and for what the policy needs.
    """
    if view.seen.container_instance is None or not view.waiting:
        return False
    if view.now >= view.deadline_at:
        return True  # what was left belongs into the report
    if view.status != "DRAINING":
        return False
    drain = view.drain
    if _grace_over(view) and not drain.standalone_stopped:
        return True
    if any(view.blocks(task) for task in view.seen.tasks):
        return False
    if view.counted == 0 or ignores_standalone(drain):
        return True
    spread = crc32(drain.action.ec2_instance_id.encode())  # so that a crowd does not move in step
    return drain.hop >= REPORT_FROM_HOP and (drain.hop + spread) % REPORT_EVERY_HOPS == 0


def deadline(drain: Drain, hook: Hook, policy: Policy, margin_seconds: int) -> datetime:
    """
    Fix the deadline, or tighten the one there is.

    "You can extend ... up to the global timeout, which is 48 hours or 100 times the heartbeat
    timeout, whichever is smaller."
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
    """
    seconds = min(
        policy.drain_timeout_seconds,
        hook.global_timeout_seconds - margin_seconds,
    )
    fixed = drain.started_at + timedelta(seconds=seconds)
    return min(fixed, drain.deadline_at) if drain.deadline_at else fixed


def carry_on(view: View, *, drained_now: bool, heartbeat: bool, stopped: bool) -> Drain:
    """
    Return the drain as the next pass needs it.

    Args:
        view: This pass's look.
        drained_now: Whether this pass has set the container instance DRAINING.
        heartbeat: Whether this pass has recorded a heartbeat.
        stopped: Whether this pass has told every standalone task to stop.
    """
    drain, seen = view.drain, view.seen
    since = drain.draining_since
    if seen.registration == Registration.FOUND:
        since = (since or view.now) if drained_now or view.status == "DRAINING" else None
    # Tasks at the beginning of their end live longest, so they make the best witnesses.
    blocking = sorted(view.blocking, key=lambda task: (not task.wanted, task.id))
    reached = view.mark.hop if view.mark else 0
    return replace(
        drain,
        origin=Origin.CHAIN,
        hop=max(drain.hop, reached) + 1,
        last_heartbeat_at=view.now if heartbeat else drain.last_heartbeat_at,
        draining_since=since,
        witnesses=tuple(task.id for task in blocking)[:WITNESSES_MAX],
        standalone_stopped=drain.standalone_stopped or stopped,
        listed_before=drain.listed_before
        or view.clear
        or any(not task.wanted for task in view.blocking),
        absent_before=seen.registration == Registration.ABSENT,
        not_waiting_before=seen.waiting == Waiting.NO,
    )


def why(view: View, phase: Phase) -> str:
    """Say in words for an operator what the drain waits for, or why it ends."""
    if phase in {Phase.BLIND, Phase.OVER}:
        return view.seen.reason or "the look was not conclusive; looking again"
    if phase == Phase.EXHAUSTED:
        return f"{view.drain.hop} hops, where {view.hops_max} fit: nothing delays the passes"
    if phase == Phase.UNREADY:
        return f"the container instance is {view.status}"
    if phase not in {Phase.DRAINING, Phase.CLOSING, Phase.OVERDUE}:
        return ""
    instance = view.seen.container_instance
    parts = []
    if view.seen.reason:
        parts.append(view.seen.reason)
    if instance and not instance.agent_connected:
        parts.append("the agent is disconnected, so no task can be reported STOPPED")
    standalone = sum(is_standalone(task) for task in view.seen.remaining)
    if standalone:
        rule = view.drain.policy.standalone_tasks if view.drain.policy else StandaloneTasks.WAIT
        parts.append(f"{standalone} standalone ({rule})")
    services = sorted({t.group for t in view.seen.remaining if not is_standalone(t)})
    if services:
        parts.append(", ".join(services[:WITNESSES_MAX]))
    return "; ".join(parts)
