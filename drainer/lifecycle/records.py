"""
The port to the store of drains' records; drainer/aws/records.py has the gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.drain.record import DrainRecord, Key
    from drainer.drain.record_write import Write, Written
    from drainer.errors import DrainerError

    Read = Mapping[Key, DrainRecord | DrainerError | None]


class RecordWrites(Protocol):
    """The store of records, as far as it is written, and read by instance."""

    def new_pass_id(self) -> str:
        """Return what no other write has."""

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Make each write if its condition holds; return what came of each."""

    def of_instance(
        self, instances: Iterable[str]
    ) -> Mapping[str, Sequence[DrainRecord | DrainerError | None]]:
        """Return the records of each EC2 instance; why, in the place of one that was not read."""


class FollowedRecords(RecordWrites, Protocol):
    """The store of records, for what follows those of drains that have ended."""

    def followed_keys(self) -> list[Key]:
        """Return the keys of the records that are followed; may raise a DrainerError."""


class Records(RecordWrites, Protocol):
    """The store of records, for drains under way."""

    def read(self, keys: Iterable[Key]) -> Read:
        """Return for each key its record, None where there is none, or why it was not read."""

    def open_keys(self) -> list[Key]:
        """Return the keys of all open records; may raise a DrainerError."""
