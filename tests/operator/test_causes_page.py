from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console
from typer.testing import CliRunner

from drainer.cli.app import app
from drainer.cli.demo.stuck.planted import HERE, NOW, STACK, draining
from drainer.cli.demo.stuck.plants import ALONE, OURS, TOGETHER
from drainer.cli.explain.causes import IMPORTANCE, Cause, Pace
from drainer.cli.explain.judge import judge
from drainer.cli.explain.reader import explainable
from drainer.cli.explain.reads import READS_MAX, Reads
from drainer.cli.status.reader import DETAILED_MAX
from drainer.cli.status.show import Question
from drainer.cli.status.show import show as show_status
from tests.test_prose import INSTEAD, plain_lines, unwanted

PAGE = Path(__file__).resolve().parents[2] / "docs" / "causes.md"
TEXT = PAGE.read_text(encoding="utf-8")
# The names of services in clients, where the IAM prefix is another one.
PREFIX = {"elbv2": "elasticloadbalancing"}


def test_the_page_has_each_cause_in_the_order_of_importance() -> None:
    # A word on the screen that the page lacks sends the reader nowhere.
    assert re.findall(r"^### `(.+)`$", TEXT, re.MULTILINE) == [str(one) for one in Cause]
    assert list(IMPORTANCE) == list(Cause)


def test_each_cause_can_be_the_answer() -> None:
    # A word that no rule returns is a promise without a program. The rest is in test_cause_rules.
    planted = {*TOGETHER, *ALONE, *OURS}
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (PAGE.parents[1] / "drainer" / "cli" / "explain").glob("*.py")
        if path.name != "causes.py"
    )
    unplanted = [one for one in Cause if one not in planted]

    assert len(planted) > 30
    assert [one for one in unplanted if f"Cause.{one.name}" not in source] == []


def test_the_page_has_all_reads_and_no_other() -> None:
    # A policy that lacks one shows gaps; one with more grants what is not used.
    made: set[str] = set()
    for ours in (True, False):
        for plant in (*TOGETHER.values(), *ALONE.values()):
            account = draining(ours=ours)
            plant(account)
            explainable(Reads(account.aws.client), HERE, None, STACK, NOW)
            made |= {*account.aws.calls}
    account = draining(ours=True)
    show_status(Question(), client=account.aws.client, now=NOW, console=Console(quiet=True))
    made |= {*account.aws.calls}
    rows = re.findall(r"^\| `([a-z]+)` \| (`.+`) \|$", TEXT, re.MULTILINE)
    told = {
        f"{service}:{action}"
        for service, actions in rows
        for action in re.findall("[A-Z][A-Za-z]+", actions)
    }

    assert told == {f"{PREFIX.get(s, s)}:{o}" for s, _, o in (one.partition(":") for one in made)}


def test_the_page_names_the_limits_of_the_program() -> None:
    assert f"never more than {READS_MAX}." in TEXT
    assert f"the first {DETAILED_MAX} drains" in TEXT
    assert all(f"| `{pace}` |" in TEXT for pace in Pace)


def test_the_page_is_plain_english() -> None:
    lines = plain_lines(PAGE)

    assert len(lines) > 100
    assert [one for line in lines for one in unwanted(line, INSTEAD)] == []


def test_help_says_how_many_reads_are_made() -> None:
    # Who runs it in an incident asks first whether it makes things worse.
    explain = CliRunner().invoke(app, ["explain", "--help"])
    status = CliRunner().invoke(app, ["status", "--help"])

    assert (explain.exit_code, status.exit_code) == (0, 0)
    assert f"{READS_MAX} at most" in " ".join(explain.output.split())
    assert f"the first {DETAILED_MAX} drains" in " ".join(status.output.split())
    assert "Examples:" in explain.output
    assert "Examples:" in status.output


def test_a_wrong_region_is_one_line(tmp_path: Path) -> None:
    environment = {
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_DEFAULT_REGION": "",
        "AWS_REGION": "",
        "AWS_PROFILE": "missing",
    }
    for command in (["explain", HERE], ["status"]):
        result = CliRunner().invoke(app, command, env=environment)

        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1


class Proxy(BaseHTTPRequestHandler):
    """What answers everything with a page, as a proxy or a hotel does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        page = b"<!DOCTYPE HTML>\n<p>Log in\n<br>first\n"
        self.send_response(400)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    "command",
    [
        ["explain", HERE],
        ["explain", "payments-asg"],
        ["status"],
        ["doctor"],
        ["history"],
        ["list"],
        ["adopt"],
        ["redrive", "--dry-run"],
        ["retained"],
        ["drain", HERE],
        ["release", HERE],
    ],
    ids=" ".join,
)
def test_the_page_of_a_proxy_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It was a traceback of 60 lines, or advice to check permissions.
    for name, value in {
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        result = CliRunner().invoke(app, command)
        server.shutdown()

    assert result.exit_code in {1, 2, 4, 5}
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "permission" not in result.stderr


def test_facts_alone_are_judged() -> None:
    # The judgement makes no call: the same facts can be judged again, and in a simulation.
    account = draining(ours=True)
    TOGETHER[Cause.IMAGE_PULL](account)
    facts = explainable(Reads(account.aws.client), HERE, None, STACK, NOW)
    calls = len(account.aws.calls)

    assert judge(facts).main.cause == Cause.IMAGE_PULL
    assert len(account.aws.calls) == calls
