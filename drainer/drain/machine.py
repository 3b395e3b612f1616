"""
Decide when an EC2 instance may go: pure, total, and the only file that knows the phases.

Theory of operation
===================

A *pass* looks at the world afresh and asks this file what the look means. The answer is a *phase*,
found by walking the ladder below from the top: the first rung whose question is answered yes is
the phase, and each phase has one step. The last rung answers yes to everything, and waits: what
was not foreseen can delay a release, never cause one.

A release (`complete CONTINUE` before the deadline) needs positive evidence, more than once:

* `drained` needs a closed set of tasks, each of which this look found STOPPED (or standalone, where
  those are to be ignored). `task_set.py` says when a set is closed. Counts never suffice: a task
  that is DEACTIVATING (its load balancer target still serves) is in neither of them; nor does free
  memory, since a stopping task's counts as free; nor does one listing.
* `unregistered` needs two sound searches of the named clusters and then of all others, further
  apart than ECS's answers are assumed to be late. Every registration of the EC2 instance that is
  found counts until one of them has a connected agent: with none, all of them must be clear.

The same holds for stopping quietly: a look that finds Auto Scaling not waiting is believed at once
only where the instance has visibly gone on; else a later look must agree.

What happens when things go wrong:

* A message is **lost**: the sweep finds the instance waiting; nothing is early.
* A message is **doubled**: the drain's record (`record.py`) takes one write for each hop, and a
  pass publishes only after its write. Who finds the hop taken is a duplicate. So chains do not
  fork. Is the record silent, so that the chain is lost, the duplicate takes its place.
* Everything is **silent**: the sweep resumes, every few minutes, what the records say is open and
  silent, and looks for instances that wait under a hook of ours and have no record.
* A message is **early** (for some minutes after its deployment, SNS may deliver without its filter
  policies, and so past the queue that delays): what it leads to is done, and it is not published
  again; its delayed twin is.
* A message is **late**: the look is what counts; the deadline is an instant, so lateness cannot
  extend it. An old notice of a finished drain finds nothing waiting and stops.
* The function **dies between two calls**: answers come first, then heartbeats (which prove that
  the action is a true one), DRAINING, the record, and last the re-invocation. Whatever was not
  reached is done by the retry of the message, which finds the record silent by then.
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

from drainer.drain import task_set
from drainer.drain.model import (
    LifecycleActionResult,
    Origin,
    Place,
    Registration,
    StandaloneTasks,
    Waiting,
)
from drainer.drain.task_set import VIEW_LAG
from drainer.drain.view import View, is_standalone

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.drain.model import Drain, Hook, Policy

# How many groups of tasks a reason names.
NAMED_MAX = 10

# "HeartbeatTimeout ... The range is from 30 to 7200 seconds": until the hook has been looked up,
# assume the shortest, so that no heartbeat can come too late.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
HEARTBEAT_TIMEOUT_SECONDS_MIN = 30


class Phase(StrEnum):
    """What a look means."""

    OVER = "over"
    OVERDUE = "overdue"
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
    if view.seen.waiting != Waiting.NO:
        return view.seen.waiting == Waiting.OVER
    return waits_no_more(view) and not _is_named_and_late(view)


def waits_no_more(view: View) -> bool:
    """Whether two looks agree that Auto Scaling does not wait for the instance."""
    since = view.drain.not_waiting_since
    agreed = since is not None and view.now >= since + VIEW_LAG
    return agreed and view.seen.waiting == Waiting.NO


def _overdue(view: View) -> bool:
    # Not waiting is not believed at once. It is no reason to answer either what has no token: the
    # answer would be for whatever action waits by now.
    late = view.now >= view.deadline_at and view.seen.waiting not in {Waiting.NO, Waiting.OVER}
    return late or _is_named_and_late(view)


def _is_named_and_late(view: View) -> bool:
    """Whether the deadline has passed of an action that Auto Scaling knows by our token."""
    named = view.proven and bool(view.drain.action.lifecycle_action_token)
    return named and view.now >= view.deadline_at and view.seen.waiting != Waiting.OVER


def _unregistered(view: View) -> bool:
    # One stale answer must not release an instance that serves.
    absent = view.waiting and view.seen.registration == Registration.ABSENT
    since = view.drain.absent_since
    return absent and since is not None and view.now >= since + VIEW_LAG


def _active(view: View) -> bool:
    return view.waiting and view.status == "ACTIVE"


def _draining(view: View) -> bool:
    if not view.waiting or view.status != "DRAINING":
        return False
    wanted = any(task.wanted for task in view.blocking)
    return wanted or view.unexplained > 0 or view.drain.draining_since is None


def _closing(view: View) -> bool:
    # What could not be looked at in this pass is taken for alive until it is; and so is what one
    # listing alone says is gone. Where the look has failed, nothing is known.
    known = bool(view.blocking) or not view.seen.failed
    return view.waiting and view.status == "DRAINING" and known


def _drained(view: View) -> bool:
    since = view.drain.draining_since
    return view.waiting and since is not None and task_set.all_stopped(view)


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
    Rung(Phase.UNREGISTERED, "in no cluster, by two searches?", _unregistered, Step.COMPLETE),
    Rung(Phase.DRAINED, "all tasks known, and each STOPPED?", _drained, Step.COMPLETE),
    Rung(Phase.OVERDUE, "deadline passed?", _overdue, Step.COMPLETE),
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
        republish: Whether a re-invocation may follow: not of a wake-up, an early message or beyond
            the hop limit.
        exhausted: Whether it may not because there were more hops than can be: the sweep goes on.
        reason: What the drain waits for, in words for an operator.
    """

    phase: Phase
    step: Step
    result: LifecycleActionResult | None = None
    heartbeat: bool = False
    stop_tasks: tuple[str, ...] = ()
    republish: bool = False
    exhausted: bool = False
    reason: str = ""


