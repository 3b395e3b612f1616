"""
The record of a lifecycle action's drain as plain values, and back: bounded and strict, for one
record that cannot be read must be told from one that is not there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drainer.codec import count, instant
from drainer.drain import envelope
from drainer.drain.attributes import checksum
from drainer.drain.earlier_looks import extended
from drainer.drain.envelope import ENVELOPE_BYTES_MAX, STRING_CHARACTERS_MAX
from drainer.drain.model import REGISTRATIONS_MAX
from drainer.drain.record import (
    BY_CHARACTERS_MAX,
    REASON_CHARACTERS_MAX,
    TASKS_MAX,
    DrainRecord,
    End,
    Key,
    Previous,
    key_of,
)
from drainer.drain.record_fields import (
    WORD_CHARACTERS_MAX,
    instant_in,
    outline,
    outlined,
    seconds,
    text,
)
from drainer.errors import MalformedEventError, MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta


# The values of the index's partition key: each kind of what is open has its own, so that the sweep
# of one reads no other. A record that has ended and is not followed has no value, and is not in the
# index.
OPEN, FOLLOWED = "1", "2"

REQUIRED = ("drain", "began_at")
# What the envelope inside leaves to the item.
APART = ("action", "started_at", "deadline_at", "extended_to")


def encode(record: DrainRecord, retention: timedelta) -> dict[str, Any]:
    """
    Return the record as plain values; what is empty is left out.

    Token and deadline have fields of their own, since the join of a token changes them alone, and
    an operator's extension changes nothing else. An earlier version leaves extensions out. The
    envelope is without them, and without what the key and the beginning say: a write costs one
    unit for each begun kilobyte.

    Raises:
        MalformedEventError: The drain is longer than an envelope may be.
        MisconfiguredError: The drain has another key than its record.
    """
    counted = record.running or record.pending
    return outline(
        record,
        open=OPEN if record.is_open else FOLLOWED * record.followed,
        # An earlier version, which leaves it there, may begin another generation.
        served=record.generation if record.served else None,
        token=record.token,
        began_at=record.drain.started_at.timestamp(),
        deadline_at=seconds(record.drain.deadline_at),
        extended_to=seconds(record.drain.extended_to),
        extended_by=record.extended_by,
        released_by=record.released_by,
        drain=_drain_text(record),
        counts={"running": record.running, "pending": record.pending} if counted else None,
        tasks=list(record.tasks),
        previous=_previous(record.previous),
        # TTL takes whole seconds.
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
        expires_at=int(record.expires_at(retention).timestamp()),
    )


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
    if odd := {*REQUIRED} - {*item}:
        raise KeyError(*sorted(odd))
    fields = outlined(item, OPEN)
    body = json.loads(text(item, "drain", ENVELOPE_BYTES_MAX))
    if {*APART} & {*body}:
        raise ValueError("drain: it repeats a field of the record")
    action = _action(fields["key"], text(item, "token", WORD_CHARACTERS_MAX))
    apart = {"action": action, "started_at": item["began_at"]}
    if "deadline_at" in item:
        apart["deadline_at"] = item["deadline_at"]
    drain = extended(envelope.decode({**body, **apart}), instant_in(item, "extended_to"))
    counts = item.get("counts", {"running": 0, "pending": 0})
    return DrainRecord(
        **fields,
        drain=drain,
        running=count(counts["running"]),
        pending=count(counts["pending"]),
        tasks=_texts(item, "tasks", TASKS_MAX, WORD_CHARACTERS_MAX),
        followed=item.get("open") == FOLLOWED,
        served="served" in item and count(item["served"]) == fields["generation"],
        previous=_replaced(item["previous"]) if "previous" in item else None,
        extended_by=text(item, "extended_by", BY_CHARACTERS_MAX),
        released_by=text(item, "released_by", BY_CHARACTERS_MAX),
    )


def previous_of(record: DrainRecord) -> Previous:
    """Return what is kept of a record that is replaced."""
    before = record.previous is not None and record.previous.followed
    # An instance that it or a record before it has set DRAINING is still DRAINING. One that has
    # served since is DRAINING by somebody else, and so is one that is followed no longer.
    under_way = record.is_open and (before or record.may_have_drained)
    followed = under_way or (record.followed and not record.served)
    return Previous(
        checksum(record.token),
        record.drain.started_at,
        record.ended_at,
        record.end,
        followed=followed,
        drained=record.drained if followed else (),
    )


def _drain_text(record: DrainRecord) -> str:
    """Return the envelope without what has a field of its own."""
    if record.key != key_of(record.drain.action):
        raise MisconfiguredError(f"the drain of {record.key.instance} has another key")
    return envelope.text_of(record.drain, APART)


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
        "ended_at": seconds(previous.ended_at),
        "end": str(previous.end),
        "followed": int(previous.followed),
        "drained": list(previous.drained),
    }
    return {name: value for name, value in values.items() if value not in (None, "", 0, [])}


def _replaced(item: Mapping[str, Any]) -> Previous:
    return Previous(
        token_checksum=text(item, "token_checksum", WORD_CHARACTERS_MAX),
        began_at=instant(item["began_at"]),
        ended_at=instant_in(item, "ended_at"),
        end=End(item.get("end", "")),
        followed=bool(count(item.get("followed", 0))),
        drained=_texts(item, "drained", REGISTRATIONS_MAX, STRING_CHARACTERS_MAX),
    )


def _texts(item: Mapping[str, Any], name: str, most: int, characters: int) -> tuple[str, ...]:
    value = item.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise TypeError(f"{name}: not a list, or too long")
    return tuple(text({name: one}, name, characters) for one in value)
