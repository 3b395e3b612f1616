"""
The mark on a container instance, as the value of an attribute, and what a drain learns from it.

It tells a copy from the chain, a live chain from a lost one, and a hint or the sweep what they
cannot observe. Whoever may write the attribute may end that one drain early, and no other; the
parts are read with suspicion, and a mark that is not ours is as good as none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zlib import crc32

from drainer.model import Mark, Origin

if TYPE_CHECKING:
    from drainer.model import Drain, LifecycleAction

ATTRIBUTE = "drainer.pass"

# "The value ... must contain between 1 and 128 characters. It can contain letters, numbers,
# hyphens, underscores, periods, at signs, forward slashes, back slashes, colons, or spaces."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
VALUE = re.compile(r"([A-Za-z0-9-]{1,36})/([0-9a-f]{8})/([0-9]{1,7})((?:/[0-9]{1,10}){5})")
UNKNOWN = "-"


def write(mark: Mark) -> str:
    """Return the mark as an attribute's value, of at most 109 characters."""
    instants = (mark.at, mark.started_at, mark.deadline_at, mark.last_heartbeat_at)
    seconds = [int(instant.timestamp()) for instant in instants]
    since = int(mark.draining_since.timestamp()) if mark.draining_since else 0
    token = mark.lifecycle_action_token
    known = token if re.fullmatch(r"[A-Za-z0-9-]{1,36}", token) else UNKNOWN
    return "/".join(map(str, (known, mark.hook_checksum, mark.hop, *seconds, since)))


def read(value: str) -> Mark | None:
    """Return the mark in an attribute's value; None where it is not ours."""
    found = VALUE.fullmatch(value)
    if not found:
        return None
    token, checksum, hop, rest = found.groups()
    at, started_at, deadline_at, last_heartbeat_at, since = (
        datetime.fromtimestamp(int(seconds), UTC) for seconds in rest.split("/")[1:]
    )
    return Mark(
        lifecycle_action_token="" if token == UNKNOWN else token,
        hook_checksum=checksum,
        hop=int(hop),
        at=at,
        started_at=started_at,
        deadline_at=deadline_at,
        last_heartbeat_at=last_heartbeat_at,
        draining_since=since if since.timestamp() else None,
    )


def hook_checksum(action: LifecycleAction) -> str:
    """Return what tells the hooks of a group apart within a mark."""
    return f"{crc32(action.lifecycle_hook_name.encode()):08x}"


def belongs(mark: Mark | None, action: LifecycleAction) -> bool:
    """Whether the mark is of this lifecycle action, as far as both know their tokens."""
    if mark is None or mark.hook_checksum != hook_checksum(action):
        return False
    tokens = {mark.lifecycle_action_token, action.lifecycle_action_token} - {""}
    return len(tokens) <= 1


def restored(drain: Drain, mark: Mark | None) -> Drain:
    """
    Return the drain with what the mark knows better.

    A chain knows itself; its copies, hints and the sweep know less than the mark does.
    """
    if mark is None or not belongs(mark, drain.action):
        return drain
    last_heartbeat_at = max(drain.last_heartbeat_at, mark.last_heartbeat_at)
    if drain.origin != Origin.CHAIN:
        token = mark.lifecycle_action_token
        return replace(
            drain,
            action=replace(drain.action, lifecycle_action_token=token),
            started_at=mark.started_at,
            deadline_at=mark.deadline_at,
            last_heartbeat_at=mark.last_heartbeat_at,
            draining_since=mark.draining_since,
            hop=mark.hop,
        )
    since = mark.draining_since if drain.hop == 0 else drain.draining_since
    return replace(drain, last_heartbeat_at=last_heartbeat_at, draining_since=since)
