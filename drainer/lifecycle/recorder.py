"""
Read, claim and end the records of a pass's drains: one conditional write for each, by the protocol.

It decides nothing about an instance. A table that does not answer loses no drain: the message
carries what the record would, and the pass goes by that.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.drain.actions import CALL_SECONDS
from drainer.drain.admission import Admission, Admitted, admit, waits_for_another
from drainer.drain.conditional_write import Demand, Write, Written
from drainer.drain.conditional_write import Outcome as Made
from drainer.drain.model import Origin
from drainer.drain.record import DrainRecord, key_of
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.lifecycle import record_writes
from drainer.lifecycle.record_writes import ENDS, Stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from drainer.drain.model import Drain, LifecycleActionResult
    from drainer.drain.record import Key
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.open_drains import OpenDrains
    from drainer.lifecycle.outcome import HookOutcome
    from drainer.lifecycle.records import Records

WRITING = "The drain's record was not written"
NOT_READ_AGAIN = "The drain's record could not be read again. The next pass answers"
EXTENDED = "The deadline was extended after this pass began. The next pass goes by it"
NOT_LISTED = "Open records could not be listed"
PROBLEMS_MAX = 10  # of one kind, in one pass
NO_TIME_TO_WRITE = "No time was left to write the drain's record"


class Recorder:
    """The records of one pass."""

    def __init__(self, records: Records, time: InvocationClock, pass_interval_seconds: int) -> None:
        self._records = records
        self._time = time
        self._pass_interval_seconds = pass_interval_seconds
        self._down: DrainerError | None = None
        self.problems: list[str] = []  # what somebody has to correct, in words for an operator

    def admit(self, drains: Sequence[Drain]) -> list[Admitted]:
        """Read the records of drains, and say what becomes of each."""
        read = self._records.read([key_of(drain.action) for drain in drains]) if drains else {}
        errors = [one for one in read.values() if isinstance(one, UnavailableError)]
        if errors and len(errors) == len(read):
            self._down = errors[0]
        now = self._time.now()
        return [
            admit(drain, read[key_of(drain.action)], now, self._pass_interval_seconds)
            for drain in drains
        ]

    def waiting(self, found: Sequence[Drain]) -> list[Admitted]:
        """Admit what Auto Scaling lists as waiting, for each hook of ours in its group."""
        admitted = self.admit(found)
        beside: dict[str, list[DrainRecord]] = defaultdict(list)
        for one in admitted:
            if one.record:
                beside[one.record.key.instance].append(one.record)
        return [
            one
            for one in admitted
            if not (one.record and waits_for_another(one.record, beside[one.record.key.instance]))
        ]

    def stopped(
        self, container_instance_arns: Collection[str], open_drains: OpenDrains
    ) -> list[Admitted]:
        """
        Return the open drains of container instances on which a task has stopped.

        Where the set of tasks is not closed, one more look cannot release the instance. The index
        tells at once, and for half a read unit, that nothing is being drained. Where it cannot be
        read, the next pass of each drain looks.
        """
        if not container_instance_arns or self._down is not None:
            return []
        try:
            found = open_drains.of(container_instance_arns, self._records, self._time.now())
        except DrainerError as error:
            self.problems.append(f"{NOT_LISTED}: {error}")
            return []
        return self._found([one for one in found if one.drain.closed], Origin.WAKE_UP)

    def silent(self) -> list[Admitted]:
        """
        Return the drains whose chains are lost, the nearest deadline first.

        Where the index cannot be read, Auto Scaling's list finds what waits.
        """
        try:
            rows = self._records.read(self._records.open_keys()).values()
        except DrainerError as error:
            self.problems.append(f"{NOT_LISTED}: {error}")
            return []
        return sorted(
            self._found(rows, Origin.SWEEP),
            key=lambda one: one.drain.deadline_at or one.drain.started_at,
        )

    def _found(
        self, rows: Iterable[DrainRecord | DrainerError | None], origin: Origin
    ) -> list[Admitted]:
        """Admit drains by their records; what cannot be read is found again."""
        rows = list(rows)
        odd = [
            f"A record was not read: {one}" for one in rows if isinstance(one, MisconfiguredError)
        ]
        self.problems += odd[:PROBLEMS_MAX]
        records = [one for one in rows if isinstance(one, DrainRecord) and one.is_open]
        now, interval = self._time.now(), self._pass_interval_seconds
        found = [
            admit(replace(one.drain, origin=origin, generation=one.generation), one, now, interval)
            for one in records
        ]
        return [one for one in found if one.admission.goes_on]

    def draining_again(self, keys: Sequence[Key]) -> dict[Key, datetime]:
        """
        Return since when other drains of the same EC2 instances have seen it DRAINING.

        One that has just seen it ACTIVE has no such instant yet: what it has written counts.
        """
        if not keys or self._down is not None:
            return {}
        now = self._time.now()
        found: dict[Key, datetime] = {}
        for key, one in self._records.read(keys).items():
            if not isinstance(one, DrainRecord) or not one.is_open:
                continue
            looks = one.drain.container_instance_arn and not self._is_silent(one, now)
            if since := one.drain.draining_since or (one.written_at if looks else None):
                found[key] = since
        return found

    def _is_silent(self, record: DrainRecord, now: datetime) -> bool:
        return record.is_silent(now, self._pass_interval_seconds)

    def create(self, outcomes: Sequence[HookOutcome]) -> None:
        """
        Create the records of what the sweep has found, before its first heartbeat.

        A drain without a token has its deadline from the record: without a record each sweep would
        begin another drain with another deadline.
        """
        for outcome in outcomes:
            write = record_writes.creation(outcome, self._stamp())
            written = self._write(outcome, write)
            if written is None or written.outcome == Made.UNKNOWN:
                outcome.put_off("The drain's record was not created")
            elif written.outcome == Made.REFUSED:
                outcome.duplicate = True
            elif isinstance(record := write.record, DrainRecord):
                outcome.admitted = Admitted(Admission.DUE, record.drain, record)

    def drop_outdated(self, outcomes: Sequence[HookOutcome]) -> None:
        """
        Take for duplicates what is about to be answered by a record that others have written since.

        Another pass may have seen the instance ACTIVE meanwhile, when tasks may have been placed:
        it writes that before it sets it DRAINING again. NEW and JOIN do not go by the record. If a
        record cannot be read again, the next pass answers, past the deadline this one.
        """
        based = [o for o in outcomes if o.record and o.admitted.drain.generation]
        if not based:
            return
        has_time = self._time.seconds_left() >= 2 * CALL_SECONDS
        asks = has_time and self._down is None
        read = self._records.read([key_of(o.drain.action) for o in based]) if asks else {}
        for outcome in based:
            now, before = read.get(key_of(outcome.drain.action)), outcome.record
            if before is not None and isinstance(now, DrainRecord):
                same = (now.generation, now.hop) == (before.generation, before.hop)
                outcome.duplicate = not same
                if outcome.look.is_late and now.drain.extended_to != before.drain.extended_to:
                    outcome.answer_later(EXTENDED)
            elif not outcome.look.is_late:
                outcome.answer_later(NOT_READ_AGAIN)

    def end_first(self, outcome: HookOutcome, result: LifecycleActionResult) -> bool:
        """
        Write the end of what has no token before it is answered; return whether that was done.

        Left open, the record would be taken for that of the next action, whose deadline it is not.
        If it has a token by now it stays open: a pass that dies here would lose the token.
        """
        if outcome.record is None:
            return True
        write = record_writes.ending(
            outcome, outcome.record, ENDS[result], self._stamp(), first=True
        )
        written = self._write(outcome, write)
        return written is not None and written.outcome == Made.DONE

    def reopen(self, outcome: HookOutcome) -> None:
        """
        Take back the end that was written before an answer which Auto Scaling has refused.

        The action waits as before: ended, it would be found minutes later, with a new deadline.
        """
        if outcome.record is not None and not outcome.named:
            self._write(outcome, record_writes.reopening(outcome.record, self._stamp()))

    def claim(self, outcomes: Sequence[HookOutcome]) -> list[HookOutcome]:
        """
        Write the records of drains that go on; return those that may be published.

        Time is left to publish them: what is claimed and not published waits for its message to
        come again, and for the record to be silent.
        """
        claimed, slowest = [], 0.0
        for outcome in outcomes:
            left = self._time.seconds_left()
            if left < CALL_SECONDS + slowest:
                outcome.put_off(NO_TIME_TO_WRITE)
            elif self._claim(outcome):
                claimed.append(outcome)
            slowest = max(slowest, left - self._time.seconds_left())
        return claimed

    def _claim(self, outcome: HookOutcome) -> bool:
        """Claim the hop of one drain; return whether what follows may be published."""
        stamp = self._stamp()
        silent = outcome.record is not None and self._is_silent(outcome.record, stamp.now)
        write = record_writes.claim(outcome, stamp, silent=silent)
        if write is None:
            return True
        may_publish = self._may_publish(outcome, write)
        joins = outcome.admitted.admission == Admission.JOIN
        if joins and outcome.recorded and not silent:
            # A token of which nothing is known may be nowhere but in this message, which goes on.
            outcome.duplicate = True
            return False
        return may_publish

    def _may_publish(self, outcome: HookOutcome, write: Write) -> bool:
        written = self._write(outcome, write)
        if written is None:
            outcome.put_off(NO_TIME_TO_WRITE)
            return False
        claims = write.condition.demand == Demand.FOLLOWS
        outcome.recorded = written.outcome == Made.DONE
        if claims or outcome.recorded:
            # A message must not name a generation that may never have been written: it would be
            # taken for another action's. By its token it finds the record, should there be one.
            outcome.generation = write.record.generation
            outcome.hop = write.record.hop
        if written.outcome == Made.UNKNOWN:
            if outcome.admitted.admission != Admission.TAKEOVER:
                return True
            # The record stays silent, so that each who comes would begin a chain of its own.
            outcome.put_off("The drain was not taken over")
        elif written.outcome == Made.REFUSED:
            there = written.there
            if there is not None and (claims or there.token == write.record.token):
                outcome.duplicate = True
            else:
                outcome.put_off("Another pass has changed the drain's record")
        return outcome.recorded

    def end(self, outcomes: Sequence[HookOutcome]) -> None:
        """Write down how drains have ended."""
        for outcome in outcomes:
            write = record_writes.end(outcome, self._stamp())
            if write is not None and self._write(outcome, write) is None:
                outcome.add_error(WRITING, "no time was left")

    def _stamp(self) -> Stamp:
        return Stamp(self._records.new_pass_id(), self._time.now())

    def _write(self, outcome: HookOutcome, write: Write) -> Written | None:
        """Write one record; return None where no time is left."""
        if self._time.seconds_left() < CALL_SECONDS:
            return None
        if self._down is not None:
            # More tries would take the time that publications need.
            return Written(Made.UNKNOWN, error=self._down)
        [written] = self._records.write([write])
        if written.outcome == Made.UNKNOWN and written.error is not None:
            outcome.add_error(WRITING, written.error)
            if isinstance(written.error, UnavailableError):
                self._down = written.error
        return written
