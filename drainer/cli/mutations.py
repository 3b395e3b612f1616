"""
Deliberate bugs, each a function of the production code swapped for a wrong one.

A bug lives in the memory of one process, which does nothing else; no file is changed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer import aws, controller, finder, machine, model, observer
from drainer.machine import Phase, Step
from drainer.model import LifecycleActionResult, Registration, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.view import View


def _rung(phase: Phase, **changes: Any) -> None:
    ladder = (replace(rung, **changes) if rung.phase == phase else rung for rung in machine.LADDER)
    swap(machine, "LADDER", tuple(ladder))


def swap(owner: Any, name: str, value: Any) -> Any:
    """Put a value in the place of another; return that other."""
    right = getattr(owner, name)
    setattr(owner, name, value)
    return right


def _never(*_: Any, **__: Any) -> bool:
    return False


def _always(*_: Any, **__: Any) -> bool:
    return True


def count_only_desired_running() -> None:
    """List only the tasks that ECS wants running (defect 1)."""

    def looking(self: Any, cluster: Any, sights: Any, desired_status: str) -> Any:
        if desired_status == "STOPPED":
            return sights
        return right(self, cluster, sights, desired_status)

    right = swap(finder.Finder, "_look_at_tasks", looking)


def let_the_counts_decide() -> None:
    """Take counts of zero for drained, without a look at the tasks."""
    swap(machine, "needs_exact_look", _never)
    _rung(Phase.DRAINING, holds=lambda view: view.waiting and view.counted > 0)
    _rung(Phase.DRAINED, holds=lambda view: view.status == "DRAINING" and view.counted == 0)
    _rung(Phase.CLOSING, holds=_never)


def forget_deprovisioning() -> None:
    """Take a task that gives back its network interface for STOPPED."""
    swap(model, "ENDED_STATUSES", frozenset({"STOPPED", "DELETED", "DEPROVISIONING"}))


def ignore_the_deadline() -> None:
    """Wait for ever for a task that never stops."""
    _rung(Phase.OVERDUE, holds=_never)


def begin_the_deadline_anew() -> None:
    """Count the deadline from each pass (defect 12)."""

    def carrying(view: View, **done: bool) -> Any:
        return replace(right(view, **done), started_at=view.now, deadline_at=None, policy=None)

    right = swap(machine, "carry_on", carrying)


def forget_the_global_timeout() -> None:
    """Set a deadline that the hook's global timeout does not allow (defect 12)."""

    def deadline(drain: Any, _hook: Any, policy: Any, *_: Any) -> Any:
        return drain.started_at + timedelta(seconds=policy.drain_timeout_seconds)

    swap(machine, "deadline", deadline)


def always_continue_at_the_deadline() -> None:
    """Answer CONTINUE at the deadline, whatever the hook's owner wants."""

    def deciding(view: View) -> Any:
        decision = right(view)
        if decision.result is None:
            return decision
        return replace(decision, result=LifecycleActionResult.CONTINUE)

    right = swap(machine, "decide", deciding)


def complete_on_a_failed_look() -> None:
    """Answer when a read has failed (defect 7)."""
    _rung(Phase.BLIND, step=Step.COMPLETE)


def take_a_missing_cluster_for_unregistered() -> None:
    """Take a cluster that is not there for an instance that is not (defect 10)."""

    def unregistered(view: View) -> bool:
        return view.waiting and view.seen.registration != Registration.FOUND

    _rung(Phase.UNREGISTERED, holds=unregistered)


def search_only_the_named_cluster() -> None:
    """Take an instance that is not in the named cluster for unregistered (defect 18)."""

    def nowhere(_self: Any, sights: Any) -> None:
        for sight in sights:
            sight.registration = Registration.ABSENT

    swap(finder.Finder, "_search_everywhere", nowhere)


def believe_one_absence() -> None:
    """Release on one look that does not find the container instance again."""

    def absent(view: View) -> bool:
        return view.waiting and view.seen.registration == Registration.ABSENT

    _rung(Phase.UNREGISTERED, holds=absent)


def complete_in_the_pass_that_drains() -> None:
    """Release an instance that is ACTIVE and seems idle (defect 5)."""

    def idle(view: View) -> bool:
        return view.waiting and view.status == "ACTIVE" and view.counted == 0

    _rung(Phase.DRAINED, holds=idle)


def forget_the_heartbeat() -> None:
    """Never restart the hook's timeout (defect 11)."""
    swap(machine, "heartbeat_due", _never)


def drop_the_republish_on_a_throttle() -> None:
    """Delete the message of a pass whose re-invocation was refused (defect 8)."""

    def publishing(self: Any, unit: Any) -> None:
        right(self, unit)
        for outcome in unit:
            outcome.undone = ""

    right = swap(controller.Controller, "_publish", publishing)


def swallow_a_failed_answer() -> None:
    """Take an answer that failed for one that was given (defect 8)."""

    def completing(self: Any, outcome: Any) -> None:
        right(self, outcome)
        outcome.over = True

    right = swap(controller.Controller, "_complete", completing)


def republish_copies_too() -> None:
    """Let each copy of a message go round (defect 15)."""
    swap(machine, "is_copy", _never)


def answer_every_hook() -> None:
    """Answer hooks that are not ours (defect 16)."""
    swap(observer.Observer, "_refusal", lambda *_, **__: "")


def send_a_wrong_token() -> None:
    """Answer with a token that is not the action's (defect 23)."""

    def completing(self: Any, action: Any, result: Any) -> None:
        right(self, replace(action, lifecycle_action_token=action.ec2_instance_id), result)

    right = swap(aws.AutoScalingGateway, "complete", completing)


def stop_service_tasks_too() -> None:
    """Stop every task after the grace period, not the standalone ones alone."""
    swap(machine, "is_standalone", _always)


def stop_without_grace() -> None:
    """Stop standalone tasks at once."""

    def over(view: View) -> bool:
        return view.drain.policy is not None and view.drain.policy.standalone_tasks == "stop"

    swap(machine, "_grace_over", over)


def end_on_a_failed_look() -> None:
    """Take a look that failed for the end of the lifecycle action."""
    _rung(Phase.OVER, holds=lambda view: view.seen.waiting != Waiting.YES)


def leave_out_the_sweep() -> None:
    """Find nothing in the sweep."""
    swap(observer.Observer, "discover", lambda *_, **__: [])


def let_a_hint_go_round() -> None:
    """Let each hint begin a chain (defect 15)."""
    swap(machine, "may_go_round", _always)


def drain_what_does_not_wait() -> None:
    """Drain an instance in service because a message says that it leaves (defect 16)."""
    swap(observer, "WAIT_STATES", frozenset({*observer.WAIT_STATES, "InService"}))


MUTATIONS: tuple[Callable[[], None], ...] = (
    count_only_desired_running,
    let_the_counts_decide,
    forget_deprovisioning,
    ignore_the_deadline,
    begin_the_deadline_anew,
    forget_the_global_timeout,
    always_continue_at_the_deadline,
    complete_on_a_failed_look,
    take_a_missing_cluster_for_unregistered,
    search_only_the_named_cluster,
    believe_one_absence,
    complete_in_the_pass_that_drains,
    forget_the_heartbeat,
    drop_the_republish_on_a_throttle,
    swallow_a_failed_answer,
    republish_copies_too,
    answer_every_hook,
    send_a_wrong_token,
    stop_service_tasks_too,
    stop_without_grace,
    end_on_a_failed_look,
    leave_out_the_sweep,
    let_a_hint_go_round,
    drain_what_does_not_wait,
)
