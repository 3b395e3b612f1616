"""The invocation's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from drainer.invocation import InvocationClock

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Left:
    seconds = 30.0

    def __call__(self) -> float:
        return self.seconds


# What is dated by the invocation's beginning looks older than it is: a look counts too early.
def test_time_goes_on_while_calls_take_it() -> None:
    left = Left()
    time = InvocationClock(NOW, left)

    left.seconds = 12.5

    assert time.now() == NOW + timedelta(seconds=17.5)
    assert time.seconds_left() == 12.5


def test_what_is_kept_back_changes_no_instant() -> None:
    left = Left()
    time = InvocationClock(NOW, left, "request")
    left.seconds = 25.0

    less = time.less(8.0)
    left.seconds = 20.0

    assert (less.now(), less.seconds_left()) == (NOW + timedelta(seconds=10), 12.0)
    assert less.request_id == "request"
