"""
Which message may go on from a drain's record, and by which facts.

An exhaustive model of the protocol has shown what each rule is for: without any one of them two
chains stay alive, a drain is lost, or one action is answered by what was seen of another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.drain import earlier_looks
from drainer.drain.model import Drain, Origin
from drainer.drain.record import SETTLE, DrainRecord
from drainer.errors import DrainerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

# Without a token, every principal that may write to the queue can name any hop. A hop far ahead
# would end the chain at its hop limit. Passes that could not write the record are at least a second
# apart (the least DRAINER_PASS_INTERVAL_SECONDS); ten more allow for clocks that differ.
HOPS_A_SECOND_MAX = 1
HOPS_AHEAD_MAX = 10


class Admission(StrEnum):
    """What becomes of a message, given the record that was read."""

    NEW = "new"  # no record of this action: prove the token, or create it for the sweep
    DUE = "due"  # its hop is next
    TAKEOVER = "takeover"  # its hop is past, but the record is silent
    JOIN = "join"  # its token is what the sweep's record lacks
    LOOK = "look"  # a wake-up: answer or end the drain, nothing else
    DUPLICATE = "duplicate"  # acknowledge: another message or the sweep goes on
    ENDED = "ended"  # acknowledge: the drain has ended
    OTHER = "other"  # acknowledge: of another generation, or nothing says of which
    UNREAD = "unread"  # the table did not answer: the message counts for the record

    @property
    def goes_on(self) -> bool:
        """Whether a pass follows; if not, the message is acknowledged."""
        return self not in (Admission.DUPLICATE, Admission.ENDED, Admission.OTHER)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message with what was read for it."""

    admission: Admission  # what becomes of it
    drain: Drain  # what the pass goes by
    # the record as it was read; None where there is none or it could not be read
    record: DrainRecord | None
    error: DrainerError | None = None  # why it could not be read


def admit(
    drain: Drain,
    read: DrainRecord | DrainerError | None,
    now: datetime,
    pass_interval_seconds: int,
) -> Admitted:
    """
    Decide what becomes of a message, and by which drain. The first line that applies counts.

    A message (Origin.CHAIN):
        | what was read                                   | admission                           |
        |-------------------------------------------------|-------------------------------------|
        | the table did not answer                        | UNREAD                              |
        | no record                                       | NEW with a token, else OTHER        |
        | another generation, and not the record's token  | OTHER                               |
        | the record's token, or none and its generation: |                                     |
        |   the record has ended                          | ENDED                               |
        |   perhaps of another action (is_of_another),    | DUPLICATE: the sweep begins another |
        |   and not ahead of the record, or sent long ago |                                     |
        |   its hop is the record's or ahead; without a   | DUE, at its own hop                 |
        |   token by no more than passes can have made    |                                     |
        |   the record is silent                          | TAKEOVER, at the record's hop       |
        |   else                                          | DUPLICATE                           |
        | neither generation nor token                    | OTHER                               |
        | open, no token, begun no earlier than its action | JOIN                               |
        | any other token                                 | NEW                                 |

    Drains that were found by looking and have no message:
        | what was read                  | Origin.SWEEP        | Origin.WAKE_UP                   |
        |--------------------------------|---------------------|----------------------------------|
        | the table did not answer       | DUPLICATE           | DUPLICATE                        |
        | no record                      | NEW                 | DUPLICATE                        |
        | ended SETTLE ago or longer, or | NEW                 | ENDED                            |
        |   it waited in another state   |                     |                                  |
        | ended less than that ago       | ENDED               | ENDED                            |
        | open, silent, perhaps another  | NEW                 | DUPLICATE                        |
        |   action's (is_of_another)     |                     |                                  |
        | open, silent, without a token  | TAKEOVER            | DUPLICATE                        |
        | open, silent, with a token     | TAKEOVER            | LOOK                             |
        | open, not silent               | DUPLICATE           | LOOK                             |

    DUE, TAKEOVER and LOOK go by the record's drain, the others by the message's (earlier_looks.py).
    """
    record = None if isinstance(read, DrainerError) else read
    unread = record is not read
    silent = record is not None and record.is_silent(now, pass_interval_seconds)
    if drain.origin != Origin.CHAIN:
        admission = _of_found(drain, record, now, silent=silent, unread=unread)
    elif unread:
        admission = Admission.UNREAD
    else:
        admission = _of_message(drain, record, now, silent=silent)
    follows = record is not None and admission in (Admission.DUE, Admission.TAKEOVER)
    behind = record is None or not _is_ahead(drain, record, now, pass_interval_seconds)
    if record and follows and behind and earlier_looks.is_of_another(record, now, silent=silent):
        sweeps = drain.origin == Origin.SWEEP
        admission = Admission.NEW if sweeps else Admission.DUPLICATE
        drain = earlier_looks.begun_again(now, drain) if sweeps else drain
    if admission in (Admission.NEW, Admission.JOIN):
        # It follows no record that is there, but what was set DRAINING before is found by this one.
        before = record.drain.cluster if record else None
        drain = replace(drain, generation=None, cluster=drain.cluster or before, waits_in=None)
        if record and admission == Admission.JOIN:
            drain = earlier_looks.extended(drain, record.drain.extended_to)
    elif record and admission in (Admission.DUE, Admission.TAKEOVER, Admission.LOOK):
        due = admission == Admission.DUE
        drain = earlier_looks.recorded(drain, record, at_own_hop=due, silent=silent)
    elif admission == Admission.UNREAD:
        drain = earlier_looks.as_if_new(drain, now, pass_interval_seconds)
    return Admitted(admission, drain, record, read if isinstance(read, DrainerError) else None)


