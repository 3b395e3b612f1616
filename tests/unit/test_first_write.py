"""What a first write of a record leaves in the message, where nothing is known of the write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.drain.admission import Admission, admit
from drainer.drain.conditional_write import Outcome as Made
from drainer.drain.conditional_write import Write, Written
from drainer.drain.may_leave import Phase
from drainer.drain.model import (
    Drain,
    LifecycleAction,
    LifecycleActionResult,
)
from drainer.drain.record import DrainRecord, End, key_of
from drainer.errors import UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle.look import HookLook, Waiting
from drainer.lifecycle.outcome import HookOutcome
from drainer.lifecycle.recorder import Recorder
from drainer.lifecycle.rules import HookDecision

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INTERVAL_SECONDS = 15


class Store:
    """A table of which each write comes to the same."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.writes: list[Write] = []

    def new_pass_id(self) -> str:
        return "pass"

    def write(self, writes: Sequence[Write]) -> list[Written]:
        self.writes += writes
        error = UnavailableError("throttled") if self.made == Made.UNKNOWN else None
        return [Written(self.made, error=error) for _ in writes]


def drain(token: str, started_at: datetime) -> Drain:
    action = LifecycleAction("web", "drainer", "i-0", token)
    return Drain(action, started_at, started_at)


def earlier() -> DrainRecord:
    """Return the record of an action that has ended, of the same instance under the same hook."""
    before = NOW - timedelta(hours=1)
    old = drain("old", before)
    return DrainRecord(
        key_of(old.action), 3, 9, "then", old, before, end=End.CONTINUE, ended_at=before
    )


def following(made: Made) -> Drain:
    """Return what a pass publishes that replaces the earlier record, by what came of its write."""
    admitted = admit(drain("new", NOW), earlier(), NOW, INTERVAL_SECONDS)
    assert admitted.admission == Admission.NEW
    look = HookLook(
        ec2_instance_id="i-0",
        drain=admitted.drain,
        now=NOW,
        waiting=Waiting.YES,
        pass_interval_seconds=INTERVAL_SECONDS,
        deadline_result=LifecycleActionResult.CONTINUE,
    )
    outcome = HookOutcome(
        look=look,
        decision=HookDecision(Phase.DRAINING, republish=True),
        heartbeat=True,
        admitted=admitted,
    )
    store: Any = Store(made)
    clock = InvocationClock(NOW, lambda: 30.0)
    assert Recorder(store, clock, INTERVAL_SECONDS).claim([outcome]) == [outcome]
    assert len(store.writes) == 1
    return outcome.following()


# The next pass found the earlier record, took the message for another action's, and acknowledged
# it: nobody went on with the drain before a sweep had found it again.
def test_a_message_names_no_generation_that_may_not_be_there() -> None:
    sent = following(Made.UNKNOWN)

    assert admit(sent, earlier(), NOW, INTERVAL_SECONDS).admission == Admission.NEW


# Without a generation it would only be known by its token.
def test_a_message_names_the_generation_that_was_written() -> None:
    assert following(Made.DONE).generation == 4
