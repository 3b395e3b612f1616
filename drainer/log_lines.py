"""
The fields of log lines: what is said of a drain, and of a request of CloudFormation.

No event, metadata or message is logged as a whole; what is quoted is bounded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from drainer.attention import age_minutes
from drainer.drain.may_leave import Act
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from drainer.custom_resource.report import Report
    from drainer.drain.model import LifecycleAction
    from drainer.lifecycle.outcome import HookOutcome

# A drain with hundreds of tasks must not make a log line of hundreds of kilobytes.
TASKS_NAMED_MAX = 20


def names(action: LifecycleAction) -> dict[str, str]:
    """Name a lifecycle action."""
    return {
        "ec2_instance_id": action.ec2_instance_id,
        "auto_scaling_group_name": action.auto_scaling_group_name,
        "lifecycle_hook_name": action.lifecycle_hook_name,
    }


def drain_line(outcome: HookOutcome) -> dict[str, Any]:
    """Say what a pass found and did about a drain."""
    decision, look = outcome.decision, outcome.look
    instance = look.container_instance
    return {
        **names(outcome.drain.action),
        "cluster": outcome.drain.cluster,
        "container_instance_arn": outcome.drain.container_instance_arn,
        "phase": decision.phase,
        "step": _step(outcome),
        "result": outcome.answered,
        "origin": look.drain.origin,
        "admission": outcome.admitted.admission,
        "hop": look.drain.hop,
        "started_at": look.drain.started_at.isoformat(),
        "age_minutes": age_minutes(outcome),
        "deadline_at": look.deadline_at.isoformat(),
        "running_tasks": instance.running_tasks if instance else None,
        "pending_tasks": instance.pending_tasks if instance else None,
        "agent_connected": instance.agent_connected if instance else None,
        "remaining": [str(task) for task in look.remaining[:TASKS_NAMED_MAX]],
        "heartbeat": outcome.heartbeat,
        "reason": decision.reason,
    }


def _step(outcome: HookOutcome) -> str:
    """Name what was done; a wake-up, or a duplicate of an old message, is not re-invoked."""
    decision = outcome.decision
    if decision.act == Act.SET_DRAINING:
        return "drain, then re-invoke"
    if decision.step == Step.RE_INVOKE and not decision.republish:
        return "look only"
    return decision.step


def request_line(report: Report) -> dict[str, Any]:
    """Say what a pass did about a request; never its URL."""
    request, status, answer = report.request, report.target_status, report.answer
    stack_id, _, request_id = report.key.partition("|")
    return {
        "stack_id": stack_id,
        "request_id": request_id,
        "logical_resource_id": request.logical_id if request else None,
        "physical_resource_id": request.physical_id if request else None,
        "request_type": request.request_type if request else None,
        "started_at": request.started_at.isoformat() if request else None,
        "step": report.step,
        "result": answer.status if answer else None,
        "hop": report.hop,
        "instances": status.total if status else None,
        "instances_drained": status.done if status else None,
        "phases": dict(Counter(one.decision.phase for one in status.outcomes)) if status else {},
        "reason": report.reason,
    }
