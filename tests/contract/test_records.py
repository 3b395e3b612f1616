"""
The table of drain records: each write and read of the gateway, on every face of an account.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.aws.records import KEYS_MAX, ROUNDS_MAX, RecordTable
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write, holds, stored
from drainer.drain.earlier_looks import extended
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, End, Key, Previous, key_of
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from tests.contract.faces import Recording

if TYPE_CHECKING:
    from tests.contract.faces import Face, SimulationFace

Drains = RecordTable[DrainRecord]
TABLE = "drains"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN = "465e0162-e6af-4786-b4e8-bb544ae58790"
EXTENDED = NOON + timedelta(hours=2)
OTHER_TOKEN = "00000000-e6af-4786-b4e8-bb544ae58790"


def record(instance: str = "i-1", *, token: str = TOKEN, hop: int = 1, **more: Any) -> DrainRecord:
    action = LifecycleAction("web", "drainer", instance, token)
    drain = Drain(action, NOON, NOON, hop=hop, deadline_at=NOON + timedelta(hours=1))
    values = {"generation": 1, "pass_id": f"pass {hop}", "written_at": NOON, **more}
    return DrainRecord(key=key_of(action), hop=hop, drain=drain, **values)


def ended(one: DrainRecord, end: End = End.CONTINUE, **more: Any) -> DrainRecord:
    return replace(one, end=end, ended_at=NOON + timedelta(minutes=2), **more)


def extended_record(one: DrainRecord, hours: int = 2) -> DrainRecord:
    drain = extended(one.drain, NOON + timedelta(hours=hours))
    return replace(one, drain=drain, extended_by=f"operator {hours}")


def gateway(face: Face) -> Drains:
    client = Recording("dynamodb", face.client("dynamodb"), face.asked)
    return RecordTable(lambda _service: client, TABLE, record_codec)


@pytest.fixture
def table(face: Face) -> Drains:
    face.record_table(TABLE)
    return gateway(face)


def insert(table: Drains, *records: DrainRecord) -> None:
    done = table.write([Write(one, Condition(Demand.ABSENT)) for one in records])
    assert [one.outcome for one in done] == [Outcome.DONE] * len(records)


def test_a_record_is_read_back_as_it_was_written(table: Drains) -> None:
    full = ended(
        record(
            phase="drained",
            reason="No task is left.",
            running=2,
            pending=1,
            tasks=("a" * 32, "b" * 32),
            previous=Previous("12345678", NOON, None, End.OPEN, followed=True, drained=("a", "b")),
        ),
        followed=True,
        served=True,
    )
    insert(table, full, record("i-2"))

    keys = [full.key, Key("i-2", "web:drainer"), Key("i-3", "web:drainer"), full.key]

    assert table.read(keys) == {
        full.key: full,
        keys[1]: record("i-2"),
        keys[2]: None,
    }


def test_what_is_asked_for_is_nothing_where_nothing_is(face: Face, table: Drains) -> None:
    # DynamoDB refuses an empty batch.
    assert table.read([]) == {}
    assert table.write([]) == []
    assert face.asked == []


def test_hundreds_of_records_take_a_call_for_each_hundred(face: Face, table: Drains) -> None:
    # Each call takes time that a pass of a hundred drains does not have.
    keys = [Key(f"i-{number}", "web:drainer") for number in range(2 * KEYS_MAX + 1)]

    assert set(table.read(keys).values()) == {None}
    assert len(face.asked) == 3


def situations() -> dict[str, DrainRecord | None]:
    """Every kind of record that a write may find, beside none."""
    there = record(hop=4, pass_id="there", previous=Previous("", NOON, NOON, End.OVER))
    return {
        "none": None,
        "open": there,
        "open, another hop": replace(there, hop=5),
        "open, no token": record(hop=4, pass_id="there", token=""),
        "open, no token, another hop": record(hop=5, pass_id="there", token=""),
        "open, no deadline": replace(there, drain=replace(there.drain, deadline_at=None)),
        "another generation": replace(there, generation=2),
        "answered": ended(there),
        "answered, followed": ended(there, followed=True),
        "over, followed, served": ended(there, End.OVER, followed=True, served=True),
        "answered, no token": ended(record(hop=4, pass_id="there", token="")),
        "over": ended(there, End.OVER),
        "extended": extended_record(there),
        "released": replace(there, released_by="operator 1"),
        "released, over": ended(replace(there, released_by="operator 1"), End.OVER),
        "extended, no token": extended_record(record(hop=4, pass_id="there", token="")),
    }


def writes() -> list[Write]:
    """A write under each condition."""
    later = NOON + timedelta(minutes=5)
    new = record(
        hop=5, pass_id="mine", phase="waiting", running=3, tasks=("c" * 32,), token=OTHER_TOKEN
    )
    new = replace(new, drain=replace(new.drain, deadline_at=later), written_at=later)
    following = replace(new, generation=2, previous=Previous("", NOON, None, End.OPEN))
    over = ended(new, End.OVER)
    return [
        Write(new, Condition(Demand.ABSENT)),
        Write(following, Condition(Demand.REPLACES, 1)),
        Write(following, Condition(Demand.OVERTAKES, 1, 4)),
        Write(following, Condition(Demand.SUCCEEDS, 1)),
        Write(new, Condition(Demand.FOLLOWS, 1, 4)),
        Write(new, Condition(Demand.JOINS, 1)),
        Write(new, Condition(Demand.JOINS, 1, 4)),
        Write(ended(new), Condition(Demand.ENDS_FIRST, 1)),
        Write(new, Condition(Demand.REOPENS, 1, 4)),
        Write(ended(new, followed=True), Condition(Demand.ENDS, 1)),
        Write(ended(new), Condition(Demand.ENDS, 1)),
        Write(over, Condition(Demand.OVER, 1)),
        Write(over, Condition(Demand.FORGETS, 1)),
        Write(replace(over, served=True), Condition(Demand.SERVES, 1)),
        Write(replace(new, released_by="operator 2"), Condition(Demand.RELEASES, 1)),
        Write(extended_record(new, 3), Condition(Demand.EXTENDS, 1)),
        Write(extended_record(new, 3), Condition(Demand.EXTENDS, 1, extended_to=EXTENDED)),
    ]


# What DynamoDB takes for the condition and what the rules mean by it would else drift apart: a hop
# claimed twice is two chains, a token that is undone is lost with its notification.
def test_each_write_does_what_the_rules_say_and_nothing_where_it_may_not(
    table: Drains,
) -> None:
    seen = set()
    for number, ((name, there), write) in enumerate(product(situations().items(), writes())):
        instance = f"i-{number}"
        before = there and moved(there, instance)
        mine = Write(moved(write.record, instance), write.condition)
        if before:
            insert(table, before)

        (written,) = table.write([mine])

        case = f"{name}: {write.condition}"
        after = table.read([mine.record.key])[mine.record.key]
        if holds(mine.condition, before):
            assert (written.outcome, after) == (Outcome.DONE, stored(mine, before)), case
        else:
            assert (written.outcome, written.there, after) == (
                Outcome.REFUSED,
                before,
                before,
            ), case
        seen.add((write.condition, written.outcome))
    # Each condition was seen to hold and not to hold.
    assert len(seen) == 2 * len({write.condition for write in writes()})


def moved(one: Any, instance: str) -> Any:
    """The same record of another instance."""
    action = replace(one.drain.action, ec2_instance_id=instance)
    return replace(one, key=key_of(action), drain=replace(one.drain, action=action))


# The SDK sends a write again whose answer was lost; taken for a duplicate, the chain would end.
def test_the_repetition_of_a_write_is_refused_by_itself_and_counts_as_done(
    table: Drains,
) -> None:
    insert(table, record())
    write = Write(record(hop=2, pass_id="mine"), Condition(Demand.FOLLOWS, 1, 1))

    assert [one.outcome for one in table.write([write, write])] == [Outcome.DONE, Outcome.DONE]


def test_of_two_passes_of_one_hop_one_is_told_who_was_first(table: Drains) -> None:
    insert(table, record())
    first = Write(record(hop=2, pass_id="first"), Condition(Demand.FOLLOWS, 1, 1))
    second = Write(record(hop=2, pass_id="second"), Condition(Demand.FOLLOWS, 1, 1))

    done, refused = table.write([first, second])

    assert (done.outcome, refused.outcome) == (Outcome.DONE, Outcome.REFUSED)
    assert refused.there == first.record


def test_the_index_has_the_keys_of_what_is_open_and_of_what_is_followed(
    face: Face, table: Drains
) -> None:
    # A record that the sweep does not find is a chain that stays lost.
    insert(table, *(record(f"i-{number}") for number in range(5)))
    insert(table, ended(record("i-5")), ended(record("i-6"), followed=True))
    settle(face)

    assert sorted(table.open_keys()) == [Key(f"i-{number}", "web:drainer") for number in range(5)]
    assert table.followed_keys() == [Key("i-6", "web:drainer")]

    ends = Write(ended(record("i-0", pass_id="end")), Condition(Demand.ENDS, 1))
    forgets = Write(record("i-6", pass_id="forget"), Condition(Demand.FORGETS, 1))
    assert [one.outcome for one in table.write([ends, forgets])] == [Outcome.DONE] * 2
    settle(face)

    assert len(table.open_keys()) == 4
    assert table.followed_keys() == []


def settle(face: Face) -> None:
    """Let the index catch up; moto's is never behind."""
    account = getattr(face, "account", None)
    if account is not None:
        account.run_for(60)


