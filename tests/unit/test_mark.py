from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drainer import mark as marks
from drainer.model import Drain, LifecycleAction, Mark, Origin

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ACTION = LifecycleAction("payments-asg", "drainer", "i-0123456789abcdef0", "t" * 36)
MARK = Mark(
    ACTION.lifecycle_action_token,
    marks.hook_checksum(ACTION),
    hop=7,
    at=START + timedelta(seconds=120),
    started_at=START,
    deadline_at=START + timedelta(hours=1),
    last_heartbeat_at=START + timedelta(seconds=90),
    draining_since=START + timedelta(seconds=1),
)
SECONDS = st.integers(1, 7_258_118_400).map(lambda s: datetime.fromtimestamp(s, UTC))
MARKS = st.builds(
    Mark,
    lifecycle_action_token=st.just("") | st.uuids().map(str),
    hook_checksum=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    hop=st.integers(0, 9_999_999),
    at=SECONDS,
    started_at=SECONDS,
    deadline_at=SECONDS,
    last_heartbeat_at=SECONDS,
    draining_since=st.none() | SECONDS,
)


@given(MARKS)
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    assert marks.read(marks.write(mark)) == mark


@given(MARKS)
def test_a_mark_is_a_value_that_ecs_takes(mark: Mark) -> None:
    assert re.fullmatch(r"[A-Za-z0-9\-_.@/\\: ]{1,128}", marks.write(mark))


@given(st.text() | st.from_regex(r"[0-9a-f/-]{0,130}", fullmatch=True))
def test_what_is_not_ours_is_as_good_as_none_and_never_crashes(value: str) -> None:
    # Anyone with ecs:PutAttributes may write anything.
    read = marks.read(value)

    assert read is None or marks.read(marks.write(read)) == read


def test_a_strange_token_is_left_out_of_the_mark() -> None:
    assert marks.read(marks.write(replace(MARK, lifecycle_action_token="a b/c"))) == replace(
        MARK, lifecycle_action_token=""
    )


def hint(origin: Origin = Origin.HINT) -> Drain:
    action = replace(ACTION, lifecycle_action_token="")
    return Drain(action, START + timedelta(hours=2), START - timedelta(hours=1), origin=origin)


@pytest.mark.parametrize("origin", [Origin.HINT, Origin.SWEEP])
def test_hint_and_sweep_learn_from_the_mark_what_they_cannot_observe(origin: Origin) -> None:
    # Without the token the answer could be another action's; without the start, the deadline slips.
    restored = marks.restored(hint(origin), MARK)

    assert restored.action == ACTION
    assert restored.started_at == MARK.started_at
    assert restored.deadline_at == MARK.deadline_at
    assert restored.draining_since == MARK.draining_since
    assert restored.hop == 7


def test_another_hooks_mark_teaches_nothing() -> None:
    other = replace(MARK, hook_checksum="00000000")

    assert marks.restored(hint(), other) == hint()
    assert marks.restored(hint(), None) == hint()


def test_a_chain_knows_itself_but_not_the_heartbeats_of_others() -> None:
    chain = Drain(ACTION, START, START, hop=3, deadline_at=START + timedelta(minutes=5))

    assert marks.restored(chain, MARK) == replace(chain, last_heartbeat_at=MARK.last_heartbeat_at)


def test_a_notice_that_comes_again_learns_since_when_the_instance_is_draining() -> None:
    notice = Drain(ACTION, START, START)

    assert marks.restored(notice, MARK).draining_since == MARK.draining_since