def decide(view: View) -> Decision:
    """Say what the look means and what to do about it; total over every possible look."""
    rung = next(rung for rung in LADDER if rung.holds(view))
    republish = may_go_round(view)
    if rung.step == Step.STOP:
        # A look alone ends no drain of which there is a record: Auto Scaling is asked once more.
        asked = view.seen.waiting == Waiting.NO and view.proven and view.now < view.deadline_at
        asked = asked and view.drain.origin != Origin.HINT
        return Decision(
            rung.phase, rung.step, heartbeat=asked, republish=asked and republish,
            reason=why(view, rung.phase),
        )  # fmt: skip
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
            exhausted=is_exhausted(view),
            reason=why(view, rung.phase),
        )
    return Decision(
        rung.phase,
        rung.step,
        heartbeat=heartbeat_due(view),
        stop_tasks=_tasks_to_stop(view),
        republish=republish,
        exhausted=is_exhausted(view),
        reason=why(view, rung.phase),
    )


def is_early(view: View) -> bool:
    """
    Whether the message has not been delayed: the queue that does has yet to deliver its twin.

    "Additions or changes to a subscription filter policy require up to 15 minutes to fully take
    effect", so that both subscriptions of the topic may get what only the delayed one should.
    https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
    """
    half = timedelta(seconds=view.pass_interval_seconds / 2)
    return view.drain.sent_at is not None and view.now < view.drain.sent_at + half


def is_exhausted(view: View) -> bool:
    """
    Whether a chain has had more hops than can be, so that something publishes without delay.

    The chain ends then; the sweep sends heartbeats and answers at the deadline.
    """
    return view.drain.origin == Origin.CHAIN and view.drain.hop >= view.hops_max


def may_go_round(view: View) -> bool:
    """
    Whether a re-invocation may follow.

    A wake-up never goes round: it would fork the chain whose event it is.
    """
    if view.drain.origin == Origin.HINT or is_early(view):
        return False
    return view.drain.hop < view.hops_max


def heartbeat_due(view: View) -> bool:
    """
    Whether waiting for the next pass would leave less than half of the heartbeat timeout.

    A heartbeat restarts the whole timeout ("if the timeout is 1 h and you call after 30 min, the
    instance remains for an additional hour"), so half leaves room for a pass that is lost.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/completing-lifecycle-hooks.html
    """
    if view.seen.waiting not in {Waiting.YES, Waiting.UNSEEN} or view.now >= view.deadline_at:
        return False
    if view.seen.waiting == Waiting.UNSEEN and view.drain.by_event_bridge and not view.drain.policy:
        return False  # whose hook it is has never been seen, and EventBridge tells of all
    if not view.proven or unproven(view):
        return True
    if view.drain.origin == Origin.SWEEP:
        return True  # no message comes again if it cannot be published: the next look may be far
    return half_is_over(view.drain, view.now, view.pass_interval_seconds)


def half_is_over(drain: Drain, now: datetime, pass_interval_seconds: int) -> bool:
    """Whether the next pass would find less than half of the heartbeat timeout left."""
    timeout_seconds = drain.heartbeat_timeout_seconds or HEARTBEAT_TIMEOUT_SECONDS_MIN
    next_pass_at = now + timedelta(seconds=pass_interval_seconds)
    return next_pass_at >= drain.last_heartbeat_at + timedelta(seconds=timeout_seconds / 2)


