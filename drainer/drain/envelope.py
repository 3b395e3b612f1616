"""
The envelope: a drain as the JSON that travels through our own topic, and back.

It refuses what it did not write; it acts on nothing.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drainer.codec import KIND, KIND_KEY, count, instant
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    UNFINISHED_MAX,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Origin,
    Place,
    Policy,
    StandaloneTasks,
)
from drainer.errors import MalformedEventError
from drainer.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

# What an installation of an earlier version has sent is still under way while it is updated.
VERSION = 3
VERSIONS = (1, 2, 3)

# "Message ... 262,144 bytes" is SNS's limit, for all messages of one PublishBatch together; so ten
# envelopes fit, each with the ids of UNFINISHED_MAX tasks.
# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
ENVELOPE_BYTES_MAX = 26_000

# The longest string is a registration: the ARN of a cluster whose name has 255 characters, a space,
# and the ARN of a container instance in it.
STRING_CHARACTERS_MAX = 700

FIELDS = tuple(one.name for one in fields(Drain))
# What version 3 leaves out where a drain has just this value.
DEFAULTS = {one.name: one.default for one in fields(Drain) if one.default is not MISSING}

# What Python says of a wrong field may quote all of it.
SENTENCE_CHARACTERS_MAX = 300


def encode(drain: Drain) -> str:
    """
    Return the drain as an envelope, without what has its default value.

    Raises:
        MalformedEventError: The envelope would be longer than ENVELOPE_BYTES_MAX.
    """
    values = {
        name: _plain(value)
        for name in FIELDS
        if (value := getattr(drain, name)) != DEFAULTS.get(name, MISSING)
    }
    body = {KIND_KEY: KIND, "version": VERSION, **values}
    text = json.dumps(body, separators=(",", ":"))
    if len(text) > ENVELOPE_BYTES_MAX:
        raise MalformedEventError(
            f"The envelope of {drain.action.ec2_instance_id} has {len(text)} bytes, "
            f"the limit is {ENVELOPE_BYTES_MAX}"
        )
    return text


def decode(body: dict[str, Any]) -> Drain:
    """
    Return the drain in an envelope's parsed JSON.

    Raises:
        MalformedEventError: A field is missing, unknown or of the wrong kind; says which.
    """
    version = body.get("version")
    if version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise MalformedEventError(f"envelope version {quoted(version)}, known: {known}")
    given = {key: value for key, value in body.items() if key not in {KIND_KEY, "version"}}
    try:
        if version == 1:
            given = _brought_up_to_date(given)
        _judge(given, older=version != VERSION)
        # Only a message is an envelope. What the sweep finds never left this invocation, and may
        # be answered by less than a message may.
        drain = Drain(**{name: READERS[name](value) for name, value in given.items()})
        return replace(drain, origin=Origin.CHAIN)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        sentence = f"envelope: {type(error).__name__}: {error}"
        raise MalformedEventError(sentence[:SENTENCE_CHARACTERS_MAX]) from error


def _judge(given: dict[str, Any], *, older: bool) -> None:
    """Refuse what lacks a field; before version 3 every one was written, but no generation."""
    needed = set(READERS) - ({"generation"} if older else set(DEFAULTS))
    if missing := needed - set(given):
        raise KeyError(*sorted(missing))
    if older and "generation" in given:
        raise ValueError("only version 3 has a generation")


def _brought_up_to_date(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an envelope of the version before; what it lacks is looked for again."""
    left_out = {"witnesses", "listed_before", "absent_before", "not_waiting_before"}
    return {
        **{key: value for key, value in fields.items() if key not in left_out},
        "unfinished": fields["witnesses"],
        "listed_at": None,
        "closed": False,
        "missing_since": None,
        "others": [],
        "settled": False,
        "searched_to": "",
        "search_failed": False,
        "searched_at": None,
        "absent_since": None,
        "not_waiting_since": None,
        "sent_at": None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, LifecycleAction | Policy):
        return asdict(value)
    return value.timestamp() if isinstance(value, datetime) else value


def _policy(body: dict[str, Any]) -> Policy:
    return Policy(
        cluster=_text(body["cluster"]),
        drain_timeout_seconds=count(body["drain_timeout_seconds"]),
        deadline_result=LifecycleActionResult(body["deadline_result"]),
        standalone_tasks=StandaloneTasks(body["standalone_tasks"]),
        standalone_grace_seconds=count(body["standalone_grace_seconds"]),
    )


def _listed(value: Any, most: int) -> tuple[str, ...]:
    return tuple(_string(one) for one in value[:most])


def _string(value: Any) -> str:
    if not isinstance(value, str) or len(value) > STRING_CHARACTERS_MAX:
        raise TypeError(f"{quoted(value)} is not a string, or too long")
    return value


def _strings(value: dict[str, Any]) -> dict[str, str]:
    return {key: _string(item) for key, item in value.items()}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{quoted(value)} is not a flag")
    return value


def _place(value: Any) -> Place:
    if isinstance(value, str):  # as versions before 3 have written it
        value = value.split(" ")
    cluster, container_instance_arn = map(_string, value)
    return Place(cluster, container_instance_arn)


def _moment(value: Any) -> datetime | None:
    return None if value is None else instant(value)


def _number(value: Any) -> int | None:
    return None if value is None else count(value)


def _text(value: Any) -> str | None:
    return None if value is None else _string(value)


# How each field of a drain is read; one that is not here is unknown, and refused.
READERS: dict[str, Callable[[Any], Any]] = {
    "action": lambda value: LifecycleAction(**_strings(value)),
    "started_at": instant,
    "last_heartbeat_at": instant,
    "hop": count,
    "origin": Origin,
    "by_event_bridge": _flag,
    "deadline_at": _moment,
    "heartbeat_timeout_seconds": _number,
    "policy": lambda value: None if value is None else _policy(value),
    "cluster": _text,
    "container_instance_arn": _text,
    "draining_since": _moment,
    "unfinished": lambda value: _listed(value, UNFINISHED_MAX),
    "listed_at": _moment,
    "closed": _flag,
    "missing_since": _moment,
    "standalone_stopped": _flag,
    "others": lambda value: tuple(map(_place, value[:REGISTRATIONS_MAX])),
    "settled": _flag,
    "searched_to": _string,
    "search_failed": _flag,
    "searched_at": _moment,
    "absent_since": _moment,
    "not_waiting_since": _moment,
    "sent_at": _moment,
    "generation": _number,
}
