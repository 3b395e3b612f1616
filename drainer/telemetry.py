"""
Say what a pass did: one JSON log line for each drain, and metrics in the embedded format.

No event, metadata or message is logged as a whole; what is quoted is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from drainer import attention, log_lines
from drainer.attention import age_minutes
from drainer.config import LONG_DRAIN_ALARM_MINUTES_DEFAULT
from drainer.custom_resource import report as request_report
from drainer.errors import NotForUsError, QuietError
from drainer.lifecycle.bringing_back import ACTIVE
from drainer.lifecycle.rules import Step
from drainer.spot.events import Interruption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger, Metrics

    from drainer.attention import Attention
    from drainer.custom_resource.report import Report
    from drainer.errors import DrainerError
    from drainer.lifecycle.bringing_back import Returned
    from drainer.lifecycle.controller import PassReport
    from drainer.lifecycle.outcome import HookOutcome
    from drainer.spot.report import InterruptionReport


class Telemetry:
    """
    Where a function reports to. This one reports nothing, for simulations by the thousand.

    Attributes:
        long_drain_minutes: Of what age, and of each multiple of it, a drain is told.
    """

    long_drain_minutes = LONG_DRAIN_ALARM_MINUTES_DEFAULT

    def passed(self, report: PassReport, now: datetime) -> None:
        """Report a pass, at an instant after it."""

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

    def untraced(self, reason: str) -> None:
        """Report a trace that was not written, which delays no drain."""

    def attended(self, event: Attention) -> None:
        """Report an event that an operator has to see."""

    def failed(self, reason: str) -> None:
        """Report a call that failed beside drains and requests."""

    def impaired(self, causes: Mapping[str, int]) -> None:
        """Report what an operator has to see if it lasts: how often, by cause."""


class Powertools(Telemetry):
    """Reports by Powertools for AWS Lambda: Logger and Metrics."""

    def __init__(self, logger: Logger, metrics: Metrics) -> None:
        self._logger = logger
        self._metrics = metrics

    def passed(self, report: PassReport, now: datetime) -> None:
        """Report a pass: a line for each drain, warnings for what failed, and counts."""
        for problem in report.problems:
            self._logger.error("misconfigured", reason=problem)
        self._count("Passes", len(report.outcomes))
        causes = attention.impairments(report)
        self._count("CallsFailed", causes["calls_failed"])
        self._count("UnseenPasses", causes["unseen"])
        self.impaired(causes)
        self._count("PassesRetried", sum(bool(outcome.retry_reason) for outcome in report.outcomes))
        self._count("Duplicates", len(report.not_admitted))
        for one in report.not_admitted:
            line = {"admission": one.admission, **log_lines.names(one.drain.action)}
            self._logger.info("acknowledged", extra=line)
        for outcome in report.outcomes:
            self._logger.info("pass", extra=log_lines.drain_line(outcome))
            names = log_lines.names(outcome.drain.action)
            for error in outcome.errors:
                self._logger.warning("call failed", extra={"reason": error, **names})
            if outcome.retry_reason:
                self._logger.error("retry", extra={"reason": outcome.retry_reason, **names})
            for event in attention.of_drain(outcome, self.long_drain_minutes, now):
                self._attend(event, names)
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
            self.impaired({"calls_failed": len(report.errors)})
            if report.denied:
                self._count("InterruptionsDenied", 1)
                self._attend(attention.of_denial(), gone.names())
            if report.first:
                recommended = isinstance(gone, Interruption) and not gone.hasty
                self._count("Recommendations" if recommended else "Interruptions", 1)
                self._count("TargetsDeregistered", targets)
                self._count("InterruptionsLate", len(report.late))

    def requested(self, report: Report) -> None:
        """Report a pass over a request of CloudFormation: a line, and counts; never its URL."""
        line = log_lines.request_line(report)
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
        for event in attention.of_request(report):
            self._attend(event, {key: line[key] for key in ("stack_id", "logical_resource_id")})
        self._count("CallsFailed", len(report.errors))
        self.impaired({"calls_failed": len(report.errors)})
        self._count("RequestPassesRetried", int(report.step == request_report.Step.RETRY))
        self._count("RequestTimeouts", int(attention.is_timed_out(report)))
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
        self.impaired({"calls_failed": sum(bool(one.error) for one in returned)})

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Report an exception that was not foreseen, and whose pass it ended."""
        self._count("Crashes", 1)
        self._logger.error(
            "crashed",
            exc_info=error,
            extra={"ec2_instance_ids": ec2_instance_ids[: log_lines.TASKS_NAMED_MAX]},
        )
        self.attended(attention.of_crash(error))

    def failed(self, reason: str) -> None:
        """Report a call that failed beside drains and requests."""
        self._logger.warning("call failed", extra={"reason": reason})
        self._count("CallsFailed", 1)
        self.impaired({"calls_failed": 1})

    def untraced(self, reason: str) -> None:
        """Report a trace that was not written: a line and a count, which raise no alarm."""
        self._logger.warning("call failed", extra={"reason": reason})
        self._count("CallsFailed", 1)

    def attended(self, event: Attention) -> None:
        """Report an event that an operator has to see: one line, and the alarm's metric."""
        self._attend(event, {})

    def _attend(self, event: Attention, names: Mapping[str, Any]) -> None:
        line = {"event": event.event, "reason": event.reason, **names}
        self._logger.error("attention", extra=line)
        self._count("Attention", 1)

    def impaired(self, causes: Mapping[str, int]) -> None:
        """Report what an operator has to see if it lasts: one line, and the alarm's metric."""
        if any(causes.values()):
            self._logger.warning("impaired", extra={**causes})
            self._count("Impaired", sum(causes.values()))

    def _measure(self, outcome: HookOutcome) -> None:
        decision, look = outcome.decision, outcome.look
        if outcome.answered is None and decision.step != Step.STOP:
            # CloudWatch has no unit of minutes.
            self._metrics.add_metric("DrainAgeMinutes", MetricUnit.NoUnit, age_minutes(outcome))
        self._count("DrainsStarted", int(outcome.drained_now))
        self._count("HeartbeatsRecorded", int(outcome.heartbeat))
        self._count("HopLimitsReached", int(decision.hop_limit))
        if outcome.answered is None:
            return
        self._count("DrainsCompleted", 1)
        self._metrics.add_metric(
            name="DrainDurationSeconds",
            unit=MetricUnit.Seconds,
            value=(look.now - look.drain.started_at).total_seconds(),
        )
        if outcome.missed_deadline:
            self._count("DeadlinesPassed", 1)
            self._count("TasksLeft", outcome.tasks_left)

    def _count(self, name: str, value: int) -> None:
        if value:
            self._metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
