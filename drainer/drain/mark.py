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

from drainer.drain.model import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.drain.model import ContainerInstance, Drain, LifecycleAction

# A group may have two hooks of ours, so that the attribute's name holds a checksum of the hook's.
# Names have 1 to 128 letters, numbers, hyphens, underscores, slashes or periods.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
PREFIX = "drainer.pass."

# Who set it DRAINING for a stack that goes back on its update sets it ACTIVE again.
DRAINED_FOR = "drainer.custom-resource"

# Set DRAINING because Spot stops or hibernates the instance, which may return
# (drainer/spot/comeback.py).
INTERRUPTED = "drainer.interrupted"

# "The value ... must contain between 1 and 128 characters. It can contain letters, numbers,
# hyphens, underscores, periods, at signs, forward slashes, back slashes, colons, or spaces."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
VALUE = re.compile(
    r"([0-9a-f]{8}|-)/([0-9]{1,7})((?:/[0-9]{1,10}){5})"
    r"(?:(?:/l([0-9]{1,10}))?/t((?:[0-9a-f]{8})*))?"
)
NONE = "-"
# A mark holds whole seconds.
ROUNDED = timedelta(seconds=2)
# What is written over a mark that the sweep has left for nothing: the instance was never drained.
VOID = "void"

# A task's id has 32 hexadecimal digits; that two of one instance's tasks begin with the same eight
# is less likely than one in a hundred thousand, even with ten thousand of them. Five beginnings
# are what fits into a value.
PREFIX_CHARACTERS = 8
SHORT = re.compile(r"[0-9a-f]{8}")
UNFINISHED_MAX = 5

# What is written over the mark of an action that is over, with the instant: the instance may be
# retained, or return from a warm pool, and leave by another action that must not take the mark for
# its own. An instance that is in service again is made ACTIVE by it
# (drainer/lifecycle/reactivation.py).
ENDED = re.compile(r"ended(?:/([0-9]{1,10}))?")
# What is written over that before the instance is made ACTIVE: if this does not succeed, it is
# tried again for a while; afterwards, who sets it DRAINING by hand finds it DRAINING.
RETURNED = re.compile(r"returned/([0-9]{1,10})")


def checksum(text: str) -> str:
    """Return what tells hooks and tokens apart; the token itself is nobody else's business."""
    return sha256(text.encode()).hexdigest()[:8] if text else ""


def name(action: LifecycleAction) -> str:
    """Return the name of the attribute that holds the action's mark."""
    return name_of(checksum(action.lifecycle_hook_name))


def name_of(hook_checksum: str) -> str:
    """Return the name of the attribute that holds the mark of a hook's action."""
    return PREFIX + hook_checksum


def write(mark: Mark) -> str:
    """Return the mark as an attribute's value, of at most 125 characters."""
    # A part of a second is rounded to where it can make nothing early: the deadline up, and the
    # last heartbeat down.
    seconds = (
        floor(mark.at.timestamp()),
        ceil(mark.started_at.timestamp()),
        ceil(mark.deadline_at.timestamp()),
        floor(mark.last_heartbeat_at.timestamp()),
        ceil(mark.draining_since.timestamp()) if mark.draining_since else 0,
    )
    parts = [mark.token_checksum or NONE, str(mark.hop), *map(str, seconds)]
    if mark.unfinished is not None:
        # The later a listing is said to be, the later the next one may close the set.
        parts += [f"l{ceil(mark.listed_at.timestamp())}"] if mark.listed_at else []
        parts.append("t" + "".join(mark.unfinished))
    return "/".join(parts)


def ended(at: datetime) -> str:
    """Return what is written over the mark of an action that is over."""
    return f"ended/{ceil(at.timestamp())}"


def returned(at: datetime) -> str:
    """Return what is written over the mark before its instance is made ACTIVE again."""
    return f"returned/{ceil(at.timestamp())}"


def prefixes(task_ids: Sequence[str]) -> tuple[str, ...] | None:
    """Return how all of the tasks' ids begin; None where a mark cannot hold that."""
    found = tuple(sorted(task_id[:PREFIX_CHARACTERS] for task_id in task_ids))
    fits = len(found) <= UNFINISHED_MAX and len(set(found)) == len(found)
    return found if fits and all(map(SHORT.fullmatch, found)) else None


def read(attributes: Mapping[str, str]) -> dict[str, Mark]:
    """Return the marks among a container instance's attributes, by the hook's checksum."""
    return {
        key.removeprefix(PREFIX): mark
        for key, value in attributes.items()
        if key.startswith(PREFIX) and (mark := _read(value)) is not None
    }


def read_ended(attributes: Mapping[str, str]) -> dict[str, datetime]:
    """Return when actions were over that have left their marks here, by the attribute's name."""
    return {
        key: datetime.fromtimestamp(int(match[1] or 0), UTC)
        for key, value in attributes.items()
        if key.startswith(PREFIX) and (match := ENDED.fullmatch(value))
    }


def read_returned(attributes: Mapping[str, str]) -> dict[str, datetime]:
    """Return when instances were about to be made ACTIVE again, by the attribute's name."""
    return {
        key: datetime.fromtimestamp(int(match[1]), UTC)
        for key, value in attributes.items()
        if key.startswith(PREFIX) and (match := RETURNED.fullmatch(value))
    }


def _read(value: str) -> Mark | None:
    found = VALUE.fullmatch(value)
    if not found:
        return None
    token, hop, rest, listed, unfinished = found.groups()
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
        listed_at=datetime.fromtimestamp(int(listed), UTC) if listed else None,
        unfinished=None if unfinished is None else _split(unfinished),
    )


def _split(text: str) -> tuple[str, ...]:
    starts = range(0, len(text), PREFIX_CHARACTERS)
    return tuple(text[start : start + PREFIX_CHARACTERS] for start in starts)


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
            unfinished=_named(mark.unfinished or (), drain.unfinished),
            listed_at=mark.listed_at,
            closed=mark.unfinished is not None and mark.listed_at is None,
            # It follows upon the mark's at most; a hop that is claimed must not end the chain.
            hop=min(max(drain.hop, mark.hop), mark.hop + 1),
        )
    since = mark.draining_since if drain.hop == 0 else drain.draining_since
    last_heartbeat_at = max(drain.last_heartbeat_at, mark.last_heartbeat_at)
    return replace(drain, last_heartbeat_at=last_heartbeat_at, draining_since=since)


def draining_since(drain: Drain, instance: ContainerInstance, own: Mark | None) -> datetime | None:
    """
    Return since when the instance is DRAINING, where a mark knows better than the drain.

    It may have been ACTIVE again since the drain saw it DRAINING: tasks may have been placed then
    that no listing from before has, and a message that is redelivered after that does not know it.
    Where the drain's own chain has seen that, None is returned. Where the mark of another hook says
    that it was DRAINING from a later instant on, both hooks go by that, and neither outdates the
    other.
    """
    since = drain.draining_since
    if since is None or (own and own.draining_since is None and drain.hop <= own.hop):
        return None
    known = [one.draining_since for one in instance.marks.values() if one.draining_since]
    return max((at for at in known if at > since + ROUNDED), default=since)


def is_drained(mark: Mark) -> bool:
    """Whether the action that a mark is of was proven, or its instance seen DRAINING."""
    return bool(mark.token_checksum or mark.draining_since)


def _named(beginnings: Sequence[str], claimed: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks that a mark knows, by their whole ids where the message has them."""
    whole = {task_id[:PREFIX_CHARACTERS]: task_id for task_id in claimed}
    return tuple(whole.get(beginning, beginning) for beginning in beginnings)
