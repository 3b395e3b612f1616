"""A demo shows what changes, ends when it is over, and does not go on for ever."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from drainer.__main__ import advice
from drainer.cli.app import app
from drainer.cli.demo import runner
from drainer.cli.demo.drain_screen import PHASE_STYLES
from drainer.cli.demo.opening import DemoError
from drainer.cli.demo.run import SHOWS
from drainer.cli.demo.runner import Frame
from drainer.cli.demo.scenarios import SCENARIOS, ScenarioName
from drainer.cli.demo.screen import STATUS_STYLES, facts
from drainer.cli.demo.spot_screen import TARGET_STYLES
from drainer.cli.demo.voice import Voice, console_of

if TYPE_CHECKING:
    from pathlib import Path


def follow(lines: list[str], until: float) -> tuple[Frame, str]:
    """
    Follow looks that see these lines; return the last frame and what was said.
    """
    output = io.StringIO()
    looks = iter(enumerate(lines, start=1))

    def look() -> Frame:
        number, line = next(looks)
        return Frame(number * 60.0, line, lambda: Text(line), is_last=number == len(lines))

    last = runner.follow(Voice(Console(file=output), as_json=False), look, until)
    return last, output.getvalue()


def test_a_line_is_said_when_it_changes() -> None:
    # One for each look would bury what matters.
    last, said = follow(["RUNNING", "RUNNING", "STOPPED"], math.inf)

    assert last.elapsed == 180.0
    assert said.splitlines() == ["+00:01:00 RUNNING", "+00:03:00 STOPPED"]


def test_what_is_over_at_the_last_moment_is_over() -> None:
    last, _ = follow(["STOPPED"], -math.inf)

    assert last.is_last


def test_what_takes_too_long_is_given_up() -> None:
    # Whoever waits for a demo that never ends learns nothing from it.
    with pytest.raises(DemoError, match="not done"):
        follow(["RUNNING", "STOPPED"], -math.inf)


def test_what_takes_longer_than_it_may_is_shown_no_longer() -> None:
    # A drain that never ends would take all of the real time, and then be blamed on the machine.
    output = Voice(Console(file=io.StringIO()), as_json=False)
    frame = Frame(901.0, "RUNNING", lambda: Text(""), is_last=False)

    assert runner.follow(output, lambda: frame, -math.inf, 900.0) is frame


def test_every_scenario_has_a_show() -> None:
    # Whoever types its name would be told of a KeyError.
    assert set(SCENARIOS) == set(ScenarioName)
    assert {scenario.kind for scenario in SCENARIOS.values()} == set(SHOWS)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "was not found: run `make package`"), (b"half", "is no zip")]
)
def test_without_a_zip_nothing_is_started(tmp_path: Path, content: bytes | None, told: str) -> None:
    # The emulator would have been started to say so; and half a zip fails in Lambda's words.
    path = tmp_path / "drainer.zip"
    if content is not None:
        path.write_bytes(content)

    done = CliRunner().invoke(app, ["demo", "--zip", str(path)])

    assert (done.exit_code, done.stdout) == (1, "")
    assert told in done.stderr


@pytest.mark.parametrize("arguments", [["--scenario", "stuk"], ["--factor", "0"]])
def test_wrong_arguments_are_told_before_anything_is_done(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["demo", *arguments])

    assert (done.exit_code, done.stdout) == (2, "")


def test_the_first_line_waits_for_no_import() -> None:
    # A second of silence after each command reads as a hang, and on a busy machine it is five.
    script = (
        "import sys, drainer.cli.app, drainer.cli.demo.opening, drainer.cli.demo.voice\n"
        "print(sorted({'boto3', 'drainer.handler', 'drainer.simulation'} & {*sys.modules}))\n"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.stdout == "[]\n"


def test_programs_get_data_and_no_prose() -> None:
    # A sentence changes with its words, and "0.1 s" is no number.
    output = io.StringIO()
    voice = Voice(Console(file=output), as_json=True)
    frames = iter(
        [
            Frame(1.04, "one", lambda: Text(""), is_last=False, data={"phases": {"draining": 1}}),
            Frame(2.0, "two", lambda: Text(""), is_last=True, why="it is so", data={"phases": {}}),
        ]
    )
    with voice.working("deploying"):
        voice.say("time runs 12 times as fast")
        voice.say("61 resources", event="deployed", resources=61)
    runner.follow(voice, lambda: next(frames), math.inf)

    assert [json.loads(line) for line in output.getvalue().splitlines()] == [
        {"event": "deployed", "resources": 61},
        {"event": "look", "elapsed_seconds": 1.0, "phases": {"draining": 1}},
        {"event": "look", "elapsed_seconds": 2.0, "phases": {}},
    ]


def test_what_is_waited_for_is_said_when_it_changes() -> None:
    # Somebody who reads only the states of tasks does not see what keeps the last one.
    output = io.StringIO()
    looks = iter(["a job", "a job", "a place", ""])

    def look() -> Frame:
        why = next(looks)
        return Frame(60.0, "RUNNING", lambda: Text(""), is_last=not why, why=why)

    runner.follow(Voice(console_of(output), as_json=False), look, math.inf)

    assert output.getvalue().splitlines() == [
        "+00:01:00 RUNNING",
        "+00:01:00 waits for: a job",
        "+00:01:00 waits for: a place",
    ]


def test_a_pipe_is_told_that_the_deployment_goes_on() -> None:
    # Ten silent seconds in the log of a pipeline look like a hang.
    output = io.StringIO()
    voice = Voice(console_of(output), as_json=False, still_every_seconds=0.01)
    until = time.monotonic() + 5.0
    with voice.working("deploying"):
        while output.getvalue().count("\n") < 3 and time.monotonic() < until:
            time.sleep(0.005)
    end = output.getvalue()

    assert end.splitlines()[0] == "deploying ..."
    assert re.fullmatch(r"deploying \.\.\. \d+ s", end.splitlines()[2])
    # What goes on without end would go on between the lines of the drain.
    time.sleep(0.05)
    assert output.getvalue() == end


@pytest.mark.parametrize("live", [False, True])
def test_a_dumb_terminal_gets_lines_and_no_pictures(live: bool) -> None:
    # Emacs' shell and many a CI show the codes that move the cursor as garbage.
    environment = {} if live else {"TERM": "dumb"}
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, _environ={"TERM": "xterm", **environment})
    voice = Voice(console, as_json=False)
    runner.follow(voice, lambda: Frame(1.0, "one", lambda: Text("1"), is_last=True), math.inf)

    assert voice.live is live
    assert ("\x1b" in output.getvalue()) is live


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines() -> None:
    # They show in diffs, and in whatever the output is pasted into.
    output = io.StringIO()
    console_of(output).print(facts([("drains", "1"), ("calls", "1 ListTasks\n2 StopTask")]))

    assert output.getvalue() == "drains  1\ncalls   1 ListTasks\n        2 StopTask\n"


def test_screens_use_colours_that_show_on_both_backgrounds() -> None:
    # Of 256 colours, some vanish on white and some on black.
    styles = {*STATUS_STYLES.values(), *PHASE_STYLES.values(), *TARGET_STYLES.values()}

    assert styles <= {"green", "yellow", "red", "cyan", "dim"}


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("/usr", "run `make demo`, then .venv/bin/python"),
        (
            "/srv/.venv",
            "delete the environment (rm -rf /srv/.venv) and run `make demo`",
        ),
    ],
)
def test_without_a_library_it_says_what_to_do(prefix: str, told: str) -> None:
    # In an environment that has lost one, `make demo` alone would say the same again, for ever.
    assert told in advice("No module named 'typer'", prefix, "/usr")


def test_a_python_without_the_libraries_is_told_so() -> None:
    # A traceback of an import names the line of the program, and no remedy.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "drainer"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert re.fullmatch(r"error: No module named '\w+': run `make demo`.*\n", done.stderr)
