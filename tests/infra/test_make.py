"""
The Makefile's targets that call AWS: what they hand to the AWS CLI, shown by a stand-in for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def make(*words: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own Makefile
        ["make", "--no-print-directory", *words],  # noqa: S607 - whichever make there is
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


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
