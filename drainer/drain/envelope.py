"""
The envelope: a drain as the JSON that travels through our own topic, and back.

It refuses what it did not write; it acts on nothing.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from drainer.codec import KIND, KIND_KEY, count, instant
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    UNFINISHED_MAX,
    Drain,
    LifecycleAction,
    Origin,
    Place,
    Policy,
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

# What version 3 leaves out where a drain has just this value; MISSING where it is always there.
DEFAULTS = {one.name: one.default for one in fields(Drain)}
OPTIONAL = {name for name, default in DEFAULTS.items() if default is not MISSING}

NEW_IN_3 = frozenset(
    {"generation", "waits_in", "quiet", "extended_to", "was_active", "sought_at", "counted"}
)

# Python's error may quote the whole field.
SENTENCE_CHARACTERS_MAX = 300


def encode(drain: Drain) -> str:
    """
    Return the drain as an envelope, without what has its default value.

    Raises:
        MalformedEventError: The envelope would be longer than ENVELOPE_BYTES_MAX.
    """
    return text_of(drain)


def text_of(drain: Drain, left_out: tuple[str, ...] = ()) -> str:
    """
    Return the drain as an envelope, without the fields named; raises as `encode` does.
    """
    values = {
        name: _plain(value)
        for name, default in DEFAULTS.items()
        if (value := getattr(drain, name)) != default and name not in left_out
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
        MalformedEventError: A field is missing or of the wrong kind, or unknown to an older version
            than this one; says which.
    """
    version = body.get("version")
    if version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise MalformedEventError(f"envelope version {quoted(version)}, known: {known}")
    given = {key: value for key, value in body.items() if key not in {KIND_KEY, "version"}}
    try:
        if version == 1:
            given = _brought_up_to_date(given)
        if version == VERSION:
            # A later function may have added a field, and may have been rolled back.
            given = {name: one for name, one in given.items() if name in DEFAULTS}
        _judge(given, older=version != VERSION)
        for name, most in LISTS_MAX.items():
            if name in given:
                given[name] = given[name][:most]
        read = {name: READERS[name](one) for name, one in given.items()}
        # Only a message is an envelope. A drain that the sweep finds was not sent by a message, and
        # may be answered without a token.
        return Drain(**{**read, "origin": Origin.CHAIN})
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        sentence = f"envelope: {type(error).__name__}: {error}"
        raise MalformedEventError(sentence[:SENTENCE_CHARACTERS_MAX]) from error


def _judge(given: dict[str, Any], *, older: bool) -> None:
    """Refuse what lacks a field; before version 3 every one that there was was written."""
    needed = set(DEFAULTS) - (NEW_IN_3 if older else OPTIONAL)
    if missing := needed - set(given):
        raise KeyError(*sorted(missing))
    if older and (newer := NEW_IN_3 & set(given)):
        raise ValueError(f"only version 3 has {', '.join(sorted(newer))}")


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
    if isinstance(value, datetime):
        return value.timestamp()
    names = PARTS.get(type(value))
    return value if names is None else {name: getattr(value, name) for name in names}


# Lists that are cut: what is beyond is looked for again.
LISTS_MAX = {"unfinished": UNFINISHED_MAX, "others": REGISTRATIONS_MAX}


# What a drain's fields have in them that has fields of its own, all of them plain.
PARTS = {kind: [one.name for one in fields(kind)] for kind in (LifecycleAction, Policy)}


def _reader(kind: Any) -> Callable[[Any], Any]:
    """Return what makes a value of a kind of plain JSON; it raises for what is not of the kind."""
    inner = get_args(kind)
    if type(None) in inner:
        read = _reader(inner[0])
        return lambda value: None if value is None else read(value)
    if get_origin(kind) is tuple:
        read = _reader(inner[0])
        return lambda value: tuple(map(read, value))
    if kind in PARTS:
        readers = _readers(kind)
        return lambda value: kind(**{name: readers[name](one) for name, one in value.items()})
    return kind if issubclass(kind, StrEnum) else PLAIN[kind]


def _readers(kind: Any) -> dict[str, Callable[[Any], Any]]:
    """Return the reader of each field of a dataclass."""
    kinds = get_type_hints(kind, localns={"datetime": datetime})
    return {name: _reader(of) for name, of in kinds.items()}


def _string(value: Any) -> str:
    if not isinstance(value, str) or len(value) > STRING_CHARACTERS_MAX:
        raise TypeError(f"{quoted(value)} is not a string, or too long")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{quoted(value)} is not a flag")
    return value


def _place(value: Any) -> Place:
    if isinstance(value, str):  # as versions before 3 have written it
        value = value.split(" ")
    cluster, container_instance_arn = map(_string, value)
    return Place(cluster, container_instance_arn)


PLAIN: dict[Any, Callable[[Any], Any]] = {
    datetime: instant,
    int: count,
    str: _string,
    bool: _flag,
    Place: _place,
}
READERS = _readers(Drain)
