"""
The port to a store of records, whatever their kind; drainer/aws/records.py has the gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from drainer.drain.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.drain.conditional_write import Write, Written
    from drainer.drain.record import Key
    from drainer.errors import DrainerError

Kind_co = TypeVar("Kind_co", bound=Record, covariant=True)


class RecordStore(Protocol[Kind_co]):
    """The store of records; it says for each what it could not read or write."""

    def new_pass_id(self) -> str:
        """Return what no other write has."""

    def read(self, keys: Iterable[Key]) -> Mapping[Key, Kind_co | DrainerError | None]:
        """Return for each key its record, None where there is none, or why it was not read."""

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Make each write if its condition holds; return what came of each."""

    def open_keys(self) -> list[Key]:
        """Return the keys of all open records; may raise a DrainerError."""
