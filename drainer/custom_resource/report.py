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
    GOES_ROUND = "re-invoke"
    COPY = "duplicate"  # another pass serves it, or has
    OVER = "over"  # answered, or given up by CloudFormation
    REFUSED = "refused"  # not believed, or its answer was refused for good
    UNDONE = "retry"  # the message must be delivered again


@dataclass(slots=True)
class Report:
    """
    What a pass did about one request.

    Attributes:
        key: Stack and request id.
        request: The request; None where it is not known.
        answer: What was answered, or should have been.
        muster: What was seen of the target.
        reason: Why, in words for an operator.
        troubles: What failed on the way, and is done again.
        overdue: Whether it was answered because its deadline had passed.
        unanswered: Whether CloudFormation no longer waits, or refuses the answer for good.
    """

    key: str
    hop: int
    request: Request | None = None
    step: Step = Step.UNDONE
    answer: Answer | None = None
    muster: TargetStatus | None = None
    reason: str = ""
    troubles: tuple[str, ...] = ()
    overdue: bool = False
    unanswered: bool = False

    def trouble(self, what: str, error: object) -> None:
        """Note what failed; the next pass does it again."""
        self.troubles = (*self.troubles, f"{what}: {error}")


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over one request: its record as it was read, and where it is reported."""

    record: RequestRecord
    report: Report
    now: datetime
    time: InvocationClock
