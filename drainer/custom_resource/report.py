"""
What a pass did about one request of CloudFormation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.custom_resource.record import RequestRecord
    from drainer.custom_resource.request import Answer, Request
    from drainer.custom_resource.target_status import TargetStatus
    from drainer.invocation import InvocationClock


class Step(StrEnum):
    """What was done about a request."""

    ANSWERED = "answered"
    RE_INVOKE = "re-invoke"
    DUPLICATE = "duplicate"  # another pass serves it, or has
    OVER = "over"  # answered, or given up by CloudFormation
    REFUSED = "refused"  # not believed, or its answer was refused permanently
    RETRY = "retry"  # the message must be delivered again


@dataclass(slots=True)
class Report:
    """
    What a pass did about one request.

    Attributes:
        key: Stack and request id.
        request: The request; None where it is not known.
        answer: What was answered, or should have been.
        target_status: What was seen of the target.
        reason: Why, in words for an operator.
        errors: What failed on the way, and is done again.
        overdue: Whether it was answered because its deadline had passed.
        unanswered: Whether CloudFormation no longer waits, or refuses the answer permanently.
    """

    key: str
    hop: int
    request: Request | None = None
    step: Step = Step.RETRY
    answer: Answer | None = None
    target_status: TargetStatus | None = None
    reason: str = ""
    errors: tuple[str, ...] = ()
    overdue: bool = False
    unanswered: bool = False

    def add_error(self, what: str, error: object) -> None:
        """Note what failed; the next pass does it again."""
        self.errors = (*self.errors, f"{what}: {error}")


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over one request: its record as it was read, and where it is reported."""

    record: RequestRecord
    report: Report
    now: datetime
    time: InvocationClock
