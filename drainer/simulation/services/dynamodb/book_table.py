"""
DynamoDB, as far as a book of requests needs it: one item read, one written on a condition, a scan.

An expression that is not one of the two known here is refused, so that none passes unjudged. Items
that have expired stay: "typically" DynamoDB deletes them within days, and no run is as long.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.account import Account

    Item = dict[str, dict[str, Any]]

CONDITION = "attribute_not_exists(#version) OR #version = :seen"
FILTER = "attribute_not_exists(answered)"
# "The maximum item size in DynamoDB is 400 KB, which includes both attribute name binary length
# (UTF-8 length) and attribute value lengths".
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
ITEM_BYTES_MAX = 400 * 1_024


@dataclass(slots=True, eq=False)
class Row:
    """An item, and the one that it replaced; an empty one stands for none."""

    item: Item
    before: Item
    written_at: datetime


@dataclass(slots=True, eq=False)
class BookTable:
    """
    A table with a partition key of type S and no sort key.

    Attributes:
        page_items: how many items a scan looks at before it stops; AWS stops after 1 MB.
        rows: by the value of the key, in the order of their making.
    """

    name: str
    arn: str
    key: str
    page_items: int = 100
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """The items as they are now."""
        return [row.item for row in self.rows.values()]


class BookTables:
    """
    The account's tables.

    Attributes:
        lag_seconds: how old the answer of a read is that is not strongly consistent.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.lag_seconds = 0.0
        self.tables: dict[str, BookTable] = {}

    def create(self, name: str, *, key: str = "request") -> BookTable:
        """Create a table."""
        table = BookTable(name, self._account.arn("dynamodb", f"table/{name}"), key)
        self.tables[name] = table
        return table

    def read(self, row: Row | None, *, consistent: bool) -> Item:
        """Return what a read finds, which may be the item of a moment ago; empty for nothing."""
        if row is None:
            return {}
        fresh_at = row.written_at + timedelta(seconds=self.lag_seconds)
        return row.item if consistent or self._account.now >= fresh_at else row.before


class DynamoDbApi:
    """One method for each operation; each takes and returns what AWS would."""

    def __init__(self, account: Account, tables: BookTables) -> None:
        self._account = account
        self._tables = tables

    def get_item(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return an item by its key; nothing where there is none."""
        table = self._table(parameters)
        if set(parameters["Key"]) != {table.key}:
            raise _invalid("The provided key element does not match the schema")
        row = table.rows.get(_key_of(table, parameters["Key"]))
        consistent = parameters.get("ConsistentRead", False)
        item = self._tables.read(row, consistent=consistent)
        return {"Item": _copy(item)} if item else {}

    def put_item(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Write an item, if the one that is there has the version that the writer has seen."""
        table, item = self._table(parameters), _copy(parameters["Item"])
        key = _key_of(table, item)
        if _size(item) > ITEM_BYTES_MAX:
            raise _invalid("Item size has exceeded the maximum allowed size")
        row = table.rows.get(key)
        if not _admitted(parameters, row.item if row else {}):
            raise ApiError("ConditionalCheckFailedException", "The conditional request failed")
        table.rows[key] = Row(item, row.item if row else {}, self._account.now)
        return {}

    def scan(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Return a page of the items that the filter lets through; it may be empty and not the last.

        It "first reads up to the maximum number of items set (if using the Limit parameter) or a
        maximum of 1 MB of data and then applies any filtering to the results".
        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
        """
        table = self._table(parameters)
        if parameters.get("FilterExpression") != FILTER:
            raise _invalid(f"the simulated table filters by {FILTER!r} alone")
        keys = [*table.rows]
        start = parameters.get("ExclusiveStartKey")
        if start:
            if _key_of(table, start) not in table.rows:
                raise _invalid("The provided starting key is invalid")
            keys = keys[keys.index(_key_of(table, start)) + 1 :]
        size = min(parameters.get("Limit", table.page_items), table.page_items)
        consistent = parameters.get("ConsistentRead", False)
        read = [self._tables.read(table.rows[key], consistent=consistent) for key in keys[:size]]
        found = [_copy(item) for item in read if item and "answered" not in item]
        answer: dict[str, Any] = {
            "Items": found,
            "Count": len(found),
            "ScannedCount": sum(map(bool, read)),
        }
        if len(keys) > size:
            answer["LastEvaluatedKey"] = {table.key: {"S": keys[size - 1]}}
        return answer

    def _table(self, parameters: Mapping[str, Any]) -> BookTable:
        # "You can also provide the Amazon Resource Name (ARN) of the table in this parameter."
        # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html
        table = self._tables.tables.get(parameters["TableName"].rpartition("/")[2])
        if table is None:
            raise ApiError("ResourceNotFoundException", "Requested resource not found")
        return table


def _admitted(parameters: Mapping[str, Any], present: Item) -> bool:
    """Judge the one condition that is known."""
    if parameters.get("ConditionExpression") != CONDITION:
        raise _invalid(f"the simulated table takes the condition {CONDITION!r} alone")
    names = parameters.get("ExpressionAttributeNames") or {}
    values = parameters.get("ExpressionAttributeValues") or {}
    if set(names) != {"#version"} or set(values) != {":seen"}:
        raise _invalid("An expression attribute name or value is not defined, or is not used")
    version = present.get(names["#version"])
    return version is None or _plain(version) == _plain(values[":seen"])


def _key_of(table: BookTable, item: Item) -> str:
    value = item.get(table.key, {}).get("S")
    if not isinstance(value, str) or not value:
        raise _invalid(f"One or more parameter values were invalid: the key {table.key}")
    return value


def _copy(item: Item) -> Item:
    """Copy an item, once its values are known to be ones that are understood."""
    for name, value in item.items():
        if set(value) not in ({"S"}, {"N"}):
            raise _invalid(f"Supplied AttributeValue has more or other than S or N: {name}")
        _plain(value)
    return {name: dict(value) for name, value in item.items()}


def _plain(value: Mapping[str, Any]) -> str | Decimal:
    # Numbers are sent as text, and compared as numbers.
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
    if "N" not in value:
        return str(value["S"])
    try:
        return Decimal(value["N"])
    except InvalidOperation:
        message = f"The parameter cannot be converted to a numeric value: {value['N']}"
        raise _invalid(message) from None


def _size(item: Item) -> int:
    texts = [*item, *(str(text) for value in item.values() for text in value.values())]
    return sum(len(text.encode()) for text in texts)


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationException", message)
