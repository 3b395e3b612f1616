"""
The Makefile's targets that call AWS: what they hand to the AWS CLI, shown by a stand-in for it.
And the way to the demo, by a stand-in for Python: what is checked, made and said before it begins.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drainer.cli.app import FACTOR_MAX
from drainer.cli.demo.scenarios import ScenarioName

PROJECT = Path(__file__).resolve().parents[2]
# Writes its arguments down, one line for each call, and answers with a word.
STAND_IN = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    print(json.dumps(sys.argv[1:]), file=calls)
print("the-log-group" if "describe-stacks" in sys.argv else "a line")
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Where the stand-in for the AWS CLI writes what it is called with.
    """
    program = tmp_path / "aws"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


# Stands in for a Python: answers its checks, fails where it is told to, and makes what it is to.
PYTHON = """#!/bin/sh
echo "$*" >> "{calls}"
case "$*" in *{fails}*) echo "no such thing" >&2; exit 1;; esac
case "$1" in infra/package.py) echo zip > "$3";; esac
"""
# What fails in no call.
NEVER = "-never-"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own Makefile
        ["make", "--no-print-directory", *words],  # noqa: S607 - whichever make there is
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def make(*words: str) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Environment:
    """
    A Python environment that is a stand-in; `fails` is what a call that fails holds.
    """

    def __init__(self, folder: Path, fails: str = NEVER) -> None:
        self.folder, self.log = folder / "venv", folder / "python-calls"
        self.python, self.zip = self.folder / "bin" / "python", folder / "drainer.zip"
        self.python.parent.mkdir(parents=True)
        self.python.write_text(PYTHON.format(calls=self.log, fails=fails))
        self.python.chmod(0o755)

    @property
    def words(self) -> tuple[str, str]:
        return f"VENV={self.folder}", f"ZIP={self.zip}"

    @property
    def builds(self) -> int:
        return self.log.read_text().count("infra/package.py")


def made(calls: Path) -> list[list[str]]:
    return [json.loads(line) for line in calls.read_text().splitlines()]


def test_a_deployment_without_changes_is_no_failure() -> None:
    # A pipeline that deploys what is deployed already must stay green.
    command = " ".join(make("-n", "deploy", "BUCKET=b").replace("\\\n", " ").split())

    assert "aws cloudformation deploy" in command
    assert "--no-fail-on-empty-changeset" in command
    # The template is larger than what CloudFormation takes without a bucket.
    assert command.count("--s3-bucket b") == 2


def test_the_log_of_the_last_hour_is_asked_for_a_word(calls: Path) -> None:
    # The command that alarms name: it must ask the named stack's own log group.
    assert make("log", "STACK=second", "FIND=unseen") == "a line\n"

    stack, log = made(calls)
    assert stack[stack.index("--stack-name") + 1] == "second"
    assert "LogGroupName" in stack[stack.index("--query") + 1]
    assert log[:2] == ["logs", "filter-log-events"]
    assert log[log.index("--log-group-name") + 1] == "the-log-group"
    assert log[log.index("--filter-pattern") + 1] == "unseen"
    # Milliseconds, as the API takes them.
    assert len(log[log.index("--start-time") + 1]) == 13


def test_several_words_and_none_are_asked_for_as_they_are(calls: Path) -> None:
    # A question mark that the shell took for a file name would find nothing.
    make("log", "FIND=?ERROR ?errorType ?timeout")
    make("log")

    found = [one[one.index("--filter-pattern") + 1] for one in made(calls) if one[0] == "logs"]
    assert found == ["?ERROR ?errorType ?timeout", ""]
    assert {one[one.index("--stack-name") + 1] for one in made(calls) if one[0] != "logs"} == {
        "drainer"
    }


def test_a_misspelled_scenario_is_told_before_anything_is_made(tmp_path: Path) -> None:
    # It took half a minute of installing and building until the demo itself said so.
    done = run("demo", "SCENARIO=stuk", f"VENV={tmp_path}/venv", f"PYTHON={tmp_path}/none")

    assert done.returncode == 2
    assert "SCENARIO=stuk is not one of: " in done.stderr
    assert done.stderr.split("one of: ")[1].splitlines()[0].split() == [
        *ScenarioName,
        "stuck-CAUSE",
    ]
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("factor", ["fast", "0", f"{FACTOR_MAX + 1}", "-3"])
def test_a_factor_that_is_none_is_told_before_anything_is_made(tmp_path: Path, factor: str) -> None:
    done = run("demo", f"FACTOR={factor}", f"VENV={tmp_path}/venv", f"PYTHON={tmp_path}/none")

    assert done.returncode == 2
    assert f"FACTOR={factor} is no number from 1 to {FACTOR_MAX:.0f}" in done.stderr


def test_the_demo_gets_the_arguments_that_were_given(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    make("demo", "SCENARIO=stuck", f"FACTOR={FACTOR_MAX:.0f}", *environment.words)

    last = environment.log.read_text().splitlines()[-1]
    assert last == "-m drainer demo --scenario stuck --factor 40"


def test_the_zip_is_built_when_something_of_it_has_changed(tmp_path: Path) -> None:
    # Eight seconds before each demo, for the same bytes.
    environment = Environment(tmp_path)
    make("package", *environment.words)
    make("package", *environment.words)
    assert environment.builds == 1

    make("package", *environment.words, "-W", "drainer/cli/app.py")
    assert environment.builds == 1
    for built, changed in enumerate(("drainer/handler.py", "requirements.txt", "drainer/spot")):
        make("package", *environment.words, "-W", changed)
        assert environment.builds == 2 + built


def test_what_takes_long_is_said_before_it_begins(tmp_path: Path) -> None:
    # A terminal that says nothing for a minute looks like one that hangs.
    said = make("package", *Environment(tmp_path).words).splitlines()

    assert said[0].startswith("installing what the demo needs into ")
    assert said[-1] == f"building {tmp_path}/drainer.zip ..."


def test_what_pip_says_is_shown_if_it_fails(tmp_path: Path) -> None:
    # "make: *** Error 1" alone sends people to the Makefile.
    environment = Environment(tmp_path, fails="pip?install")
    done = run("package", *environment.words)

    assert done.returncode != 0
    assert "no such thing" in done.stderr
    assert f"error: pip failed: see {environment.folder}/pip.log" in done.stderr
    # Otherwise the next make takes the environment for a whole one.
    assert not (environment.folder / ".demo").exists()


def test_a_broken_environment_says_what_to_do(tmp_path: Path) -> None:
    # Its Python was upgraded, or it was made without pip.
    environment = Environment(tmp_path, fails="import?pip")
    done = run("demo", *environment.words)

    assert done.returncode != 0
    assert f"is broken: delete it (rm -rf {environment.folder}) and try again" in done.stderr
    assert environment.builds == 0


def test_without_the_means_to_make_an_environment_it_says_what_to_install(tmp_path: Path) -> None:
    # Debian's python3 makes none without another package, and leaves half of one behind.
    python = Environment(tmp_path, fails="-m?venv").python
    done = run("package", f"VENV={tmp_path}/other", f"PYTHON={python}")

    assert done.returncode != 0
    assert "making the Python environment" in done.stdout
    assert "Debian: python3-venv" in done.stderr