def test_the_records_of_an_instance_are_found_without_knowing_its_group(
    table: Drains,
) -> None:
    # A wake-up knows an instance, and must not ask Auto Scaling for its hooks.
    action = replace(record().drain.action, lifecycle_hook_name="second")
    second = replace(record(), key=key_of(action), drain=replace(record().drain, action=action))
    insert(table, record(), second, record("i-2"))

    assert table.of_instance(["i-1", "i-3"]) == {"i-1": [record(), second], "i-3": []}


def test_a_key_that_dynamodb_refuses_spoils_no_other(table: Drains) -> None:
    insert(table, record())
    bad = [Key("", "web:drainer"), Key("i-1", "g" * 1_025), Key("\ud800", "web:drainer")]

    found = table.read([record().key, *bad])

    assert found[record().key] == record()
    assert all(isinstance(found[one], MisconfiguredError) for one in bad)


def test_an_item_that_cannot_be_read_is_an_error_of_its_own(face: Face, table: Drains) -> None:
    # Somebody has edited it by hand: the ninety-nine others of the batch go on.
    insert(table, record(), record("i-2"))
    face.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"instance": {"S": "i-1"}, "subject": {"S": "web:drainer"}},
        UpdateExpression="SET #hop = :hop",
        ExpressionAttributeNames={"#hop": "hop"},
        ExpressionAttributeValues={":hop": {"S": "seven"}},
    )

    found = table.read([record().key, record("i-2").key])
    (one,) = table.of_instance(["i-1"])["i-1"]

    assert isinstance(found[record().key], MisconfiguredError)
    assert isinstance(one, MisconfiguredError)
    assert found[record("i-2").key] == record("i-2")


