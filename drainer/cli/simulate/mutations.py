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
from drainer.drain import (
    earlier_looks,
    finder,
    look,
    may_leave,
    model,
    task_look,
    task_reads,
    task_set,
)
from drainer.drain.may_leave import Act, Phase
from drainer.drain.model import LifecycleActionResult
from drainer.errors import RefusedError
from drainer.lifecycle import acting, heartbeats, hooks, observer, outcome, rules, sweep
from drainer.lifecycle import reactivation as returning
from drainer.lifecycle.look import Waiting
from drainer.lifecycle.rules import HookPhase

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.drain.look import Look
    from drainer.lifecycle.look import HookLook


def _rule(phase: Phase | HookPhase, **changes: Any) -> None:
    module: Any = may_leave if isinstance(phase, Phase) else rules
    changed = (replace(one, **changes) if one.phase == phase else one for one in module.RULES)
    swap(module, "RULES", tuple(changed))


def _never(*_: Any, **__: Any) -> bool:
    return False


def _always(*_: Any, **__: Any) -> bool:
    return True


def count_only_desired_running() -> None:
    """List only the tasks that ECS wants running (defect 1)."""

    def listing(self: Any, *about: Any, desired_status: str, **more: Any) -> Any:
        if desired_status == "STOPPED":
            return []
        return right(self, *about, desired_status=desired_status, **more)

    right = swap(ecs.EcsGateway, "task_ids", listing)


def let_the_counts_decide() -> None:
    """Take counts of zero for drained, without a look at the tasks."""
    swap(task_set, "needs_listing", _never)
    _rule(Phase.DRAINING, holds=lambda look: look.counted > 0)
    _rule(Phase.DRAINED, holds=lambda look: look.status == "DRAINING" and look.counted == 0)
    _rule(Phase.CLOSING, holds=_never)


def forget_deprovisioning() -> None:
    """Take a task that gives back its network interface for STOPPED."""
    swap(model, "ENDED_STATUSES", frozenset({"STOPPED", "DELETED", "DEPROVISIONING"}))


def ignore_the_deadline() -> None:
    """Wait for ever for a task that never stops."""
    _rule(HookPhase.OVERDUE, holds=_never)


def begin_the_deadline_anew() -> None:
    """Count the deadline from each pass (defect 12)."""

    def following(self: Any) -> Any:
        now = self.look.now
        return replace(right(self), started_at=now, deadline_at=None, policy=None)

    right = swap(outcome.HookOutcome, "following", following)


def forget_the_global_timeout() -> None:
    """Set a deadline that the hook's global timeout does not allow (defect 12)."""

    def deadline(drain: Any, _hook: Any, policy: Any, *_: Any) -> Any:
        return drain.started_at + timedelta(seconds=policy.drain_timeout_seconds)

    swap(rules, "deadline", deadline)


def always_continue_at_the_deadline() -> None:
    """Answer CONTINUE at the deadline, whatever the hook's owner wants."""

    def deciding(look: HookLook) -> Any:
        decision = right(look)
        if decision.result is None:
            return decision
        return replace(decision, result=LifecycleActionResult.CONTINUE)

    right = swap(rules, "decide", deciding)


def complete_on_a_failed_look() -> None:
    """Answer when a read has failed (defect 7)."""
    _rule(Phase.UNSEEN, act=Act.LEAVE)


def take_a_missing_cluster_for_unregistered() -> None:
    """Take a cluster that is not there for an instance that is not (defect 10)."""
    _rule(Phase.UNREGISTERED, holds=lambda look: not look.registrations)


def search_only_the_named_cluster() -> None:
    """Take an instance that is not in the named cluster for unregistered (defect 18)."""

    def nowhere(_self: Any, looks: Any) -> None:
        for one in looks:
            one.searched = True
            if not one.registrations:
                one.absent = True

    swap(finder.Finder, "_search_everywhere", nowhere)


def believe_one_absence() -> None:
    """Release on one look that cannot describe the container instance, listed or not."""

    def find(self: Any, cluster: str, ec2_instance_ids: Any) -> Any:
        return [one.arn for one in self.describe(cluster, right(self, cluster, ec2_instance_ids))]

    right = swap(ecs.EcsGateway, "find", find)
    _rule(Phase.UNREGISTERED, holds=lambda look: look.absent)


