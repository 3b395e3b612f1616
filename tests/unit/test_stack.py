"""
Whose request a stack's rows confirm, and what becomes of a target: every row of the table.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from drainer.config import Config
from drainer.custom_resource.belief import Belief, Seen
from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.properties import DrainTarget, Status, TargetKind
from drainer.custom_resource.request import RESOURCE_TYPE, Request, RequestType
from drainer.custom_resource.stack import (
    OUR_TYPES,
    Fate,
    Row,
    Stack,
    doubt,
    fate_of,
    made_up,
    other_resources,
)
from drainer.drain.model import LifecycleActionResult, Policy, StandaloneTasks

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BEFORE = NOW - timedelta(days=1)
LATER = NOW + timedelta(minutes=2)
CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer")
POLICY = Policy(None, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)
CLEANING = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
CLEANING_BACK = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
MADE_UP = "shop-Drain-1ABCDEFGH2J3"
FLEET = DrainTarget("payments", TargetKind.SPOT_FLEET, "sfr-1", POLICY, Status.FAILED)
GROUP = DrainTarget("payments", TargetKind.AUTO_SCALING_GROUP, "sfr-1", POLICY, Status.FAILED)


def request(kind: str = "Delete", physical_id: str = "sfr-1", **changes: Any) -> Request:
    made = Request(
        request_type=RequestType(kind),
        stack_id="stack",
        request_id="1",
        logical_id="Drain",
        physical_id="" if kind == "Create" else physical_id,
        response_url="",
        properties={},
        started_at=NOW,
    )
    return replace(made, **changes)


def row(status: str, physical_id: str = "sfr-1", **changes: Any) -> Row:
    return replace(Row("Drain", physical_id, RESOURCE_TYPE, status, LATER), **changes)


def target(status: str = "CREATE_COMPLETE", changed_at: datetime = BEFORE) -> Row:
    return Row("Fleet", "sfr-1", "AWS::EC2::SpotFleet", status, changed_at)


# -- who is believed


@pytest.mark.parametrize(
    ("asked", "status", "rows"),
    [
        pytest.param(request("Create"), "CREATE_IN_PROGRESS", [row("CREATE_IN_PROGRESS", "")]),
        pytest.param(request("Create"), "UPDATE_IN_PROGRESS", [row("CREATE_IN_PROGRESS", "")]),
        pytest.param(request("Update"), "UPDATE_IN_PROGRESS", [row("UPDATE_IN_PROGRESS")]),
        pytest.param(request("Update"), "UPDATE_ROLLBACK_IN_PROGRESS", [row("UPDATE_IN_PROGRESS")]),
        pytest.param(
            request("Update"), "UPDATE_ROLLBACK_IN_PROGRESS", [row("UPDATE_ROLLBACK_IN_PROGRESS")]
        ),
        pytest.param(request(), "DELETE_IN_PROGRESS", [row("DELETE_IN_PROGRESS")]),
        pytest.param(request(), CLEANING, [row("DELETE_IN_PROGRESS")]),
        # The old physical id in the clean-up after a replacement.
        pytest.param(request(), CLEANING, [row("UPDATE_COMPLETE", "sfr-2")]),
        pytest.param(request(), CLEANING_BACK, [row("UPDATE_COMPLETE", "sfr-2")]),
        pytest.param(request(), CLEANING, [row("DELETE_IN_PROGRESS", "sfr-2")]),
        # A Create that was cancelled: made up, or not yet in the row.
        pytest.param(request("Delete", MADE_UP), CLEANING_BACK, [row("DELETE_IN_PROGRESS", "")]),
        pytest.param(
            request("Delete", MADE_UP), "ROLLBACK_IN_PROGRESS", [row("DELETE_IN_PROGRESS", "x")]
        ),
        # The other name that a template may give it.
        pytest.param(
            request(resource_type="AWS::CloudFormation::CustomResource"),
            "DELETE_IN_PROGRESS",
            [row("DELETE_IN_PROGRESS", resource_type="AWS::CloudFormation::CustomResource")],
        ),
    ],
)
def test_what_a_row_confirms_is_believed(asked: Request, status: str, rows: list[Row]) -> None:
    # Who is not believed is not answered, and the stack waits its hour.
    assert doubt(asked, Stack(status, NOW, (target(), *rows))) == ""


@pytest.mark.parametrize(
    ("asked", "status", "rows"),
    [
        pytest.param(request(), "", [], id="no stack"),
        pytest.param(request(), "UPDATE_COMPLETE", [row("DELETE_IN_PROGRESS")], id="at rest"),
        pytest.param(request(), "REVIEW_IN_PROGRESS", [row("DELETE_IN_PROGRESS")], id="reviewed"),
        pytest.param(request(), "UPDATE_IN_PROGRESS", [], id="another stack that is at work"),
        pytest.param(
            request(),
            "DELETE_IN_PROGRESS",
            [row("DELETE_IN_PROGRESS", resource_type="Custom::Other")],
            id="of another type",
        ),
        pytest.param(
            request(),
            "DELETE_IN_PROGRESS",
            [row("DELETE_IN_PROGRESS", logical_id="Other")],
            id="of another name",
        ),
        pytest.param(request(), "UPDATE_IN_PROGRESS", [row("UPDATE_COMPLETE")], id="it stays"),
        pytest.param(request(), CLEANING, [row("UPDATE_COMPLETE")], id="it stays as it is"),
        pytest.param(
            request(), "DELETE_IN_PROGRESS", [row("DELETE_IN_PROGRESS", "sfr-2")], id="another id"
        ),
        pytest.param(
            request(),
            CLEANING,
            [row("UPDATE_COMPLETE", "sfr-2", changed_at=BEFORE)],
            id="not replaced by this update",
        ),
        pytest.param(
            request("Create"), "UPDATE_IN_PROGRESS", [row("UPDATE_IN_PROGRESS")], id="old"
        ),
        pytest.param(
            request("Create"), "ROLLBACK_IN_PROGRESS", [row("DELETE_IN_PROGRESS")], id="cancelled"
        ),
        pytest.param(
            request("Update"), "UPDATE_IN_PROGRESS", [row("UPDATE_IN_PROGRESS", "sfr-2")], id="of 2"
        ),
        pytest.param(request("Update"), "UPDATE_IN_PROGRESS", [row("UPDATE_COMPLETE")], id="over"),
    ],
)
def test_what_no_row_confirms_is_not_believed(asked: Request, status: str, rows: list[Row]) -> None:
    # Whoever may publish to the topic could else have three of three fleets drained.
    assert doubt(asked, Stack(status, NOW, (target(), *rows))) != ""


@pytest.mark.parametrize(
    ("physical_id", "yes"),
    [
        (MADE_UP, True),
        ("my-shop-Drain-0A1B2C3D4E5F", True),
        ("sfr-73fbd2ce-aa30-494c-8788-1cee4EXAMPLE", False),
        ("shop-Group-1ABCDEFGH2J3", False),
        ("nothing-guarded:0123456789abcdef", False),
        ("Drain", False),
    ],
)
def test_a_physical_id_that_cloudformation_made_up_is_known_by_its_form(
    physical_id: str, yes: bool
) -> None:
    assert made_up(request("Delete", physical_id)) is yes


# -- what becomes of the target


def fate(
    status: str,
    *rows: Row,
    target: DrainTarget = FLEET,
    physical_id: str = "sfr-1",
    own: str = "sfr-1",
) -> Fate:
    mine = row("DELETE_IN_PROGRESS" if own == physical_id else "UPDATE_COMPLETE", own)
    return fate_of(
        request("Delete", physical_id), target, target.name, Stack(status, NOW, (mine, *rows))
    )


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", CLEANING])
@pytest.mark.parametrize("rows", [(), (target(),), (target("DELETE_IN_PROGRESS"),)])
def test_what_is_deleted_or_replaced_goes(status: str, rows: tuple[Row, ...]) -> None:
    # The fleet is cut some seconds later, with whatever runs on it.
    assert fate(status, *rows) == Fate.GOES


def test_a_stack_that_could_not_be_created_takes_what_it_lists_and_nothing_else() -> None:
    # A group of another stack serves on, and was DRAINING permanently.
    assert fate("ROLLBACK_IN_PROGRESS", target()) == Fate.GOES
    assert fate("ROLLBACK_IN_PROGRESS") == Fate.STAYS
    assert fate("ROLLBACK_IN_PROGRESS", target("DELETE_SKIPPED")) == Fate.STAYS


@pytest.mark.parametrize("status", [CLEANING_BACK, "UPDATE_ROLLBACK_IN_PROGRESS"])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param((target(),), Fate.STAYS, id="was there before"),
        pytest.param((target("UPDATE_COMPLETE", LATER),), Fate.STAYS, id="was changed and is back"),
        pytest.param((target("CREATE_COMPLETE", LATER),), Fate.GOES, id="was added by the update"),
        pytest.param((target("DELETE_IN_PROGRESS"),), Fate.GOES, id="is being deleted"),
        pytest.param((), Fate.STAYS, id="is of another stack"),
    ],
)
def test_an_update_that_goes_back_takes_only_what_it_had_added(
    status: str, rows: tuple[Row, ...], expected: Fate
) -> None:
    # A guard was added to a group that serves, something else failed, and the group was drained.
    assert fate(status, *rows) == expected


def test_what_had_taken_the_place_of_another_goes_with_the_update() -> None:
    # Its tasks are cut when the stack is back at the former fleet; a group may be another stack's.
    former = replace(target("UPDATE_COMPLETE", LATER), physical_id="sfr-0")

    assert fate(CLEANING_BACK, former, own="sfr-0") == Fate.GOES
    # Whether a row that is back has a new time is not documented.
    assert fate(CLEANING_BACK, replace(target(), physical_id="sfr-0"), own="sfr-0") == Fate.GOES
    assert fate(CLEANING_BACK, former, own="sfr-0", target=GROUP) == Fate.BY_TAG


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((), id="both are parameters"),
        pytest.param(
            (replace(target("UPDATE_COMPLETE", LATER), physical_id="sfr-2"),), id="unguarded"
        ),
    ],
)
def test_a_fleet_that_only_a_parameter_had_named_outlives_the_update(rows: tuple[Row, ...]) -> None:
    # It is another stack's and serves; drained, it is DRAINING permanently.
    assert fate(CLEANING_BACK, *rows, own="sfr-0") == Fate.STAYS


def test_what_was_never_created_has_taken_no_place() -> None:
    # A made-up id is nobody's: with any fleet in its properties it drained that fleet.
    former = replace(target("UPDATE_COMPLETE", LATER), physical_id="sfr-0")

    assert fate(CLEANING_BACK, former, own="sfr-0", physical_id=MADE_UP) == Fate.STAYS


def test_what_the_target_is_called_is_not_made_up() -> None:
    # CloudFormation names groups in the same form, and the guard may be called like one.
    group = replace(GROUP, name=MADE_UP)

    assert made_up(request("Delete", MADE_UP), "another") is True
    assert made_up(request("Delete", MADE_UP), MADE_UP) is False
    assert fate("DELETE_IN_PROGRESS", target=group, physical_id=MADE_UP, own=MADE_UP) == Fate.GOES


@pytest.mark.parametrize(
    ("status", "rows", "expected"),
    [
        ("DELETE_IN_PROGRESS", (target(),), Fate.GOES),
        ("DELETE_IN_PROGRESS", (), Fate.STAYS),
        ("ROLLBACK_IN_PROGRESS", (target(),), Fate.GOES),
        ("ROLLBACK_IN_PROGRESS", (), Fate.STAYS),
        (CLEANING_BACK, (target(),), Fate.STAYS),
        (CLEANING_BACK, (target("CREATE_COMPLETE", LATER),), Fate.GOES),
        (CLEANING, (target(),), Fate.STAYS),
        ("UPDATE_IN_PROGRESS", (target(),), Fate.STAYS),
    ],
)
def test_a_create_that_was_cancelled_takes_nothing_that_stays(
    status: str, rows: tuple[Row, ...], expected: Fate
) -> None:
    assert fate(status, *rows, physical_id=MADE_UP, own=MADE_UP) == expected


def test_an_answer_that_is_older_than_the_request_decides_nothing() -> None:
    assert fate("UPDATE_IN_PROGRESS", target()) == Fate.OPEN
    assert fate("CREATE_IN_PROGRESS", target()) == Fate.OPEN


def test_without_the_time_of_the_update_nothing_counts_as_added_by_it() -> None:
    # To drain what stays is worse than to cut what is minutes old.
    rows = (row("DELETE_IN_PROGRESS"), target("CREATE_COMPLETE", LATER))

    assert fate_of(request(), FLEET, "sfr-1", Stack(CLEANING_BACK, None, rows)) == Fate.STAYS


# -- what else guards it


@pytest.mark.parametrize(
    ("other", "found"),
    [
        pytest.param(row("CREATE_COMPLETE", logical_id="Guard"), "Guard", id="renamed"),
        pytest.param(row("CREATE_COMPLETE"), "", id="itself"),
        pytest.param(row("CREATE_COMPLETE", "sfr-2", logical_id="Guard"), "", id="another fleet"),
        pytest.param(target(), "", id="the fleet"),
        pytest.param(row("DELETE_COMPLETE", logical_id="Guard"), "", id="gone"),
        pytest.param(row("DELETE_IN_PROGRESS", logical_id="Guard"), "", id="going"),
        pytest.param(row("CREATE_IN_PROGRESS", "", logical_id="Guard"), "", id="without an id"),
    ],
)
def test_another_resource_of_the_stack_that_guards_the_same_is_found(
    other: Row, found: str
) -> None:
    # A new logical id for the same fleet: the Delete of the old one must not drain what stays.
    rows = (row("DELETE_IN_PROGRESS"), other)

    assert other_resources(request(), Stack(CLEANING, NOW, rows)).get("sfr-1", "") == found


def test_another_guard_of_the_same_is_found_by_each_name_and_both_types() -> None:
    # A group was drained that the other resource guarded by its capacity provider.
    rows = (row("CREATE_COMPLETE", "spare", logical_id="Guard", resource_type=OUR_TYPES[1]),)
    stack = Stack(CLEANING, NOW, rows)

    def stays(groups: dict[str, str], group: str = "") -> str:
        targets: Any = SimpleNamespace(group=lambda _: group, groups=lambda _: groups)
        seen = Seen(RequestProgress(request()), stack)
        return Belief(targets, CONFIG).stays(
            seen, replace(GROUP, kind=TargetKind.CAPACITY_PROVIDER)
        )

    assert "Guard of this stack guards" in stays({"spare": "sfr-1"})
    assert "Guard of this stack guards" in stays({}, group="spare")
    assert "Guard" not in stays({"spare": "other"})
