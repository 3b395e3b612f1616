"""
DynamoDB, as far as the table of requests of the release before this one needs it: it is only read.

A filter that is not the one known here is refused, so that none passes unjudged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.dynamodb.item_expressions import copied, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.account import Account
    from drainer.simulation.services.dynamodb.item_expressions import Item

FILTER = "attribute_not_exists(answered)"


@dataclass(slots=True, eq=False)
class FormerTable:
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
    rows: dict[str, Item] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """The items as they are now."""
        return [*self.rows.values()]

    def put(self, item: Item) -> None:
        """Write an item, as the release before this one does."""
        self.rows[self.key_of(item)] = copied(item)

    def key_of(self, item: Item) -> str:
        """Return the value of the key; refuse an item that lacks it."""
        value = item.get(self.key, {}).get("S")
        if not isinstance(value, str) or not value:
            raise invalid(f"One or more parameter values were invalid: the key {self.key}")
        return value


class FormerTables:
    """The account's tables of this kind."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.tables: dict[str, FormerTable] = {}

    def create(self, name: str, *, key: str = "request") -> FormerTable:
        """Create a table."""
        table = FormerTable(name, self._account.arn("dynamodb", f"table/{name}"), key)
        self.tables[name] = table
        return table


class DynamoDbApi:
    """One method for each operation; each takes and returns what AWS would."""

    def __init__(self, tables: FormerTables) -> None:
        self._tables = tables

    def get_item(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return an item by its key; nothing where there is none."""
        table = self._table(parameters)
        if set(parameters["Key"]) != {table.key}:
            raise invalid("The provided key element does not match the schema")
        item = table.rows.get(table.key_of(parameters["Key"]))
        return {"Item": copied(item)} if item else {}

    def scan(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Return a page of the items that the filter lets through; it may be empty and not the last.

        It "first reads up to the maximum number of items set (if using the Limit parameter) or a
        maximum of 1 MB of data and then applies any filtering to the results".
        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
        """
        table = self._table(parameters)
        if parameters.get("FilterExpression") != FILTER:
            raise invalid(f"the simulated table filters by {FILTER!r} alone")
        keys = [*table.rows]
        start = parameters.get("ExclusiveStartKey")
        if start:
            if table.key_of(start) not in table.rows:
                raise invalid("The provided starting key is invalid")
            keys = keys[keys.index(table.key_of(start)) + 1 :]
        size = min(parameters.get("Limit", table.page_items), table.page_items)
        read = [table.rows[key] for key in keys[:size]]
        found = [copied(item) for item in read if "answered" not in item]
        answer = {"Items": found, "Count": len(found), "ScannedCount": len(read)}
        if len(keys) > size:
            answer["LastEvaluatedKey"] = {table.key: {"S": keys[size - 1]}}
        return answer

    def _table(self, parameters: Mapping[str, Any]) -> FormerTable:
        # "You can also provide the Amazon Resource Name (ARN) of the table in this parameter."
        # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html
        table = self._tables.tables.get(parameters["TableName"].rpartition("/")[2])
        if table is None:
            raise ApiError("ResourceNotFoundException", "Requested resource not found")
        return table