def take_what_is_refused_for_missing() -> None:
    """Count a task that ECS refuses to describe as one that it no longer knows."""

    def describing(self: Any, cluster: str, ids: Any, refused: Any) -> Any:
        try:
            return right(self, cluster, ids, refused)
        except RefusedError:
            return {}
        finally:
            refused.clear()

    right = swap(task_reads.TaskReads, "tasks", describing)


def complete_in_the_pass_that_drains() -> None:
    """Release an instance that is ACTIVE and seems idle (defect 5)."""
    _rule(Phase.DRAINED, holds=lambda look: look.status == "ACTIVE" and look.counted == 0)


def forget_the_heartbeat() -> None:
    """Never restart the hook's timeout (defect 11)."""
    swap(heartbeats, "is_due", _never)


def drop_the_republish_on_a_throttle() -> None:
    """Delete the message of a pass whose re-invocation was refused (defect 8)."""

    def publishing(self: Any, unit: Any, *more: Any) -> None:
        right(self, unit, *more)
        for one in unit:
            one.retry_reason = ""

    right = swap(acting.HookActions, "_publish", publishing)


def swallow_a_failed_answer() -> None:
    """Take an answer that failed for one that was given (defect 8)."""

    def completing(self: Any, one: Any) -> None:
        right(self, one)
        one.over = True

    right = swap(acting.HookActions, "_answer", completing)


def answer_every_hook() -> None:
    """Answer hooks that are not ours (defect 16)."""
    swap(hooks.Hooks, "refusal", lambda *_, **__: "")


def send_a_wrong_token() -> None:
    """Answer with a token that is not the action's (defect 23)."""

    def completing(self: Any, action: Any, result: Any) -> None:
        right(self, replace(action, lifecycle_action_token=action.ec2_instance_id), result)

    right = swap(auto_scaling.AutoScalingGateway, "complete", completing)


def stop_service_tasks_too() -> None:
    """Stop every task after the grace period, not the standalone ones alone."""
    swap(may_leave, "is_standalone", _always)


def stop_without_grace() -> None:
    """Stop standalone tasks at once."""

    def over(look: Look) -> bool:
        return look.drain.policy is not None and look.drain.policy.standalone_tasks == "stop"

    swap(task_set, "grace_is_over", over)


def end_on_a_failed_look() -> None:
    """Take a look that failed for the end of the lifecycle action."""
    _rule(HookPhase.OVER, holds=lambda look, _: look.waiting != Waiting.YES)


def leave_out_the_sweep() -> None:
    """Find nothing in the sweep."""
    swap(sweep.WaitingInstances, "find", lambda *_, **__: [])


def let_a_wake_up_re_invoke() -> None:
    """Let each wake-up begin a chain (defect 15)."""
    swap(rules, "may_re_invoke", _always)


def drain_what_does_not_wait() -> None:
    """Drain an instance in service because a message says that it leaves (defect 16)."""

    def waiting(state: str) -> bool:
        return state == "InService" or bool(right(state))

    right = swap(observer, "is_waiting", waiting)
    swap(sweep, "is_waiting", waiting)


def believe_free_memory() -> None:
    """Release on one listing, where the counts agree (issue 9, B1)."""
    swap(task_set, "is_closed", lambda look: look.status == "DRAINING" and look.counted == 0)


def close_the_set_too_soon() -> None:
    """Take two listings for enough however soon one follows the other (B1)."""
    swap(task_set, "ANSWER_LAG", timedelta(0))


def list_only_what_is_wanted() -> None:
    """List twice what ECS wants to run, and never what it has told to stop."""
    swap(task_set, "statuses_to_list", lambda _: ("RUNNING",))


def forget_what_earlier_looks_have_seen() -> None:
    """Keep no task in the set that this look has not seen (B1)."""

    def found(look: Look) -> tuple[str, ...]:
        return tuple(task.id for task in look.remaining)

    swap(task_set, "unfinished", found)


def settle_on_what_is_found_first() -> None:
    """Take the first registration for the only one, its agent connected or not (B2)."""

    def finding(self: Any, cluster: str, instance: Any) -> None:
        right(self, cluster, instance)
        self.settled = bool(self.registrations)

    right = swap(look.Look, "found", finding)


def search_a_hundred_clusters_and_no_more() -> None:
    """Begin each search at the first cluster again (B3)."""

    def beginning(self: Any, looks: Any) -> None:
        for one in looks:
            one.drain = replace(one.drain, searched_to="")
        right(self, looks)

    right = swap(finder.Finder, "_search_everywhere", beginning)


