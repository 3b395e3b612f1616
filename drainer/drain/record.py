"""
The record of a drain: what is stored of it between two passes, and until long after its end.

A pass reads the record, is admitted (admission.py), looks, acts, makes one conditional write
(conditional_write.py) and only then publishes. The write claims the hop: one pass succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.drain.model import REGISTRATIONS_MAX, Origin

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.model import Drain, LifecycleAction

# Longer than a pass takes until its successor has written, shorter than until a message that was
# not acknowledged is delivered again: interval 15 s + function timeout 30 s < 90 s, and
# 90 s <= visibility timeout 180 s - function timeout 30 s (infra/drainer.yaml). With an interval
# above 75 s only the sweep takes over.
SILENT_BEYOND_THE_INTERVAL = timedelta(seconds=75)

# How long after a record's end Auto Scaling's listing may still name its action. An assumption: no
# page of AWS gives a figure for it.
SETTLE = timedelta(seconds=120)

# An instance that may come back can rest in a warm pool without limit: its record is kept so long.
FOLLOWED_FOR = timedelta(days=3650)

# For people, and bounded: a write costs one unit for each begun kilobyte.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
REASON_CHARACTERS_MAX = 200
TASKS_MAX = 10
BY_CHARACTERS_MAX = 200

# The delay of the queue for drains of which nothing changes (lifecycle/pace.py). With more,
# their messages would be delivered again before their records are silent, see above.
QUIET_SECONDS = 75


def interval_of(drain: Drain, pass_interval_seconds: int) -> int:
    """Return the seconds after which the next pass of a drain comes."""
    return max(QUIET_SECONDS, pass_interval_seconds) if drain.quiet else pass_interval_seconds


def silent_after(pass_interval_seconds: int) -> timedelta:
    """Return how long after its last write an open record counts as silent."""
    return timedelta(seconds=pass_interval_seconds) + SILENT_BEYOND_THE_INTERVAL


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """
    What names a record.

    Attributes:
        instance: The EC2 instance; for a request of CloudFormation its stack.
        subject: The group and its hook; for a request its id.
    """

    instance: str
    subject: str


def key_of(action: LifecycleAction) -> Key:
    """Return the key of a lifecycle action's record; no group's name contains a colon."""
    subject = f"{action.auto_scaling_group_name}:{action.lifecycle_hook_name}"
    return Key(action.ec2_instance_id, subject)


class End(StrEnum):
    """How a drain has ended: a lifecycle action's, or one that CloudFormation has requested."""

    OPEN = ""  # it has not
    CONTINUE = "answered CONTINUE"
    ABANDON = "answered ABANDON"
    SUCCESS = "answered SUCCESS"
    FAILED = "answered FAILED"
    OVER = "over"  # answered by hand, the hook timed out, or the pass that answered died


@dataclass(frozen=True, slots=True)
class Previous:
    """
    What is kept of the record that this one replaced.

    Attributes:
        token_checksum: Of its token; empty where it had none.
        began_at: When its action began.
        ended_at: When it ended; None where it was open.
        end: How it ended.
        followed: Whether its instance, or that of one before it, may come back into service.
        drained: Where it is followed, what its `drained` said; empty where that is not known.
    """

    token_checksum: str
    began_at: datetime
    ended_at: datetime | None
    end: End
    followed: bool = False
    drained: tuple[str, ...] = ()


