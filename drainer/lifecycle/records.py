"""
The port to the store of drains' records; drainer/aws/records.py has the gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from drainer.drain.record import DrainRecord
from drainer.drain.record_store import RecordStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.drain.record import Key
    from drainer.errors import DrainerError


class Records(RecordStore[DrainRecord], Protocol):
    """The store of the records of lifecycle actions."""

    def of_instance(
        self, instances: Iterable[str]
    ) -> Mapping[str, Sequence[DrainRecord | DrainerError | None]]:
        """Return the records of each EC2 instance; why, in the place of one that was not read."""

    def followed_keys(self) -> list[Key]:
        """Return the keys of the records that are followed; may raise a DrainerError."""
