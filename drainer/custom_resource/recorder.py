"""
Read, claim and end the records of requests: one conditional write for each pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.properties import target_of
from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.record import RequestRecord, key_of, name_of
from drainer.custom_resource.report import Step
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write
from drainer.drain.record import End
from drainer.drain.record_store import RecordStore
from drainer.errors import DrainerError, NotForUsError, UnavailableError

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.config import Config
    from drainer.custom_resource.report import Pass
    from drainer.custom_resource.request import Request
    from drainer.drain.conditional_write import Written
    from drainer.drain.record import Key

# The most requests that a sweep resumes. The next sweep resumes others.
SWEPT_MAX = 20


class RequestRecords(RecordStore[RequestRecord], Protocol):
    """The store of the records of requests."""

    def former_keys(self) -> list[Key]:
        """
        Return the keys of what only the release before this one has written, and is open.

        Such a record is read like any other, with generation 0. Raises a DrainerError.
        """


class RequestRecorder:
    """The records of requests."""

    def __init__(self, records: RequestRecords, config: Config) -> None:
        self._records = records
        self._config = config

    def lost(self, now: datetime, *, former: bool = False) -> list[Continuation]:
        """
        Return what goes on with the requests whose chain is lost, the most urgent first.

        Args:
            now: The present instant.
            former: Whether those are looked for that only the release before has written.

        Raises:
            DrainerError: The records could not be read.
        """
        keys = self._records.former_keys() if former else self._records.open_keys()
        read, interval = self._records.read(keys).values(), self._config.pass_interval_seconds
        records = [one for one in read if isinstance(one, RequestRecord)]
        silent = [one for one in records if one.is_silent(now, interval)]
        silent.sort(key=lambda one: one.deadline_at)
        return [Continuation(name_of(one.key), one.hop) for one in silent[:SWEPT_MAX]]

    def read(self, one: Request | Continuation, now: datetime) -> RequestRecord:
        """
        Return the record of a request; of one that is not in the table, what is to be its first.

        Raises:
            NotForUsError: No such request was made.
            DrainerError: The record could not be read.
        """
        key = key_of(one.key)
        record = self._records.read([key])[key]
        if isinstance(record, DrainerError):
            raise record
        if record is not None:
            return record
        if isinstance(one, Continuation):
            raise NotForUsError("a re-invocation for a request of which there is no record")
        target, _ = target_of(one.properties, self._config)
        return RequestRecord(
            key=key,
            generation=0,
            hop=0,
            pass_id="",
            written_at=now,
            began_at=one.started_at,
            deadline_at=one.deadline_at(target),
            progress=RequestProgress(one),
        )

    def claim(
        self, progress: RequestProgress, step: Step, reason: str, this: Pass
    ) -> RequestRecord | None:
        """
        Write what this pass has come to; None where another pass has had the hop.

        Raises:
            DrainerError: It may have been written or not: the message must be delivered again.
        """
        hop, changes = this.record.hop, {"progress": progress, "phase": str(step), "reason": reason}
        record = self._following(this.record, this, hop=hop + 1, **changes)
        written = self._write(record, Condition(Demand.FOLLOWS, this.record.generation, hop))
        if written.outcome == Outcome.DONE:
            return record
        if written.outcome == Outcome.UNKNOWN:
            raise written.error or UnavailableError("The request's record was not written")
        this.report.step = Step.DUPLICATE
        return None

    def end(self, before: RequestRecord, end: End, this: Pass) -> bool:
        """Write down how a request has ended, without its URL; return whether this pass has."""
        report, now = this.report, this.time.now()
        changes = {"phase": str(report.step), "reason": report.reason, "ended_at": now}
        record = self._following(before, this, progress=None, end=end, **changes)
        demand = Demand.OVER if end == End.OVER else Demand.ENDS
        written = self._write(record, Condition(demand, before.generation))
        if written.outcome == Outcome.UNKNOWN:
            report.add_error("The end of the request was not written", written.error)
        return written.outcome == Outcome.DONE

    def _following(self, before: RequestRecord, this: Pass, **changes: Any) -> RequestRecord:
        pass_id, now = self._records.new_pass_id(), this.time.now()
        first = before.generation or 1
        return replace(before, generation=first, pass_id=pass_id, written_at=now, **changes)

    def _write(self, record: RequestRecord, condition: Condition) -> Written:
        # What is not in the table yet must still not be there.
        condition = condition if condition.generation else Condition(Demand.ABSENT)
        [written] = self._records.write([Write(record, condition)])
        return written
