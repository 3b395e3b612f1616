"""The demo of an instance refresh says no where an instance is old, or a request was cut."""

from __future__ import annotations

import io
import json
import math
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from drainer.cli.demo import report
from drainer.cli.demo.refresh import RefreshShow
from drainer.cli.demo.refresh_screen import plain_line
from drainer.cli.demo.refresh_verdict import problems, sentence
from drainer.cli.demo.runner import follow
from drainer.cli.demo.scenarios import SCENARIOS, ScenarioName
from drainer.cli.demo.voice import Voice
from drainer.simulation.embedded.roll import InstanceRow, RollSnapshot, StreamCounts, over
from drainer.simulation.embedded.watch import DrainTrack, InstanceTrack
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, LifecycleHook

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WANTED = "lt-1:2"
ROW = InstanceRow("i-new", WANTED, "InService", "ACTIVE", 3)
WEB = StreamCounts(name="web", sent=9, served=9, under_way=0, unserved=0, cut=())


def drain(**changes: Any) -> DrainTrack:
    action = LifecycleAction(
        "token",
        LifecycleHook("drainer", "shop"),
        "i-old",
        NOON,
        NOON + timedelta(hours=1),
        NOON + timedelta(hours=48),
        result="CONTINUE",
        ended_at=NOON + timedelta(minutes=5),
        ended_by="completed",
    )
    return DrainTrack(
        replace(action, **changes), InstanceTrack(lifecycle_state="Terminated", terminated=True), {}
    )


SNAPSHOT = RollSnapshot(
    now=NOON + timedelta(minutes=9),
    stack_status="UPDATE_COMPLETE",
    refresh={"Status": "Successful", "PercentageComplete": 100, "EndTime": NOON},
    wanted=WANTED,
    instances=(ROW,),
    streams=(WEB,),
    drains=(drain(),),
)


def test_a_group_of_new_instances_that_cut_nothing_is_no_problem() -> None:
    assert problems(SNAPSHOT, expected=1) == []
    assert over(SNAPSHOT)
    assert sentence(SNAPSHOT) == (
        "1 instances were replaced after their last tasks. 9 requests served, 0 cut."
    )


# Each of these is what the demo exists to find; one that passes unseen makes it a show.
@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (replace(SNAPSHOT, stack_status="UPDATE_ROLLBACK_COMPLETE"), "UPDATE_ROLLBACK_COMPLETE"),
        (replace(SNAPSHOT, refresh={"Status": "Failed"}), "refresh is Failed"),
        (replace(SNAPSHOT, refresh={}), "not begun"),
        (replace(SNAPSHOT, instances=(replace(ROW, launch_template="lt-1:1"),)), "0 of 1"),
        (replace(SNAPSHOT, instances=(ROW, ROW)), "2 of 2"),
        (replace(SNAPSHOT, drains=()), "1 lifecycle actions were expected"),
        (replace(SNAPSHOT, drains=(drain(ended_by="timeout"),)), "timeout"),
        (replace(SNAPSHOT, drains=(drain(result="ABANDON"),)), "ABANDON instead of CONTINUE"),
        (replace(SNAPSHOT, streams=(replace(WEB, cut=("ended",)),)), "1 requests were cut"),
        (replace(SNAPSHOT, streams=(replace(WEB, unserved=2),)), "found no target"),
    ],
)
def test_each_harm_has_its_sentence(snapshot: RollSnapshot, words: str) -> None:
    (found,) = problems(snapshot, expected=1)

    assert words in found


@pytest.mark.parametrize(
    "snapshot",
    [
        replace(SNAPSHOT, refresh={"Status": "InProgress"}),
        replace(SNAPSHOT, instances=(ROW, replace(ROW, lifecycle_state="Terminating:Wait"))),
        replace(
            SNAPSHOT,
            drains=(DrainTrack(drain(result=None, ended_at=None).action, InstanceTrack(), {}),),
        ),
    ],
    ids=["refresh", "instance", "drain"],
)
def test_it_is_not_over_before_refresh_drains_and_instances_are(snapshot: RollSnapshot) -> None:
    # Ended with the refresh, the demo would not see a drain that fails after it.
    assert not over(snapshot)


def test_a_line_tells_old_from_new_and_changes_with_what_it_tells() -> None:
    older = replace(SNAPSHOT, instances=(ROW, replace(ROW, launch_template="lt-1:1")))

    assert "1 new InService, 1 old InService" in plain_line(older)
    assert plain_line(SNAPSHOT) == plain_line(replace(SNAPSHOT, now=NOON))
    assert "not begun" in plain_line(replace(SNAPSHOT, refresh={}))


def show(voice: Voice) -> RefreshShow:
    """Return the demo at the end of a roll, with a stage that tells of nothing but that."""
    watch = SimpleNamespace(calls=lambda: {"ecs:ListTasks": 3}, passes=[{}, {}])
    time = SimpleNamespace(sleep=lambda _seconds: None, now=lambda: NOON)
    embedded: Any = SimpleNamespace(time=time, factor=12.0)
    made = RefreshShow(SCENARIOS[ScenarioName.REFRESH], embedded, voice, ExitStack())
    stage: Any = SimpleNamespace(
        look=lambda: SNAPSHOT,
        stop=lambda: None,
        update=lambda: None,
        installation=SimpleNamespace(watch=watch),
    )
    made.stage = stage
    return made


def test_programs_are_told_of_a_roll_in_data() -> None:
    # The line for people changes with its words; this scenario had nothing else for programs.
    output = io.StringIO()
    voice = Voice(Console(file=output), as_json=True)
    rolling = show(voice)
    rolling.begin()
    follow(voice, rolling.look, math.inf)

    assert [json.loads(line) for line in output.getvalue().splitlines()] == [
        {"event": "update", "elapsed_seconds": 0.0},
        {
            "event": "look",
            "elapsed_seconds": 540.0,
            "stack": "UPDATE_COMPLETE",
            "refresh": "Successful",
            "percentage": 100,
            "instances": {"new": {"InService": 1}},
            "cut": 0,
            "phases": {"answered": 1},
            "lifecycle_states": {"Terminated": 1},
            "tasks": {},
            "heartbeats": 0,
        },
    ]


def test_the_summary_of_a_roll_has_what_that_of_a_drain_has() -> None:
    # Whoever compares scenarios by a program compares the same keys.
    rolling = show(Voice(Console(file=io.StringIO()), as_json=True))
    rolling.begin()
    rolling.look()
    figures = rolling.figures()
    of_a_drain = report.summary([drain()], calls={"ecs:ListTasks": 3}, passes=2)

    assert {key: figures[key] for key in of_a_drain} == of_a_drain
    assert figures["answered_after_seconds"] == {"least": 300.0, "median": 300.0, "most": 300.0}
    assert figures["requests"] == {"web": {"sent": 9, "served": 9, "without_target": 0, "cut": 0}}
    assert (figures["factor"], figures["refresh"]) == (12.0, "Successful")
