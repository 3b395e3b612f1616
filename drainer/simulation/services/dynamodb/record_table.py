"""
DynamoDB, as far as a table of records needs it: batches, conditional updates and queries.

A table has a partition key, a sort key and sparse indexes. Reads are strongly consistent where they
ask for it; an index never is.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.dynamodb.former_table import DynamoDbApi
from drainer.simulation.services.dynamodb.item_expressions import Expressions, copied, invalid, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.dynamodb.former_table import FormerTables
    from drainer.simulation.services.dynamodb.item_expressions import Item

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
BATCH_KEYS_MAX = 100
# "The maximum item size in DynamoDB is 400 KB, which includes both attribute name binary length
# (UTF-8 length) and attribute value lengths".
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
ITEM_BYTES_MAX = 400 * 1_024
# A global secondary index has a change "within a fraction of a second, under normal conditions.
# However, in some unlikely failure scenarios, longer propagation delays might occur."
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
INDEX_LAG_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Version:
    """An item, the one that it replaced, and when; an empty one stands for none."""

    item: Item
    before: Item
    written_at: datetime


@dataclass(slots=True, eq=False)
class RecordTable:
    """
    A table whose items are known by two texts.

    Attributes:
        indexes: by their names, the partition and the sort key of each; with the keys alone.
        page_items: how many items a query reads before it stops; AWS stops after 1 MB.
        index_lag_seconds: how late the indexes are.
        rows: by the values of the key; written by `put`.
        leaves_over: asked for each key of a batch, whether it is left unprocessed.
        repeats: asked after each update, whether its answer is lost and the SDK sends it again.
        read_only: whether writes are denied.
    """

    name: str
    arn: str
    keys: tuple[str, str]
    indexes: Mapping[str, tuple[str, str]]
    page_items: int = 100
    index_lag_seconds: float = INDEX_LAG_SECONDS
    rows: dict[tuple[str, str], Version] = field(default_factory=dict)
    # The keys of each partition, sorted: a query must not read the whole table.
    _partitions: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    # The keys of the items that an index has, or had before the latest write, sorted: its own sort
    # key is the table's partition key.
    _indexed: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    leaves_over: Callable[[], bool] = lambda: False
    repeats: Callable[[], bool] = lambda: False
    read_only: bool = False

    @property
    def items(self) -> list[Item]:
        """The items as they are now."""
        return [row.item for row in self.rows.values()]

    def put(self, key: tuple[str, str], version: Version) -> None:
        """Write an item."""
        if key not in self.rows:
            insort(self._partitions.setdefault(key[0], []), key)
        self.rows[key] = version
        for name, (partition, _) in self.indexes.items():
            keys = self._indexed.setdefault(name, [])
            at = bisect_left(keys, key)
            is_there = keys[at : at + 1] == [key]
            belongs = partition in version.item or partition in version.before
            if belongs and not is_there:
                keys.insert(at, key)
            elif is_there and not belongs:
                del keys[at]

    def after(
        self, index: str | None, partition: Any, start: tuple[str, str]
    ) -> Iterator[tuple[tuple[str, str], Version]]:
        """
        Return the keys and items that an index may show, or those of a partition, after a key.

        Args:
            index: Its name; None for the table itself.
            partition: The partition of the table.
            start: The last key that is left out.
        """
        keys = (self._indexed.get(index) if index else self._partitions.get(partition)) or []
        for at in range(bisect_right(keys, start), len(keys)):
            # An item that DynamoDB has deleted for its age is in no index.
            if keys[at] in self.rows:
                yield keys[at], self.rows[keys[at]]

    def key_of(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return the values of the key; refuse an item that lacks one."""
        values = [item.get(name, {}).get("S") for name in self.keys]
        if not all(isinstance(value, str) and value for value in values):
            raise invalid("One or more parameter values were invalid: the key")
        return values[0], values[1]


