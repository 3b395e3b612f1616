"""
Reads of the stack's table of records: all drains, ended or not, through the record's own codec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.aws.record_expressions import plain
from drainer.drain import record_codec
from drainer.errors import DrainerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from drainer.cli.account.reader import Reader
    from drainer.drain.record import DrainRecord

# The table has the records of requests of CloudFormation too, whose key is a stack's ARN.
OF_AN_INSTANCE = "i-"


@dataclass(frozen=True, slots=True)
class Records:
    """The records of drains, and of how many the codec could make no sense."""

    records: tuple[DrainRecord, ...]
    malformed: int = 0


def read_records(reader: Reader, table: str, since: datetime) -> Records:
    """
    Return the drains that are open, or have ended since an instant.

    The table has no index by time, so that it is read as a whole: a record is about 1 KB and is
    kept for RecordRetentionDays, so that 10,000 drains cost 0.1 cents.

    Raises:
        UnreadError: The table was not read.
    """
    items = reader.pages(
        "dynamodb",
        "scan",
        "Items",
        TableName=table,
        FilterExpression="begins_with(#instance, :prefix) AND "
        "(attribute_not_exists(#ended) OR #ended >= :since)",
        ExpressionAttributeNames={"#instance": "instance", "#ended": "ended_at"},
        ExpressionAttributeValues={
            ":prefix": {"S": OF_AN_INSTANCE},
            ":since": {"N": str(since.timestamp())},
        },
    )
    found: list[DrainRecord] = []
    malformed = 0
    for item in items:
        try:
            values = {name: plain(value) for name, value in item.items()}
            found.append(record_codec.decode(values))
        except (DrainerError, AttributeError, TypeError, ValueError):
            malformed += 1
    return Records(tuple(found), malformed)


def seconds_by_group(records: Iterable[DrainRecord]) -> dict[str, tuple[float, ...]]:
    """Return how long ended drains took, by group; those that ended by hand do not count."""
    found: dict[str, tuple[float, ...]] = {}
    for record in records:
        if record.ended_at is None or not record.end.startswith("answered"):
            continue
        group = record.drain.action.auto_scaling_group_name
        seconds = (record.ended_at - record.drain.started_at).total_seconds()
        found[group] = (*found.get(group, ()), seconds)
    return found