def unproven(view: View) -> bool:
    """
    Whether Auto Scaling has yet to confirm the action, which it does by taking a heartbeat.

    Until then nothing is changed, so that a notification that Auto Scaling never sent changes
    nothing. What was found without a token was seen to wait, but perhaps at another hook, as an
    instance does that is launched into a warm pool.
    """
    known = view.proven and view.drain.draining_since is not None
    return view.waiting and bool(view.status) and not known


def _tasks_to_stop(view: View) -> tuple[str, ...]:
    if view.status != "DRAINING" or not task_set.grace_is_over(view):
        return ()
    return tuple(t.id for t in view.seen.remaining if is_standalone(t) and t.wanted)


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


def carry_on(view: View, *, drained_at: datetime | None, heartbeat: bool, stopped: bool) -> Drain:
    """
    Return the drain as the next pass needs it.

    Args:
        view: This pass's look.
        drained_at: When this pass had set the container instance DRAINING; None if it has not.
        heartbeat: Whether this pass has recorded a heartbeat.
        stopped: Whether this pass has told every standalone task to stop.
    """
    drain, seen = task_set.carry_on(view, view.drain), view.seen
    # What has been seen was so at the end of the look at the latest, which may have taken long.
    seen_at = seen.seen_at or view.now
    since = drain.draining_since
    if seen.registration == Registration.FOUND:
        still = (since or seen_at) if view.status == "DRAINING" else None
        since = drained_at or still
    not_waiting = seen.waiting == Waiting.NO and not heartbeat
    connected = seen.container_instance is not None and seen.container_instance.agent_connected
    return replace(
        drain,
        origin=Origin.CHAIN,
        hop=drain.hop + 1,
        last_heartbeat_at=view.now if heartbeat else drain.last_heartbeat_at,
        draining_since=since,
        standalone_stopped=view.status != "ACTIVE" and (drain.standalone_stopped or stopped),
        others=_others(view),
        settled=seen.settled if seen.registration == Registration.FOUND else drain.settled,
        searched_to="" if seen.settled else seen.searched_to,
        search_failed=seen.search_failed and not seen.settled,
        searched_at=None if connected else _searched_at(view),
        absent_since=_absent_since(view),
        not_waiting_since=(drain.not_waiting_since or seen_at) if not_waiting else None,
    )


def _others(view: View) -> tuple[Place, ...]:
    if view.seen.registration != Registration.FOUND:
        return view.drain.others
    return tuple(Place(one.cluster, one.arn) for one in view.seen.registrations[1:])


def _searched_at(view: View) -> datetime | None:
    """Return since when searches of all clusters have agreed."""
    if not view.seen.searched or view.seen.registration != Registration.FOUND:
        return view.drain.searched_at
    return view.drain.searched_at or view.seen.seen_at or view.now


def _absent_since(view: View) -> datetime | None:
    """Return since when searches have found no registration; one that is found ends that."""
    if view.seen.registration == Registration.FOUND:
        return None
    absent = view.seen.registration == Registration.ABSENT
    return view.drain.absent_since or ((view.seen.seen_at or view.now) if absent else None)


def why(view: View, phase: Phase) -> str:
    """Say in words for an operator what the drain waits for, or why it ends."""
    if phase in {Phase.BLIND, Phase.OVER}:
        return view.seen.reason or "the look was not conclusive; looking again"
    if phase == Phase.UNREADY:
        return f"the container instance is {view.status}"
    if phase == Phase.ACTIVE:
        return f"it is set DRAINING now; {_counts(view)}"
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
        parts.append(", ".join(services[:NAMED_MAX]))
    if not (standalone or services):
        parts.append(_unlisted(view))
    return "; ".join(parts)


def _unlisted(view: View) -> str:
    """Say what is waited for where no task that remains is known."""
    if view.counted or view.status != "DRAINING":
        return _counts(view)
    if not view.seen.settled:
        return "other registrations of the EC2 instance are searched for"
    if view.seen.missing:
        return f"{len(view.seen.missing)} tasks that ECS does not know at present"
    if not task_set.is_closed(view):
        return "no task is known; the tasks are listed twice, 20 s apart, as ECS may answer late"
    return "the tasks are looked at in a later pass"


def _counts(view: View) -> str:
    instance = view.seen.container_instance
    if instance is None:
        return ""
    return f"ECS counts {instance.running_tasks} running and {instance.pending_tasks} pending tasks"
