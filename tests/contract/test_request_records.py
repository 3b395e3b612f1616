"""
The records of requests in the table of the drains': each write by the rules of all, on every face.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.former_requests import RequestTable
from drainer.aws.record_expressions import attributes
from drainer.aws.records import RecordTable
from drainer.custom_resource.progress import Member, RequestProgress
from drainer.custom_resource.record import RequestRecord, key_of
from drainer.custom_resource.request import Request, RequestType
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write, holds, stored
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, End
from drainer.drain.record import key_of as key_of_action
from drainer.errors import MisconfiguredError
from tests.contract.test_records import settle

if TYPE_CHECKING:
    from tests.contract.faces import Face

TABLE = "drains"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = "X-Amz-Signature=0123456789abcdef"
REQUEST = Request(
    request_type=RequestType.DELETE,
    stack_id="stack",
    request_id="1",
    logical_id="Drain",
    physical_id="sfr-1",
    response_url=f"http://localhost:1/?{SECRET}",
    properties={"Cluster": "payments", "SpotFleet": "sfr-1"},
    started_at=NOON,
)
PROGRESS = RequestProgress(
    REQUEST, {"i-0123456789abcdef0": Member(draining_since=NOON, closed=True)}, looks=3
)


def record(request: str = "stack|1", **more: Any) -> RequestRecord:
    began = RequestRecord(
        key=key_of(request),
        generation=1,
        hop=4,
        pass_id="there",
        written_at=NOON + timedelta(minutes=1),
        began_at=NOON,
        deadline_at=NOON + timedelta(minutes=50),
        progress=PROGRESS,
        phase="go round",
        reason="3 of 3 instances are not drained",
    )
    return replace(began, **more)


def ended(one: RequestRecord, end: End = End.SUCCESS) -> RequestRecord:
    return replace(one, progress=None, end=end, ended_at=NOON + timedelta(minutes=2))


def action_record(instance: str = "i-1", hook: str = "drainer") -> DrainRecord:
    action = LifecycleAction("web", hook, instance, "465e0162-e6af-4786-b4e8-bb544ae58790")
    drain = Drain(action, NOON, NOON, hop=1, deadline_at=NOON + timedelta(hours=1))
    return DrainRecord(key_of_action(action), 1, 1, "pass", drain, written_at=NOON)


@pytest.fixture
def table(face: Face) -> RequestTable:
    face.record_table(TABLE)
    return RequestTable(face.client, TABLE, 90, "")


def drains_of(face: Face) -> RecordTable[DrainRecord]:
    return RecordTable(face.client, TABLE, record_codec)


def insert(table: RecordTable[RequestRecord], *records: RequestRecord) -> None:
    done = table.write([Write(one, Condition(Demand.ABSENT)) for one in records])
    assert [one.outcome for one in done] == [Outcome.DONE] * len(records)


def test_a_record_is_read_back_as_it_was_written(table: RequestTable) -> None:
    records = [record(), ended(record("stack|2")), record("stack|3", phase="", reason="")]
    insert(table, *records)

    assert table.read([one.key for one in records]) == {one.key: one for one in records}


# What DynamoDB takes for the condition and what the rules mean by it would else drift apart: a hop
# claimed twice is two answers.
def test_each_write_does_what_the_rules_say_and_nothing_where_it_may_not(
    table: RequestTable,
) -> None:
    there = record()
    situations = [
        None,
        there,
        replace(there, hop=5),
        replace(there, generation=2),
        ended(there),
        ended(there, End.OVER),
    ]
    following = record(
        hop=5, pass_id="mine", written_at=NOON + timedelta(minutes=3), phase="answered"
    )
    writes = [
        Write(following, Condition(Demand.ABSENT)),
        Write(following, Condition(Demand.FOLLOWS, 1, 4)),
        Write(ended(following, End.FAILED), Condition(Demand.ENDS, 1)),
        Write(ended(following, End.OVER), Condition(Demand.OVER, 1)),
    ]
    seen = set()
    for number, (known, write) in enumerate(product(situations, writes)):
        key, new = key_of(f"stack|{number}"), write.record
        assert isinstance(new, RequestRecord)
        before = known and replace(known, key=key)
        mine = Write(replace(new, key=key), write.condition)
        if before:
            insert(table, before)

        (written,) = table.write([mine])

        after = table.read([key])[key]
        if holds(mine.condition, before):
            assert (written.outcome, after) == (Outcome.DONE, stored(mine, before))
        else:
            assert (written.outcome, written.there, after) == (Outcome.REFUSED, before, before)
        seen.add((write.condition, written.outcome))
    assert len(seen) == 2 * len(writes)


def test_the_end_takes_the_response_url_out_of_the_item(face: Face, table: RequestTable) -> None:
    # What is kept 90 days after nobody needs it any more can be read by 90 days of readers.
    insert(table, record())
    table.write([Write(ended(record(pass_id="end")), Condition(Demand.ENDS, 1))])

    wanted = {TABLE: {"Keys": [attributes({"instance": "request:stack", "subject": "1"})]}}
    [item] = face.client("dynamodb").batch_get_item(RequestItems=wanted)["Responses"][TABLE]
    assert SECRET not in json.dumps(item)
    assert SECRET not in repr(record())


def test_the_sweep_of_one_kind_reads_nothing_of_the_other(face: Face, table: RequestTable) -> None:
    # Each would take the other's records for ones that it cannot read, at every sweep.
    insert(table, record(), ended(record("stack|2")))
    drains = drains_of(face)
    drains.write([Write(action_record(), Condition(Demand.ABSENT))])
    settle(face)

    assert table.open_keys() == [record().key]
    assert (drains.open_keys(), drains.followed_keys()) == ([action_record().key], [])


# Whoever may publish calls a stack like an instance, and a request like its group and hook: the
# drain would find its record taken, and go on without.
def test_a_forged_request_does_not_take_the_place_of_a_lifecycle_action(
    face: Face, table: RequestTable
) -> None:
    insert(table, record("i-1|web:drainer"))
    drains = drains_of(face)

    (written,) = drains.write([Write(action_record(), Condition(Demand.ABSENT))])

    assert written.outcome == Outcome.DONE
    assert drains.of_instance(["i-1"]) == {"i-1": [action_record()]}


def test_a_record_of_the_other_kind_is_an_error_and_none_of_ours(
    face: Face, table: RequestTable
) -> None:
    # Taken for absent it would be written over.
    insert(table, record())
    drains_of(face).write([Write(action_record(), Condition(Demand.ABSENT))])

    for found in (
        drains_of(face).read([record().key])[record().key],
        table.read([action_record().key])[action_record().key],
    ):
        assert isinstance(found, MisconfiguredError)
        assert SECRET not in str(found)
