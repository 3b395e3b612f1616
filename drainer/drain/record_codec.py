"""
A drain's record as plain values, and back: bounded and strict, for one record that cannot be read
must be told from one that is not there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.codec import count, instant
from drainer.drain import envelope
from drainer.drain.attributes import checksum
from drainer.drain.envelope import ENVELOPE_BYTES_MAX
from drainer.drain.record import (
    REASON_CHARACTERS_MAX,
    TASKS_MAX,
    DrainRecord,
    End,
    Key,
    Previous,
    key_of,
)
from drainer.errors import MalformedEventError, MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


# The values of the index's partition key. What has ended and is not followed has none, so that it
# is not in the index.
OPEN, FOLLOWED = "1", "2"

# A key of DynamoDB has at most 1,024 (sort) or 2,048 bytes; a group's and a hook's name have at
# most 255 characters each, a stack's ARN and a request's id fewer.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
NAME_CHARACTERS_MAX = 1_024
WORD_CHARACTERS_MAX = 64

REQUIRED = (
    "instance",
    "subject",
    "generation",
    "hop",
    "pass_id",
    "drain",
    "began_at",
    "written_at",
)
# All that an item may have. The key is what nothing changes.
KEY_NAMES = ("instance", "subject")
# What the envelope inside leaves to the item.
APART = ("action", "started_at", "deadline_at")
NAMES = (
    *REQUIRED,
    "deadline_at",
    "token",
    "phase",
    "reason",
    "counts",
    "tasks",
    "open",
    "end",
    "ended_at",
    "previous",
    "expires_at",
)


def encode(record: DrainRecord, retention: timedelta) -> dict[str, Any]:
    """
    Return the record as plain values; what is empty is left out.

    Token and deadline have fields of their own, since the join of a token changes them alone. The
    envelope is without them, and without what the key and the beginning say: a write costs one
    unit for each begun kilobyte.

    Raises:
        MalformedEventError: The drain is longer than an envelope may be.
        MisconfiguredError: The drain has another key than its record.
    """
    values = {
        "instance": record.key.instance,
        "subject": record.key.subject,
        "generation": record.generation,
        "hop": record.hop,
        "pass_id": record.pass_id,
        "token": record.token,
        "began_at": record.drain.started_at.timestamp(),
        "deadline_at": _seconds(record.drain.deadline_at),
        "drain": _drain_text(record),
        "written_at": record.written_at.timestamp(),
        "phase": record.phase,
        "reason": record.reason,
        "counts": {"running": record.running, "pending": record.pending},
        "tasks": list(record.tasks),
        "open": OPEN if record.is_open else FOLLOWED * record.followed,
        "end": str(record.end),
        "ended_at": _seconds(record.ended_at),
        "previous": _previous(record.previous),
        # TTL takes whole seconds.
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
        "expires_at": int(record.expires_at(retention).timestamp()),
    }
    absent: tuple[Any, ...] = (None, "", [])
    values["counts"] = values["counts"] if record.running or record.pending else None
    return {name: value for name, value in values.items() if value not in absent}


def decode(item: Mapping[str, Any]) -> DrainRecord:
    """
    Return the record in plain values.

    Raises:
        MisconfiguredError: A field is missing, unknown or of the wrong kind. The sentence says
            which, and has no token in it.
    """
    try:
        return _decoded(item)
    except (AttributeError, KeyError, TypeError, ValueError, MalformedEventError) as error:
        sentence = f"the drain's record cannot be read: {type(error).__name__}: {error}"
        raise MisconfiguredError(sentence[:REASON_CHARACTERS_MAX]) from error


def _decoded(item: Mapping[str, Any]) -> DrainRecord:
    if odd := {*REQUIRED, *item} - ({*NAMES} & {*item}):
        raise KeyError(*sorted(odd))
    text = _text(item, "drain", ENVELOPE_BYTES_MAX)
    token = _text(item, "token", WORD_CHARACTERS_MAX)
    key = Key(
        _text(item, "instance", NAME_CHARACTERS_MAX), _text(item, "subject", NAME_CHARACTERS_MAX)
    )
    body = json.loads(text)
    if {*APART} & {*body}:
        raise ValueError("drain: it repeats a field of the record")
    action = _action(key, token)
    drain = envelope.decode({**body, "action": action, "started_at": item["began_at"]})
    counts = item.get("counts", {"running": 0, "pending": 0})
    record = DrainRecord(
        key=key,
        generation=count(item["generation"]),
        hop=count(item["hop"]),
        pass_id=_text(item, "pass_id", WORD_CHARACTERS_MAX),
        drain=replace(drain, deadline_at=_instant(item, "deadline_at")),
        written_at=instant(item["written_at"]),
        phase=_text(item, "phase", WORD_CHARACTERS_MAX),
        reason=_text(item, "reason", REASON_CHARACTERS_MAX),
        running=count(counts["running"]),
        pending=count(counts["pending"]),
        tasks=_tasks(item.get("tasks", [])),
        end=End(item.get("end", "")),
        ended_at=_instant(item, "ended_at"),
        followed=item.get("open") == FOLLOWED,
        previous=_replaced(item["previous"]) if "previous" in item else None,
    )
    if record.is_open != (item.get("open") == OPEN) or record.is_open == bool(record.ended_at):
        raise ValueError("open, end and ended_at contradict each other")
    return record


def previous_of(record: DrainRecord) -> Previous:
    """Return what is kept of a record that is replaced."""
    before = record.previous is not None and record.previous.followed
    return Previous(
        checksum(record.token),
        record.drain.started_at,
        record.ended_at,
        record.end,
        # What it or one before it has set DRAINING is DRAINING still.
        followed=record.followed or before or (record.is_open and record.may_have_drained),
    )


def _drain_text(record: DrainRecord) -> str:
    """Return the envelope without what has a field of its own."""
    if record.key != key_of(record.drain.action):
        raise MisconfiguredError(f"the drain of {record.key.instance} has another key")
    body = json.loads(envelope.encode(record.drain))
    kept = {name: value for name, value in body.items() if name not in APART}
    return json.dumps(kept, separators=(",", ":"))


def _action(key: Key, token: str) -> dict[str, str]:
    group, _, hook = key.subject.partition(":")
    return {
        "auto_scaling_group_name": group,
        "lifecycle_hook_name": hook,
        "ec2_instance_id": key.instance,
        "lifecycle_action_token": token,
    }


def _previous(previous: Previous | None) -> dict[str, Any] | None:
    if previous is None:
        return None
    values = {
        "token_checksum": previous.token_checksum,
        "began_at": previous.began_at.timestamp(),
        "ended_at": _seconds(previous.ended_at),
        "end": str(previous.end),
        "followed": int(previous.followed),
    }
    return {name: value for name, value in values.items() if value not in (None, "", 0)}


def _replaced(item: Mapping[str, Any]) -> Previous:
    return Previous(
        token_checksum=_text(item, "token_checksum", WORD_CHARACTERS_MAX),
        began_at=instant(item["began_at"]),
        ended_at=_instant(item, "ended_at"),
        end=End(item.get("end", "")),
        followed=bool(count(item.get("followed", 0))),
    )


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _instant(item: Mapping[str, Any], name: str) -> datetime | None:
    return instant(item[name]) if name in item else None


def _tasks(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > TASKS_MAX:
        raise TypeError("tasks: not a list, or too long")
    return tuple(_text({"tasks": one}, "tasks", WORD_CHARACTERS_MAX) for one in value)


def _text(item: Mapping[str, Any], name: str, most: int) -> str:
    value = item.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise TypeError(f"{name}: not a text of at most {most} characters")
    return value
