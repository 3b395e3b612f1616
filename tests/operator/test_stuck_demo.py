"""
The demo of stuck drains: what it prints is typed as a user types it, and names what was planted.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config
from botocore.session import Session
from rich.console import Console
from typer.testing import CliRunner

from drainer.cli.app import KEEP_MINUTES_MAX, app
from drainer.cli.demo.stuck.choice import Choice, chosen
from drainer.cli.demo.stuck.planted import CLUSTER, GROUP, HERE, NOW, STACK, TIMEOUT
from drainer.cli.demo.stuck.planted_aws import REGION
from drainer.cli.demo.stuck.plants import ALONE, EVERY, OURS, TOGETHER
from drainer.cli.demo.stuck.server import PlantedServer
from drainer.cli.demo.stuck.show import AGAIN, AGO, Current, explain_once, keep
from drainer.cli.demo.voice import Voice
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.show import show
from drainer.drain import record_codec
from tests.loops import some
from tests.operator.test_explain import SAYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drainer.cli.demo.stuck.planted import Account
    from drainer.cli.demo.stuck.planted_aws import PlantedAws

PROJECT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 60
CHOICES = [
    *(Choice((cause,)) for cause in EVERY),
    *(Choice((cause,), managed=True) for cause in {**TOGETHER, **ALONE}),
    *(chosen("stuck-three", managed=seed % 2 == 0, seed=seed) for seed in range(6)),
]


def named(first: str, cause: Cause) -> bool:
    """Whether a first line says what it must say for a cause, times left out."""
    if cause == Cause.FINISHED:
        return "has finished draining" in first
    words = re.split(r"\d+:\d\d|\d+[hms]\w*", SAYS[cause])
    return all(word in first for word in words)


@contextmanager
def kept(*arguments: str) -> Iterator[list[str]]:
    """Run the demo as a user does, and yield what it printed once it serves."""
    words = [sys.executable, "-m", "drainer", "demo", "--keep", "--minutes", "1", *arguments]
    # What a shell runs in the background ignores SIGINT, and so does all that it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(  # noqa: S603 (our own program)
        words, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as demo:
        signal.signal(signal.SIGINT, before)
        try:
            assert demo.stdout is not None
            lines: list[str] = []
            for line in demo.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith("It stops by itself"):
                    break
            yield lines
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(SECONDS_MAX)
    assert demo.returncode == 0


def typed(lines: list[str]) -> str:
    """Type the exports and the first command into a shell; return its output."""
    exports = [line.strip() for line in lines if line.startswith("  export ")]
    command = next(line.strip() for line in lines if " -m drainer explain " in line)
    done = subprocess.run(  # noqa: S603 (our own program)
        ["/bin/sh", "-ec", "\n".join([*exports, command])],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--scenario", "stuck-port-taken"), Cause.PORT_TAKEN),
        (("--scenario", "stuck-image-pull", "--managed"), Cause.IMAGE_PULL),
    ],
    ids=["drainer", "managed"],
)
def test_a_user_types_what_is_printed_and_reads_the_cause(
    arguments: tuple[str, ...], cause: Cause
) -> None:
    # An export that is missing sends the command to the user's own account.
    with kept(*arguments) as lines:
        said = typed(lines).splitlines()
        url = next(line for line in lines if "AWS_ENDPOINT_URL" in line).partition("=")[2]

    assert said[0] == f"{HERE} waits for {SAYS[cause]}."
    managed = "--managed" in arguments
    assert ("ECS managed draining ends" in said[1]) is managed
    assert any("stack is absent" in line for line in lines) is managed
    assert any("no ECS behind them" in line for line in lines)
    # Nothing is left listening, and nothing but this machine was reached.
    host, _, port = url.removeprefix("http://").partition(":")
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5).close()


def test_every_planted_cause_is_named_over_http() -> None:
    # What explains itself in process may still be lost between two protocols.
    current = [CHOICES[0].account(NOW)]
    with PlantedServer(lambda: current[0].aws) as server:
        session = Session()
        session.set_credentials("demo", "demo")
        clients = {
            service: session.create_client(
                service,
                region_name=REGION,
                endpoint_url=server.url,
                config=Config(retries={"total_max_attempts": 1}),
            )
            for service in [
                "autoscaling",
                "cloudformation",
                "cloudwatch",
                "dynamodb",
                "ecs",
                "elbv2",
                "events",
                "lambda",
                "sqs",
            ]
        }
        for choice in some(CHOICES):
            current[0] = choice.account(NOW)
            screen = io.StringIO()
            code = show(
                HERE,
                cluster=None,
                stack=STACK,
                cause=None,
                json_wanted=False,
                client=clients.__getitem__,
                # As late as the same facts are served.
                now=NOW + AGAIN,
                console=Console(file=screen, width=200),
                zone=UTC,
            )
            lines = screen.getvalue().splitlines()

            assert code == 0
            if len(choice.causes) == 1:
                assert named(lines[0], choice.causes[0]), (choice, lines[0])
            else:
                assert lines[0].startswith(f"{HERE} waits for 3: "), (choice, lines[0])
                body = "\n".join(lines)
                assert all(f"\n{cause} " in body for cause in choice.causes), (choice, body)
            unread = [line for line in lines if line.startswith("?") and "stack" not in line]
            assert unread == []


def test_the_commands_that_act_find_the_stuck_instance_and_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # `release` said that it cuts no task of an instance of which `explain` says that it cuts three.
    account = Choice((Cause.PORT_TAKEN,)).account(NOW)
    for name, text in {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "demo"}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "demo")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with PlantedServer(lambda: account.aws) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        seen = CliRunner().invoke(app, ["release", HERE, "--dry-run"])
        done = CliRunner().invoke(app, ["release", HERE, "--yes"])
        unknown = CliRunner().invoke(app, ["list"])

    assert (seen.exit_code, seen.stderr) == (0, "")
    assert seen.stdout.startswith(f"Releasing {HERE} ({GROUP}) now cuts 1 task:")
    assert (done.exit_code, unknown.exit_code) == (1, 1)
    assert "CompleteLifecycleAction is a write, and each is refused" in done.stderr
    assert "object has no attribute" not in done.stderr + unknown.stderr
    assert account.aws.writes == ["autoscaling:CompleteLifecycleAction"]


def test_a_kept_drain_grows_older_and_what_counts_down_begins_again() -> None:
    # Facts that stay as they were are over after a minute: the drainer's record falls silent.
    now = [NOW]
    current = Current(Choice((Cause.NO_CPU,)), lambda: now[0])
    first = current.account()
    ((began, deadline),) = times(first)
    now[0] += AGAIN - timedelta(seconds=1)
    assert current.account() is first
    now[0] += timedelta(minutes=KEEP_MINUTES_MAX)
    later = current.account()

    assert later.now == now[0]
    assert times(later) == [(began, deadline)]
    # The deadline does not pass while the account is kept.
    assert AGO + timedelta(minutes=KEEP_MINUTES_MAX) < TIMEOUT


def times(aws: PlantedAws) -> list[tuple[datetime, datetime | None]]:
    """Return since when each recorded drain goes on, and until when."""
    drains = [record_codec.decode(one).drain for one in aws.records]
    return [(one.started_at, one.deadline_at) for one in drains]


def test_programs_get_the_exports_as_data() -> None:
    screen = io.StringIO()
    voice = Voice(Console(file=screen), as_json=True)
    keep(Choice((Cause.ZONE,), managed=True), voice, 3, lambda seconds: seconds)
    serving, stopped = (json.loads(line) for line in screen.getvalue().splitlines())

    assert serving["exports"]["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert shlex.split(serving["command"])[1:] == ["-m", "drainer", "explain", HERE]
    assert (serving["cluster"], serving["causes"]) == (CLUSTER, ["zone"])
    assert (serving["minutes"], stopped["event"]) == (3, "stopped")


def test_the_server_stops_after_the_minutes_it_was_given() -> None:
    waited: list[float] = []
    keep(Choice((Cause.ZONE,)), Voice(Console(quiet=True), as_json=False), 7, waited.append)

    assert waited == [420.0]


@pytest.mark.parametrize("managed", [False, True])
def test_without_keep_the_explanation_is_shown_and_judged(*, managed: bool) -> None:
    screen = io.StringIO()
    voice = Voice(Console(file=screen, width=100), as_json=False)

    assert explain_once(Choice((Cause.CRASH_LOOP,), managed), voice) == []
    assert f"{HERE} waits for {SAYS[Cause.CRASH_LOOP]}." in screen.getvalue().splitlines()


class Misplanted(Choice):
    """A choice whose account has another cause than it says."""

    def account(self, now: datetime, began: datetime | None = None) -> Account:
        return Choice((Cause.NO_CPU,)).account(now, began)


def test_a_planted_cause_that_is_not_named_fails() -> None:
    # A demo that shows another cause and exits with 0 teaches the wrong one.
    voice = Voice(Console(quiet=True), as_json=False)

    assert explain_once(Misplanted((Cause.ZONE,)), voice) == ["zone was planted and not named"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "stuck-zon"], "zon is no cause that can be planted"),
        (["--scenario", "stuck-"], "is no cause that can be planted"),
        (["--scenario", "stuck-zone+daemon"], "daemon is planted alone"),
        (["--scenario", "stuck-chain-lost", "--managed"], "chain-lost is a cause of the drainer's"),
        (["--scenario", "stuck-zone", "--factor", "3"], "--factor is not for"),
        (["--scenario", "stuck-zone", "--keep", "--minutes", "61"], "'--minutes'"),
        (["--scenario", "drain", "--keep"], "--keep and --managed are for"),
        (["--scenario", "drain", "--managed"], "--keep and --managed are for"),
    ],
)
def test_wrong_arguments_of_a_stuck_drain_are_told(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["demo", *arguments])

    assert (done.exit_code, done.stdout) == (2, "")
    assert told in " ".join(done.stderr.split())


def test_each_cause_that_can_be_planted_has_its_words() -> None:
    assert {*EVERY} == {*TOGETHER, *ALONE, *OURS}
    assert {*EVERY} - {*SAYS} == {Cause.FINISHED}
    page = (PROJECT / "docs" / "causes.md").read_text(encoding="utf-8")
    assert f"{len(EVERY)} causes of this page can be planted." in page
