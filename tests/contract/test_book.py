"""
The book of requests in DynamoDB: what is read, what is written on a condition, what a scan finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.services.dynamodb.book_table import CONDITION, FILTER, ITEM_BYTES_MAX

if TYPE_CHECKING:
    from tests.contract.faces import Face, SimulationFace

TABLE = "requests"
KEY = "request"


@pytest.fixture
def book(face: Face) -> Any:
    """
    A client of DynamoDB in an account that has the table.
    """
    face.table(TABLE, key=KEY)
    return face.client("dynamodb")


def item(key: str, version: int | str = 1, **more: str) -> dict[str, dict[str, str]]:
    texts = {name: {"S": value} for name, value in more.items()}
    return {KEY: {"S": key}, "version": {"N": str(version)}, **texts}


def put(book: Any, item: dict[str, Any], *, seen: int | str = 0, **more: Any) -> None:
    book.put_item(
        **{
            "TableName": TABLE,
            "Item": item,
            "ConditionExpression": CONDITION,
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":seen": {"N": str(seen)}},
            **more,
        }
    )


def get(book: Any, key: str, **more: Any) -> Any:
    answer = book.get_item(
        **{"TableName": TABLE, "Key": {KEY: {"S": key}}, "ConsistentRead": True, **more}
    )
    return answer.get("Item")


def refused(book: Any, item: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ClientError) as caught:
        put(book, item, **more)
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_an_item_is_read_back_as_it_was_written(book: Any) -> None:
    put(book, item("a", state='{"url": "https://example.com/?a=b&c=d"}'))

    assert get(book, "a") == item("a", state='{"url": "https://example.com/?a=b&c=d"}')


def test_an_item_that_is_not_there_is_none(book: Any) -> None:
    put(book, item("a"))

    assert get(book, "b") is None


# Two invocations that both answer CloudFormation: one of them must lose here.
def test_one_who_has_not_seen_the_latest_version_changes_nothing(book: Any) -> None:
    put(book, item("a", 1, by="first"))

    with pytest.raises(book.exceptions.ConditionalCheckFailedException) as caught:
        put(book, item("a", 1, by="second"), seen=0)

    assert caught.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert caught.value.response["Error"]["Message"] == "The conditional request failed"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert get(book, "a") == item("a", 1, by="first")


def test_one_who_has_seen_the_latest_version_replaces_the_whole_item(book: Any) -> None:
    put(book, item("a", 1, by="first", more="1"))
    put(book, item("a", 2, by="second"), seen=1)

    assert get(book, "a") == item("a", 2, by="second")


def test_versions_are_compared_as_numbers(book: Any) -> None:
    put(book, item("a", 2))
    put(book, item("a", 3, by="second"), seen="2.0")

    assert get(book, "a") == item("a", 3, by="second")


def test_items_of_one_table_do_not_stand_in_each_others_way(book: Any) -> None:
    put(book, item("a", 7))
    put(book, item("b", 1))

    assert [get(book, one)["version"]["N"] for one in ("a", "b")] == ["7", "1"]


def test_what_is_answered_is_left_out_of_a_scan(book: Any) -> None:
    put(book, item("a"))
    put(book, item("b", answered="SUCCESS"))

    answer = book.scan(TableName=TABLE, FilterExpression=FILTER)

    assert answer["Items"] == [item("a")]
    assert (answer["Count"], answer["ScannedCount"]) == (1, 2)
    assert "LastEvaluatedKey" not in answer


# A page without items is not the last page: who stops there leaves a stack waiting for ever.
def test_a_scan_goes_on_after_a_page_without_items(book: Any) -> None:
    for number in range(3):
        put(book, item(f"answered {number}", answered="SUCCESS"))
    put(book, item("open"))

    pages: list[Any] = []
    start: dict[str, Any] = {}
    for _ in range(10):
        pages.append(book.scan(TableName=TABLE, FilterExpression=FILTER, Limit=1, **start))
        if "LastEvaluatedKey" not in pages[-1]:
            break
        start = {"ExclusiveStartKey": pages[-1]["LastEvaluatedKey"]}

    assert sorted(page["Count"] for page in pages)[-2:] == [0, 1]
    assert sum(page["ScannedCount"] for page in pages) == 4
    assert [one for page in pages for one in page["Items"]] == [item("open")]


def test_the_scan_of_an_empty_table_finds_nothing(book: Any) -> None:
    answer = book.scan(TableName=TABLE, FilterExpression=FILTER)

    assert (answer["Items"], answer["Count"]) == ([], 0)


def test_a_table_that_does_not_exist_is_an_error_of_its_own(book: Any) -> None:
    with pytest.raises(book.exceptions.ResourceNotFoundException):
        get(book, "a", TableName="slip")
    with pytest.raises(book.exceptions.ResourceNotFoundException):
        put(book, item("a"), TableName="slip")
    with pytest.raises(book.exceptions.ResourceNotFoundException):
        book.scan(TableName="slip", FilterExpression=FILTER)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"version": {"N": "1"}}, id="no key"),
        pytest.param({KEY: {"S": ""}, "version": {"N": "1"}}, id="an empty key"),
        pytest.param(
            {KEY: {"S": "a"}, "version": {"N": "1"}, "state": {"S": "x" * ITEM_BYTES_MAX}},
            id="too large",
        ),
    ],
)
def test_an_item_that_cannot_be_kept_is_refused(book: Any, wrong: dict[str, Any]) -> None:
    assert refused(book, wrong) == "ValidationException"


@pytest.mark.parametrize("more", [{}, {KEY: {"S": "a"}}], ids=["instead", "as well"])
def test_an_item_of_another_schema_cannot_be_looked_up(book: Any, more: Any) -> None:
    with pytest.raises(ClientError) as caught:
        get(book, "a", Key={"id": {"S": "a"}, **more})

    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_what_is_no_number_is_refused(book: Any) -> None:
    assert refused(book, item("a", "one")) == "ValidationException"


def test_a_condition_whose_value_is_not_given_is_refused(book: Any) -> None:
    assert refused(book, item("a"), ExpressionAttributeValues={}) == "ValidationException"


# An expression that nobody judges would hold in tests, whatever it says.
def test_another_expression_is_none_that_is_known_here(simulation: SimulationFace) -> None:
    simulation.table(TABLE, key=KEY)
    book = simulation.client("dynamodb")

    assert refused(book, item("a"), ConditionExpression="#version = :seen") == "ValidationException"
    with pytest.raises(ClientError) as caught:
        book.scan(TableName=TABLE, FilterExpression="attribute_exists(answered)")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_page_of_a_scan_has_its_own_end(simulation: SimulationFace) -> None:
    simulation.table(TABLE, key=KEY)
    simulation.account.tables.tables[TABLE].page_items = 2
    book = simulation.client("dynamodb")
    for number in range(5):
        put(book, item(f"{number}"))

    pages = book.get_paginator("scan").paginate(TableName=TABLE, FilterExpression=FILTER, Limit=4)

    assert [page["Count"] for page in pages] == [2, 2, 1]


# Why a look before an answer must be consistent: an eventual one does not know the other's answer.
def test_a_read_that_is_not_consistent_may_see_the_version_before(
    simulation: SimulationFace,
) -> None:
    simulation.table(TABLE, key=KEY)
    simulation.account.tables.lag_seconds = 1.0
    book = simulation.client("dynamodb")
    put(book, item("a", 1))
    assert get(book, "a", ConsistentRead=False) is None
    simulation.account.run_for(1)
    put(book, item("a", 2), seen=1)

    assert get(book, "a", ConsistentRead=False) == item("a", 1)
    assert get(book, "a") == item("a", 2)
    simulation.account.run_for(1)
    assert get(book, "a", ConsistentRead=False) == item("a", 2)
