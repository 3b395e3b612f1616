from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drainer.drain import mark as marks
from drainer.drain.model import ContainerInstance, Drain, LifecycleAction, Mark, Origin

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ACTION = LifecycleAction("payments-asg", "drainer", "i-0123456789abcdef0", "t" * 36)
HOOK = marks.checksum("drainer")
MARK = Mark(
    marks.checksum(ACTION.lifecycle_action_token),
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
    token_checksum=st.just("") | st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    hop=st.integers(0, 9_999_999),
    at=SECONDS,
    started_at=SECONDS,
    deadline_at=SECONDS,
    last_heartbeat_at=SECONDS,
    draining_since=st.none() | SECONDS,
)
PREFIXES = st.lists(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), max_size=5, unique=True)
# What is known of the tasks: nothing; a first listing's; or a closed set.
MARKS = st.one_of(
    MARKS,
    st.builds(
        replace,
        MARKS,
        unfinished=PREFIXES.map(tuple),
        listed_at=st.none() | SECONDS,
    ),
)


def read(value: str) -> Mark | None:
    return marks.read({marks.name(ACTION): value, "ecs.os-type": "linux"}).get(HOOK)


@given(MARKS)
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    assert read(marks.write(mark)) == mark


@given(MARKS)
def test_a_mark_is_an_attribute_that_ecs_takes(mark: Mark) -> None:
    assert re.fullmatch(r"[A-Za-z0-9\-_.@/\\: ]{1,128}", marks.write(mark))
    assert re.fullmatch(r"[A-Za-z0-9\-_./]{1,128}", marks.name(ACTION))


@given(st.text() | st.from_regex(r"[0-9a-f/-]{0,130}", fullmatch=True))
def test_what_is_not_ours_is_as_good_as_none_and_never_crashes(value: str) -> None:
    # Anyone with ecs:PutAttributes may write anything.
    mark = read(value)

    assert mark is None or read(marks.write(mark)) == mark


def test_parts_of_a_second_make_nothing_early() -> None:
    # A listing that seems to be earlier than it was lets the second one close the set too soon.
    half = timedelta(milliseconds=500)
    later = replace(
        MARK,
        deadline_at=MARK.deadline_at + half,
        last_heartbeat_at=MARK.last_heartbeat_at + half,
        draining_since=START + half,
        listed_at=START + half,
        unfinished=(),
    )
    mark = read(marks.write(later))

    assert mark
    assert mark.draining_since == START + 2 * half
    assert mark.listed_at == START + 2 * half
    assert mark.deadline_at > MARK.deadline_at + half
    assert mark.last_heartbeat_at == MARK.last_heartbeat_at


def test_the_token_itself_is_nobody_elses_business() -> None:
    # Attributes are read by all who may describe the cluster; a token answers for the action.
    assert ACTION.lifecycle_action_token not in marks.write(MARK)


def instance(mark: Mark | None, hook: str = HOOK) -> ContainerInstance:
    return ContainerInstance(
        "arn", ACTION.ec2_instance_id, "DRAINING", agent_connected=True, running_tasks=0,
        pending_tasks=0, marks={hook: mark} if mark else {},
    )  # fmt: skip


def chain(**changes: Any) -> Drain:
    of = {"heartbeat_timeout_seconds": 300, "hop": 3, **changes}
    return Drain(ACTION, START, START, **of)


def nameless(**changes: Any) -> Drain:
    action = replace(ACTION, lifecycle_action_token="")
    return replace(chain(), action=action, origin=Origin.HINT, hop=0, **changes)


NOW = START + timedelta(seconds=130)


@pytest.mark.parametrize(
    ("drain", "mark", "hook", "ours"),
    [
        pytest.param(chain(), MARK, HOOK, True, id="the same token"),
        pytest.param(nameless(), MARK, HOOK, True, id="no token to compare"),
        pytest.param(chain(), replace(MARK, token_checksum=""), HOOK, True, id="the sweep's mark"),
        pytest.param(chain(), replace(MARK, token_checksum="0" * 8), HOOK, False, id="another's"),
        pytest.param(chain(), MARK, "0" * 8, False, id="another hook's"),
        pytest.param(chain(), None, HOOK, False, id="none"),
        pytest.param(
            chain(heartbeat_timeout_seconds=30), MARK, HOOK, True, id="timed out, but DRAINING"
        ),
        pytest.param(
            chain(heartbeat_timeout_seconds=30),
            replace(MARK, deadline_at=NOW),
            HOOK,
            False,
            id="timed out, and out of time",
        ),
    ],
)
def test_a_mark_belongs_to_one_action(
    drain: Drain, mark: Mark | None, hook: str, ours: bool
) -> None:
    # The mark of an action that is over must not tell the next one that its deadline has passed.
    assert (marks.of(instance(mark, hook), drain, NOW) is not None) is ours


def test_the_mark_of_an_instance_that_came_back_is_of_an_action_that_is_over() -> None:
    back = replace(instance(MARK), status="ACTIVE")

    assert marks.of(back, chain(heartbeat_timeout_seconds=30), NOW) is None
    assert marks.of(back, chain(), NOW) == MARK


def test_an_ended_actions_mark_is_written_off_and_says_when_that_was() -> None:
    # The instance may be retained, and leave once more under another action.
    value = marks.ended(START + timedelta(milliseconds=1))

    assert read(value) is None
    assert marks.read_ended({marks.name(ACTION): value}) == {
        marks.name(ACTION): START + timedelta(seconds=1)
    }
    assert re.fullmatch(r"[A-Za-z0-9\-_.@/\\: ]{1,128}", value)


