"""
Say what a pass did: one JSON log line for each drain, and metrics in the embedded format.

No event, metadata or message is logged as a whole; what is quoted is bounded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools.metrics import MetricUnit

from drainer.custom_resource import report as request_report
from drainer.drain.may_leave import Act, Phase
from drainer.errors import NotForUsError, QuietError
from drainer.lifecycle.reactivation import ACTIVE
from drainer.lifecycle.rules import HookPhase, Step
from drainer.spot.events import Interruption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools import Logger, Metrics

    from drainer.custom_resource.report import Report
    from drainer.drain.model import LifecycleAction
    from drainer.errors import DrainerError
    from drainer.lifecycle.controller import PassReport
    from drainer.lifecycle.outcome import HookOutcome
    from drainer.lifecycle.reactivation import Returned
    from drainer.spot.report import InterruptionReport

# A drain with hundreds of tasks must not make a log line of hundreds of kilobytes.
TASKS_NAMED_MAX = 20
SECONDS_PER_MINUTE = 60


class Telemetry(Protocol):
    """Where a function reports to."""

    def passed(self, report: PassReport) -> None:
        """Report a pass."""

    def refused(self, record_id: str, refusal: DrainerError) -> None:
        """Report a record that asks for nothing we do."""

    def interrupted(self, reports: Sequence[InterruptionReport]) -> None:
        """Report what was done about interruptions."""

    def requested(self, report: Report) -> None:
        """Report what was done about a request of CloudFormation."""

    def returned(self, returned: Sequence[Returned]) -> None:
        """Report what was done about instances that are in service again."""

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Report an exception that was not foreseen, and whose pass it ended."""


