"""
The book of requests: what tells a copy from the chain, an answered request from an open one, and a
lost chain from a live one.

Requests have a table of their own, and not yet the one of the drains' records.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

# Longer than any message about a request can still be under way: its queues keep them four days
# (infra/drainer.yaml), and what is older than an hour asks for nothing.
KEPT = timedelta(days=5)

# What one container remembers where there is no table.
ENTRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What is written of one request.

    Attributes:
        key: Stack and request id.
        version: How often it was written; an entry may only follow the one that was read.
        hop: The last pass that was begun.
        served: Whether that pass has published its re-invocation.
        at: When it was begun.
        deadline_at: When it must be answered.
        timeout_at: When CloudFormation gives up.
        state: The progress as JSON, the response URL in it; empty once it was answered.
        answered: What was answered; empty while it is open.
    """

    key: str
    version: int
    hop: int
    at: datetime
    deadline_at: datetime
    timeout_at: datetime
    state: str = field(repr=False)
    answered: str = ""
    served: bool = False

    @property
    def expires_at(self) -> datetime:
        """When nothing can ask for it any more."""
        return self.timeout_at + KEPT


class Book(Protocol):
    """Where requests are written down; every method may raise a DrainerError."""

    @property
    def durable(self) -> bool:
        """Whether it outlasts the process, so that messages need not carry the progress."""

    def look(self, key: str) -> Entry | None:
        """Return what is written of a request."""

    def save(self, entry: Entry) -> bool:
        """Write an entry, unless another of the same version was written meanwhile."""

    def unanswered(self) -> list[Entry]:
        """Return all that is written of requests that have no answer yet."""


class Memory:
    """
    A book for an installation without a table: it ends with the process, and knows no other's.

    Copies that reach another container are then answered twice, which CloudFormation ignores, and
    a lost chain stays lost; so infra/drainer.yaml has a table.
    """

    durable = False

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def look(self, key: str) -> Entry | None:
        """Return what is written of a request."""
        return self._entries.get(key)

    def save(self, entry: Entry) -> bool:
        """Write an entry, unless another of the same version was written meanwhile."""
        known = self._entries.get(entry.key)
        if known and known.version != entry.version - 1:
            return False
        self._entries[entry.key] = entry
        self._entries.move_to_end(entry.key)
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)
        return True

    def unanswered(self) -> list[Entry]:
        """Return all that is written of requests that have no answer yet."""
        return [entry for entry in self._entries.values() if not entry.answered]
