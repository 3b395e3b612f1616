"""
What the worlds of all seeds have in common: where the function reports to, and how calls go wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.faults.faults import READS
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.trace import Trace
    from drainer.simulation.services.messaging.call_time import CallTime


class SeedWorld:
    """A seed's account, its faults and its trace; each kind of seed adds what it is about."""

    account: Aws
    trace: Trace
    faults: Faults
    call_time: CallTime
    long_drain_minutes: int

    # What the function reports to

    def passed(self, report: Any, now: datetime) -> None:
        """Tell of nothing where no instance leaves."""

    def refused(self, record_id: str, refusal: Any) -> None:
        """Tell of a refusal."""
        self.trace.say("refused", f"{record_id}: {refusal}")

    def interrupted(self, reports: Any) -> None:
        """Tell of nothing: no instance is interrupted here."""

    def requested(self, report: Any) -> None:
        """Tell of nothing where no stack asks."""

    def returned(self, returned: Any) -> None:
        """Tell of instances that are in service again."""
        for one in returned:
            self.trace.say("returned", f"{one.ec2_instance_id} {one.done} {one.error}")

    def attended(self, event: Any) -> None:
        """Tell of an event that an operator has to see."""
        self.trace.say("attention", f"{event.event}: {event.reason}")

    def failed(self, reason: str) -> None:
        """Tell of a call that failed."""
        self.trace.say("failed", reason)

    def impaired(self, causes: Any) -> None:
        """Tell of nothing: the passes have told."""

    # The way into the account

    def ask(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the account answer a call, or go wrong as the faults have it."""
        kind = self.faults.before_call(service, operation)
        self.admit(operation, parameters)
        if kind == "stale" and operation in READS:
            past = self.faults.stale(operation, parameters)
            if past is not None:
                return past
        answer = self.answer(service, operation, parameters)
        if kind == "performed, answer lost":
            self.faults.strike("call performed, answer lost", operation)
            raise ApiError("InternalFailure", "injected: the answer is lost", 500)
        return self.faults.with_failures(operation, answer, kind)

    def admit(self, operation: str, parameters: dict[str, Any]) -> None:
        """Refuse nothing."""

    def answer(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the account answer."""
        return self.account.call(service, operation, parameters)
