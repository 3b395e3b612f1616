"""Heartbeats before ECS is looked at: what hangs or fails there costs no drain its hook."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drainer.drain.model import LifecycleActionResult
from drainer.drain.record import End
from drainer.errors import LifecycleActionOverError, UnavailableError
from tests.unit.account import (
    NOW,
    START,
    Account,
    action,
    instance_id,
    notification,
    task,
)

LONG_AGO = NOW - timedelta(minutes=20)
STALE: dict[str, Any] = {
    "last_heartbeat_at": LONG_AGO,
    "deadline_at": START + timedelta(hours=1),
    "heartbeat_timeout_seconds": 1800,
}
HANGS = UnavailableError("ReadTimeoutError: it took ten seconds")


def test_a_heartbeat_that_is_due_comes_before_every_look() -> None:
    # Reads that hang for ten seconds each used up the invocation: no heartbeat for half an hour.
    account = Account()
    due = account.follows(0, "DRAINING", task(), **STALE)

    account.run(due)

    assert account.log.index("heartbeat") < account.log.index("states")
    assert account.log.count("heartbeat") == 1


@pytest.mark.parametrize("failing", ["states", "hooks", "describe", "tasks"])
def test_a_look_that_fails_costs_no_heartbeat(failing: str) -> None:
    account = Account(fails={failing: HANGS})
    due = account.follows(0, "DRAINING", task(), **STALE)

    [outcome] = account.run(due).outcomes

    assert outcome.heartbeat
    assert account.record().drain.last_heartbeat_at == NOW


def test_a_new_action_is_proven_before_ecs_is_looked_at() -> None:
    # The hook is known to be ours by then; ECS may hang until the hook times out.
    account = Account()
    account.has(0, "ACTIVE", task())

    account.run(notification())

    at = account.log.index
    assert at("states") < at("heartbeat") < at("describe")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({**STALE, "last_heartbeat_at": NOW}, id="it is not due"),
        pytest.param({**STALE, "deadline_at": NOW}, id="its deadline is over"),
        pytest.param({**STALE, "not_waiting_since": NOW}, id="it seems not to wait"),
        pytest.param({**STALE, "action": action(0, "")}, id="it has no token"),
    ],
)
def test_none_is_sent_early_where_it_might_keep_what_is_over_waiting(
    changes: dict[str, Any],
) -> None:
    account = Account()
    due = account.follows(0, "DRAINING", task(), **changes)

    account.run(due)

    early = account.log[: account.log.index("states")]
    assert "heartbeat" not in early


def test_what_is_over_by_its_early_heartbeat_is_ended_and_not_answered() -> None:
    account = Account(fails={"heartbeat": LifecycleActionOverError("No active Lifecycle Action")})
    due = account.follows(0, "DRAINING", **STALE)

    account.run(due)

    assert (account.answered, account.record().end) == ([], End.OVER)


# -- answers


def test_what_has_been_written_since_the_look_is_not_answered() -> None:
    # Another pass has seen it ACTIVE meanwhile, written that, and set it DRAINING again: a task
    # that was placed in between is in no listing of ours.
    account = Account()
    due = account.follows(0, "DRAINING")
    read, reads = account.records.read, []

    def reading(keys: Any) -> Any:
        reads.append(keys)
        if len(reads) == 2:
            there = account.record()
            account.records.put(replace(there, hop=there.hop + 1))
        return read(keys)

    account.records.read = reading  # type: ignore[method-assign]

    [outcome] = account.run(due).outcomes

    assert len(reads) == 2
    assert (account.answered, outcome.duplicate) == ([], True)


def test_what_has_no_token_is_answered_once_its_end_is_written() -> None:
    # Were the record left open, the next action would be answered by this one's deadline.
    account = Account()
    due = account.follows(0, "DRAINING", action=action(0, ""))

    account.run(due)

    assert account.answered == [(instance_id(0), LifecycleActionResult.CONTINUE)]
    assert account.record().end == End.CONTINUE
    assert account.log.index("end: answered CONTINUE") < account.log.index("complete")


def test_what_has_no_token_is_not_answered_where_its_end_cannot_be_written() -> None:
    account = Account()
    due = account.follows(0, "DRAINING", action=action(0, ""))
    account.records.unmade = UnavailableError("Rate exceeded")

    [outcome] = account.run(due).outcomes

    assert account.answered == []
    assert outcome.undone
