"""
Deliberate bugs, each public function one: it swaps production code for what is wrong.

A bug lives in the memory of one process, which does nothing else; no file is changed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.aws import auto_scaling, ecs
from drainer.cli.simulate.swap import swap
from drainer.drain import finder, machine, model, sight, task_look, task_set
from drainer.drain.machine import Phase, Step
from drainer.drain.model import LifecycleActionResult, Registration, Waiting
from drainer.lifecycle import controller, observer
from drainer.lifecycle import reactivation as returning

if TYPE_CHECKING:
    from drainer.drain.view import View


def _rung(phase: Phase, **changes: Any) -> None:
    ladder = (replace(rung, **changes) if rung.phase == phase else rung for rung in machine.LADDER)
    swap(machine, "LADDER", tuple(ladder))


def _never(*_: Any, **__: Any) -> bool:
    return False


def _always(*_: Any, **__: Any) -> bool:
    return True


def count_only_desired_running() -> None:
    """List only the tasks that ECS wants running (defect 1)."""

    def listing(self: Any, *of: Any, desired_status: str, **more: Any) -> Any:
        if desired_status == "STOPPED":
            return []
        return right(self, *of, desired_status=desired_status, **more)

    right = swap(ecs.EcsGateway, "task_ids", listing)


def let_the_counts_decide() -> None:
    """Take counts of zero for drained, without a look at the tasks."""
    swap(task_set, "needs_listing", _never)
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
        for one in sights:
            one.searched = True
            if not one.registrations:
                one.registration = Registration.ABSENT

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

    def publishing(self: Any, unit: Any, *more: Any) -> None:
        right(self, unit, *more)
        for outcome in unit:
            outcome.undone = ""

    right = swap(controller.Controller, "_publish", publishing)


def swallow_a_failed_answer() -> None:
    """Take an answer that failed for one that was given (defect 8)."""

    def completing(self: Any, outcome: Any) -> None:
        right(self, outcome)
        outcome.over = True

    right = swap(controller.Controller, "_complete", completing)


def answer_every_hook() -> None:
    """Answer hooks that are not ours (defect 16)."""
    swap(observer.Observer, "_refusal", lambda *_, **__: "")


def send_a_wrong_token() -> None:
    """Answer with a token that is not the action's (defect 23)."""

    def completing(self: Any, action: Any, result: Any) -> None:
        right(self, replace(action, lifecycle_action_token=action.ec2_instance_id), result)

    right = swap(auto_scaling.AutoScalingGateway, "complete", completing)


def stop_service_tasks_too() -> None:
    """Stop every task after the grace period, not the standalone ones alone."""
    swap(machine, "is_standalone", _always)


def stop_without_grace() -> None:
    """Stop standalone tasks at once."""

    def over(view: View) -> bool:
        return view.drain.policy is not None and view.drain.policy.standalone_tasks == "stop"

    swap(task_set, "grace_is_over", over)


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

    def waiting(state: str) -> bool:
        return state == "InService" or bool(right(state))

    right = swap(observer, "is_waiting", waiting)


def believe_free_memory() -> None:
    """Release on one listing, where the counts agree (issue 9, B1)."""
    swap(task_set, "is_closed", lambda view: view.status == "DRAINING" and view.counted == 0)


def close_the_set_too_soon() -> None:
    """Take two listings for enough however soon one follows the other (B1)."""
    swap(task_set, "VIEW_LAG", timedelta(0))


def forget_what_earlier_looks_have_seen() -> None:
    """Keep no task in the set that this look has not seen (B1)."""

    def found(view: View) -> tuple[str, ...]:
        return tuple(task.id for task in view.seen.remaining)

    swap(task_set, "unfinished", found)


def settle_on_what_is_found_first() -> None:
    """Take the first registration for the only one, its agent connected or not (B2)."""

    def finding(self: Any, cluster: str, instance: Any) -> None:
        right(self, cluster, instance)
        self.settled = bool(self.registrations)

    right = swap(sight.Sight, "found", finding)


def search_a_hundred_clusters_and_no_more() -> None:
    """Begin each search at the first cluster again (B3)."""

    def beginning(self: Any, sights: Any) -> None:
        for one in sights:
            one.drain = replace(one.drain, searched_to="")
        right(self, sights)

    right = swap(finder.Finder, "_search_everywhere", beginning)


def keep_what_a_reactivation_makes_untrue() -> None:
    """Believe listings from before the container instance was ACTIVE again (B5)."""

    def carrying(view: View, drain: Any) -> Any:
        carried = right(view, drain)
        return replace(carried, listed_at=drain.listed_at, closed=drain.closed)

    right = swap(task_set, "carry_on", carrying)


def look_on_when_time_is_over() -> None:
    """Describe and list without asking the clock (B6)."""
    swap(task_look, "ACTING_SECONDS", float("-inf"))
    swap(finder, "ACTING_SECONDS", float("-inf"))


def read_every_hook_whatever_the_time() -> None:
    """Read the hooks of all groups, and send all heartbeats, without asking the clock (B7)."""
    swap(observer, "ACTING_SECONDS", float("-inf"))
    swap(controller, "CALL_SECONDS", float("-inf"))
    swap(controller, "UNIT_SECONDS", float("-inf"))


def know_only_terminating_wait() -> None:
    """Know no other wait state than that of a terminating instance (C1)."""
    known = {"Terminating:Wait", "Warmed:Terminating:Wait"}
    swap(observer, "is_waiting", lambda state: state in known)


def leave_what_comes_back_draining() -> None:
    """Leave an instance DRAINING that is in service again (C1)."""
    swap(returning.Reactivation, "run", lambda *_, **__: [])


def sweep_without_a_clock() -> None:
    """Let the sweep read all groups and their hooks, however long that takes (C3)."""
    swap(observer.Observer, "_no_time_for_more", _never)


def publish_again_what_came_too_early() -> None:
    """Let a message go round that has not been delayed (A9)."""
    swap(machine, "is_early", _never)
