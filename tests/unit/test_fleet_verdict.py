"""The demo of spot-fleet says no where the old fleet, or a request, came to harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drainer.cli.demo.fleet_screen import chronicle, plain_line
from drainer.cli.demo.fleet_verdict import problems, sentence
from drainer.simulation.embedded.fleet_watch import FleetSnapshot, FleetTrack
from drainer.simulation.embedded.watch import InstanceTrack, TaskTrack

BEGAN_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INSTANCE = "i-00000000000000001"


def after(seconds: float) -> datetime:
    return BEGAN_AT + timedelta(seconds=seconds)


def answer(request_type: str, request_id: str, at: str) -> dict[str, Any]:
    return {
        "timestamp": f"2026-11-20T{at}.500+00:00",
        "step": "answered",
        "result": "SUCCESS",
        "request_type": request_type,
        "request_id": request_id,
    }


def task(task_id: str, owner: str, seconds: float, status: str) -> dict[str, TaskTrack]:
    return {task_id: TaskTrack(task_id, owner, [(after(seconds), status)])}


TERMINATED = InstanceTrack(
    status="DRAINING",
    tasks={
        **task("1", "service:web", 300, "STOPPED"),
        **task("2", "standalone:job", 290, "STOPPED"),
    },
    joined_at=after(-600),
    draining_at=after(10),
    terminated=True,
)
OLD = FleetTrack(
    "sfr-old", after(-600), "cancelled", {INSTANCE: TERMINATED}, cancelled_at=after(312)
)
RUNNING = InstanceTrack(status="ACTIVE", tasks=task("3", "service:web", 40, "RUNNING"))
NEW = FleetTrack("sfr-new", after(2), "active", {"i-new": RUNNING})


def of_old(**changes: Any) -> FleetTrack:
    return replace(OLD, tracks={INSTANCE: replace(TERMINATED, **changes)})


LINES = (
    answer("Create", "a", "11:50:00"),
    answer("Update", "b", "12:00:05"),
    answer("Delete", "c", "12:05:10"),
)
SNAPSHOT = FleetSnapshot(
    now=after(360),
    stack_name="fleet",
    stack_status="UPDATE_COMPLETE",
    fleets=(OLD, NEW),
    sent=700,
    served=700,
    under_way=0,
    unserved=0,
    cut=(),
    events=(
        (after(-500), "fleet", "CREATE_COMPLETE"),
        (after(0), "fleet", "UPDATE_IN_PROGRESS"),
        (after(1), "Vpc", "UPDATE_COMPLETE"),
        (after(313), "fleet", "UPDATE_COMPLETE"),
    ),
    lines=LINES,
)


def test_a_fleet_that_went_after_its_last_task_is_no_problem() -> None:
    assert problems(SNAPSHOT) == []
    assert sentence(SNAPSHOT) == (
        "the old fleet's last task ended 12 s before the fleet was cancelled. "
        "700 requests served, 0 cut. CloudFormation was answered once for each of its 3 requests"
    )


# Each of these is what the demo exists to find; one that passes unseen makes it a show.
@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (replace(SNAPSHOT, stack_status="UPDATE_ROLLBACK_COMPLETE"), "UPDATE_ROLLBACK_COMPLETE"),
        (replace(SNAPSHOT, fleets=(OLD,)), "1 were found"),
        (replace(SNAPSHOT, fleets=(replace(OLD, cancelled_at=None), NEW)), "not cancelled"),
        (replace(SNAPSHOT, fleets=(replace(OLD, left=("standalone:job",)), NEW)), "tasks on it"),
        (replace(SNAPSHOT, fleets=(of_old(killed=["service:web"]), NEW)), "killed"),
        (replace(SNAPSHOT, fleets=(of_old(tasks={}), NEW)), "no task has run"),
        (replace(SNAPSHOT, fleets=(replace(OLD, cancelled_at=after(290)), NEW)), "10 s before"),
        (replace(SNAPSHOT, cut=("ended",)), "1 requests were cut"),
        (replace(SNAPSHOT, unserved=3), "found no target"),
        (replace(SNAPSHOT, under_way=2), "2 not yet"),
        (replace(SNAPSHOT, served=0), "0 requests served"),
        (replace(SNAPSHOT, lines=LINES[:2]), "answered Create, Update"),
        (replace(SNAPSHOT, lines=(*LINES, LINES[2])), "2 times about one Delete"),
    ],
)
def test_each_harm_has_its_sentence(snapshot: FleetSnapshot, words: str) -> None:
    (found,) = problems(snapshot)

    assert words in found


def test_what_happened_is_told_in_its_order_and_nothing_from_before() -> None:
    # Stack, account and function each have a record of their own.
    told = [text for _, text in chronicle(SNAPSHOT, BEGAN_AT)]

    assert told == [
        "stack: fleet UPDATE_IN_PROGRESS",
        "the new fleet is requested",
        "answered Update: SUCCESS",
        "the old fleet's instances are set DRAINING",
        "the old fleet's last task has ended",
        "answered Delete: SUCCESS",
        "the old fleet is cancelled, its instances terminated",
        "stack: fleet UPDATE_COMPLETE",
    ]


def test_a_line_changes_with_what_it_tells_and_not_with_the_time() -> None:
    # A pipe's reader gets a line for each change.
    assert plain_line(SNAPSHOT) == plain_line(replace(SNAPSHOT, now=after(400), sent=800))
    assert plain_line(SNAPSHOT) != plain_line(replace(SNAPSHOT, cut=("ended",)))
