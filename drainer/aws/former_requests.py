"""
The gateway to the records of requests, and to the table in which the release before wrote them.

That one is only read: a request that is under way while the stack is updated goes on in the table
of records. It and this file may go with the next release.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, pages, understood
from drainer.aws.records import RecordTable
from drainer.custom_resource import progress
from drainer.custom_resource import record as request_codec
from drainer.custom_resource.record import RequestRecord, key_of, name_of
from drainer.drain.record import End
from drainer.errors import DrainerError, TableMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from drainer.drain.record import Key

# What infra/drainer.yaml grants for it.
FORMER_CALLS = {"dynamodb": ("GetItem", "Scan")}


class RequestTable(RecordTable[RequestRecord]):
    """
    The records of requests, with what only the release before this one has written.

    Args:
        client: Returns boto3's client for a service's name.
        table: The name of the table of records.
        retention_days: How long a record is kept after its end.
        former: The name of the table of the release before; empty for none.
    """

    def __init__(
        self, client: Callable[[str], Any], table: str, retention_days: int, former: str
    ) -> None:
        super().__init__(client, table, request_codec, retention_days)
        self._former = former

    def read(self, keys: Iterable[Key]) -> dict[Key, RequestRecord | DrainerError | None]:
        """Return for each key its record, None where there is none, or why it was not read."""
        found = super().read(keys)
        for key in [key for key, record in found.items() if record is None and self._former]:
            try:
                found[key] = self._look(key)
            except DrainerError as error:
                found[key] = error
        return found

    def former_keys(self) -> list[Key]:
        """
        Return the keys of what is open in the former table; most may have a record by now.

        Raises:
            DrainerError: It could not be read to its end.
        """
        try:
            return self._unanswered() if self._former else []
        except TableMissingError:
            return []

    @understood
    def _look(self, key: Key) -> RequestRecord | None:
        try:
            answer = ask(
                self._client("dynamodb").get_item,
                TableName=self._former,
                Key={"request": {"S": name_of(key)}},
                ConsistentRead=True,
            )
        except TableMissingError:
            return None  # it was deleted, as the next release does
        return _record(answer["Item"]) if "Item" in answer else None

    @understood
    def _unanswered(self) -> list[Key]:
        return [
            key_of(item["request"]["S"])
            for item in pages(
                self._client("dynamodb").scan,
                "Items",
                "LastEvaluatedKey",
                into="ExclusiveStartKey",
                TableName=self._former,
                FilterExpression="attribute_not_exists(answered)",
            )
        ]


def _record(item: Mapping[str, Any]) -> RequestRecord:
    """Return what is written of a request as the record that the next pass writes on."""
    answered = "answered" in item
    at = datetime.fromtimestamp(float(item["at"]["N"]), UTC)
    deadline_at = datetime.fromtimestamp(float(item["deadline_at"]["N"]), UTC)
    state = None if answered else progress.decode(item["state"]["S"])
    return RequestRecord(
        key=key_of(item["request"]["S"]),
        generation=0,
        # It wrote the hop of the pass that had begun, and a record has that of the message to come.
        hop=int(item["hop"]["N"]) + 1,
        pass_id="",
        written_at=at,
        began_at=state.request.started_at if state else at,
        deadline_at=deadline_at,
        progress=state,
        end=End.OVER if answered else End.OPEN,
        ended_at=at if answered else None,
    )
