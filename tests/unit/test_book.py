from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from drainer.aws.custom_resource import TableBook
from drainer.custom_resource.progress import STATE_BYTES_MAX
from drainer.custom_resource.store import ENTRIES_MAX, KEPT, Book, Entry, Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
TABLE = "drainer-requests"
# As long as the state of a fleet of a thousand; ten of them are more than one page of a scan.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
LONG = "s" * 150_000
FIRST = Entry(
    key="arn:aws:cloudformation:us-east-1:123456789012:stack/shop/1|2",
    version=1,
    hop=0,
    at=NOW,
    deadline_at=NOW + timedelta(seconds=3180),
    timeout_at=NOW + timedelta(seconds=3600),
    state='{"request": "é"}',
)


class Asking:
    """
    A client of DynamoDB, and what it was asked.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(**parameters: Any) -> Any:
            self.asked.append((name, parameters))
            return getattr(self._client, name)(**parameters)

        return ask


@pytest.fixture
def dynamodb() -> Iterator[Asking]:
    """
    A table in moto.
    """
    from moto import mock_aws

    with mock_aws():
        session = boto3.session.Session("test", "test", region_name="us-east-1")
        client = session.client("dynamodb")
        client.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "request", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "request", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Asking(client)


@pytest.fixture
def table(dynamodb: Asking) -> TableBook:
    return TableBook(lambda _: dynamodb, TABLE)


@pytest.fixture(params=["memory", "table"])
def book(request: pytest.FixtureRequest) -> Book:
    """
    Each book in turn: whoever writes into one must not be able to tell them apart.
    """
    if request.param == "memory":
        return Memory()
    found: TableBook = request.getfixturevalue("table")
    return found


def written(book: Book, *entries: Entry) -> None:
    for entry in entries:
        assert book.save(entry)


def numbered(number: int, **changes: Any) -> Entry:
    return replace(FIRST, key=f"stack|{number:04}", **changes)


# -- both


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(FIRST, id="an open one"),
        pytest.param(replace(FIRST, hop=240, served=True), id="one that goes round"),
        pytest.param(replace(FIRST, state="", answered="answered SUCCESS"), id="an answered one"),
        pytest.param(replace(FIRST, state="s" * STATE_BYTES_MAX), id="the longest"),
        pytest.param(replace(FIRST, at=NOW.replace(microsecond=0)), id="on the second"),
    ],
)
def test_what_is_written_is_read_back_as_it_was(book: Book, entry: Entry) -> None:
    written(book, entry)

    assert book.look(entry.key) == entry


def test_of_what_was_never_written_nothing_is_known(book: Book) -> None:
    written(book, FIRST)

    assert book.look("another") is None


def test_who_has_read_the_last_version_writes_the_next(book: Book) -> None:
    second = replace(FIRST, version=2, hop=1, at=NOW + timedelta(seconds=15), served=True)
    written(book, FIRST, second)

    assert book.look(FIRST.key) == second


@pytest.mark.parametrize("version", [0, 1, 2, 4, 9])
def test_who_was_overtaken_writes_nothing(book: Book, version: int) -> None:
    # Of two passes that both would answer, one must learn here that it is the second.
    written(book, FIRST, replace(FIRST, version=2))

    late = replace(FIRST, version=version, hop=9)

    assert not book.save(late)
    assert book.look(FIRST.key) == replace(FIRST, version=2)


def test_of_two_who_find_no_entry_one_writes_the_first(book: Book) -> None:
    # Copies of a request arrive at the same time, in two containers.
    written(book, FIRST)

    assert not book.save(replace(FIRST, hop=1))


def test_what_is_no_longer_known_may_be_written_anew(book: Book) -> None:
    # A table forgets what has expired, memory what is beyond its bounds.
    written(book, replace(FIRST, version=7))

    assert book.look(FIRST.key) == replace(FIRST, version=7)


def test_entries_do_not_stand_in_each_others_way(book: Book) -> None:
    written(book, numbered(1), numbered(2), numbered(1, version=2))

    assert [entry.version for entry in found(book)] == [2, 1]


def found(book: Book) -> list[Entry]:
    return sorted(book.unanswered(), key=lambda entry: entry.key)


def test_an_empty_book_has_nothing_unanswered(book: Book) -> None:
    assert book.unanswered() == []


def test_what_is_answered_is_not_looked_for_and_its_state_is_gone(book: Book) -> None:
    # The state holds the address of the answer, which nobody needs any more.
    written(book, numbered(1), numbered(2))
    written(book, numbered(1, version=2, state="", answered="answered FAILED"))

    answered = book.look(numbered(1).key)
    assert found(book) == [numbered(2)]
    assert answered is not None
    assert (answered.state, answered.answered) == ("", "answered FAILED")


def test_what_is_unanswered_is_found_on_every_page(book: Book) -> None:
    # A request on the second page would never be swept, and its stack wait for its hour.
    many = [numbered(number, state=LONG) for number in range(20)]
    written(book, *many)

    assert found(book) == many


# -- each


def test_pages_are_turned_until_there_are_no_more(table: TableBook, dynamodb: Asking) -> None:
    written(table, *(numbered(number, state=LONG) for number in range(20)))
    written(table, *(numbered(number, version=2, state=LONG, answered="x") for number in range(19)))

    assert table.unanswered() == [numbered(19, state=LONG)]
    scans = [parameters for name, parameters in dynamodb.asked if name == "scan"]
    assert len(scans) > 1
    assert all("ExclusiveStartKey" in parameters for parameters in scans[1:])


def test_a_look_is_consistent(table: TableBook, dynamodb: Asking) -> None:
    # What was written a moment ago by another container is not seen by an eventual read.
    table.look(FIRST.key)

    [(name, parameters)] = dynamodb.asked
    assert (name, parameters["ConsistentRead"]) == ("get_item", True)


def test_the_item_says_when_it_may_go_and_nothing_is_empty_in_it(
    table: TableBook, dynamodb: Asking
) -> None:
    written(table, FIRST)

    item = dynamodb.get_item(TableName=TABLE, Key={"request": {"S": FIRST.key}})["Item"]
    expires_at = datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC)
    assert timedelta(0) <= FIRST.timeout_at + KEPT - expires_at < timedelta(seconds=1)
    assert set(item) == {
        "at",
        "deadline_at",
        "expires_at",
        "hop",
        "request",
        "served",
        "state",
        "timeout_at",
        "version",
    }


def test_an_entry_that_is_printed_does_not_show_its_state() -> None:
    # The state holds the address of the answer.
    assert LONG not in repr(replace(FIRST, state=LONG))


def test_only_a_table_outlasts_the_process(table: TableBook) -> None:
    assert table.durable
    assert not Memory().durable


def test_memory_has_a_bound_and_forgets_what_was_written_longest_ago() -> None:
    # A container lives for hours, and each state may have a hundred and sixty kilobytes.
    book = Memory()
    written(book, *(numbered(number) for number in range(ENTRIES_MAX)))
    written(book, numbered(0, version=2))

    written(book, numbered(ENTRIES_MAX))

    assert len(book.unanswered()) == ENTRIES_MAX
    assert book.look(numbered(1).key) is None
    assert book.look(numbered(0).key) == numbered(0, version=2)
