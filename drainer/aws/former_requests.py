"""
The gateway to the table in which the release before this one wrote requests of CloudFormation.

It only reads: a request that is under way while the stack is updated goes on in the table of
records. The file and the table may go with the next release.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, pages, understood
from drainer.custom_resource import progress
from drainer.custom_resource.record import RequestRecord, key_of
from drainer.drain.record import End
from drainer.errors import MalformedEventError, TableMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What infra/drainer.yaml grants for it.
FORMER_CALLS = {"dynamodb": ("GetItem", "Scan")}


class FormerRequestTable:
    """
    The requests of the release before this one.

    Args:
        client: Returns boto3's client for a service's name.
        table: The table's name.
    """

    def __init__(self, client: Callable[[str], Any], table: str) -> None:
        self._client = client
        self._table = table

    @understood
    def look(self, request: str) -> RequestRecord | None:
        """Return what is written of a request."""
        try:
            answer = ask(
                self._client("dynamodb").get_item,
                TableName=self._table,
                Key={"request": {"S": request}},
                ConsistentRead=True,
            )
        except TableMissingError:
            return None  # somebody has deleted it, as the next release does
        return _record(answer["Item"]) if "Item" in answer else None

    @understood
    def unanswered(self) -> list[RequestRecord]:
        """Return all that is written of requests that have no answer yet."""
        found = []
        try:
            for item in pages(
                self._client("dynamodb").scan,
                "Items",
                "LastEvaluatedKey",
                into="ExclusiveStartKey",
                TableName=self._table,
                FilterExpression="attribute_not_exists(answered)",
            ):
                try:
                    found.append(_record(item))
                except (KeyError, TypeError, ValueError, MalformedEventError):
                    continue  # its own message says what is wrong with it
        except TableMissingError:
            return []
        return found


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
