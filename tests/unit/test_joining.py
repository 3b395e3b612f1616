"""
A token that joins the sweep's record: when its instance is set DRAINING, and what is re-invoked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.errors import LifecycleActionOverError, MisconfiguredError, ThrottledError
from drainer.lifecycle.acting import JOINING_PASSES_MAX
from tests.unit.account import CONFIG, NOW, START, TOKEN, Account, action, drain, record, task
from tests.unit.account import notification as notified

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.model import Drain

DENIED = MisconfiguredError("UpdateItem: AccessDeniedException")
THROTTLED = ThrottledError("RecordLifecycleActionHeartbeat: Throttling")
# Deliveries of one message before it is a dead letter, in infra/drainer.yaml.
RECEIVES_MAX = 5
INTERVAL = timedelta(seconds=CONFIG.pass_interval_seconds)


@pytest.fixture
def account() -> Account:
    account = Account()
    account.has(0, "ACTIVE", task())
    sweeps(account)
    return account


def sweeps(account: Account, draining_since: datetime | None = None) -> None:
    """Put the record that a sweep has created, whose chain is lost."""
    of = drain(
        action=action(0, ""), draining_since=draining_since, deadline_at=NOW + 120 * INTERVAL
    )
    account.records.put(record(of))


def follow(account: Account, passes: int) -> list[bool]:
    """Run the chain of a notification; return for each pass whether it set DRAINING."""
    due, drained, now = notified(at=START), [], NOW
    for _ in range(passes):
        account.log.clear()
        [outcome] = account.run(due, now=now).outcomes
        assert (outcome.retry_reason, outcome.duplicate) == ("", False)
        drained.append("set DRAINING" in account.log)
        due, now = account.published[-1], now + INTERVAL
    return drained


# A write may be denied for ever; not to be drained until the deadline is worse than an instance
# that stays DRAINING, should it ever come back.
def test_a_join_that_cannot_be_written_sets_draining_after_some_passes(account: Account) -> None:
    account.records.unmade = DENIED

    assert follow(account, JOINING_PASSES_MAX) == [False] * (JOINING_PASSES_MAX - 1) + [True]


# What comes back is found by its record: one throttled write is no reason to do without it.
def test_a_join_is_written_before_draining_where_the_table_takes_it(account: Account) -> None:
    account.records.unmade = DENIED
    assert follow(account, 2) == [False, False]
    account.records.unmade = None

    account.run(account.published[-1], now=NOW + 10 * INTERVAL)

    assert account.record().token == TOKEN
    assert account.log.index("join hop=4") < account.log.index("set DRAINING")


# Who goes by the record believes in listings that lack the tasks placed since: tasks would be cut.
def test_a_join_never_sets_draining_unwritten_what_has_been_draining(account: Account) -> None:
    sweeps(account, draining_since=START)
    account.records.unmade = DENIED

    assert not any(follow(account, 4 * JOINING_PASSES_MAX))


# An operator had set it ACTIVE, and a task was placed that the other chain's listings lack.
def test_a_chain_ahead_of_a_record_that_cannot_be_written_does_not_set_draining_again(
    account: Account,
) -> None:
    account.records.unmade = DENIED
    there = account.record()
    ahead = replace(there.drain, generation=there.generation, hop=there.hop + 1)

    account.run(ahead)

    assert "set DRAINING" not in account.log


# Delivered again, it was a dead letter after five receives, a quarter of an hour later.
def test_a_join_that_auto_scaling_does_not_confirm_is_re_invoked(account: Account) -> None:
    account.fails["heartbeat"] = THROTTLED

    assert not any(follow(account, RECEIVES_MAX + 1))

    assert account.records.writes == []
    assert {(one.generation, one.action.lifecycle_action_token) for one in account.published} == {
        (None, TOKEN)
    }


def test_a_join_goes_on_once_auto_scaling_confirms_it(account: Account) -> None:
    account.fails["heartbeat"] = THROTTLED
    follow(account, RECEIVES_MAX + 1)
    account.fails.clear()
    due: Drain = account.published[-1]

    account.run(due, now=NOW + 10 * INTERVAL)

    assert account.record().token == TOKEN
    assert "set DRAINING" in account.log


# A token that was made up must not be re-invoked.
def test_a_join_whose_token_is_refused_ends(account: Account) -> None:
    account.fails["heartbeat"] = LifecycleActionOverError("No active Lifecycle Action found")

    account.run(notified(at=START))

    assert (account.published, account.records.writes) == ([], [])
