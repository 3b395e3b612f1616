"""
The envelope: a drain as the JSON that travels through our own topic, and back.

It refuses what it did not write; it acts on nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from drainer.codec import KIND, KIND_KEY, VERSION, VERSION_BEFORE, count, instant
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    UNFINISHED_MAX,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Origin,
    Policy,
    StandaloneTasks,
)
from drainer.errors import MalformedEventError
from drainer.fields import quoted

# "Message ... 262,144 bytes" is SNS's limit, for all messages of one PublishBatch together; so ten
# envelopes fit, each with the ids of UNFINISHED_MAX tasks.
# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
ENVELOPE_BYTES_MAX = 26_000

# The longest string is a registration: the ARN of a cluster whose name has 255 characters, a space,
# and the ARN of a container instance in it.
STRING_CHARACTERS_MAX = 700

# What Python says of a wrong field may quote all of it.
SENTENCE_CHARACTERS_MAX = 300


def encode(drain: Drain) -> str:
    """
    Return the drain as an envelope.

    Raises:
        MalformedEventError: The envelope would be longer than ENVELOPE_BYTES_MAX.
    """
    body = {KIND_KEY: KIND, "version": VERSION, **asdict(drain)}
    text = json.dumps(_plain(body), separators=(",", ":"))
    if len(text) > ENVELOPE_BYTES_MAX:
        raise MalformedEventError(
            f"the envelope of {drain.action.ec2_instance_id} has {len(text)} bytes, "
            f"where {ENVELOPE_BYTES_MAX} may be"
        )
    return text


def decode(body: dict[str, Any]) -> Drain:
    """
    Return the drain in an envelope's parsed JSON.

    Raises:
        MalformedEventError: A field is missing, unknown or of the wrong kind; says which.
    """
    if body.get("version") not in (VERSION, VERSION_BEFORE):
        raise MalformedEventError(
            f"envelope of version {quoted(body.get('version'))}; known: {VERSION_BEFORE}, {VERSION}"
        )
    fields = {key: value for key, value in body.items() if key not in {KIND_KEY, "version"}}
    try:
        if body["version"] == VERSION_BEFORE:
            fields = _brought_up_to_date(fields)
        policy = fields.pop("policy")
        return Drain(
            action=LifecycleAction(**_strings(fields.pop("action"))),
            started_at=instant(fields.pop("started_at")),
            last_heartbeat_at=instant(fields.pop("last_heartbeat_at")),
            deadline_at=_optional(fields.pop("deadline_at"), instant),
            draining_since=_optional(fields.pop("draining_since"), instant),
            policy=_policy(policy) if policy is not None else None,
            unfinished=tuple(_string(one) for one in fields.pop("unfinished")[:UNFINISHED_MAX]),
            listed_at=_optional(fields.pop("listed_at"), instant),
            missing_since=_optional(fields.pop("missing_since"), instant),
            others=tuple(_string(one) for one in fields.pop("others")[:REGISTRATIONS_MAX]),
            searched_to=_string(fields.pop("searched_to")),
            searched_at=_optional(fields.pop("searched_at"), instant),
            absent_since=_optional(fields.pop("absent_since"), instant),
            not_waiting_since=_optional(fields.pop("not_waiting_since"), instant),
            sent_at=_optional(fields.pop("sent_at"), instant),
            origin=Origin(fields.pop("origin")),
            hop=count(fields.pop("hop")),
            heartbeat_timeout_seconds=_optional(fields.pop("heartbeat_timeout_seconds"), count),
            cluster=_optional(fields.pop("cluster"), _string),
            container_instance_arn=_optional(fields.pop("container_instance_arn"), _string),
            **{key: _flag(value) for key, value in fields.items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        sentence = f"envelope: {type(error).__name__}: {error}"
        raise MalformedEventError(sentence[:SENTENCE_CHARACTERS_MAX]) from error


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
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.timestamp() if isinstance(value, datetime) else value


def _policy(body: dict[str, Any]) -> Policy:
    return Policy(
        cluster=_optional(body["cluster"], _string),
        drain_timeout_seconds=count(body["drain_timeout_seconds"]),
        deadline_result=LifecycleActionResult(body["deadline_result"]),
        standalone_tasks=StandaloneTasks(body["standalone_tasks"]),
        standalone_grace_seconds=count(body["standalone_grace_seconds"]),
    )


def _optional(value: Any, read: Any) -> Any:
    return None if value is None else read(value)


def _string(value: Any) -> str:
    if not isinstance(value, str) or len(value) > STRING_CHARACTERS_MAX:
        raise TypeError(f"{quoted(value)} is no string of ours")
    return value


def _strings(value: dict[str, Any]) -> dict[str, str]:
    return {key: _string(item) for key, item in value.items()}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{quoted(value)} is no flag")
    return value