def _is_ahead(drain: Drain, record: DrainRecord, now: datetime, pass_interval_seconds: int) -> bool:
    """
    Whether passes that could not write the record have kept it alive.

    The last of them has sent the message, so that one sent long ago shows nothing.
    """
    late = earlier_looks.is_late(drain, now, pass_interval_seconds)
    return drain.origin == Origin.CHAIN and drain.hop > record.hop and not late


def waits_for_another(record: DrainRecord, beside: Iterable[DrainRecord]) -> bool:
    """
    Whether an instance whose drain has ended is only held by another hook of its group.

    While an action lasts that was open when this one was answered, the instance has not gone on,
    so that no new action of this hook has begun.
    """
    ended_at = record.ended_at
    return ended_at is not None and any(
        one.is_open and one.drain.started_at <= ended_at for one in beside
    )


def _of_found(
    drain: Drain, record: DrainRecord | None, now: datetime, *, silent: bool, unread: bool
) -> Admission:
    sweeps, waits_in = drain.origin == Origin.SWEEP, drain.waits_in
    if unread or record is None:
        return Admission.NEW if sweeps and not unread else Admission.DUPLICATE
    if not record.is_open:
        settled = record.ended_at is not None and now - record.ended_at >= SETTLE
        # Another wait state is another action, whatever an answer that is out of date may say.
        another = None not in (waits_in, before := record.drain.waits_in) and waits_in != before
        return Admission.NEW if sweeps and (settled or another) else Admission.ENDED
    if sweeps:
        return Admission.TAKEOVER if silent else Admission.DUPLICATE
    # What is known of a silent record without a token may be of an action before this one.
    return Admission.DUPLICATE if silent and not record.token else Admission.LOOK


def _of_message(
    drain: Drain, record: DrainRecord | None, now: datetime, *, silent: bool
) -> Admission:
    token = drain.action.lifecycle_action_token
    if record is None:
        return Admission.NEW if token else Admission.OTHER
    named = bool(token) and token == record.token
    if not named and drain.generation not in (None, record.generation):
        return Admission.OTHER
    # A token that is not the record's has to be proven, whatever else the message says of itself.
    if named or (drain.generation is not None and not token):
        if not record.is_open:
            return Admission.ENDED
        if drain.hop >= record.hop and (token or drain.hop <= _hop_max(record, now)):
            return Admission.DUE
        return Admission.TAKEOVER if silent else Admission.DUPLICATE
    if not token:
        return Admission.OTHER
    # An action that began later than the record is another one: it replaces the record.
    joins = record.is_open and not record.token and drain.started_at <= record.drain.started_at
    return Admission.JOIN if joins else Admission.NEW


def _hop_max(record: DrainRecord, now: datetime) -> int:
    """Return the furthest hop that passes which could not write can have led to."""
    seconds = max(0, int((now - record.written_at).total_seconds()))
    return record.hop + HOPS_AHEAD_MAX + seconds * HOPS_A_SECOND_MAX
