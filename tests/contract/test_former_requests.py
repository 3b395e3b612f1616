"""
The requests that the release before this one has begun, read from its table on every face.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.aws.former_requests import RequestTable
from drainer.custom_resource.progress import Member, RequestProgress
from drainer.custom_resource.record import RequestRecord, key_of
from drainer.custom_resource.request import Request, RequestType
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write
from drainer.errors import MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from tests.contract.faces import Face, SimulationFace

TABLE, RECORDS = "requests", "records"
KEY = key_of("stack|1")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
REQUEST = Request(
    request_type=RequestType.DELETE,
    stack_id="stack",
    request_id="1",
    logical_id="Drain",
    physical_id="sfr-1",
    response_url="http://localhost:1/",
    properties={"Cluster": "payments", "SpotFleet": "sfr-1"},
    started_at=NOON,
)
PROGRESS = RequestProgress(
    REQUEST,
    {
        "i-0123456789abcdef0": Member(
            draining_since=NOON + timedelta(seconds=15),
            unfinished=("0a",),
            listed_at=NOON + timedelta(seconds=40),
            closed=True,
            settled=True,
        )
    },
    looks=7,
    grown_at=NOON,
    believed=True,
)
# As it wrote PROGRESS.
STATE = (
    '{"request":{"request_type":"Delete","stack_id":"stack","request_id":"1","logical_id":"Drain",'
    '"resource_type":"Custom::ECSDrain","physical_id":"sfr-1","response_url":"http://localhost:1/",'
    '"properties":{"Cluster":"payments","SpotFleet":"sfr-1"},"old_properties":{},'
    '"started_at":1795176000.0},"looks":7,"grown_at":1795176000.0,"believed":true,'
    '"doubted_at":null,"answer":null,"clusters":[""],'
    '"notes":{"i-0123456789abcdef0":[3,15,40,null,null,"0a",0,0]}}'
)


def item(key: str = "stack|1", **more: str) -> dict[str, Any]:
    """An item as the release before this one wrote it."""
    numbers = {
        "version": "17",
        "hop": "8",
        "served": "1",
        "at": str((NOON + timedelta(minutes=2)).timestamp()),
        "deadline_at": str((NOON + timedelta(minutes=50)).timestamp()),
        "timeout_at": str((NOON + timedelta(hours=1)).timestamp()),
        "expires_at": str(int((NOON + timedelta(days=5)).timestamp())),
    }
    texts = {"request": key, **(more or {"state": STATE})}
    return {
        **{name: {"N": value} for name, value in numbers.items()},
        **{name: {"S": value} for name, value in texts.items()},
    }


def former(face: Face, *items: dict[str, Any]) -> RequestTable:
    face.table(TABLE, key="request")
    face.record_table(RECORDS)
    for one in items:
        face.put(TABLE, one)
    return RequestTable(face.client, RECORDS, 90, TABLE)


def read(table: RequestTable) -> Any:
    return table.read([KEY])[KEY]


def test_an_open_request_is_read_as_the_record_that_follows_it(face: Face) -> None:
    # The message that its last pass has published names the hop after that pass's.
    found = read(former(face, item()))

    assert found is not None
    assert (found.key, found.generation, found.hop) == (key_of("stack|1"), 0, 9)
    assert found.is_open
    assert found.written_at == NOON + timedelta(minutes=2)
    assert found.deadline_at == NOON + timedelta(minutes=50)
    assert found.progress == PROGRESS


def test_an_answered_request_is_not_begun_again(face: Face) -> None:
    found = read(former(face, item(answered="answered SUCCESS")))

    assert found is not None
    assert (found.is_open, found.progress) == (False, None)


def test_of_what_is_not_there_nothing_is_known(face: Face) -> None:
    other = key_of("stack|2")

    assert former(face, item()).read([other]) == {other: None}


def test_once_there_is_a_record_it_counts(face: Face) -> None:
    # The former item stays as it is: taken for the present state, it would be begun again.
    table = former(face, item())
    record = replace(read(table), generation=1, hop=10)
    [written] = table.write([Write(record, Condition(Demand.ABSENT))])

    assert written.outcome == Outcome.DONE
    assert read(table) == record


# A page without items is not the last page: a stack whose chain was lost would wait for its hour.
def test_the_search_finds_what_is_unanswered_on_every_page(simulation: SimulationFace) -> None:
    answered = [item(f"stack|a{number}", answered="answered FAILED") for number in range(4)]
    table = former(simulation, *answered, item("stack|8"), item("stack|9"))
    simulation.account.tables.tables[TABLE].page_items = 2

    assert table.former_keys() == [key_of("stack|8"), key_of("stack|9")]


# Somebody has deleted the table, as the release after this one will: requests are answered without.
@pytest.mark.parametrize("name", ["slip", ""])
def test_a_table_that_is_no_more_has_nothing(face: Face, name: str) -> None:
    face.record_table(RECORDS)
    table = RequestTable(face.client, RECORDS, 90, name)

    assert (read(table), table.former_keys()) == (None, [])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", UnavailableError),
        ("InternalServerError", UnavailableError),
        ("AccessDeniedException", MisconfiguredError),
    ],
)
def test_a_table_that_does_not_answer_is_not_empty(
    simulation: SimulationFace, code: str, expected: type[Exception]
) -> None:
    # A request that is begun again for each throttle is answered differently each time.
    table = former(simulation, item())
    for operation in ("GetItem", "Scan"):
        simulation.refuse(operation, code, status=500 if "Server" in code else 400)

    assert isinstance(read(table), expected)
    with pytest.raises(expected):
        table.former_keys()


@pytest.mark.parametrize("lacks", ["hop", "at", "deadline_at", "state"])
def test_an_item_that_is_not_ours_is_no_answer_and_spoils_no_other(face: Face, lacks: str) -> None:
    odd, other = item(), key_of("stack|2")
    del odd[lacks]

    found = former(face, odd, item("stack|2")).read([KEY, other])

    assert str(found[KEY]) == f"_look: unexpected answer: KeyError: '{lacks}'"
    assert isinstance(found[other], RequestRecord)


# An expression that nobody judges would hold in tests, whatever it says.
def test_the_simulated_table_knows_no_other_filter(simulation: SimulationFace) -> None:
    simulation.table(TABLE, key="request")

    with pytest.raises(ClientError) as caught:
        simulation.client("dynamodb").scan(TableName=TABLE, FilterExpression="attribute_exists(a)")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
