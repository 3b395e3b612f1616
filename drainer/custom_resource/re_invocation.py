"""
The re-invocation for a request: which one, and its hop. Everything else is in its record.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.codec import COUNT_MAX, KIND, KIND_KEY
from drainer.custom_resource.request import Request
from drainer.errors import MalformedEventError
from drainer.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Of a request's re-invocation; the one before may be under way while the function is updated.
VERSION, VERSION_BEFORE = 2, 1
# The names of a stack and of a request have at most 512 characters each (request.py).
KEY_CHARACTERS_MAX = 1_100
KEY = re.compile(r"[\x20-\x7e]+\|[\x20-\x7b\x7d\x7e]+")


@dataclass(frozen=True, slots=True)
class Continuation:
    """A re-invocation for a request: which one, and how many have led here."""

    key: str
    hop: int
    postponed: bool = False  # an invocation had no time for it: the next one begins with it


# What a message may ask for: a request to begin with, or to go on with.
Asked = Request | Continuation


def encode(one: Continuation) -> str:
    """Return a re-invocation as it is published."""
    body = {KIND_KEY: KIND, "version": VERSION, "request": one.key, "hop": one.hop}
    more = {"postponed": True} if one.postponed else {}
    return json.dumps({**body, **more}, separators=(",", ":"))


def read(body: Mapping[str, Any]) -> Continuation:
    """
    Read a re-invocation.

    Raises:
        MalformedEventError: A field is missing or of the wrong kind; says which.
    """
    key, hop = body.get("request"), body.get("hop")
    if body.get("version") not in (VERSION, VERSION_BEFORE):
        raise MalformedEventError(
            f"envelope version {quoted(body.get('version'))}, known: {VERSION_BEFORE}, {VERSION}"
        )
    if not isinstance(key, str) or len(key) > KEY_CHARACTERS_MAX or not KEY.fullmatch(key):
        raise MalformedEventError(f"envelope: request is {quoted(key)}")
    if isinstance(hop, bool) or not isinstance(hop, int) or not 0 <= hop <= COUNT_MAX:
        raise MalformedEventError(f"envelope: hop is {quoted(hop)}")
    return Continuation(key, hop, postponed=body.get("postponed") is True)


def hop_of(one: Asked) -> int:
    """Return how many re-invocations led here; none to the request itself."""
    return one.hop if isinstance(one, Continuation) else 0


def furthest(asked: Iterable[Asked]) -> list[Asked]:
    """Return one message for each request, the one that has come furthest."""
    found: dict[str, Asked] = {}
    for one in asked:
        if one.key not in found or hop_of(one) > hop_of(found[one.key]):
            found[one.key] = one
    return list(found.values())