class RecordTables:
    """
    The account's tables of this kind.

    Attributes:
        deleted_at: when one was last deleted, with all that is in it.
        wrote: told the key of each item that is written, whatever the writer hears of it.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.deleted_at: datetime | None = None
        self.wrote: Callable[[Mapping[str, Any]], None] = lambda _: None
        self.tables: dict[str, RecordTable] = {}

    def create(self, name: str) -> RecordTable:
        """Create a table as infra/drainer.yaml does."""
        arn = self._account.arn("dynamodb", f"table/{name}")
        table = RecordTable(name, arn, ("instance", "subject"), {"open": ("open", "instance")})
        self.tables[name] = table
        return table

    @property
    def is_writable(self) -> bool:
        """Whether there is a table, and it may be written."""
        return any(not table.read_only for table in self.tables.values())

    def delete(self, name: str) -> None:
        """Delete a table and all that is in it."""
        self.tables.pop(name, None)
        self.deleted_at = self._account.now


class DynamoDbItemsApi(DynamoDbApi):
    """The operations of both kinds of tables; each takes and returns what AWS would."""

    def __init__(self, account: Account, tables: FormerTables, records: RecordTables) -> None:
        super().__init__(tables)
        self._clock = account.clock
        self._records = records

    def batch_get_item(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return items by their keys, in no order; nothing for what is not there."""
        responses: dict[str, list[Item]] = {}
        left: dict[str, Any] = {}
        for name, asked in parameters["RequestItems"].items():
            table = self._record_table(name)
            if not 0 < len(asked["Keys"]) <= BATCH_KEYS_MAX:
                raise invalid("Too many items requested for the BatchGetItem call")
            keys = [self._exact(table, key) for key in asked["Keys"]]
            if len(set(keys)) < len(keys):
                raise invalid("Provided list of item keys contains duplicates")
            kept, responses[name] = [], []
            for key, given in zip(keys, asked["Keys"], strict=True):
                if table.leaves_over():
                    kept.append(given)
                elif key in table.rows:
                    responses[name].append(copied(table.rows[key].item))
            if kept:
                left[name] = {**asked, "Keys": kept}
        return {"Responses": responses, "UnprocessedKeys": left}

    def update_item(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Change an item if the condition holds; an item that is not there is made."""
        table = self._record_table(parameters["TableName"])
        if table.read_only:
            raise ApiError("AccessDeniedException", "not authorized to perform dynamodb:UpdateItem")
        answer = self._update(table, parameters)
        return self._update(table, parameters) if table.repeats() else answer

    def _update(self, table: RecordTable, parameters: dict[str, Any]) -> dict[str, Any]:
        key = self._exact(table, parameters["Key"])
        row = table.rows.get(key)
        there = row.item if row else {}
        expressions = Expressions(
            parameters.get("ExpressionAttributeNames") or {},
            parameters.get("ExpressionAttributeValues") or {},
        )
        holds = expressions.holds(parameters.get("ConditionExpression"), there)
        item = expressions.updated(parameters["UpdateExpression"], there, fixed=table.keys)
        expressions.all_used()
        if not holds:
            wants = parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            shown = {"Item": copied(there)} if wants and there else {}
            message = "The conditional request failed"
            raise ApiError("ConditionalCheckFailedException", message, shown=shown)
        item = {**copied(parameters["Key"]), **item}
        if size(item) > ITEM_BYTES_MAX:
            raise invalid("Item size to update has exceeded the maximum allowed size")
        table.put(key, Version(item, there, self._clock()))
        self._records.wrote(parameters["Key"])
        return {}

    def query(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return a page of the items with one value of a partition key, by their sort keys."""
        table = self._record_table(parameters["TableName"])
        index = parameters.get("IndexName")
        if index is not None and index not in table.indexes:
            raise invalid(f"The table does not have the specified index: {index}")
        if index is not None and parameters.get("ConsistentRead"):
            raise invalid("Consistent reads are not supported on global secondary indexes")
        partition, sort = table.indexes[index] if index else table.keys
        expressions = Expressions(
            parameters.get("ExpressionAttributeNames") or {},
            parameters.get("ExpressionAttributeValues") or {},
        )
        value = expressions.equal_to(parameters["KeyConditionExpression"], partition)
        expressions.all_used()
        begun_at = parameters.get("ExclusiveStartKey")
        rows = table.after(index, value.get("S"), table.key_of(begun_at) if begun_at else ("", ""))
        seen = (self._seen(table, row, late=index is not None) for _, row in rows)
        most = min(parameters.get("Limit", table.page_items), table.page_items)
        found = list(islice((one for one in seen if one.get(partition) == value), most + 1))
        shown = {*table.keys, partition, sort} if index else None
        items = [
            copied({name: one for name, one in item.items() if shown is None or name in shown})
            for item in found[:most]
        ]
        answer: dict[str, Any] = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        if len(found) > most:
            last = found[most - 1]
            names = {*table.keys, partition, sort}
            answer["LastEvaluatedKey"] = {name: dict(last[name]) for name in sorted(names)}
        return answer

    def _seen(self, table: RecordTable, row: Version, *, late: bool) -> Item:
        """Return an item as a read sees it: an index has it later."""
        if not late:
            return row.item
        fresh_at = row.written_at + timedelta(seconds=table.index_lag_seconds)
        return row.before if self._clock() < fresh_at else row.item

    def _record_table(self, name: str) -> RecordTable:
        table = self._records.tables.get(name.rpartition("/")[2])
        if table is None:
            raise ApiError("ResourceNotFoundException", "Requested resource not found")
        return table

    @staticmethod
    def _exact(table: RecordTable, key: Mapping[str, Any]) -> tuple[str, str]:
        if set(key) != set(table.keys):
            raise invalid("The provided key element does not match the schema")
        return table.key_of(key)