class Record:
    """
    What the records of all kinds have: which pass has the hop, since when, and how it has ended.

    A kind adds what its passes need. The claim of a hop is the same for all (conditional_write.py).
    """

    __slots__ = ()

    key: Key
    generation: int
    hop: int
    pass_id: str
    written_at: datetime
    phase: str
    reason: str
    end: End
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether the drain has not ended."""
        return not self.end

    @property
    def token(self) -> str:
        """The lifecycle action token; empty where it is unknown, or there is none."""
        return ""

    def is_silent(self, now: datetime, pass_interval_seconds: int) -> bool:
        """Whether the record is open and no pass has written it for long."""
        return self.is_open and now - self.written_at >= silent_after(pass_interval_seconds)


@dataclass(frozen=True, slots=True)
class DrainRecord(Record):
    """
    What is stored of the drain of one lifecycle action.

    Attributes:
        key: Which instance under which hook.
        generation: 1, and 1 more with each new action of the same key. Every write names it.
        hop: The number of passes written; 0 only after the sweep has created the record.
        pass_id: Random for each write, so that a writer knows its own write again. Two messages of
            one key may be in one batch: they must not share it.
        drain: All that the next pass needs. When it began and must end is in here.
        written_at: When a pass wrote last; silence is measured from here. A join leaves it alone.
        phase: For people: what the last pass decided.
        reason: For people: why. At most REASON_CHARACTERS_MAX are kept.
        running: Running tasks that were counted.
        pending: Pending tasks that were counted.
        tasks: Ids of unfinished tasks. At most TASKS_MAX are kept.
        end: How it ended.
        ended_at: When it ended; None while it is open.
        followed: Whether it has ended, and its instance may come back into service.
        served: Whether its instance has served since: only what is left over is followed.
        previous: The record that this one replaced; None where there was none.
        extended_by: For people: the ARN of the caller that has extended its deadline.
        released_by: For people: the ARN of the caller that has answered its hook by hand.
    """

    key: Key
    generation: int
    hop: int
    pass_id: str
    drain: Drain
    written_at: datetime
    phase: str = ""
    reason: str = ""
    running: int = 0
    pending: int = 0
    tasks: tuple[str, ...] = ()
    end: End = End.OPEN
    ended_at: datetime | None = None
    followed: bool = False
    served: bool = False
    previous: Previous | None = None
    extended_by: str = ""
    released_by: str = ""

    def __post_init__(self) -> None:
        """Keep no more than a record holds of what people are told."""
        object.__setattr__(self, "reason", self.reason[:REASON_CHARACTERS_MAX])
        object.__setattr__(self, "tasks", self.tasks[:TASKS_MAX])
        object.__setattr__(self, "extended_by", self.extended_by[:BY_CHARACTERS_MAX])
        object.__setattr__(self, "released_by", self.released_by[:BY_CHARACTERS_MAX])

    @property
    def container_instances(self) -> frozenset[str]:
        """The ARNs of the container instances that its EC2 instance is known to have."""
        own, others = self.drain.container_instance_arn, self.drain.others
        return frozenset((*([own] if own else ()), *(one.container_instance_arn for one in others)))

    @property
    def may_have_drained(self) -> bool:
        """
        Whether Auto Scaling has confirmed the action, so that its instance may have been drained.

        What the sweep has found may have waited at somebody else's hook: then no heartbeat of ours
        was taken.
        """
        return bool(self.token) or self.drain.last_heartbeat_at >= self.drain.started_at

    @property
    def drained(self) -> tuple[str, ...]:
        """
        The ARNs of what its drain, or one before it, may have set DRAINING; empty if unknown.

        A drain sets DRAINING what it finds, once Auto Scaling has confirmed its action. A pass that
        could not write may have found what its record does not name.
        """
        before = self.previous
        former = before.drained if before is not None and before.followed else ()
        if not (self.may_have_drained or self.end in {End.CONTINUE, End.ABANDON}):
            return former  # the record is followed for what it has replaced
        own = sorted(self.container_instances)
        known = (*own, *(arn for arn in former if arn not in own)) if own else ()
        return known[:REGISTRATIONS_MAX]

    def is_silent(self, now: datetime, pass_interval_seconds: int) -> bool:
        """Whether the record is open and no pass has written it for long."""
        return Record.is_silent(self, now, interval_of(self.drain, pass_interval_seconds))

    @property
    def token(self) -> str:
        """The lifecycle action token; empty where it is unknown. Never log it."""
        return self.drain.action.lifecycle_action_token

    def next_message(self) -> Drain:
        """Return the message on its way to the next pass, with the short delay."""
        return replace(
            self.drain,
            origin=Origin.CHAIN,
            hop=self.hop,
            generation=self.generation,
            quiet=False,
        )

    def expires_at(self, retention: timedelta) -> datetime:
        """Return when DynamoDB may delete the record: never while its action can still wait."""
        kept = max(retention, FOLLOWED_FOR) if self.followed else retention
        return (self.ended_at or self.drain.deadline_at or self.written_at) + kept
