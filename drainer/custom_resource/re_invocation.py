"""
The re-invocation for a request: which one, and its hop. Everything else is in its record.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.codec import COUNT_MAX, KIND, KIND_KEY
from drainer.errors import MalformedEventError
from drainer.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

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