def keep_what_a_reactivation_makes_untrue() -> None:
    """Believe listings from before the container instance was ACTIVE again (B5)."""

    def carrying(look: Look, drain: Any) -> Any:
        carried = right(look, drain)
        return replace(carried, listed_at=drain.listed_at, closed=drain.closed)

    right = swap(task_set, "carry_on", carrying)


def look_on_when_time_is_over() -> None:
    """Describe and list without asking the clock (B6)."""
    swap(task_look, "ACTING_SECONDS", float("-inf"))
    swap(task_reads, "ACTING_SECONDS", float("-inf"))
    swap(finder, "ACTING_SECONDS", float("-inf"))


def read_every_hook_whatever_the_time() -> None:
    """Read the hooks of all groups, and send all heartbeats, without asking the clock (B7)."""
    swap(observer, "ACTING_SECONDS", float("-inf"))
    swap(acting, "CALL_SECONDS", float("-inf"))
    swap(acting, "UNIT_SECONDS", float("-inf"))


def know_only_terminating_wait() -> None:
    """Know no other wait state than that of a terminating instance (C1)."""
    known = {"Terminating:Wait", "Warmed:Terminating:Wait"}
    for module in (observer, sweep):
        swap(module, "is_waiting", lambda state: state in known)


def leave_what_comes_back_draining() -> None:
    """Leave an instance DRAINING that is in service again (C1)."""
    swap(returning.Reactivation, "run", lambda *_, **__: [])


def sweep_without_a_clock() -> None:
    """Let the sweep read all groups and their hooks, however long that takes (C3)."""
    swap(sweep.WaitingInstances, "_no_time_for_more", _never)


def publish_again_what_came_too_early() -> None:
    """Re-invoke from a message that has not been delayed (A9)."""
    swap(rules, "is_early", _never)


def search_all_clusters_once() -> None:
    """Never search all clusters again while no agent is connected (found by an attack)."""
    swap(earlier_looks, "SEARCHED_FOR", timedelta.max)
    swap(may_leave, "SEARCHED_FOR", timedelta(days=365))


def wait_no_time_for_what_is_left_behind() -> None:
    """Let no task on an earlier registration count once an agent is connected to another."""
    swap(look, "LEFT_BEHIND_FOR", timedelta(0))


def wait_for_ever_for_what_is_left_behind() -> None:
    """Wait for tasks on an earlier registration until the deadline."""
    swap(look, "LEFT_BEHIND_FOR", timedelta(days=365))


def list_for_ever_what_is_young() -> None:
    """List what an agent registered within the hour again in each pass (found by an attack)."""

    def sought(self: Look) -> bool:
        known = not self.failed and self.settled
        if not known or self.is_lone or self.drain.closed or self.drain.draining_since is None:
            return known and self.is_lone
        registered = [one.registered_at for one in self.candidates]
        since = self.now - look.REGISTERED_LATELY
        return any(at is not None and at > since for at in registered)

    swap(look.Look, "sought_again", property(sought))


def set_active_what_has_served() -> None:
    """Forget that an instance has served again since its drain (found by an attack)."""
    swap(returning.Reactivation, "_mark_served", lambda *_: None)


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
    take_what_is_refused_for_missing,
    complete_in_the_pass_that_drains,
    forget_the_heartbeat,
    drop_the_republish_on_a_throttle,
    swallow_a_failed_answer,
    answer_every_hook,
    send_a_wrong_token,
    stop_service_tasks_too,
    stop_without_grace,
    end_on_a_failed_look,
    leave_out_the_sweep,
    let_a_wake_up_re_invoke,
    drain_what_does_not_wait,
    believe_free_memory,
    close_the_set_too_soon,
    list_only_what_is_wanted,
    forget_what_earlier_looks_have_seen,
    settle_on_what_is_found_first,
    search_a_hundred_clusters_and_no_more,
    keep_what_a_reactivation_makes_untrue,
    look_on_when_time_is_over,
    read_every_hook_whatever_the_time,
    know_only_terminating_wait,
    leave_what_comes_back_draining,
    sweep_without_a_clock,
    publish_again_what_came_too_early,
    search_all_clusters_once,
    wait_no_time_for_what_is_left_behind,
    wait_for_ever_for_what_is_left_behind,
    list_for_ever_what_is_young,
    set_active_what_has_served,
)
