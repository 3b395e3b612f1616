"""
The records are read from a table of DynamoDB, of which moto plays the expressions and the pages.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from drainer.cli.account.reader import Reader, Unread
from drainer.cli.history.read_records import Records, read_records
from drainer.drain.record import End
from tests.doctor.names import NOW
from tests.doctor.past import ended, item, record

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "drainer-Records-1K2J"
DAY = timedelta(days=1)


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """
    Return a client, with a table whose keys are those of infra/drainer.yaml.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        names = ("instance", "subject")
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in names],
            KeySchema=[
                {"AttributeName": "instance", "KeyType": "HASH"},
                {"AttributeName": "subject", "KeyType": "RANGE"},
            ],
        )
        yield client


def read(client: Any) -> Records:
    found = read_records(Reader(lambda _: client, lambda _: None), TABLE, NOW - 7 * DAY)
    assert not isinstance(found, Unread), found
    return found


def test_drains_that_are_open_or_have_ended_since_are_read(dynamodb: Any) -> None:
    # An open drain of last month is the one that an operator looks for.
    for one in (
        ended(instance="i-old", ended_at=NOW - 8 * DAY),
        ended(instance="i-new", ended_at=NOW - 6 * DAY),
        ended(instance="i-open", ended_at=NOW - 20 * DAY, end=End.OPEN, phase="draining"),
    ):
        dynamodb.put_item(TableName=TABLE, Item=one)
    # A request of CloudFormation, whose key is its stack.
    request = {"instance": {"S": "arn:aws:cloudformation:x"}, "subject": {"S": "id"}}
    dynamodb.put_item(TableName=TABLE, Item=request)

    found = read(dynamodb)

    assert {one.key.instance for one in found.records} == {"i-new", "i-open"}
    assert found.malformed == 0


def test_a_table_of_many_pages_is_read_to_its_end(dynamodb: Any) -> None:
    # DynamoDB answers at most 1 MB at once: here about sixty records with many tasks each.
    unfinished = tuple(f"{count:036}" for count in range(400))
    for count in range(100):
        one = record(instance=f"i-{count}")
        one = replace(one, drain=replace(one.drain, unfinished=unfinished))
        dynamodb.put_item(TableName=TABLE, Item=item(one))
    assert "LastEvaluatedKey" in dynamodb.scan(TableName=TABLE)

    assert len(read(dynamodb).records) == 100