@pytest.mark.parametrize("value", ["ended/x", "ended/", "ended/12345678901", "ENDED", " ended"])
def test_what_merely_looks_like_an_ended_mark_is_none(value: str) -> None:
    # It would have an instance set ACTIVE that somebody else has set DRAINING.
    assert marks.read_ended({marks.name(ACTION): value}) == {}


def test_an_ended_mark_under_a_name_that_is_not_ours_is_none() -> None:
    assert marks.read_ended({"team.pass.0badcafe": marks.ended(START)}) == {}


def test_the_ended_mark_of_the_version_before_is_of_long_ago() -> None:
    # It had no instant; the instance that comes back must be recognised all the same.
    ended_at = marks.read_ended({marks.name(ACTION): "ended"})[marks.name(ACTION)]

    assert ended_at < START - timedelta(days=365)


def test_what_has_no_token_learns_all_that_it_cannot_observe() -> None:
    # It came by no notice: when it began and must end is the mark's to say.
    restored = marks.restored(nameless(started_at=NOW), MARK)

    assert restored.started_at == MARK.started_at
    assert restored.deadline_at == MARK.deadline_at
    assert restored.draining_since == MARK.draining_since
    assert restored.last_heartbeat_at == MARK.last_heartbeat_at
    assert restored.hop == 7
    assert marks.restored(nameless(), None) == nameless()


IDS = tuple(f"{number:08x}" + "0" * 24 for number in range(6))


def test_a_mark_holds_how_all_of_the_unfinished_ids_begin_or_says_nothing_of_them() -> None:
    # A set that lacks one task would release while it runs.
    assert marks.prefixes(()) == ()
    assert marks.prefixes(IDS[:5]) == tuple(one[:8] for one in IDS[:5])
    assert marks.prefixes(IDS) is None


def test_two_tasks_whose_ids_begin_alike_are_not_told_apart_and_so_not_written() -> None:
    # One that stops would stand for both.
    assert marks.prefixes(["0" * 32, "0" * 31 + "1"]) is None


def test_an_id_that_is_no_hexadecimal_number_is_not_written() -> None:
    # The mark would not be read again, and its deadline with it.
    assert marks.prefixes(["no task"]) is None
    assert marks.prefixes(["ABCDEF01" + "0" * 24]) is None


@pytest.mark.parametrize(
    ("listed_at", "unfinished", "closed"),
    [(None, None, False), (START, ("0" * 8,), False), (None, ("0" * 8,), True), (None, (), True)],
)
def test_what_has_no_token_learns_of_the_tasks_what_the_mark_says_and_no_more(
    listed_at: datetime | None, unfinished: tuple[str, ...] | None, closed: bool
) -> None:
    # Taken for closed, a set that was listed once releases over a task that was in no listing.
    mark = replace(MARK, listed_at=listed_at, unfinished=unfinished)
    restored = marks.restored(nameless(), mark)

    assert restored.closed is closed
    assert restored.listed_at == listed_at
    assert restored.unfinished == (unfinished or ())


def test_a_mark_of_the_version_before_is_read_and_closes_nothing() -> None:
    # Its drain is under way while the function is updated.
    old = read("0badcafe/7/1/2/3/4/5")

    assert old is not None
    assert (old.unfinished, old.listed_at) == (None, None)
    assert not marks.restored(nameless(), old).closed


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)


# Hop 7 is what the own mark says was published last: what is no later may have come twice.
@pytest.mark.parametrize(
    ("drain", "hop", "own", "other", "expected"),
    [
        pytest.param(None, 7, 5, 90, None, id="not seen DRAINING yet"),
        pytest.param(5, 8, 6, None, 5, id="a mark's seconds are rounded up"),
        pytest.param(5, 8, 5, 7, 5, id="another hook's, rounded up"),
        pytest.param(5, 8, 5, 60, 60, id="another hook's, later"),
        pytest.param(5, 7, 60, None, 60, id="its own, later: a message that comes again"),
        pytest.param(5, 7, None, None, None, id="seen ACTIVE again"),
        # The other hook's instant is from before: a listing right after DRAINING would count.
        pytest.param(5, 7, None, 8, None, id="seen ACTIVE again, beside another hook's"),
        pytest.param(200, 8, None, 8, 200, id="seen ACTIVE, and DRAINING since"),
    ],
)
def test_since_when_it_is_draining_is_what_the_latest_of_all_hooks_knows(
    drain: float | None, hop: int, own: float | None, other: float | None, expected: float | None
) -> None:
    mine = replace(MARK, draining_since=at(own))
    there = replace(
        instance(mine),
        marks={HOOK: mine, marks.checksum("other"): replace(MARK, draining_since=at(other))},
    )

    found = marks.draining_since(chain(hop=hop, draining_since=at(drain)), there, mine)

    assert found == at(expected)


def test_a_chain_knows_itself_but_not_the_heartbeats_of_others() -> None:
    known = chain(deadline_at=START + timedelta(minutes=5))

    assert marks.restored(known, MARK) == replace(known, last_heartbeat_at=MARK.last_heartbeat_at)


def test_a_notice_that_comes_again_learns_since_when_the_instance_is_draining() -> None:
    assert marks.restored(chain(hop=0), MARK).draining_since == MARK.draining_since
