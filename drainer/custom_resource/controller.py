"""
Pass over the requests of CloudFormation: look, answer once, or publish a re-invocation.

A pass reads the request's record, looks, acts, makes one conditional write, and only then publishes
or answers. The write succeeds for one pass of a hop, and what is going to be answered is in it: so
one answer is given, however often messages come. (A function that dies between its answer and the
write that says so gives the same answer again, which CloudFormation ignores.)
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer.custom_resource.belief import Seen
from drainer.custom_resource.properties import Status
from drainer.custom_resource.re_invocation import Continuation, encode, hop_of
from drainer.custom_resource.record import admit
from drainer.custom_resource.report import Pass, Report, Step
from drainer.custom_resource.request import Answer, Request, response
from drainer.drain.actions import NO_TIME, UNIT_SECONDS
from drainer.drain.admission import Admission
from drainer.drain.record import End
from drainer.errors import (
    DrainerError,
    MalformedEventError,
    MisconfiguredError,
    NotForUsError,
    UnavailableError,
)

if TYPE_CHECKING:
    from drainer.codec import Topic
    from drainer.config import Config
    from drainer.custom_resource.answers import Answers
    from drainer.custom_resource.belief import Belief
    from drainer.custom_resource.progress import RequestProgress
    from drainer.custom_resource.re_invocation import Asked
    from drainer.custom_resource.record import RequestRecord
    from drainer.custom_resource.recorder import RequestRecorder
    from drainer.invocation import InvocationClock

# Answering makes up to three attempts of three seconds, and waits in between.
ANSWERING_SECONDS = 11.0

GIVEN_UP = "CloudFormation no longer waits"
ENDS = {Status.SUCCESS: End.SUCCESS, Status.FAILED: End.FAILED}


class Respond(Protocol):
    """Puts an answer where CloudFormation waits for it."""

    def __call__(self, url: str, body: bytes, /) -> None:
        """Put it; raise UnavailableError if it may be taken later, else MisconfiguredError."""


class RequestController:
    """Passes over requests of CloudFormation."""

    def __init__(
        self,
        *,
        answers: Answers,
        belief: Belief,
        recorder: RequestRecorder,
        topic: Topic,
        respond: Respond,
        config: Config,
    ) -> None:
        self._answers = answers
        self._belief = belief
        self.recorder = recorder
        self._topic = topic
        self._respond = respond
        self._config = config

    def run_pass(self, one: Asked, time: InvocationClock) -> Report:
        """Serve one request; what failed is in the report."""
        report, now = Report(one.key, hop_of(one)), time.now()
        try:
            this = Pass(self.recorder.read(one, now), report, now, time)
            progress = self._admitted(this)
            if progress is None:
                return report
            report.request = progress.request
            if time.seconds_left() < ANSWERING_SECONDS + UNIT_SECONDS:
                report.reason = NO_TIME
                self._re_invoke(progress, this, postponed=True)
            else:
                self._pass(progress, this)
        except (MalformedEventError, NotForUsError) as refusal:
            report.step, report.reason = Step.REFUSED, str(refusal)
        except DrainerError as error:
            report.step, report.reason = Step.RETRY, str(error)
        return report

    def _admitted(self, this: Pass) -> RequestProgress | None:
        """Return the progress of a request that this pass may serve; None where it may not."""
        record, report, progress = this.record, this.report, this.record.progress
        interval = self._config.pass_interval_seconds
        admission = admit(report.hop, record, this.now, interval)
        if progress is None or admission == Admission.ENDED:
            report.step, report.reason = Step.OVER, str(record.end)
            return None
        if this.now >= progress.request.timeout_at:
            report.step, report.reason = Step.OVER, GIVEN_UP
            report.unanswered = self.recorder.end(record, End.OVER, this)
            return None
        if admission not in (Admission.DUE, Admission.TAKEOVER):
            report.step = Step.DUPLICATE
            return None
        return progress

    def _pass(self, progress: RequestProgress, this: Pass) -> None:
        request, report = progress.request, this.report
        seen, missing = Seen(progress), False
        if progress.answer is not None:
            report.answer = progress.answer  # decided by a pass that could not give it
        else:
            try:
                seen = self._belief.look(progress, this.now)
                progress, report.reason = seen.progress, seen.doubt
                if not seen.doubt:
                    progress, report.answer = self._answers.find(seen, this)
            except NotForUsError as refusal:
                report.reason = str(refusal)
                self.recorder.end(this.record, End.OVER, this)
                raise
            except (MisconfiguredError, UnavailableError) as error:
                report.add_error("The stack or the target was not read", error)
                missing = isinstance(error, MisconfiguredError)
        late = self._is_late(request, this) or (missing and this.now >= request.looked_for_until)
        if report.answer is None and not seen.doubt and late:
            report.overdue = True
            report.answer = self._answers.overdue(request, seen, report)
        if report.answer is None:
            self._re_invoke(progress, this)
        else:
            self._answer(replace(progress, answer=report.answer), report.answer, this)

    def _is_late(self, request: Request, this: Pass) -> bool:
        """Whether the deadline has passed, or the next pass would come too late to answer."""
        seconds = self._config.pass_interval_seconds + ANSWERING_SECONDS
        next_at = this.now + timedelta(seconds=seconds)
        return this.now >= this.record.deadline_at or next_at >= request.timeout_at

    def _answer(self, progress: RequestProgress, answer: Answer, this: Pass) -> None:
        """Write down what is going to be answered, so that it stays the same; then answer."""
        request, report = progress.request, this.report
        claimed = self.recorder.claim(progress, Step.ANSWERED, answer.reason, this)
        if claimed is None:
            report.answer = None
            return
        try:
            self._respond(request.response_url, response(request, answer))
        except UnavailableError as error:
            report.add_error("The response was not accepted", error)
            self._publish(claimed, report)
            return
        except MisconfiguredError as error:
            # CloudFormation will not accept it later either, and waits for its timeout.
            report.step, report.reason = Step.REFUSED, f"The response was refused: {error}"
            report.unanswered = True
        else:
            report.step, report.reason = Step.ANSWERED, answer.reason
        self.recorder.end(claimed, End.OVER if report.unanswered else ENDS[answer.status], this)

    def _re_invoke(self, progress: RequestProgress, this: Pass, *, postponed: bool = False) -> None:
        report = this.report
        if report.target_status is not None:
            report.reason = report.target_status.remaining()
        claimed = self.recorder.claim(progress, Step.RE_INVOKE, report.reason, this)
        if claimed is not None:
            self._publish(claimed, report, postponed=postponed)

    def _publish(self, claimed: RequestRecord, report: Report, *, postponed: bool = False) -> None:
        """
        Publish the re-invocation.

        Raises:
            UnavailableError: It was not published; the message must be delivered again.
        """
        text = encode(Continuation(report.key, claimed.hop, postponed))
        if refusals := self._topic.publish([text]):
            raise UnavailableError(f"The re-invocation was not published: {refusals[0]}")
        report.step = Step.RE_INVOKE
