"""
The table of drain records: its key, its index and its lifetime are those that the program uses.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.records import INDEX
from drainer.config import RECORD_RETENTION_DAYS_MAX, Config
from drainer.drain import record_codec, record_fields
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, key_of

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACTION = LifecycleAction("web", "drainer", "i-0123456789abcdef0", "")
RECORD = DrainRecord(key_of(ACTION), 1, 0, "pass", Drain(ACTION, NOON, NOON), written_at=NOON)


def table(stack: DeployedStack) -> dict[str, Any]:
    found: dict[str, Any] = dict(stack.resources("AWS::DynamoDB::Table"))["Records"]
    return found


def names(schema: list[dict[str, str]]) -> list[str]:
    assert [one["KeyType"] for one in schema] == ["HASH", "RANGE"]
    return [one["AttributeName"] for one in schema]


def test_key_and_index_are_those_that_the_program_writes(stack: DeployedStack) -> None:
    # With another key every write is refused; with another index the sweep finds nothing.
    item = record_codec.encode(RECORD, timedelta(days=90))
    (index,) = table(stack)["GlobalSecondaryIndexes"]
    used = {*names(table(stack)["KeySchema"]), *names(index["KeySchema"])}

    assert names(table(stack)["KeySchema"]) == list(record_fields.KEY_NAMES)
    assert (index["IndexName"], names(index["KeySchema"])) == (INDEX, ["open", "instance"])
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert {one["AttributeName"] for one in table(stack)["AttributeDefinitions"]} == used
    assert used <= set(item)
    assert all(isinstance(item[name], str) for name in used)


def test_records_end_by_the_lifetime_that_the_program_writes(stack: DeployedStack) -> None:
    # A table that nothing is deleted from grows with every drain.
    lifetime = table(stack)["TimeToLiveSpecification"]
    item = record_codec.encode(RECORD, timedelta(days=90))

    assert lifetime == {"AttributeName": "expires_at", "Enabled": True}
    assert item["expires_at"] == int((NOON + timedelta(days=90)).timestamp())


def test_the_table_costs_what_is_used_and_outlives_its_replacement(stack: DeployedStack) -> None:
    # Open drains of a table that is replaced are only found in the old one.
    resource = stack.template["Resources"]["Records"]

    assert table(stack)["BillingMode"] == "PAY_PER_REQUEST"
    assert "TableName" not in table(stack)
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Retain")
    # A stream or a duplicate elsewhere would be another place for the tokens to rest.
    assert {"StreamSpecification", "KinesisStreamSpecification", "Replicas"}.isdisjoint(
        table(stack)
    )


@pytest.mark.parametrize("bound", ["MinValue", "MaxValue"])
def test_the_program_takes_the_retention_that_the_template_takes(
    render: Render, bound: str
) -> None:
    # A value that deploys and then is refused stops every drain.
    limit = render("drainer.yaml").template["Parameters"]["RecordRetentionDays"][bound]
    stack = render("drainer.yaml", RecordRetentionDays=str(limit))
    function = dict(stack.resources("AWS::Lambda::Function"))["Function"]

    config = Config.from_environment(function["Environment"]["Variables"])

    assert config.record_retention_days == limit
    assert limit in {1, RECORD_RETENTION_DAYS_MAX}
    assert config.records_table == stack.physical_ids["Records"]
