"""
The store of records in memory, by `holds` and `stored`, with switches for what can fail.

What is stored goes through the record's codec, so that what the table would lose is lost here too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from drainer.drain import record_codec
from drainer.drain.conditional_write import Demand, Outcome, Write, Written, holds, refused, stored
from drainer.drain.record import Key
from drainer.errors import DrainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

RETENTION = timedelta(days=90)

# What a write is called in the log of calls, unless it ends the drain.
VERBS = {
    Demand.ABSENT: "create",
    Demand.REPLACES: "replace",
    Demand.OVERTAKES: "overtake",
    Demand.SUCCEEDS: "create",
    Demand.FOLLOWS: "write",
    Demand.JOINS: "join",
    Demand.REOPENS: "reopen",
    Demand.FORGETS: "forget",
    Demand.SERVES: "serve",
    Demand.EXTENDS: "extend",
    Demand.RELEASES: "release",
}

Read = dict[Key, Any]


def untold(_name: str) -> None:
    """Take no note of a call."""


def said(write: Write) -> str:
    """Say what a write is: `create hop=1`, `write hop=2`, `end: answered CONTINUE`."""
    record, demand = write.record, write.condition.demand
    if demand in (Demand.FORGETS, Demand.SERVES):
        return VERBS[demand]
    return f"end: {record.end}" if record.end else f"{VERBS[demand]} hop={record.hop}"


@dataclass
class Records:
    """
    The records in memory.

    Attributes:
        codec: Of which kind they are.
        rows: What is stored.
        call: Is told the name of each call before it is served; it may let time pass.
        down: Why the table answers nothing at all; None where it does.
        unread: Why the record of a key cannot be read.
        unread_again: Why no record can be read that was read before.
        unindexed: Why the index cannot be read.
        unmade: Why writes are not made, though the caller cannot know that they are not.
        unmade_of: The same for writes to one key.
        unanswered: Why writes that are made have no answer.
        meanwhile: What somebody else stores just before the next write to its key; None where they
            delete it.
        writes: All writes that were asked for.
        made: Those of them that were made.
    """

    codec: Any = record_codec
    rows: dict[Key, Any] = field(default_factory=dict)
    call: Callable[[str], None] = untold
    down: DrainerError | None = None
    unread: dict[Key, DrainerError] = field(default_factory=dict)
    unread_again: DrainerError | None = None
    unindexed: DrainerError | None = None
    unmade: DrainerError | None = None
    unmade_of: dict[Key, DrainerError] = field(default_factory=dict)
    unanswered: DrainerError | None = None
    meanwhile: dict[Key, Any] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    made: list[Write] = field(default_factory=list)
    _known: set[Key] = field(default_factory=set)
    _ids: Iterator[int] = field(default_factory=count)

    def put(self, *records: Any) -> None:
        """Store records, whatever is there."""
        for record in records:
            self.rows[record.key] = self._through_the_codec(record)

    def new_pass_id(self) -> str:
        return f"pass-{next(self._ids)}"

    def read(self, keys: Iterable[Key]) -> Read:
        self.call("read")
        return {key: self._row(key) for key in keys}

    def write(self, writes: Sequence[Write]) -> list[Written]:
        return [self._write(write) for write in writes]

    def open_keys(self) -> list[Key]:
        return self._indexed(lambda record: record.is_open)

    def followed_keys(self) -> list[Key]:
        return self._indexed(lambda record: record.followed)

    def of_instance(self, instances: Iterable[str]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for instance in instances:
            self.call("query")
            rows = [self._row(key) for key in sorted(self.rows) if key.instance == instance]
            found[instance] = [self.down] if self.down else rows
        return found

    def _row(self, key: Key) -> Any:
        if self.unread_again and key in self._known:
            return self.unread_again
        self._known.add(key)
        return self.down or self.unread.get(key) or self.rows.get(key)

    def _indexed(self, is_in: Callable[[Any], bool]) -> list[Key]:
        self.call("query")
        error = self.down or self.unindexed
        if error:
            raise error
        return sorted(key for key, record in self.rows.items() if is_in(record))

    def _write(self, write: Write) -> Written:
        self.call(said(write))
        self.writes.append(write)
        key = write.record.key
        error = self.down or self.unmade or self.unmade_of.get(key)
        if error:
            return Written(Outcome.UNKNOWN, error=error)
        if key in self.meanwhile:
            theirs = self.meanwhile.pop(key)
            self.rows.pop(key, None)
            self.put(*([theirs] if theirs else []))
        there = self.rows.get(key)
        if not holds(write.condition, there):
            return refused(write, there)
        try:
            self.rows[key] = self._through_the_codec(stored(write, there))
        except DrainerError as unfit:
            return Written(Outcome.UNKNOWN, error=unfit)
        self.made.append(write)
        if self.unanswered:
            return Written(Outcome.UNKNOWN, error=self.unanswered)
        return Written(Outcome.DONE)

    def _through_the_codec(self, record: Any) -> Any:
        return self.codec.decode(self.codec.encode(record, RETENTION))