def test_a_table_that_is_not_there_is_an_error_for_each_and_no_crash(face: Face) -> None:
    table, key = gateway(face), record().key

    assert isinstance(table.read([key])[key], MisconfiguredError)
    assert [one.outcome for one in table.write([Write(record(), Condition(Demand.ABSENT))])] == [
        Outcome.UNKNOWN
    ]
    [error] = table.of_instance(["i-1"])["i-1"]
    assert isinstance(error, MisconfiguredError)
    for query in (table.open_keys, table.followed_keys):
        with pytest.raises(MisconfiguredError):
            query()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"ExpressionAttributeNames": {"#hop": "hop", "#x": "x"}}, id="unused name"),
        pytest.param({"ExpressionAttributeNames": {}}, id="a name that is not given"),
        pytest.param({"UpdateExpression": "SET #hop = :hop, #hop = :hop"}, id="twice"),
        pytest.param({"ExpressionAttributeNames": {"#hop": "instance"}}, id="the key"),
        pytest.param({"Key": {"instance": {"S": "i-1"}}}, id="half a key"),
    ],
)
def test_an_update_that_dynamodb_refuses_is_refused_here(
    simulation: SimulationFace, wrong: dict[str, Any]
) -> None:
    # What passes here and not there would be found by the first drain in production.
    simulation.record_table(TABLE)
    right: dict[str, Any] = {
        "TableName": TABLE,
        "Key": {"instance": {"S": "i-1"}, "subject": {"S": "web:drainer"}},
        "UpdateExpression": "SET #hop = :hop",
        "ExpressionAttributeNames": {"#hop": "hop"},
        "ExpressionAttributeValues": {":hop": {"N": "7"}},
    }
    simulation.client("dynamodb").update_item(**right)

    with pytest.raises(ClientError) as caught:
        simulation.client("dynamodb").update_item(**{**right, **wrong})

    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_keys_that_are_left_over_are_asked_again_and_at_last_an_error(
    simulation: SimulationFace,
) -> None:
    # Taken for absent, a record whose key was throttled would be made a second time.
    simulation.record_table(TABLE)
    table, throttled = gateway(simulation), simulation.account.record_tables.tables[TABLE]
    insert(table, record(), record("i-2"))
    keys = [record().key, record("i-2").key]
    left = iter([True, False, False])
    throttled.leaves_over = lambda: next(left)

    assert table.read(keys) == {keys[0]: record(), keys[1]: record("i-2")}

    simulation.asked.clear()
    throttled.leaves_over = lambda: True
    assert [type(one) for one in table.read(keys).values()] == [UnavailableError] * 2
    assert len(simulation.asked) == ROUNDS_MAX