class Silent:
    """Reports nothing: for simulations by the thousand."""

    def passed(self, report: PassReport) -> None:
        """Report nothing."""

    def refused(self, record_id: str, refusal: DrainerError) -> None:
        """Report nothing."""

    def interrupted(self, reports: Sequence[InterruptionReport]) -> None:
        """Report nothing."""

    def requested(self, report: Report) -> None:
        """Report nothing."""

    def returned(self, returned: Sequence[Returned]) -> None:
        """Report nothing."""

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Report nothing."""


class Powertools:
    """Reports by Powertools for AWS Lambda: Logger and Metrics."""

    def __init__(self, logger: Logger, metrics: Metrics) -> None:
        self._logger = logger
        self._metrics = metrics

    def passed(self, report: PassReport) -> None:
        """Report a pass: a line for each drain, warnings for what failed, and counts."""
        for problem in report.problems:
            self._logger.error("misconfigured", reason=problem)
        self._count("Passes", len(report.outcomes))
        self._count("CallsFailed", sum(len(outcome.errors) for outcome in report.outcomes))
        self._count("PassesRetried", sum(bool(outcome.retry_reason) for outcome in report.outcomes))
        self._count("Duplicates", len(report.not_admitted))
        for one in report.not_admitted:
            line = {"admission": one.admission, **_names(one.drain.action)}
            self._logger.info("acknowledged", extra=line)
        for outcome in report.outcomes:
            self._logger.info("pass", extra=_line(outcome))
            names = _names(outcome.drain.action)
            for error in outcome.errors:
                self._logger.warning("call failed", extra={"reason": error, **names})
            if outcome.retry_reason:
                self._logger.error("retry", extra={"reason": outcome.retry_reason, **names})
            if outcome.decision.hop_limit:
                reason = (
                    f"Stopped after {outcome.drain.hop} hops, {outcome.look.hops_max} are "
                    f"allowed. The wait queue does not delay its messages: check DelaySeconds. "
                    f"The sweep goes on"
                )
                self._logger.error("hop limit", extra={"reason": reason, **names})
            self._measure(outcome)

    def refused(self, record_id: str, refusal: DrainerError) -> None:
        """Report a record that asks for nothing we do, with the reason in one line."""
        if isinstance(refusal, QuietError):
            return
        ignored = isinstance(refusal, NotForUsError)
        log = self._logger.info if ignored else self._logger.error
        log("ignored" if ignored else "refused", record_id=record_id, reason=str(refusal))
        if not ignored:
            self._count("MessagesRefused", 1)

    def interrupted(self, reports: Sequence[InterruptionReport]) -> None:
        """Report what was done about interruptions: one line for each, and counts."""
        for report in reports:
            gone, (targets, groups) = report.interruption, report.deregistered
            line = {
                **gone.names(),
                "ends_at": gone.ends_at.isoformat(),
                "cluster": report.cluster or None,
                "drained": report.drained,
                "active": report.active,
                "targets_deregistered": targets,
                "target_groups": groups,
                "target_groups_kept": list(report.kept),
                "late": list(report.late),
            }
            self._logger.info("interruption", extra=line)
            for error in report.errors:
                self._logger.warning("call failed", extra={"reason": error, **line})
            self._count("CallsFailed", len(report.errors))
            self._count("InterruptionsDenied", int(report.denied > 0))
            if report.first:
                recommended = isinstance(gone, Interruption) and not gone.hasty
                self._count("Recommendations" if recommended else "Interruptions", 1)
                self._count("TargetsDeregistered", targets)
                self._count("InterruptionsLate", len(report.late))

    def requested(self, report: Report) -> None:
        """Report a pass over a request of CloudFormation: a line, and counts; never its URL."""
        line = _request_line(report)
        failed = (
            report.step in {request_report.Step.REFUSED, request_report.Step.RETRY}
            or report.unanswered
        )
        log = self._logger.error if failed else self._logger.info
        log("custom resource", extra=line)
        for error in report.errors:
            self._logger.warning("call failed", extra={**line, "reason": error})
        status = report.target_status
        drained = sum(one.drained_now for one in status.outcomes) if status else 0
        self._count("DrainsStarted", drained)
        self._count("CallsFailed", len(report.errors))
        self._count("RequestPassesRetried", int(report.step == request_report.Step.RETRY))
        left = status is not None and status.done < status.total
        self._count("RequestTimeouts", int(report.overdue and left))
        self._count("RequestsUnanswered", int(report.unanswered))
        self._count("RequestsAnswered", int(report.step == request_report.Step.ANSWERED))
        if report.step == request_report.Step.REFUSED and not report.unanswered:
            self._count("MessagesRefused", 1)

    def returned(self, returned: Sequence[Returned]) -> None:
        """Report what was done about instances that are in service again: a line for each."""
        for one in returned:
            line = {
                "ec2_instance_id": one.ec2_instance_id or None,
                "cluster": one.cluster or None,
                "container_instance_arn": one.container_instance_arn or None,
                "done": one.done or None,
                "reason": one.error or None,
            }
            log = self._logger.warning if one.error else self._logger.info
            log("returned", extra=line)
            self._count("CallsFailed", int(bool(one.error)))
            self._count("InstancesReturned", int(one.done == ACTIVE))

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Report an exception that was not foreseen, and whose pass it ended."""
        self._count("Crashes", 1)
        self._logger.error(
            "crashed",
            exc_info=error,
            extra={"ec2_instance_ids": ec2_instance_ids[:TASKS_NAMED_MAX]},
        )

    def _measure(self, outcome: HookOutcome) -> None:
        decision, look = outcome.decision, outcome.look
        if outcome.answered is None and decision.step != Step.STOP:
            # CloudWatch has no unit of minutes, in which the alarm's threshold is given.
            self._metrics.add_metric("DrainAgeMinutes", MetricUnit.NoUnit, _age_minutes(outcome))
        self._count("DrainsStarted", int(outcome.drained_now))
        self._count("HeartbeatsRecorded", int(outcome.heartbeat))
        self._count("UnseenPasses", int(decision.phase == Phase.UNSEEN))
        self._count("HopLimitsReached", int(decision.hop_limit))
        if outcome.answered is None:
            return
        self._count("DrainsCompleted", 1)
        self._metrics.add_metric(
            name="DrainDurationSeconds",
            unit=MetricUnit.Seconds,
            value=(look.now - look.drain.started_at).total_seconds(),
        )
        if decision.phase == HookPhase.OVERDUE:
            self._count("DeadlinesPassed", 1)
            self._count("TasksLeft", len(look.remaining) or look.counted)

    def _count(self, name: str, value: int) -> None:
        if value:
            self._metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def _names(action: LifecycleAction) -> dict[str, str]:
    return {
        "ec2_instance_id": action.ec2_instance_id,
        "auto_scaling_group_name": action.auto_scaling_group_name,
        "lifecycle_hook_name": action.lifecycle_hook_name,
    }


def _line(outcome: HookOutcome) -> dict[str, Any]:
    decision, look = outcome.decision, outcome.look
    instance = look.container_instance
    return {
        **_names(outcome.drain.action),
        "cluster": outcome.drain.cluster,
        "container_instance_arn": outcome.drain.container_instance_arn,
        "phase": decision.phase,
        "step": _step(outcome),
        "result": outcome.answered,
        "origin": look.drain.origin,
        "admission": outcome.admitted.admission,
        "hop": look.drain.hop,
        "started_at": look.drain.started_at.isoformat(),
        "age_minutes": _age_minutes(outcome),
        "deadline_at": look.deadline_at.isoformat(),
        "running_tasks": instance.running_tasks if instance else None,
        "pending_tasks": instance.pending_tasks if instance else None,
        "agent_connected": instance.agent_connected if instance else None,
        "remaining": [str(task) for task in look.remaining[:TASKS_NAMED_MAX]],
        "heartbeat": outcome.heartbeat,
        "reason": decision.reason,
    }


def _age_minutes(outcome: HookOutcome) -> float:
    age = outcome.look.now - outcome.drain.started_at
    return round(age.total_seconds() / SECONDS_PER_MINUTE, 1)


def _step(outcome: HookOutcome) -> str:
    """Name what was done; a wake-up, or a duplicate of an old message, is not re-invoked."""
    decision = outcome.decision
    if decision.act == Act.SET_DRAINING:
        return "drain, then re-invoke"
    if decision.step == Step.RE_INVOKE and not decision.republish:
        return "look only"
    return decision.step


def _request_line(report: Report) -> dict[str, Any]:
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
