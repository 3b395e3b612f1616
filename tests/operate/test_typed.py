"""The commands as they are typed, over AWS's own wire protocols."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from drainer.cli.app import app
from drainer.simulation.aws import Aws
from drainer.simulation.protocol.server import Server
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RUNNER = CliRunner()
COMMANDS = ("drain", "undrain", "release", "extend", "retained", "unprotect")


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group("web-asg", cluster="web", desired=2, retain_on_abandon=True)
    account.auto_scaling.put_hook(LifecycleHook("drainer", "web-asg"))
    account.ecs.create_service("web", "web", desired=2)
    return account


@pytest.fixture(autouse=True)
def server(account: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield server
    assert server.failures == []


def first(account: Aws) -> str:
    return next(iter(account.auto_scaling.groups["web-asg"].instances))


def leaving(account: Aws) -> str:
    [one] = account.auto_scaling.scale_in("web-asg", 1)
    account.run_for(10)
    return one.ec2_instance_id


def test_undrain_as_it_is_typed(account: Aws) -> None:
    id_ = first(account)
    here = account.ecs.container_instance(id_)
    assert here is not None
    account.ecs.set_status(here, "DRAINING")

    shown = RUNNER.invoke(app, ["undrain", id_, "--cluster", "web", "--dry-run"])
    assert (shown.exit_code, shown.stderr, here.status) == (0, "", "DRAINING")
    assert "aws ecs update-container-instances-state" in shown.stdout

    done = RUNNER.invoke(app, ["undrain", id_, "--json", "--region", "us-east-1"])
    assert (done.exit_code, here.status) == (0, "ACTIVE")
    assert json.loads(done.stdout)["instance"] == id_


def test_without_a_terminal_release_needs_yes(account: Aws) -> None:
    # A script that was never asked cuts tasks.
    id_ = leaving(account)

    refused = RUNNER.invoke(app, ["release", id_])
    assert refused.exit_code == 2
    assert "add --yes" in refused.stderr
    assert account.auto_scaling.actions[0].is_open

    done = RUNNER.invoke(app, ["release", id_, "--yes"])
    assert done.exit_code == 0
    assert account.auto_scaling.actions[0].result == "CONTINUE"


def test_retained_is_listed_and_freed(account: Aws) -> None:
    id_ = leaving(account)
    account.auto_scaling.lifecycle.end(account.auto_scaling.actions[-1], "ABANDON", "completed")

    listed = RUNNER.invoke(app, ["retained"])
    assert (listed.exit_code, id_ in listed.stdout) == (0, True)
    assert RUNNER.invoke(app, ["retained", "free", id_]).exit_code == 2
    assert RUNNER.invoke(app, ["retained", "free", id_, "--yes"]).exit_code == 0


def test_a_profile_that_is_none_is_said_in_one_line() -> None:
    result = RUNNER.invoke(app, ["undrain", "i-0123456789abcdef0", "--profile", "nobody's"])

    assert result.exit_code == 2
    assert result.stderr.startswith("error: The config profile (nobody's) could not be found")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_with_an_example(name: str) -> None:
    result = RUNNER.invoke(app, [name, "--help"])

    assert result.exit_code == 0
    assert f"`drainer {name}" in result.stdout
    assert "--region" in result.stdout
    assert "--profile" in result.stdout
    assert "--json" in result.stdout


def test_the_policy_for_operators_has_each_read_of_these_commands() -> None:
    # `retained` and `--dry-run` only read, and the README says that the policy is enough for that.
    page = (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = page.partition("## Permissions")[2].splitlines()
    read = {
        action
        for cells in (row.split("|") for row in rows if row.startswith("|"))
        for action in re.findall(r"`([a-z]+:[A-Z]\w+)`", cells[2])
    }
    policy = (PROJECT / "infra" / "operator-policy.json").read_text(encoding="utf-8")
    statements = json.loads(policy)["Statement"]

    assert len(read) > 10
    assert read - {action for one in statements for action in one["Action"]} == set()
