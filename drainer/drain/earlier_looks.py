"""
Which earlier looks at a drain still count: those in its record, in its message, or none. Pure.

`admission.py` decides which message goes on. This file decides which earlier looks count for it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.drain.model import Drain, Origin
from drainer.drain.record import interval_of, silent_after

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.model import LifecycleAction
    from drainer.drain.record import DrainRecord


# After so long without a write a record without a token is not believed: it is three sweeps of the
# default interval, of which each writes what it finds silent. The table was out of reach then, and
# another action may have begun that no pass could tell from the first.
UNWATCHED_MAX = timedelta(seconds=900)


# Two looks are a pass interval and a pass apart: 45 s by default. In a longer time an operator may
# set an instance ACTIVE and DRAINING again, and a task that was placed in between may be stopping:
# it is in no count, and in no listing that was made before.
WATCHED_WITHIN = timedelta(seconds=60)


# For so long two searches may be apart, with none between them that did not fail. The next pass has
# to find the first one still counting, also where passes are as far apart as that.
SOUGHT_WITHIN = timedelta(seconds=300)
SOUGHT_WITHIN_INTERVALS = 2

# How long a search of all clusters counts at least while no agent is connected, and how many times
# as long as it took to get there: two more take two reads of each cluster.
SEARCHED_FOR = timedelta(seconds=300)
SEARCHED_FOR_TIMES = 3


# What is to be shown again by two searches.
UNSEARCHED: dict[str, Any] = {
    "searched_at": None,
    "absent_since": None,
    "searched_to": "",
    "search_failed": False,
}


def is_of_another(record: DrainRecord, now: datetime, *, silent: bool) -> bool:
    """
    Whether what waits now is likely another action than that of a record without a token.

    Its own has ended for want of a heartbeat, or was last seen not to wait, or no pass has
    written it for long: what waits now must not be answered at the deadline of the first.
    """
    if record.token:
        return False
    if silent and record.drain.not_waiting_since is not None:
        return True
    seconds = record.drain.heartbeat_timeout_seconds
    longest = UNWATCHED_MAX if seconds is None else min(timedelta(seconds=seconds), UNWATCHED_MAX)
    return now >= record.written_at + longest


def begun_at(
    now: datetime, action: LifecycleAction, heartbeat_timeout_seconds: int | None
) -> Drain:
    """Return the drain of an action of which nothing is known to the sweep but that it may wait."""
    # It counts as waiting since now, without a heartbeat: one at its beginning would say that it
    # was drained.
    return Drain(
        action=action,
        started_at=now,
        last_heartbeat_at=now - timedelta(seconds=heartbeat_timeout_seconds or 1),
        origin=Origin.SWEEP,
        by_event_bridge=True,
    )


def begun_again(now: datetime, drain: Drain) -> Drain:
    """Return the drain of what the sweep has found and takes for another action than before."""
    new = begun_at(now, drain.action, drain.heartbeat_timeout_seconds)
    return replace(new, unfinished=drain.unfinished)


def recorded(drain: Drain, record: DrainRecord, *, at_own_hop: bool, silent: bool) -> Drain:
    """Return the record's drain, with what the message alone knows of itself."""
    facts, token = record.drain, drain.action.lifecycle_action_token
    ahead = at_own_hop and drain.hop > record.hop
    if silent and not record.token:
        # The action may have ended and another begun meanwhile: nothing but a token would tell.
        facts = forgetting(facts)
    elif ahead and token and token == record.token:
        # The message follows passes of this action that could not write: it has the newer fields,
        # but for those of a pass of another message that has seen the instance ACTIVE since.
        facts = replace(
            forgetting(drain) if _was_active_since(drain, record) else drain,
            started_at=facts.started_at,
            deadline_at=earlier(facts.deadline_at, drain.deadline_at),
        )
        facts = extended(facts, record.drain.extended_to)
    elif ahead and drain.draining_since != facts.draining_since:
        # A pass that could not write has seen the instance ACTIVE, or DRAINING since later. Without
        # a token this counts only where it delays an answer.
        facts = forgetting(facts)
    return replace(
        facts,
        action=replace(facts.action, lifecycle_action_token=record.token or token),
        origin=drain.origin,
        hop=drain.hop if at_own_hop else record.hop,
        sent_at=drain.sent_at,
        generation=record.generation,
    )


