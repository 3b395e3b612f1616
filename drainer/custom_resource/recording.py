"""
Read, claim and end the records of requests: one conditional write for each pass.

Requests that the release before this one has begun are read where it has written them, and written
like any other: what it wrote counts as long as there is no record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.properties import guard_of
from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.record import RequestRecord, key_of, name_of
from drainer.custom_resource.report import Step
from drainer.drain.record import End
from drainer.drain.record_write import Condition, Demand, Outcome, Write
from drainer.errors import DrainerError, NotForUsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.custom_resource.report import Pass
    from drainer.custom_resource.request import Request
    from drainer.drain.record import Key
    from drainer.drain.record_write import Written

# What a sweep sees through; the next one sees to others.
SWEPT_MAX = 20


class RequestRecords(Protocol):
    """The store of the requests' records; it says for each what it could not read or write."""

    def new_pass_id(self) -> str:
        """Return what no other write has."""

    def read(self, keys: Iterable[Key]) -> Mapping[Key, RequestRecord | DrainerError | None]:
        """Return for each key its record, None where there is none, or why it was not read."""

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Make each write if its condition holds; return what came of each."""

    def open_keys(self) -> list[Key]:
        """Return the keys of all open records; may raise a DrainerError."""


class FormerRequests(Protocol):
    """Where the release before this one has written requests; each may raise a DrainerError."""

    def look(self, request: str) -> RequestRecord | None:
        """Return what is written of a request."""

    def unanswered(self) -> list[RequestRecord]:
        """Return all that is written of requests that have no answer yet."""


class RequestRecorder:
    """
    The records of requests.

    Args:
        records: The store.
        former: Where the release before this one has written requests; None for nowhere.
        config: The function's settings.
    """

    def __init__(
        self, records: RequestRecords, former: FormerRequests | None, config: Config
    ) -> None:
        self._records = records
        self._former = former
        self._config = config

    def lost(self, now: datetime) -> list[Continuation]:
        """
        Return what goes on with the requests whose chain is lost, the most urgent first.

        Raises:
            DrainerError: The records could not be read.
        """
        read = self._records.read(self._records.open_keys()).values()
        return self._silent([one for one in read if isinstance(one, RequestRecord)], now)

    def lost_before(self, now: datetime) -> list[Continuation]:
        """
        Return the same for requests of which only the release before this one has written.

        Raises:
            DrainerError: They could not be read.
        """
        found = self._former.unanswered() if self._former else []
        read = self._records.read([one.key for one in found]) if found else {}
        return self._silent([one for one in found if read[one.key] is None], now)

    def _silent(self, records: Iterable[RequestRecord], now: datetime) -> list[Continuation]:
        interval = self._config.pass_interval_seconds
        lost = [one for one in records if one.is_silent(now, interval)]
        lost.sort(key=lambda one: one.deadline_at)
        return [Continuation(name_of(one), one.hop) for one in lost[:SWEPT_MAX]]

    def read(self, one: Request | Continuation, now: datetime) -> RequestRecord:
        """
        Return the record of a request; of one that is not in the table, what is to be its first.

        Raises:
            NotForUsError: Nobody has made it.
            DrainerError: The record could not be read.
        """
        key = key_of(one.key)
        record = self._records.read([key])[key]
        if isinstance(record, DrainerError):
            raise record
        if record is None and self._former is not None:
            record = self._former.look(one.key)
        if record is not None:
            return record
        if isinstance(one, Continuation):
            raise NotForUsError("a re-invocation for a request of which there is no record")
        guard, _ = guard_of(one.properties, self._config)
        return RequestRecord(
            key=key,
            generation=0,
            hop=0,
            pass_id="",
            written_at=now,
            began_at=one.started_at,
            deadline_at=one.deadline_at(guard),
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
        before = this.record
        record = replace(
            before,
            generation=before.generation or 1,
            hop=before.hop + 1,
            pass_id=self._records.new_pass_id(),
            written_at=this.time.now(),
            progress=progress,
            phase=str(step),
            reason=reason,
        )
        follows = Condition(Demand.FOLLOWS, before.generation, before.hop)
        condition = follows if before.generation else Condition(Demand.ABSENT)
        [written] = self._records.write([Write(record, condition)])
        if written.outcome == Outcome.DONE:
            return record
        if written.outcome == Outcome.UNKNOWN:
            raise written.error or UnavailableError("writing the request's record")
        this.report.step = Step.COPY
        return None

    def end(self, before: RequestRecord, end: End, this: Pass) -> bool:
        """Write down how a request has ended, without its URL; return whether this pass has."""
        now, report = this.time.now(), this.report
        record = replace(
            before,
            generation=before.generation or 1,
            pass_id=self._records.new_pass_id(),
            written_at=now,
            progress=None,
            phase=str(report.step),
            reason=report.reason,
            end=end,
            ended_at=now,
        )
        demand = Demand.OVER if end == End.OVER else Demand.ENDS
        condition = Condition(demand if before.generation else Demand.ABSENT, before.generation)
        [written] = self._records.write([Write(record, condition)])
        if written.outcome == Outcome.UNKNOWN:
            report.trouble("writing down the end", written.error)
        return written.outcome == Outcome.DONE
