"""What a pass of drains still begins with so much of its time left, to the tenth of a second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.unit.account import NOW, Account, task

LONG_AGO = NOW - timedelta(hours=1)


@dataclass
class SlowLook(Account):
    """An account whose description of container instances leaves so many seconds."""

    leaves: float = 0.0
    heartbeat_seconds: float = 0.0

    def _call(self, name: str, about: str = "") -> None:
        super()._call(name, about)
        if name == "describe":
            self.seconds_left = self.leaves
        if name == "heartbeat":
            self.seconds_left -= self.heartbeat_seconds


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
