"""
What CloudFormation says of a stack: whether a request counts, and whether its target goes. Pure.

Theory. CloudFormation sends a Delete when the guarded target is about to go, but also when only the
guard goes. The stack's status tells the two apart, tried from the top:

| status of the stack | the target | verdict |
|---|---|---|
| `DELETE_IN_PROGRESS`, physical id made up | is a resource of the stack | goes |
| | is none | stays |
| `UPDATE_*` without a rollback, physical id made up | any | stays |
| `DELETE_IN_PROGRESS`, `UPDATE_COMPLETE_CLEANUP_IN_PROGRESS` | any | goes |
| `ROLLBACK_IN_PROGRESS`: its creation has failed | is a resource of the stack | goes |
| | is none | stays |
| `UPDATE_ROLLBACK_*`: its update has failed | is a resource that is being deleted | goes |
| | is a resource that was created since the update began | goes |
| | is a resource that was there before | stays |
| | is none, and the guard is back at a Spot Fleet of the stack | goes |
| | is none, the guard has another target now, and the stack made it (a group's tag) | goes |
| | is none, otherwise | stays |
| another one: the answer is older than the request | | open: look again |

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html documents the
statuses of stacks. A physical id is made up by CloudFormation for a Create that was cancelled or
never answered. Which physical id a row shows in the clean-up after a replacement, and which
status, is not documented: there a row may say either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.custom_resource.properties import TargetKind
from drainer.custom_resource.request import RESOURCE_TYPE, RequestType

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.request import Request

# A template may name a custom resource by either.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
OUR_TYPES = (RESOURCE_TYPE, "AWS::CloudFormation::CustomResource")

IN_PROGRESS, ROLLBACK = "IN_PROGRESS", "ROLLBACK"
# The stack waits for the review of a change set that would create it.
AT_REST = "REVIEW_IN_PROGRESS"
DELETING, CREATION_FAILED = "DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"
UPDATED, UPDATING = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS"
CLEANING = (UPDATED, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")

# "CREATE_IN_PROGRESS: The resource is being created", and likewise of the others.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackResourceSummary.html
ROW_CREATING, ROW_DELETING = "CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS"
# The second is in the API's list of statuses, and no page says when a resource has it.
ROW_UPDATING = ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS")
LEAVING, SKIPPED, CREATED = "DELETE_", "DELETE_SKIPPED", "CREATE_"


class Fate(StrEnum):
    """What becomes of a target once its guard is deleted."""

    GOES = "goes"
    STAYS = "stays"
    BY_TAG = "goes if this stack has made it"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Row:
    """A resource as its stack lists it."""

    logical_id: str
    physical_id: str
    resource_type: str
    status: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Stack:
    """
    A stack as CloudFormation describes it.

    Attributes:
        status: Its status; empty where there is no such stack.
        changed_at: When its latest update began; None before the first.
        rows: Its resources.
    """

    status: str
    changed_at: datetime | None = None
    rows: tuple[Row, ...] = ()

    @property
    def rolls_back(self) -> bool:
        """Whether CloudFormation goes back to what was before."""
        return ROLLBACK in self.status


def made_up(request: Request, *names: str) -> bool:
    """
    Whether CloudFormation made the physical id up: its Create was cancelled, or never answered.

    It looks like each name that CloudFormation makes: stack, logical id, and what is random. So
    what the target itself is called (`names`) is not made up, whatever it looks like.
    https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1814
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
    """
    ending = rf".+-{re.escape(request.logical_id)}-[A-Za-z0-9]{{8,}}"
    looks_so = re.fullmatch(ending, request.physical_id) is not None
    return looks_so and request.physical_id not in names


def doubt(request: Request, stack: Stack) -> str:
    """Return why a request is not CloudFormation's, as far as the stack tells; empty if it is."""
    if IN_PROGRESS not in stack.status or stack.status == AT_REST:
        return "CloudFormation has no operation in progress on the stack of the request"
    rows = [
        row
        for row in stack.rows
        if (row.logical_id, row.resource_type) == (request.logical_id, request.resource_type)
    ]
    if not rows:
        return "The stack of the request has no such custom resource"
    if not any(_confirms(row, request, stack) for row in rows):
        return f"The custom resource of the request is {rows[0].status}, or has another id"
    return ""


