"""
The gateway to the table of records: reads, conditional writes and the sweeps' queries.

It decides nothing; what a condition and a write mean is said in drainer/drain/conditional_write.py.
One table holds the records of lifecycle actions and of requests: each kind has a codec.
"""

from __future__ import annotations

from datetime import timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from drainer.aws.calls import ask, chunks, pages
from drainer.aws.record_expressions import attributes, plain, update
from drainer.drain.conditional_write import Outcome, Write, Written, refused
from drainer.drain.record import Key, Record
from drainer.drain.record_codec import FOLLOWED
from drainer.errors import DrainerError, MisconfiguredError, OvertakenError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# What infra/drainer.yaml grants for it. One kind of write, so that a pass and a join can each
# leave alone what the other sets.
RECORD_CALLS = {"dynamodb": ("BatchGetItem", "Query", "UpdateItem")}

INDEX = "open"
PASS_ID_BYTES = 8

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
KEYS_MAX = 100
# A hundred records of 1 KB are far from the 16 MB of an answer, so that keys are left over only
# where the table throttles. Three rounds in a row are no back-off: the next pass asks again.
ROUNDS_MAX = 3
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
PARTITION_KEY_BYTES_MAX = 2_048
SORT_KEY_BYTES_MAX = 1_024

Kind = TypeVar("Kind", bound=Record)
Kind_co = TypeVar("Kind_co", bound=Record, covariant=True)


class Codec(Protocol[Kind_co]):
    """A kind of records as plain values."""

    OPEN: str  # the index's partition key of those that are open

    def encode(self, record: Any, retention: timedelta, /) -> dict[str, Any]:
        """Return a record as plain values."""

    def decode(self, item: Mapping[str, Any], /) -> Kind_co:
        """Return the record in plain values; raises MisconfiguredError."""


class RecordTable(Generic[Kind]):
    """
    The records of one kind in DynamoDB.

    Args:
        client: Returns boto3's client for a service's name; it is made when it is needed.
        table: The table's name.
        codec: What turns the records into plain values, and back.
        retention_days: How long a record is kept after its end or its deadline.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        table: str,
        codec: Codec[Kind],
        retention_days: int = 90,
    ) -> None:
        self._client = client
        self._table = table
        self._codec = codec
        self._retention = timedelta(days=retention_days)

    def new_pass_id(self) -> str:
        """Return what no other write has: a write that the SDK repeats is known by it."""
        return token_hex(PASS_ID_BYTES)

    def read(self, keys: Iterable[Key]) -> dict[Key, Kind | DrainerError | None]:
        """Return for each key its record, None where there is none, or why it was not read."""
        asked = list(dict.fromkeys(keys))
        found: dict[Key, Kind | DrainerError | None] = {
            key: MisconfiguredError("the names cannot be a record's key")
            for key in asked
            if not _fits(key)
        }
        for some in chunks([key for key in asked if key not in found], KEYS_MAX):
            found |= self._read(some)
        return found

    def _read(self, keys: Sequence[Key]) -> dict[Key, Kind | DrainerError | None]:
        found: dict[Key, Kind | DrainerError | None] = {}
        left = [attributes(_names(key)) for key in keys]
        try:
            for _ in range(ROUNDS_MAX):
                wanted = {self._table: {"Keys": left, "ConsistentRead": True}}
                answer = ask(self._client("dynamodb").batch_get_item, RequestItems=wanted)
                for item in answer["Responses"].get(self._table, []):
                    found[_key(item)] = self._record(item)
                left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
                if not left:
                    return {key: found.get(key) for key in keys}
            why: DrainerError = UnavailableError("BatchGetItem: DynamoDB did not process all keys")
        except DrainerError as error:
            why = error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            why = _odd("BatchGetItem", error)
        return {key: found.get(key, why) for key in keys}

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Make each write if its condition holds; return in the same order what came of each."""
        return [self._write(write) for write in writes]

    def _write(self, write: Write) -> Written:
        try:
            parameters = update(write, self._codec.encode(write.record, self._retention))
            ask(
                self._client("dynamodb").update_item,
                TableName=self._table,
                Key=attributes(_names(write.record.key)),
                # Without it each refused write would need a read.
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **parameters,
            )
        except OvertakenError as error:
            there = self._record(getattr(error.__cause__, "response", {}).get("Item"))
            if isinstance(there, DrainerError):
                return Written(Outcome.REFUSED, error=there)
            return refused(write, there)
        except DrainerError as error:
            return Written(Outcome.UNKNOWN, error=error)
        return Written(Outcome.DONE)

    def open_keys(self) -> list[Key]:
        """
        Return the keys of all open records of the kind. The index may be a moment behind.

        Raises:
            DrainerError: The index could not be read to its end.
        """
        return self._indexed(self._codec.OPEN)

    def followed_keys(self) -> list[Key]:
        """
        Return the keys of the records whose instances may come back into service.

        Raises:
            DrainerError: The index could not be read to its end.
        """
        return self._indexed(FOLLOWED)

    def _indexed(self, value: str) -> list[Key]:
        items = self._query("open", value, IndexName=INDEX)
        try:
            return [_key(item) for item in items]
        except (AttributeError, KeyError, TypeError) as error:
            raise _odd("Query", error) from error

    def of_instance(self, instances: Iterable[str]) -> dict[str, list[Kind | DrainerError | None]]:
        """Return the records of each instance; an error in the place of what was not read."""
        found: dict[str, list[Kind | DrainerError | None]] = {}
        for one in instances:
            try:
                items = self._query("instance", one, ConsistentRead=True)
                found[one] = [self._record(item) for item in items]
            except DrainerError as error:
                found[one] = [error]
        return found

    def _query(self, name: str, value: str, **more: Any) -> list[Mapping[str, Any]]:
        try:
            return list(
                pages(
                    self._client("dynamodb").query,
                    "Items",
                    "LastEvaluatedKey",
                    into="ExclusiveStartKey",
                    TableName=self._table,
                    KeyConditionExpression=f"#{name} = :{name}",
                    ExpressionAttributeNames={f"#{name}": name},
                    ExpressionAttributeValues={f":{name}": {"S": value}},
                    **more,
                )
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise _odd("Query", error) from error

    def _record(self, item: Mapping[str, Any] | None) -> Kind | DrainerError | None:
        """Return the record in an item; an error in its place where it cannot be read."""
        if item is None:
            return None
        try:
            return self._codec.decode({name: plain(value) for name, value in item.items()})
        except DrainerError as error:
            return error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return _odd("an item", error)


def _fits(key: Key) -> bool:
    """Whether DynamoDB takes the key; one that it refuses would spoil ninety-nine others."""
    try:
        sizes = len(key.instance.encode()), len(key.subject.encode())
    except UnicodeEncodeError:
        return False
    return 0 < sizes[0] <= PARTITION_KEY_BYTES_MAX and 0 < sizes[1] <= SORT_KEY_BYTES_MAX


def _names(key: Key) -> dict[str, str]:
    return {"instance": key.instance, "subject": key.subject}


def _key(item: Mapping[str, Any]) -> Key:
    return Key(item["instance"]["S"], item["subject"]["S"])


def _odd(what: str, error: Exception) -> UnavailableError:
    return UnavailableError(f"{what}: unexpected answer: {type(error).__name__}: {error}")