def _was_active_since(drain: Drain, record: DrainRecord) -> bool:
    """Whether the record was written after the message was sent, by a pass that has seen ACTIVE."""
    since, until = drain.draining_since, record.drain.draining_since
    if drain.sent_at is None or record.written_at <= drain.sent_at or since is None:
        return False
    return until is None or until > since


def unconfirmed(drain: Drain, record: DrainRecord | None, now: datetime) -> Drain:
    """Return the drain, its tasks to be listed once more if no pass has looked for a minute."""
    last_at = record.written_at if record else drain.sent_at
    # While no task ends, a quiet drain is not looked at for longer than that: whatever has happened
    # since its last look may have come from an operator.
    watched = last_at is not None and now - last_at <= WATCHED_WITHIN and not drain.quiet
    return drain if watched or not drain.closed else replace(drain, listed_at=None)


def forgetting_old_searches(
    drain: Drain, record: DrainRecord | None, now: datetime, pass_interval_seconds: int
) -> Drain:
    """
    Return the drain, what two searches have shown to be shown again if the first was long ago.

    An agent that is not connected may have registered again since, in any cluster. Where no pass
    has looked for long, or each has failed, one listing that lacks that would release the instance.
    Where it waits for long, its new registration would stay ACTIVE, as but a few clusters are
    searched in each pass.

    Args:
        drain: As a pass takes it up.
        record: The record that the drain is of; None where it is of a message.
        now: When the pass began.
        pass_interval_seconds: As configured.
    """
    seen_at = drain.sent_at if record is None or drain.hop > record.hop else record.written_at
    interval_seconds = interval_of(drain, pass_interval_seconds)
    within = max(SOUGHT_WITHIN, timedelta(seconds=SOUGHT_WITHIN_INTERVALS * interval_seconds))
    unsought = drain.sought_at is None or now - drain.sought_at >= within
    if is_old(seen_at, now, interval_seconds) or unsought:
        return replace(drain, **UNSEARCHED)
    # Of what is not settled the second search is under way, and may take long.
    if drain.settled and drain.searched_at is not None:
        lasted = drain.searched_at - drain.started_at
        if now - drain.searched_at >= max(within, SEARCHED_FOR, SEARCHED_FOR_TIMES * lasted):
            return replace(drain, searched_at=None)
    return drain


def is_old(seen_at: datetime | None, now: datetime, interval_seconds: int) -> bool:
    """Whether the last look was so long ago that what was searched for by then does not count."""
    return seen_at is None or now - seen_at >= silent_after(interval_seconds)


def is_late(drain: Drain, now: datetime, pass_interval_seconds: int) -> bool:
    """Whether its message was sent so long ago that another may have gone on meanwhile."""
    silent = silent_after(interval_of(drain, pass_interval_seconds))
    return drain.sent_at is not None and now - drain.sent_at >= silent


def as_if_new(drain: Drain, now: datetime, pass_interval_seconds: int) -> Drain:
    """
    Return the drain of a message that counts for the record, as far as it can be believed.

    A late message may be a duplicate from before the instance was ACTIVE again. Tasks may have been
    placed since, which its listings do not have. Only the record could tell.
    """
    known = drain.sent_at is not None and not is_late(drain, now, pass_interval_seconds)
    # Beside a quiet one another of its hop may have come sooner.
    if known and not drain.quiet:
        return drain
    # It stays one that was DRAINING before: what is found ACTIVE then is published before it is set
    # DRAINING again, so that no other message's pass takes it for DRAINING all the time.
    # That Auto Scaling did not wait stays true of its action; a heartbeat asks once more.
    return replace(
        forgetting(drain),
        draining_since=drain.draining_since and now,
        not_waiting_since=drain.not_waiting_since,
    )


def forgetting(drain: Drain) -> Drain:
    """Return the drain without what earlier looks have established; what they saw stays."""
    return replace(
        drain,
        draining_since=None,
        listed_at=None,
        closed=False,
        missing_since=None,
        standalone_stopped=False,
        absent_since=None,
        not_waiting_since=None,
    )


def extended(drain: Drain, to: datetime | None) -> Drain:
    """
    Return the drain with the deadline that an operator has extended, as its record says.

    The table is read after its pass has begun: a pass that begins past the former deadline has read
    every extension that was written before it.
    """
    if to is None:
        return drain if drain.extended_to is None else replace(drain, extended_to=None)
    deadline_at = drain.deadline_at and max(drain.deadline_at, to)
    return replace(drain, extended_to=to, deadline_at=deadline_at)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two instants, as far as they are known."""
    return min((at for at in (one, other) if at is not None), default=None)
