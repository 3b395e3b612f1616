"""What a look knows of one drain, and takes from another drain of the same EC2 instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drainer.drain.model import Drain, LifecycleAction, LifecycleActionResult
from drainer.lifecycle.look import HookLook

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ACTION = LifecycleAction("payments-asg", "drainer", "i-0123456789abcdef0", "t" * 36)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)


def restored(since: float | None, again: float | None) -> Drain:
    drain = Drain(
        ACTION,
        START,
        START,
        draining_since=at(since),
        unfinished=("a",),
        listed_at=at(30),
        closed=True,
        standalone_stopped=True,
    )
    look = HookLook(
        ec2_instance_id=ACTION.ec2_instance_id,
        drain=drain,
        now=START,
        draining_again=at(again),
        pass_interval_seconds=15,
        deadline_result=LifecycleActionResult.CONTINUE,
    )
    look.take_from_other_hook()
    return look.drain


@pytest.mark.parametrize(
    ("since", "again", "expected"),
    [
        pytest.param(None, 90, None, id="not seen DRAINING yet"),
        pytest.param(5, None, 5, id="no other drain knows of it"),
        pytest.param(5, 5, 5, id="set DRAINING by one call for both"),
        pytest.param(5, 60, 60, id="the other has seen it ACTIVE in between"),
        # The other's instant is from before: a listing right after DRAINING would count.
        pytest.param(None, 8, None, id="seen ACTIVE again"),
        pytest.param(200, 8, 200, id="seen ACTIVE, and DRAINING since"),
    ],
)
def test_since_when_it_is_draining_is_the_later_instant_of_two_hooks(
    since: float | None, again: float | None, expected: float | None
) -> None:
    assert restored(since, again).draining_since == at(expected)


def test_what_was_listed_before_it_was_active_again_closes_no_set() -> None:
    # ECS may have placed tasks in between that no listing from before has, and told none to stop:
    # the instance would be released over them.
    drain = restored(5, 60)

    assert (drain.listed_at, drain.closed, drain.standalone_stopped) == (None, False, False)
    assert drain.unfinished == ("a",)


@pytest.mark.parametrize("again", [None, 5, 4])
def test_what_the_other_knows_no_later_changes_nothing(again: float | None) -> None:
    # Each pass would begin the listings again, and the drain would end at its deadline.
    drain = restored(5, again)

    assert (drain.listed_at, drain.closed, drain.standalone_stopped) == (at(30), True, True)
