"""What a pass of drains still begins with so much of its time left, to the tenth of a second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from drainer.drain.actions import NO_TIME
from tests.unit.account import NOW, Account, notification, task

LONG_AGO = NOW - timedelta(hours=1)


@dataclass
class SlowLook(Account):
    """An account whose description of container instances leaves so many seconds."""

    leaves: float = 0.0
    heartbeat_seconds: float = 0.0
    draining_seconds: float = 0.0

    def _call(self, name: str, about: str = "") -> None:
        super()._call(name, about)
        if name == "describe":
            self.seconds_left = self.leaves
        if name == "heartbeat":
            self.seconds_left -= self.heartbeat_seconds
        if name == "set DRAINING":
            self.seconds_left -= self.draining_seconds


@pytest.mark.parametrize(("leaves", "answers"), [(8.0, True), (7.9, False)])
def test_an_answer_is_begun_with_the_time_to_read_its_record_again(
    leaves: float, *, answers: bool
) -> None:
    # Another pass may have seen the instance ACTIVE meanwhile, with tasks that this one never saw.
    account = SlowLook(leaves=leaves)
    (outcome,) = account.run(account.follows()).outcomes

    assert bool(account.answered) is answers
    assert (outcome.published, outcome.retry_reason) == (not answers, "")


@pytest.mark.parametrize(("leaves", "units"), [(4.9, 0), (5.0, 1), (5.9, 1), (6.0, 2)])
def test_ten_are_acted_upon_only_where_the_others_can_still_be_passed_on(
    leaves: float, units: int
) -> None:
    # Given back to SQS instead, they come again three minutes later, at the same place.
    account = SlowLook(leaves=leaves)
    due = [account.follows(n, "ACTIVE", task(n), last_heartbeat_at=NOW) for n in range(11)]
    report = account.run(*due)

    assert account.done.count("set DRAINING") == units
    assert all(one.published and not one.retry_reason for one in report.outcomes)


@pytest.mark.parametrize(("left", "it_re_invokes"), [(4.0, True), (3.9, False)])
def test_no_hop_is_claimed_without_the_time_to_publish_it(
    left: float, *, it_re_invokes: bool
) -> None:
    # Claimed and not published, it waits for its message to come again.
    account = Account(seconds_left=left)
    account.run(account.follows(0, "DRAINING", task()))

    assert account.done == (["write hop=4", "publish"] if it_re_invokes else [])


@pytest.mark.parametrize(("leaves", "beats"), [(12.0, 2), (11.9, 1), (8.0, 1), (7.9, 0)])
def test_heartbeats_end_where_records_as_slow_as_they_could_not_be_written(
    leaves: float, beats: int
) -> None:
    # All three have to be written and published after them.
    account = SlowLook(leaves=leaves, heartbeat_seconds=1.0)
    due = [account.follows(n, "ACTIVE", task(n), last_heartbeat_at=LONG_AGO) for n in range(3)]
    account.run(*due)

    assert account.done.count("heartbeat") == beats


# -- what is delivered again


def test_what_the_sweep_finds_without_time_to_record_it_is_said_to_be_retried() -> None:
    # No heartbeat may come before its record. Unsaid, its hook times out and nobody learns why.
    account = SlowLook(leaves=4.5)
    account.has(0, "ACTIVE", task())

    [outcome] = account.run(sweep=True).outcomes

    assert (account.done, outcome.retry_reason) == ([], NO_TIME)


def test_heartbeats_that_take_all_the_time_have_messages_delivered_again() -> None:
    # Acknowledged and not published, the drain would wait for a sweep. A wake-up is not delivered
    # again: to report that would be a false alarm.
    account = SlowLook(leaves=8.0, heartbeat_seconds=6.0)
    due = account.follows(0, "ACTIVE", task(0), last_heartbeat_at=LONG_AGO)
    account.follows(1, "DRAINING", task(1))

    first, woken = account.run(due, stopped=["arn-1"]).outcomes

    assert account.done == ["heartbeat"]
    assert (first.published, first.retry_reason, woken.retry_reason) == (False, NO_TIME, "")


def test_a_change_that_takes_all_the_time_has_the_message_delivered_again() -> None:
    # Acknowledged and not published, the drain that was just begun would wait for a sweep.
    account = SlowLook(leaves=8.0, draining_seconds=5.0)
    account.has(0, "ACTIVE", task())

    [outcome] = account.run(notification()).outcomes

    assert account.done == ["heartbeat", "set DRAINING"]
    assert (outcome.published, outcome.retry_reason) == (False, NO_TIME)


@pytest.mark.parametrize(("leaves", "messages"), [(4.0, 1), (3.9, 0)])
def test_no_pass_is_hurried_without_the_time_for_it(leaves: float, messages: int) -> None:
    # The invocation is killed in its middle, and the ends of other drains are not written. The
    # message that is on its way comes a minute later.
    account = SlowLook(leaves=leaves, fast_path=True)
    account.follows(0, "DRAINING", task(1, "DEACTIVATING"), quiet=True)

    account.run(stopped=["arn-0"])

    assert len(account.published) == messages
