"""
The mark on a container instance, as an attribute, and what a drain learns from it.

It tells a copy from the chain, a live chain from a lost one, and a hint or the sweep what they
cannot observe. Whoever may write the attribute may end that one drain early, and no other; what
is not ours is as good as none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import ceil, floor
from typing import TYPE_CHECKING

from drainer.model import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.model import ContainerInstance, Drain, LifecycleAction

# A group may have two hooks of ours, so that the attribute's name holds a checksum of the hook's.
# Names have 1 to 128 letters, numbers, hyphens, underscores, slashes or periods.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
PREFIX = "drainer.pass."

# Who set it DRAINING for a stack that goes back on its update sets it ACTIVE again.
DRAINED_FOR = "drainer.custom-resource"

# Set DRAINING because Spot stops or hibernates the instance, which may return (drainer.comeback).
INTERRUPTED = "drainer.interrupted"

# "The value ... must contain between 1 and 128 characters. It can contain letters, numbers,
# hyphens, underscores, periods, at signs, forward slashes, back slashes, colons, or spaces."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
VALUE = re.compile(r"([0-9a-f]{8}|-)/([0-9]{1,7})((?:/[0-9]{1,10}){5})")
NONE = "-"

# What is written over the mark of an action that has been answered: the instance may be retained,
# or return from a warm pool, and leave by another action that must not take the mark for its own.
ENDED = "ended"


def checksum(text: str) -> str:
    """Return what tells hooks and tokens apart; the token itself is nobody else's business."""
    return sha256(text.encode()).hexdigest()[:8] if text else ""


def name(action: LifecycleAction) -> str:
    """Return the name of the attribute that holds the action's mark."""
    return PREFIX + checksum(action.lifecycle_hook_name)


def write(mark: Mark | None) -> str:
    """Return the mark as an attribute's value, of at most 71 characters; None writes it off."""
    if mark is None:
        return ENDED
    # A part of a second is rounded to where it can make nothing early: the deadline up, and the
    # last heartbeat down.
    seconds = (
        floor(mark.at.timestamp()),
        ceil(mark.started_at.timestamp()),
        ceil(mark.deadline_at.timestamp()),
        floor(mark.last_heartbeat_at.timestamp()),
        ceil(mark.draining_since.timestamp()) if mark.draining_since else 0,
    )
    return "/".join(map(str, (mark.token_checksum or NONE, mark.hop, *seconds)))


def read(attributes: Mapping[str, str]) -> dict[str, Mark]:
    """Return the marks among a container instance's attributes, by the hook's checksum."""
    return {
        key.removeprefix(PREFIX): mark
        for key, value in attributes.items()
        if key.startswith(PREFIX) and (mark := _read(value)) is not None
    }


def _read(value: str) -> Mark | None:
    found = VALUE.fullmatch(value)
    if not found:
        return None
    token, hop, rest = found.groups()
    at, started_at, deadline_at, last_heartbeat_at, since = (
        datetime.fromtimestamp(int(seconds), UTC) for seconds in rest.split("/")[1:]
    )
    return Mark(
        token_checksum="" if token == NONE else token,
        hop=int(hop),
        at=at,
        started_at=started_at,
        deadline_at=deadline_at,
        last_heartbeat_at=last_heartbeat_at,
        draining_since=since if since.timestamp() else None,
    )


def of(instance: ContainerInstance | None, drain: Drain, now: datetime) -> Mark | None:
    """
    Return the mark that belongs to the drain, as far as both know the action's token.

    A mark whose hook would have timed out since its last heartbeat is of an action that is over;
    unless the instance is still DRAINING, and the mark still has time: then heartbeats have been
    recorded that it does not know of.
    """
    action = drain.action
    mark = instance.marks.get(checksum(action.lifecycle_hook_name)) if instance else None
    if mark is None:
        return None
    tokens = {mark.token_checksum, checksum(action.lifecycle_action_token)} - {""}
    kept_for = timedelta(seconds=drain.heartbeat_timeout_seconds or 0)
    kept = not kept_for or now <= mark.last_heartbeat_at + kept_for
    still_draining = instance is not None and instance.status == "DRAINING"
    alive = kept or (still_draining and now < mark.deadline_at)
    return mark if len(tokens) <= 1 and alive else None


def restored(drain: Drain, mark: Mark | None) -> Drain:
    """
    Return the drain with what the mark knows better.

    What has no token came by no notice, and so knows nothing of itself that is to be believed:
    neither when it began nor when it ends. A chain with a token knows itself.
    """
    if mark is None:
        return drain
    if not drain.action.lifecycle_action_token:
        return replace(
            drain,
            started_at=mark.started_at,
            deadline_at=mark.deadline_at,
            last_heartbeat_at=mark.last_heartbeat_at,
            draining_since=mark.draining_since,
            hop=max(drain.hop, mark.hop),
        )
    since = mark.draining_since if drain.hop == 0 else drain.draining_since
    last_heartbeat_at = max(drain.last_heartbeat_at, mark.last_heartbeat_at)
    return replace(drain, last_heartbeat_at=last_heartbeat_at, draining_since=since)
