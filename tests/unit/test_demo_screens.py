"""The screens of the demo: what they say, and that they fit a terminal of 80 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from drainer.cli.demo import drain_screen, report, spot_screen
from drainer.cli.demo.voice import console_of
from drainer.simulation.embedded.spot_watch import GroupSnapshot, SpotSnapshot
from drainer.simulation.embedded.watch import DrainTrack, InstanceTrack, TaskTrack
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, LifecycleHook

if TYPE_CHECKING:
    from rich.console import RenderableType

BEGAN_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
COLUMNS = 80
REASON = (
    "Standalone tasks are left (wait): 1. Tasks are left of service:shop-DaemonService, "
    "service:shop-WebService"
)


def task(owner: str, status: str, task_id: str = "66194cb1d71037d1b83e90ec17e0aa3c") -> TaskTrack:
    return TaskTrack(task_id, owner, [(BEGAN_AT, status)])


def drain(
    *tasks: TaskTrack,
    number: int = 1,
    state: str = "Terminating:Wait",
    result: str | None = None,
    **latest_pass: Any,
) -> DrainTrack:
    """
    Return a drain with these tasks, which has ended if it has a result.
    """
    hook = LifecycleHook("drainer", "shop")
    end = BEGAN_AT + timedelta(days=1)
    action = LifecycleAction("token", hook, f"i-{number:017}", BEGAN_AT, end, end)
    if result is not None:
        action.ended_at, action.ended_by = BEGAN_AT + timedelta(seconds=612), "completed"
        action.result = result  # type: ignore[assignment]
    tracks = {f"{one.task_id}{place}": one for place, one in enumerate(tasks)}
    instance = InstanceTrack(status="DRAINING", lifecycle_state=state, tasks=tracks)
    return DrainTrack(action, instance, latest_pass)


def shown(what: RenderableType, columns: int = COLUMNS) -> str:
    output = io.StringIO()
    Console(file=output, width=columns).print(what)
    return output.getvalue()


STUCK = drain(
    task("daemon:shop-DaemonService", "RUNNING"),
    task("standalone:job", "RUNNING"),
    state="Terminating:Retained",
    result="ABANDON",
    phase="overdue",
)
DRAINED = drain(state="Terminated", result="CONTINUE", phase="drained")


def test_a_deadline_that_has_passed_is_said_with_what_was_left() -> None:
    # "no instance was released early" is true of it, and says nothing of how it ended.
    assert report.endings([STUCK]) == ["deadline passed: ABANDON, retained, 2 tasks left"]


def test_endings_of_many_are_counted() -> None:
    waiting = drain(task("service:web", "RUNNING"))

    assert report.endings([DRAINED, STUCK, DRAINED, waiting]) == [
        "2 x drained: CONTINUE, terminated, no tasks left",
        "deadline passed: ABANDON, retained, 2 tasks left",
        "not answered",
    ]


def test_a_reason_of_two_lines_is_shown_whole() -> None:
    # What keeps a drain is its last words: cut off after "Tasks are left of service:sho".
    screen = drain_screen.screen(
        [drain(task("standalone:job", "RUNNING"), phase="draining", reason=REASON)],
        BEGAN_AT,
        BEGAN_AT,
    )

    assert " ".join(REASON.split()) in " ".join(shown(screen).split())


@pytest.mark.parametrize("others", [0, 3])
def test_unseen_is_explained_where_it_shows(others: int) -> None:
    # It is read as a failure, and is the ordinary answer to a look that does not show all.
    drains = [drain(phase="unseen", reason="Not everything could be read", number=1)]
    drains += [drain(phase="draining", number=2 + number) for number in range(others)]

    assert drain_screen.why(drains) == drain_screen.UNSEEN
    words = " ".join(shown(drain_screen.screen(drains, BEGAN_AT, BEGAN_AT)).split())
    assert "the next pass looks again" in words


def test_what_has_been_answered_waits_for_nothing() -> None:
    # The pass that answers is not always the last one: a later one may see less.
    late = drain(state="Terminated", result="CONTINUE", phase="unseen", reason="x")

    assert drain_screen.why([late]) == ""


def test_a_crowd_without_tasks_has_no_empty_table() -> None:
    # A heading without a row reads as a figure that is missing.
    screen = shown(drain_screen.screen([DRAINED, DRAINED], BEGAN_AT, BEGAN_AT))

    assert "no task remains" in screen
    assert "tasks remaining" not in screen


def test_a_line_has_no_double_blanks() -> None:
    line = drain_screen.plain_line(
        [drain(task("service:web", "RUNNING"), task("service:web", "RUNNING"), phase="active")]
    )

    assert line == "active, Terminating:Wait: 2 x web RUNNING"


def test_programs_are_told_of_numbers() -> None:
    drains = [drain(task("service:web", "RUNNING"), task("service:web", "STOPPING"), phase="x")]

    assert drain_screen.data(drains) == {
        "phases": {"x": 1},
        "lifecycle_states": {"Terminating:Wait": 1},
        "tasks": {"service:web": {"RUNNING": 1, "STOPPING": 1}},
        "heartbeats": 0,
    }


def interruption(**changes: Any) -> SpotSnapshot:
    group = GroupSnapshot(
        name="web",
        balancer="application",
        leaving=("draining", "draining", "healthy"),
        staying=100,
        sent=12_345,
        served=12_345,
        under_way=123,
        unserved=123,
        cut=("ended",) * 123,
        needless=("ended",) * 123,
    )
    return SpotSnapshot(
        **{
            "subject": "i-40a5d2f346baa9455",
            "warned_at": BEGAN_AT,
            "now": BEGAN_AT,
            "status": "DRAINING",
            "drained_after": 0.2,
            "deregistered_after": 0.4,
            "gone": False,
            "groups": (group,),
            "tasks": (("daemon:shop-DaemonService", "e8e5216a", "RUNNING"),),
            "reads": ("DescribeAutoScalingInstances", "DescribeLifecycleHooks", "ListTasks"),
            **changes,
        }
    )


def test_the_tables_of_an_interruption_fit_a_terminal() -> None:
    # "stayi…" and "need…" were the headings of the two columns that matter.
    for table in (spot_screen.screen(interruption()), spot_screen.requests_table(interruption())):
        text = shown(table)

        assert "…" not in text
        # A row that wraps has its last figures on a line of their own.
        [row] = [line for line in text.splitlines() if line.startswith("application")]
        assert row.split().count("123") == text.count("123") - text.count("12345") > 0
        assert all(heading in text for heading in ("served", "open", "cut", "needless"))


def test_each_call_has_its_line() -> None:
    # "158 DescribeAutoScalingInstances, 158" ended a line, and what was called 158 times the next.
    output = io.StringIO()
    calls = {"DescribeAutoScalingInstances": 158, "ListTasks": 7}
    figures = report.summary([STUCK, DRAINED, DRAINED], calls=calls, passes=650)
    report.show(console_of(output), [STUCK, DRAINED, DRAINED], figures, began_at=BEGAN_AT)
    lines = output.getvalue().splitlines()

    assert "calls              158 DescribeAutoScalingInstances" in lines
    assert "                     7 ListTasks" in lines
    assert "                   standalone:job RUNNING 66194cb1" in lines
    assert max(map(len, lines)) <= COLUMNS
    assert [line for line in lines if line != line.rstrip()] == []