def _confirms(row: Row, request: Request, stack: Stack) -> bool:
    same = row.physical_id == request.physical_id
    if request.request_type == RequestType.CREATE:
        return row.status == ROW_CREATING
    if request.request_type == RequestType.UPDATE:
        return row.status in ROW_UPDATING and same
    if row.status == ROW_DELETING and (same or not row.physical_id or made_up(request)):
        return True
    # After a replacement the row is of the new physical id, and the Delete of the old one.
    changed = _has_changed(row, stack)
    return stack.status in CLEANING and not same and changed and row.status != ROW_CREATING


def other_resources(request: Request, stack: Stack) -> dict[str, str]:
    """Return the other custom resources of the stack that stay: logical by physical id."""
    return {
        row.physical_id: row.logical_id
        for row in reversed(stack.rows)
        if row.resource_type in OUR_TYPES
        and row.logical_id != request.logical_id
        and row.physical_id
        and not row.status.startswith(LEAVING)
    }


def goes_along(stack: Stack, target_id: str) -> bool:
    """Whether a target is the stack's own and is about to go, whatever a request says of it."""
    ends = stack.status in (DELETING, CREATION_FAILED)
    return any(ends or row.status.startswith(LEAVING) for row in _listed(stack, target_id))


def _listed(stack: Stack, target_id: str) -> list[Row]:
    # Its guards are called like it.
    return [
        row
        for row in stack.rows
        if row.physical_id == target_id
        and row.status != SKIPPED
        and row.resource_type not in OUR_TYPES
    ]


def fate_of(request: Request, target: DrainTarget, target_id: str, stack: Stack) -> Fate:
    """
    Return what becomes of a target after a Delete; the table is in the module's docstring.

    Args:
        request: The Delete.
        target: What its properties name.
        target_id: The physical id of the fleet or group that has the instances.
        stack: The stack, as it was when the request was believed.
    """
    listed, invented = _listed(stack, target_id), made_up(request, target.name, target_id)
    if invented and stack.status in (DELETING, UPDATED, UPDATING):
        return Fate.GOES if listed and stack.status == DELETING else Fate.STAYS
    if stack.status in (DELETING, UPDATED):
        return Fate.GOES
    if stack.status == CREATION_FAILED:
        return Fate.GOES if listed else Fate.STAYS
    if not stack.rolls_back:
        return Fate.OPEN
    if listed:
        return Fate.GOES if any(_is_new(row, stack) for row in listed) else Fate.STAYS
    now = {
        row.physical_id
        for row in stack.rows
        if row.logical_id == request.logical_id
        and row.physical_id != request.physical_id
        and not row.status.startswith(LEAVING)
    }
    # A target that was never created has not replaced another one.
    if not now or invented:
        return Fate.STAYS
    if target.kind != TargetKind.SPOT_FLEET:
        return Fate.BY_TAG
    # No tag tells whose a fleet is. Where the guard goes back to one that is no resource of this
    # stack, the other was named by a parameter, too; else it is taken for the stack's own, as a
    # fleet that is taken down with its tasks does more harm than one that stays DRAINING.
    own = any(_listed(stack, physical_id) for physical_id in now)
    return Fate.GOES if own else Fate.STAYS


def _has_changed(row: Row, stack: Stack) -> bool:
    """Whether a row was written since the update began."""
    return stack.changed_at is not None and row.changed_at >= stack.changed_at


def _is_new(row: Row, stack: Stack) -> bool:
    """Whether a resource goes with the update that failed."""
    if row.status.startswith(LEAVING):
        return True
    return row.status.startswith(CREATED) and _has_changed(row, stack)
