"""
What a stack and its resources are at, at any instant: as it is said, or as its requests tell.

Which physical id a row shows in the clean-up after a replacement is not documented: here it is the
new one.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest

RequestType = Literal["Create", "Update", "Delete"]
RESOURCE_TYPE = "Custom::ECSDrain"
CLEANING = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Row:
    """A resource as its stack lists it."""

    physical_id: str
    status: str
    changed_at: datetime
    resource_type: str = RESOURCE_TYPE


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a stack is at; an empty status leaves it to its requests."""

    status: str
    changed_at: datetime | None
    rows: Mapping[str, Row]


@dataclass(slots=True, eq=False)
class Stack:
    """
    A stack, as far as anybody asks about it.

    Attributes:
        status: what it is said to be at; empty where its requests tell.
        changed_at: when its latest update began.
        rows: the resources that are said to be in it, by logical id.
        journal: what it was at before, with the instants.
    """

    name: str
    stack_id: str
    created_at: datetime
    status: str = ""
    changed_at: datetime | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    journal: list[tuple[datetime, Snapshot]] = field(default_factory=list)

    def write(self, at: datetime) -> None:
        """Write down what it is at from now on."""
        self.journal.append((at, Snapshot(self.status, self.changed_at, dict(self.rows))))


def seen_at(at: datetime, stack: Stack, requests: Sequence[CustomResourceRequest]) -> Snapshot:
    """Return what a stack was at, at an instant."""
    known = [snapshot for since, snapshot in stack.journal if since <= at] or [stack.journal[0][1]]
    sent = [one for one in requests if one.sent_at <= at]
    kinds = [one.event["RequestType"] for one in sent if one.was_open(at)]
    status = "UPDATE_COMPLETE"
    if kinds:
        status = CLEANING if kinds[-1] == "Delete" else "UPDATE_IN_PROGRESS"
    changes = [one for one in sent if one.event["RequestType"] != "Delete"] or sent
    changed_at = changes[-1].sent_at if changes else None
    rows = {**_rows(at, sent), **known[-1].rows}
    return Snapshot(known[-1].status or status, known[-1].changed_at or changed_at, rows)


def _rows(at: datetime, requests: Sequence[CustomResourceRequest]) -> dict[str, Row]:
    """Return the custom resources that requests tell of, by logical id."""
    found: dict[str, Row] = {}
    for request in requests:
        kind, logical_id = request.event["RequestType"], request.event["LogicalResourceId"]
        own = str(request.event.get("PhysicalResourceId", ""))
        known = found.get(logical_id)
        if kind == "Delete" and known is not None and known.physical_id != own:
            continue  # the clean-up after a replacement: the row is of what is there now
        if request.was_open(at):
            found[logical_id] = Row(own, f"{kind.upper()}_IN_PROGRESS", request.sent_at)
            continue
        answered_at, answer = request.answers[0] if request.answers else (at, {})
        succeeded = answer.get("Status") == "SUCCESS"
        if kind == "Delete" and succeeded:
            found.pop(logical_id, None)
            continue
        end = "COMPLETE" if succeeded else "FAILED"
        physical_id = str(answer.get("PhysicalResourceId", own))
        found[logical_id] = Row(physical_id, f"{kind.upper()}_{end}", answered_at)
    return found
