"""
What a request of CloudFormation is answered: by what its target is at, or at its deadline.

It looks and acts in between; it neither writes a record nor gives an answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.custom_resource.properties import Status, target_of
from drainer.custom_resource.reactivation import Restored, TargetReactivation, settled_id
from drainer.custom_resource.request import RESOURCE_TYPE, Answer, Request, RequestType
from drainer.custom_resource.stack import OUR_TYPES
from drainer.errors import MisconfiguredError
from drainer.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.config import Config
    from drainer.custom_resource.belief import Belief, Seen
    from drainer.custom_resource.progress import RequestProgress
    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.report import Pass, Report
    from drainer.custom_resource.target_drain import TargetDrain


class Answers:
    """Finds answers."""

    def __init__(
        self,
        drains: TargetDrain,
        reactivation: TargetReactivation,
        belief: Belief,
        config: Config,
    ) -> None:
        self._drains = drains
        self._reactivation = reactivation
        self._belief = belief
        self._config = config

    def _target(self, request: Request) -> tuple[DrainTarget | None, tuple[str, ...]]:
        if request.resource_type not in OUR_TYPES:
            kind = quoted(request.resource_type)
            return None, (f"the resource's type is {kind}: it must be {RESOURCE_TYPE}",)
        return target_of(request.properties, self._config)

    def find(self, seen: Seen, this: Pass) -> tuple[RequestProgress, Answer | None]:
        """Look, act, and return what is to be answered; None where that is open."""
        progress, request = seen.progress, seen.progress.request
        target, problems = self._target(request)
        if request.request_type != RequestType.DELETE:
            return self._keep(seen, target, problems, this)
        if target is None or request.stays_refused:
            reason = ". ".join(problems) if target is None else "the resource guarded no target"
            return progress, Answer(Status.SUCCESS, request.refused_id, f"Not drained: {reason}")
        if foreign := self._belief.foreign(seen, target, this.now):
            return progress, Answer(Status.SUCCESS, request.refused_id, f"Not drained: {foreign}")
        if stays := self._belief.stays(seen, target):
            restored = self._restore(progress, target, this)
            answer = Answer(Status.SUCCESS, request.physical_id, f"Not drained: {stays}")
            return restored.progress, answer if restored.complete else None
        return self._drain(replace(progress, believed=True), target, this)

    def _restore(self, progress: RequestProgress, target: DrainTarget, this: Pass) -> Restored:
        """Set ACTIVE what this stack has set DRAINING and what stays; that may be nothing."""
        try:
            restored = self._reactivation.restore(progress, target, this.time)
        except MisconfiguredError as error:
            this.report.add_error("Instances that stay were not set ACTIVE", error)
            return Restored(progress)
        this.report.errors = (*this.report.errors, *restored.errors)
        return restored

    def _keep(
        self, seen: Seen, target: DrainTarget | None, problems: Sequence[str], this: Pass
    ) -> tuple[RequestProgress, Answer | None]:
        """
        Answer a Create or an Update: the target is there, and none of it is DRAINING for us.

        CloudFormation rolls back to properties that were accepted once. They are not refused now:
        the stack would end in UPDATE_ROLLBACK_FAILED.
        """
        request, report, back = seen.progress.request, this.report, _goes_back(seen)
        if target is None or (problems and not back):
            status = Status.SUCCESS if back else Status.FAILED
            return seen.progress, Answer(status, request.refused_id, ". ".join(problems))
        old, _ = target_of(request.old_properties, self._config)
        physical_id = self._reactivation.physical_id(request, target, old, back=back)
        restored = self._reactivation.restore(seen.progress, target, this.time)
        report.errors = (*report.errors, *restored.errors)
        if not restored.complete:
            return restored.progress, None
        reason = ". ".join((f"{target} is guarded", *restored.errors))
        return restored.progress, Answer(Status.SUCCESS, physical_id, reason)

    def _drain(
        self, progress: RequestProgress, target: DrainTarget, this: Pass
    ) -> tuple[RequestProgress, Answer | None]:
        """Answer a Delete once nothing of the target has a task left."""
        report, request = this.report, progress.request
        target_status = self._drains.drain(progress, target, report.hop, this.time)
        report.target_status, report.errors = target_status, (*report.errors, *target_status.errors)
        if not target_status.complete:
            return target_status.progress, None
        what = "it no longer exists"
        if not target_status.gone:
            what = (
                f"{target_status.total} instances are drained"
                if target_status.total
                else "it has no instance"
            )
        return target_status.progress, Answer(
            Status.SUCCESS, request.physical_id, f"{target}: {what}"
        )

    def overdue(self, request: Request, seen: Seen, report: Report) -> Answer:
        """Return the answer that was decided upon beforehand; what was left is its reason."""
        target, _ = self._target(request)
        left = (
            report.target_status.remaining() if report.target_status else ". ".join(report.errors)
        )
        if request.request_type == RequestType.DELETE and target is not None:
            return _at_the_deadline(request, target, report, left)
        update = request.request_type == RequestType.UPDATE
        if target is not None and update and (seen.stack is None or seen.stack.rolls_back):
            # A stack that cannot go back is worse than one whose target is not seen.
            old, _ = target_of(request.old_properties, self._config)
            physical_id = settled_id(request, target, old, back=_goes_back(seen))
            return Answer(Status.SUCCESS, physical_id, f"{target} could not be read: {left}")
        return Answer(Status.FAILED, request.refused_id, f"The deadline has passed: {left}")


def _goes_back(seen: Seen) -> bool:
    """Whether this is the Update of a stack that rolls back."""
    update = seen.progress.request.request_type == RequestType.UPDATE
    return update and seen.stack is not None and seen.stack.rolls_back


def _at_the_deadline(request: Request, target: DrainTarget, report: Report, left: str) -> Answer:
    """Answer a Delete by its policy, unless all that is known of its target may go."""
    if report.target_status is not None and report.target_status.as_far_as_known:
        reason = f"{target}: {report.target_status.total} instances are drained, as far as is known"
        return Answer(Status.SUCCESS, request.physical_id, reason)
    reason = f"{left}. The deadline has passed and OnTimeout is {target.on_timeout}"
    return Answer(target.on_timeout, request.physical_id, reason)
