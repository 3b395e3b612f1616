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
    OTHER_TOKEN,
    START,
    TOKEN,
    WAIT,
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


WITHOUT_TOKEN: dict[str, Any] = {**STALE, "action": action(0, "")}


@pytest.mark.parametrize("failing", ["describe", "tasks"])
@pytest.mark.parametrize("silent", [False, True])
def test_what_has_no_token_is_kept_waiting_before_ecs_is_looked_at(
    failing: str, *, silent: bool
) -> None:
    # Reads that hang for ten seconds each used up every pass: all such hooks timed out.
    account = Account(fails={failing: HANGS})
    due = account.follows(0, "DRAINING", task(), **WITHOUT_TOKEN)
    if silent:
        account.records.put(replace(account.record(), written_at=NOW - timedelta(minutes=3)))

    [outcome] = account.run(due).outcomes

    at = account.log.index
    assert at("states") < at("heartbeat") < at("describe")
    assert (outcome.heartbeat, account.log.count("heartbeat")) == (True, 1)
    assert account.record().drain.last_heartbeat_at == NOW


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        pytest.param("InService", {}, id="it does not wait"),
        pytest.param(WAIT, {"last_heartbeat_at": NOW}, id="it is not due"),
        pytest.param(WAIT, {"deadline_at": NOW}, id="its deadline is over"),
    ],
)
def test_what_has_no_token_is_not_kept_waiting_where_that_is_not_due(
    state: str, changes: dict[str, Any]
) -> None:
    # The heartbeat would be for whatever action waits by now.
    account = Account({instance_id(0): state})

    account.run(account.follows(0, "DRAINING", task(), **{**WITHOUT_TOKEN, **changes}))

    assert "heartbeat" not in account.log


def test_what_the_sweep_has_found_has_a_record_before_its_first_heartbeat() -> None:
    # Nothing else remembers when it must end: each sweep would begin another deadline.
    account = Account()
    account.has(0, "ACTIVE", task())

    account.run(sweep=True)

    assert account.log.index("create hop=0") < account.log.index("heartbeat")


def test_heartbeats_leave_time_for_the_look_and_the_rest_follows_it() -> None:
    # With a timeout of a minute a hundred were due in each pass and took all the time to look:
    # nothing was ever listed, and every drain waited for its deadline.
    account = Account(seconds_left=30.0, call_seconds=0.125)
    due = [account.follows(one, "DRAINING", closed=False, **of(one)) for one in range(60)]

    account.run(*due)

    early = account.log[: account.log.index("describe")].count("heartbeat")
    assert 0 < early < 60
    assert "list STOPPED" in account.log
    assert account.log.count("heartbeat") > early
    assert account.late == []


def test_those_whose_hooks_end_first_get_the_first_heartbeats() -> None:
    # Should the look hang after all, those that are left out can best wait for the next pass.
    account = Account(seconds_left=30.0, call_seconds=0.125)
    due = [account.follows(one, "DRAINING", task(), **of(one)) for one in range(60)]

    account.run(*due)

    early = account.log[: account.log.index("describe")].count("heartbeat")
    assert account.tokens[:early] == [f"{one:036}" for one in reversed(range(60 - early, 60))]


def test_the_hook_with_a_short_timeout_ends_before_one_that_has_waited_longer() -> None:
    # By the last heartbeat alone, hooks of two hours would take the time of those of ten minutes.
    account = Account()
    long, short = (
        {
            **STALE,
            "last_heartbeat_at": NOW - timedelta(minutes=minutes),
            "heartbeat_timeout_seconds": timeout_seconds,
            "action": action(number, token),
        }
        for number, (minutes, timeout_seconds, token) in enumerate(
            [(65, 7_200, TOKEN), (8, 600, OTHER_TOKEN)]
        )
    )

    account.run(
        account.follows(0, "DRAINING", task(0), **long),
        account.follows(1, "DRAINING", task(1), **short),
    )

    assert account.tokens == [OTHER_TOKEN, TOKEN]


def of(number: int) -> dict[str, Any]:
    """Return a drain of a crowd, of which the last one has had no heartbeat for longest."""
    since = LONG_AGO - timedelta(seconds=number)
    return {**STALE, "last_heartbeat_at": since, "action": action(number, f"{number:036}")}


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
    assert outcome.retry_reason
