"""
What the items of all kinds of records have in common: their names, and the fields of every kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.codec import count, instant
from drainer.drain.record import REASON_CHARACTERS_MAX, End, Key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.drain.record import Record

# A key of DynamoDB has at most 1,024 (sort) or 2,048 bytes; a group's and a hook's name have at
# most 255 characters each, a stack's ARN and a request's id fewer.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
NAME_CHARACTERS_MAX = 1_024
WORD_CHARACTERS_MAX = 64

# All that an item may have. The key is what nothing changes.
KEY_NAMES = ("instance", "subject")
NAMES = (
    *KEY_NAMES,
    "generation",
    "hop",
    "pass_id",
    "drain",
    "began_at",
    "written_at",
    "deadline_at",
    "extended_to",
    "extended_by",
    "released_by",
    "token",
    "phase",
    "reason",
    "counts",
    "tasks",
    "open",
    "served",
    "end",
    "ended_at",
    "previous",
    "expires_at",
)


def outline(record: Record, **more: Any) -> dict[str, Any]:
    """Return what a record of any kind has, and more, as plain values without what is empty."""
    values = {
        "instance": record.key.instance,
        "subject": record.key.subject,
        "generation": record.generation,
        "hop": record.hop,
        "pass_id": record.pass_id,
        "written_at": record.written_at.timestamp(),
        "phase": record.phase,
        "reason": record.reason,
        "end": str(record.end),
        "ended_at": seconds(record.ended_at),
        **more,
    }
    absent: tuple[Any, ...] = (None, "", [])
    return {name: value for name, value in values.items() if value not in absent}


def outlined(item: Mapping[str, Any], open_value: str) -> dict[str, Any]:
    """
    Return the fields that a record of any kind has.

    Args:
        item: Plain values.
        open_value: The index's partition key of what is open.

    Raises:
        KeyError, TypeError, ValueError: A field is missing, or not as it is written.
    """
    end, ended_at = End(item.get("end", "")), instant_in(item, "ended_at")
    if (not end) != (item.get("open") == open_value) or (not end) == bool(ended_at):
        raise ValueError("open, end and ended_at contradict each other")
    return {
        "key": Key(
            text(item, "instance", NAME_CHARACTERS_MAX), text(item, "subject", NAME_CHARACTERS_MAX)
        ),
        "generation": count(item["generation"]),
        "hop": count(item["hop"]),
        "pass_id": text(item, "pass_id", WORD_CHARACTERS_MAX),
        "written_at": instant(item["written_at"]),
        "phase": text(item, "phase", WORD_CHARACTERS_MAX),
        "reason": text(item, "reason", REASON_CHARACTERS_MAX),
        "end": end,
        "ended_at": ended_at,
    }


def seconds(at: datetime | None) -> float | None:
    """Return an instant as a number; None for none."""
    return None if at is None else at.timestamp()


def instant_in(item: Mapping[str, Any], name: str) -> datetime | None:
    """Return the instant in a field; None where there is none."""
    return instant(item[name]) if name in item else None


def text(item: Mapping[str, Any], name: str, most: int) -> str:
    """Return a text of at most so many characters, empty for none; raise TypeError."""
    value = item.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise TypeError(f"{name}: not a text of at most {most} characters")
    return value