def test_a_write_whose_answer_is_lost_on_the_way_is_done(simulation: SimulationFace) -> None:
    simulation.record_table(TABLE)
    table = gateway(simulation)
    simulation.account.record_tables.tables[TABLE].repeats = lambda: True

    insert(table, record())

    assert table.read([record().key]) == {record().key: record()}


def test_the_index_is_behind_and_the_table_is_not(simulation: SimulationFace) -> None:
    # Why the sweep takes keys from the index, and what they say from the records.
    simulation.record_table(TABLE)
    table = gateway(simulation)
    insert(table, record())

    assert (table.open_keys(), table.read([record().key])) == ([], {record().key: record()})
    simulation.account.run_for(60)
    assert table.open_keys() == [record().key]


def test_pages_of_the_index_are_read_to_the_last(simulation: SimulationFace) -> None:
    simulation.record_table(TABLE)
    table = gateway(simulation)
    simulation.account.record_tables.tables[TABLE].page_items = 2
    insert(table, *(record(f"i-{number}") for number in range(5)))
    simulation.account.run_for(60)

    assert [one.instance for one in table.open_keys()] == [f"i-{number}" for number in range(5)]
    assert len(simulation.asked) == 5 + 3


class Odd:
    """
    A client whose answers lack what AWS documents.
    """

    def __getattr__(self, name: str) -> Any:
        return lambda **_: {"Items": [{}], "Responses": []}


def test_an_odd_answer_is_an_error_and_no_absence() -> None:
    table, key = RecordTable(lambda _service: Odd(), TABLE, record_codec), record().key

    assert isinstance(table.read([key])[key], UnavailableError)
    with pytest.raises(UnavailableError):
        table.open_keys()
    (one,) = table.of_instance(["i-1"])["i-1"]
    assert isinstance(one, DrainerError)
