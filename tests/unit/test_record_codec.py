"""
A drain's record as plain values and back: nothing is lost, and nothing odd is believed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drainer.aws.record_expressions import update
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Write, holds, stored
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Policy,
    StandaloneTasks,
)
from drainer.drain.record import DrainRecord, End, Key, Previous, key_of
from drainer.errors import MisconfiguredError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN = "465e0162-e6af-4786-b4e8-bb544ae58790"
RETENTION = timedelta(days=90)
ACTION = LifecycleAction("web", "drainer", "i-0123456789abcdef0", TOKEN)
DRAIN = Drain(
    ACTION,
    NOON,
    NOON,
    hop=7,
    generation=2,
    deadline_at=NOON + timedelta(hours=2),
    draining_since=NOON + timedelta(seconds=2),
    heartbeat_timeout_seconds=1_800,
    cluster="arn:aws:ecs:eu-west-1:123456789012:cluster/payments",
    container_instance_arn=f"arn:aws:ecs:eu-west-1:123456789012:container-instance/{'a' * 32}",
)
OPEN = DrainRecord(
    key_of(ACTION),
    generation=2,
    hop=7,
    pass_id="0123456789abcdef",
    drain=DRAIN,
    written_at=NOON + timedelta(minutes=2),
    phase="draining",
    reason="2 tasks are left.",
    running=2,
    tasks=("b" * 32, "c" * 32),
    previous=Previous("12345678", NOON, NOON, End.CONTINUE),
)
ENDED = replace(OPEN, end=End.CONTINUE, ended_at=NOON + timedelta(minutes=9))

INSTANTS = st.datetimes(
    datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)
)  # fmt: skip
NAMES = st.text(min_size=1, max_size=36)
COUNTS = st.integers(0, 1_000_000)
ENDS = st.none() | st.tuples(st.sampled_from([e for e in End if e]), INSTANTS, st.booleans())


@st.composite
def records(draw: st.DrawFn) -> DrainRecord:
    end = draw(ENDS)
    drain = Drain(
        LifecycleAction(
            auto_scaling_group_name=draw(NAMES.filter(lambda name: ":" not in name)),
            lifecycle_hook_name=draw(NAMES),
            ec2_instance_id=draw(NAMES),
            lifecycle_action_token=draw(st.sampled_from(["", TOKEN])),
        ),
        started_at=draw(INSTANTS),
        last_heartbeat_at=draw(INSTANTS),
        hop=draw(COUNTS),
        deadline_at=(deadline_at := draw(st.none() | INSTANTS)),
        # The later of the two is the deadline.
        extended_to=deadline_at and draw(st.sampled_from([None, deadline_at])),
        draining_since=draw(st.none() | INSTANTS),
        # A set of tasks that lacks one would release the instance while that runs.
        unfinished=tuple(draw(st.lists(st.text("0123456789abcdef", min_size=32, max_size=32)))),
        listed_at=draw(st.none() | INSTANTS),
        closed=draw(st.booleans()),
        missing_since=draw(st.none() | INSTANTS),
        standalone_stopped=draw(st.booleans()),
        settled=draw(st.booleans()),
        absent_since=draw(st.none() | INSTANTS),
        not_waiting_since=draw(st.none() | INSTANTS),
        generation=draw(st.none() | COUNTS),
    )
    return DrainRecord(
        key=key_of(drain.action),
        generation=draw(COUNTS),
        hop=draw(COUNTS),
        pass_id=draw(NAMES),
        drain=drain,
        written_at=draw(INSTANTS),
        phase=draw(st.text(max_size=20)),
        reason=draw(st.text(max_size=250)),
        running=draw(COUNTS),
        pending=draw(COUNTS),
        tasks=tuple(draw(st.lists(st.text(max_size=36), max_size=12))),
        end=end[0] if end else End.OPEN,
        ended_at=end[1] if end else None,
        extended_by=draw(st.text(max_size=220)),
        released_by=draw(st.text(max_size=220)),
        followed=end[2] if end else False,
        served=draw(st.booleans()),
        previous=draw(
            st.none()
            | st.builds(
                Previous,
                st.text(max_size=8),
                INSTANTS,
                st.none() | INSTANTS,
                st.sampled_from(End),
                st.booleans(),
                st.sampled_from([(), ("arn",), ("arn",) * REGISTRATIONS_MAX]),
            )
        ),
    )


@given(records())
def test_nothing_is_lost_in_the_table(record: DrainRecord) -> None:
    # A lost token or deadline answers the wrong action, or never.
    # As JSON, so that it is plain indeed.
    item = json.loads(json.dumps(record_codec.encode(record, RETENTION)))

    read = record_codec.decode(item)

    assert read == record


def test_a_typical_record_is_below_a_kilobyte() -> None:
    # Every write of one above it costs twice as much.
    policy = Policy(None, 7_200, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)
    drain = replace(DRAIN, policy=policy, unfinished=OPEN.tasks, settled=True, sent_at=NOON)
    item = record_codec.encode(replace(OPEN, drain=drain, previous=None), RETENTION)

    assert sum(len(name) + len(str(value)) for name, value in item.items()) < 1_024


def test_the_token_is_in_one_place_that_is_never_told() -> None:
    item = record_codec.encode(OPEN, RETENTION)

    assert [name for name, value in item.items() if TOKEN in str(value)] == ["token"]
    with pytest.raises(MisconfiguredError) as error:
        record_codec.decode({**item, "token": TOKEN * 3})
    assert TOKEN not in str(error.value)


def test_only_what_is_open_or_followed_is_in_the_index() -> None:
    # Each record in the index is read by every sweep.
    values = [
        record_codec.encode(one, RETENTION).get("open")
        for one in (OPEN, ENDED, replace(ENDED, followed=True))
    ]

    assert values == ["1", None, "2"]


def test_what_an_earlier_version_has_written_has_not_served() -> None:
    # It leaves what it does not know where it is: what its drain has set DRAINING would stay so.
    item = record_codec.encode(replace(ENDED, followed=True, served=True), RETENTION)

    assert record_codec.decode(item).served
    assert not record_codec.decode({**item, "generation": ENDED.generation + 1}).served
    assert "served" not in record_codec.encode(replace(ENDED, followed=True), RETENTION)


def test_a_record_expires_after_its_end_in_whole_seconds() -> None:
    # TTL ignores what is no whole number, and the table grows for ever.
    item = record_codec.encode(ENDED, RETENTION)

    assert item["expires_at"] == int((NOON + timedelta(minutes=9) + RETENTION).timestamp())
    assert isinstance(item["expires_at"], int)


def test_a_record_that_is_followed_no_longer_expires_like_any_other() -> None:
    # It had ten years to wait for its instance, and stayed in the table for them: so did the
    # record of each instance that ever came back.
    forgotten = replace(ENDED, followed=False)
    item = record_codec.encode(forgotten, RETENTION)

    asked = update(Write(forgotten, Condition(Demand.FORGETS, forgotten.generation)), item)

    assert "#expires_at = :expires_at" in asked["UpdateExpression"]
    assert asked["ExpressionAttributeValues"][":expires_at"] == {"N": str(item["expires_at"])}


@pytest.mark.parametrize("name", record_codec.REQUIRED)
def test_what_every_record_has_is_never_made_up(name: str) -> None:
    item = record_codec.encode(OPEN, RETENTION)
    del item[name]

    with pytest.raises(MisconfiguredError, match=name):
        record_codec.decode(item)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hop": "7"}, "not a count"),
        ({"hop": -1}, "not a count"),
        ({"generation": 1.5}, "not a count"),
        ({"written_at": "noon"}, "time in seconds"),
        ({"written_at": 10**12}, "time in seconds"),
        ({"drain": "{}"}, "version"),
        ({"drain": "{"}, "JSON"),
        ({"drain": 7}, "drain"),
        ({"drain": "x" * 30_000}, "drain"),
        ({"reason": "r" * 201}, "reason"),
        ({"phase": "p" * 65}, "phase"),
        ({"tasks": ["a"] * 11}, "tasks"),
        ({"tasks": "a"}, "tasks"),
        ({"tasks": [7]}, "tasks"),
        ({"counts": {"running": 1}}, "pending"),
        ({"counts": 7}, "TypeError"),
        ({"end": "drained"}, "drained"),
        ({"end": "over"}, "contradict"),
        ({"open": "2"}, "contradict"),
        ({"served": "yes"}, "not a count"),
        ({"ended_at": 1.0}, "contradict"),
        ({"began_at": "noon"}, "time in seconds"),
        ({"drain": "[]"}, "TypeError"),
        ({"previous": {"end": "over"}}, "began_at"),
        ({"previous": 7}, "AttributeError"),
    ],
)
def test_an_odd_item_is_an_error_of_one_sentence(changes: dict[str, Any], says: str) -> None:
    # Read with a gap, a record could let an instance go whose tasks run.
    item = record_codec.encode(OPEN, RETENTION)

    with pytest.raises(MisconfiguredError) as error:
        record_codec.decode({**item, **changes})

    assert says in str(error.value)
    assert len(str(error.value)) <= 200


def test_an_attribute_that_a_later_version_has_added_is_left_out() -> None:
    # A function that was rolled back could not read the records of the later one, and lost them.
    item = record_codec.encode(OPEN, RETENTION)

    assert record_codec.decode({**item, "verdict": "drained"}) == OPEN


@pytest.mark.parametrize("name", record_codec.APART)
def test_what_has_a_field_of_its_own_is_nowhere_else(name: str) -> None:
    # Two tokens or deadlines in one item: a join would change one of them.
    item = record_codec.encode(OPEN, RETENTION)
    body = json.loads(item["drain"])
    assert name not in body

    with pytest.raises(MisconfiguredError, match="drain"):
        record_codec.decode({**item, "drain": json.dumps({**body, name: 1.0})})


def test_a_drain_of_another_key_is_not_written() -> None:
    # Read back, it would answer for another instance.
    with pytest.raises(MisconfiguredError, match="another key"):
        record_codec.encode(replace(OPEN, key=Key("i-2", OPEN.key.subject)), RETENTION)


def nameless(last_heartbeat_at: datetime) -> DrainRecord:
    """What the sweep has found; a heartbeat of ours was taken, or none."""
    action = replace(ACTION, lifecycle_action_token="")
    found = replace(OPEN.drain, action=action, last_heartbeat_at=last_heartbeat_at)
    return replace(OPEN, drain=found)


@pytest.mark.parametrize(
    ("record", "followed"),
    [
        pytest.param(replace(ENDED, followed=True, previous=None), True, id="it may be back"),
        pytest.param(replace(ENDED, previous=None), False, id="it is no longer followed"),
        pytest.param(
            replace(nameless(NOON - timedelta(seconds=1)),
                    previous=Previous("12345678", NOON, NOON, End.CONTINUE, followed=True)),
            True,
            id="the one before may be back",
        ),
        # What an operator had set DRAINING since was set ACTIVE by the drain after the next.
        pytest.param(
            replace(ENDED, previous=Previous("12345678", NOON, NOON, End.CONTINUE, followed=True)),
            False,
            id="it was back, and the one before with it",
        ),
        pytest.param(OPEN, True, id="it was being drained"),
        pytest.param(nameless(NOON), True, id="it was being drained, by a heartbeat"),
        pytest.param(nameless(NOON - timedelta(seconds=1)), False, id="nothing was set DRAINING"),
        pytest.param(
            replace(ENDED, followed=True, served=True,
                    previous=Previous("", NOON, NOON, End.OVER, followed=True)),
            False,
            id="it has served since",
        ),
    ],
)  # fmt: skip
def test_what_is_replaced_is_followed_if_anything_was_set_draining(
    record: DrainRecord, *, followed: bool
) -> None:
    # An instance that comes back into service would stay DRAINING: ECS places nothing on it.
    kept = record_codec.previous_of(record)
    again = replace(OPEN, previous=kept)

    assert kept.followed is followed
    assert record_codec.decode(record_codec.encode(again, RETENTION)).previous == kept


FOUND = replace(OPEN, drain=replace(DRAIN, container_instance_arn="arn", others=()))
BEFORE = Previous("", NOON, NOON, End.OVER, followed=True, drained=("old", "arn"))


@pytest.mark.parametrize(
    ("record", "drained"),
    [
        pytest.param(replace(FOUND, previous=None), ("arn",), id="what it has found"),
        pytest.param(replace(FOUND, previous=BEFORE), ("arn", "old"), id="and one before it"),
        pytest.param(
            replace(FOUND, previous=replace(BEFORE, followed=False)), ("arn",), id="not followed"
        ),
        pytest.param(
            replace(nameless(NOON - timedelta(seconds=1)), previous=BEFORE),
            ("old", "arn"),
            id="it has set nothing DRAINING",
        ),
        pytest.param(
            replace(OPEN, drain=replace(DRAIN, container_instance_arn=None, others=()),
                    previous=BEFORE),
            (),
            id="nobody knows what it has found",
        ),
        pytest.param(replace(ENDED, followed=False, previous=None), (), id="it is not followed"),
    ],
)  # fmt: skip
def test_what_is_replaced_says_what_may_have_been_set_draining(
    record: DrainRecord, drained: tuple[str, ...]
) -> None:
    # What somebody else has set DRAINING would be set ACTIVE: what came after it has no names.
    kept = record_codec.previous_of(record)
    again = replace(OPEN, previous=kept)

    assert kept.drained == drained
    assert record_codec.decode(record_codec.encode(again, RETENTION)).previous == kept


def test_no_record_names_more_than_an_instance_has_registrations() -> None:
    # An item grows with each warm pool that an instance comes from, and costs by its size.
    many = tuple(f"arn-{number}" for number in range(2 * REGISTRATIONS_MAX))
    kept = record_codec.previous_of(replace(FOUND, previous=replace(BEFORE, drained=many)))

    assert kept.drained == ("arn", *many[: REGISTRATIONS_MAX - 1])


@pytest.mark.parametrize("value", ["arn", [7], ["a" * 701], ["arn"] * (REGISTRATIONS_MAX + 1)])
def test_what_was_drained_before_is_read_strictly(value: object) -> None:
    item = record_codec.encode(replace(OPEN, previous=BEFORE), RETENTION)
    item["previous"] = {**item["previous"], "drained": value}

    with pytest.raises(MisconfiguredError, match="drained"):
        record_codec.decode(item)


def test_what_is_replaced_leaves_a_checksum_and_no_token() -> None:
    kept = record_codec.previous_of(ENDED)

    assert kept == Previous(kept.token_checksum, NOON, ENDED.ended_at, End.CONTINUE)
    assert len(kept.token_checksum) == 8
    assert kept.token_checksum not in TOKEN


TOKENLESS = replace(OPEN, drain=replace(DRAIN, action=replace(ACTION, lifecycle_action_token="")))
THERE: dict[str, DrainRecord | None] = {
    "none": None,
    "open": OPEN,
    "no token": TOKENLESS,
    "behind": replace(OPEN, hop=6),
    "older": replace(OPEN, generation=1),
    "answered": ENDED,
    "over": replace(ENDED, end=End.OVER),
    "answered, no token": replace(TOKENLESS, end=End.CONTINUE, ended_at=NOON),
}


@pytest.mark.parametrize(
    ("condition", "those"),
    [
        (Condition(Demand.ABSENT), {"none"}),
        (
            Condition(Demand.REPLACES, 2),
            {"open", "no token", "behind", "answered", "answered, no token", "over"},
        ),
        (Condition(Demand.OVERTAKES, 2, 7), {"no token"}),
        (Condition(Demand.OVERTAKES, 2, 6), set()),
        (Condition(Demand.SUCCEEDS, 2), {"answered", "answered, no token", "over"}),
        (Condition(Demand.FOLLOWS, 2, 7), {"open", "no token"}),
        (Condition(Demand.JOINS, 2), {"no token"}),
        (Condition(Demand.JOINS, 2, 7), {"no token"}),
        (Condition(Demand.JOINS, 2, 6), set()),
        (Condition(Demand.ENDS_FIRST, 2), {"no token"}),
        (Condition(Demand.REOPENS, 2, 7), {"answered, no token"}),
        (Condition(Demand.REOPENS, 2, 6), set()),
        (Condition(Demand.ENDS, 2), {"open", "no token", "behind", "over"}),
        (Condition(Demand.OVER, 2), {"open", "no token", "behind"}),
        (Condition(Demand.FORGETS, 2), {"answered", "answered, no token", "over"}),
        (Condition(Demand.SERVES, 2), {"answered", "answered, no token", "over"}),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_each_condition_holds_for_these_and_no_other(condition: Condition, those: set[str]) -> None:
    # An end that is written into another action's record leaves that action without a chain.
    assert {name for name, there in THERE.items() if holds(condition, there)} == those


def test_a_pass_leaves_the_token_alone_that_joined_meanwhile() -> None:
    # Its notification is acknowledged: nothing would ever tell the token again.
    later = replace(TOKENLESS, drain=replace(TOKENLESS.drain, deadline_at=NOON + timedelta(days=1)))
    written = stored(Write(replace(later, hop=8), Condition(Demand.FOLLOWS, 2, 7)), OPEN)

    assert (written.hop, written.token) == (8, TOKEN)
    assert written.drain.deadline_at == DRAIN.deadline_at


def test_a_join_leaves_the_hop_alone_that_a_pass_wrote_meanwhile() -> None:
    # A hop that goes down lets two messages be due.
    there = replace(TOKENLESS, hop=9, phase="stopping", written_at=NOON + timedelta(minutes=3))
    written = stored(Write(OPEN, Condition(Demand.JOINS, 2)), there)

    assert (written.hop, written.phase, written.token) == (9, "stopping", TOKEN)
    assert written.written_at == there.written_at


def test_a_late_end_leaves_the_hop_alone() -> None:
    there = replace(OPEN, hop=9)

    assert stored(Write(ENDED, Condition(Demand.ENDS, 2)), there).hop == 9
