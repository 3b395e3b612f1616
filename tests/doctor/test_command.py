"""
`drainer doctor` as it is typed: exit codes, errors, what is shown, and what is asked of AWS.
"""

from __future__ import annotations

import io
import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from drainer.cli.account.options import Options
from drainer.cli.account.reader import PAGES_MAX, PAUSE_SECONDS, Reader, Unread, attempt
from drainer.cli.account.terminal import guarded
from drainer.cli.app import app
from drainer.cli.doctor import screen, table
from drainer.cli.doctor.run import run
from drainer.cli.doctor.verdicts import Verdict
from tests.doctor.border import Border, GoneError
from tests.doctor.faults import protected, publish_denied
from tests.doctor.healthy import Healthy
from tests.doctor.healthy_group import group, hook
from tests.doctor.names import CLUSTER, GROUP, STACK, arn
from tests.loops import some

if TYPE_CHECKING:
    from pathlib import Path


def typed(account: Healthy, *groups: str, **options: Any) -> tuple[int, str]:
    """
    Return the exit code and the screen.
    """
    screen_ = io.StringIO()
    console = Console(file=screen_, width=80)
    at = Options(stack=options.pop("stack", STACK), as_json=options.pop("as_json", False))
    # The image of the healthy account ages with the real clock.
    options = {"client": account.border.client, "console": console, "skip": ("image",), **options}
    return guarded(lambda: run(at, groups, **options)), screen_.getvalue()


def test_a_healthy_account_exits_with_0_and_names_its_checks() -> None:
    code, shown = typed(Healthy())

    assert code == 0
    assert shown.splitlines()[0] == f"stack {STACK}: no problems. {len(table.STACK)} checks."
    assert f"{GROUP}: no problems. " in shown
    for name in set(table.NAMES) - {"image"}:
        assert name in shown


def test_a_wrong_check_exits_with_1_and_comes_first_with_its_fix() -> None:
    account = Healthy()
    publish_denied(account)
    protected(account)

    code, shown = typed(account, GROUP, only=("hook-role", "scale-in-protection", "hook"))

    assert code == 1
    assert shown.splitlines()[0] == f"{GROUP}: 1 wrong, 1 warning. 3 checks."
    lines = [line for line in shown.splitlines() if not line.startswith(" ") and line]
    assert [line.split()[0] for line in lines[1:]] == ["wrong", "warning", "ok"]
    assert f"  fix      drainer detach {GROUP}, then drainer attach {GROUP}" in shown
    assert "  effect   Auto Scaling applies the default result at once" in shown


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_a_warning_fails_a_pipeline_only_if_it_is_asked_to(strict: bool, code: int) -> None:
    account = Healthy()
    protected(account)

    assert typed(account, strict=strict)[0] == code


def test_a_value_that_was_not_read_fails_a_strict_pipeline() -> None:
    # A role that lost its permissions must not turn a pipeline green.
    account = Healthy()
    account.border.denied.add("events:DescribeRule")

    assert (typed(account)[0], typed(account, strict=True)[0]) == (0, 1)


def test_a_check_that_is_skipped_is_not_made() -> None:
    account = Healthy()
    publish_denied(account)

    code, shown = typed(account, skip=("hook-role", "image"))

    assert code == 0
    assert "hook-role" not in shown


@pytest.mark.parametrize(
    ("groups", "options", "error"),
    [
        (("paymets-asg",), {}, "error: no group paymets-asg in eu-central-1: check the name"),
        ((), {"only": ("hok",)}, "error: no check hok: the checks are topic, subscriptions"),
        ((), {"skip": ("hok",)}, "error: no check hok: the checks are topic, subscriptions"),
    ],
)
def test_a_wrong_name_exits_with_2_and_says_what_to_do(
    groups: tuple[str, ...],
    options: dict[str, Any],
    error: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, shown = typed(Healthy(), *groups, **options)

    assert (code, shown) == (2, "")
    assert capsys.readouterr().err.startswith(error)


def test_without_any_group_to_read_it_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    account = Healthy()
    account.border.denied.add("autoscaling:DescribeAutoScalingGroups")

    assert typed(account)[0] == 2
    assert capsys.readouterr().err == (
        "error: no permission for autoscaling:DescribeAutoScalingGroups: "
        "log in, or add a permission of infra/operator-policy.json\n"
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ExpiredToken", "error: the AWS token has expired: log in (aws sso login), or set "),
        ("InvalidClientTokenId", "error: AWS does not know these credentials: log in "),
        ("Throttling", "error: autoscaling:DescribeAutoScalingGroups: Throttling: try again"),
    ],
)
def test_what_is_wrong_with_the_caller_is_said_once(
    code: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # A list of thirty checks that were not read would hide it.
    account = Healthy()

    def refused(_: Any) -> Any:
        raise GoneError(code)

    account.border.answers["autoscaling.describe_auto_scaling_groups"] = refused

    assert typed(account) == (2, "")
    assert capsys.readouterr().err.startswith(error)


def test_without_credentials_it_says_how_to_log_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    assert guarded(lambda: run(Options(stack=STACK, region="eu-central-1"))) == 2
    assert capsys.readouterr().err == (
        "error: no AWS credentials found: log in (aws sso login), or set --profile or AWS_PROFILE\n"
    )


def test_ctrl_c_exits_as_a_shell_expects() -> None:
    account = Healthy()

    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    account.border.answers["ecs.list_clusters"] = interrupted

    assert typed(account) == (130, "")


def test_without_stack_and_hooks_it_says_which_stack_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Healthy()
    account.exists = False
    account.hooks.clear()

    assert typed(account)[0] == 2
    assert capsys.readouterr().err == (
        "error: no stack drainer in eu-central-1: name the stack with --stack, or a group\n"
    )


def test_json_has_a_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    account = Healthy()
    protected(account)

    _, shown = typed(account, as_json=True)

    assert shown == ""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["verdict"] for one in lines} == {"ok", "warning"}
    (warning,) = [one for one in lines if one["verdict"] == "warning"]
    assert (warning["subject"], warning["check"]) == (GROUP, "scale-in-protection")
    assert warning["fix"].startswith("aws autoscaling set-instance-protection")


def test_a_group_of_a_cluster_without_a_hook_is_a_note() -> None:
    # It may be left undrained on purpose: it does not fail a pipeline, and it is said.
    account = Healthy()
    account.groups += [
        group("web-asg", ["i-0e20d7a4c18f9b563"]),
        group("no-ecs-asg", ["i-0e20d7a4c18f9b564"]),
        group("managed-asg", ["i-0e20d7a4c18f9b565"]),
    ]
    account.hooks["managed-asg"] = [hook("ecs-managed-draining-termination-hook", "")]
    account.clusters["web"] = {"i-0e20d7a4c18f9b563": "ACTIVE", "i-0e20d7a4c18f9b565": "ACTIVE"}

    notes = [one for one in account.results() if one.finding.verdict == Verdict.NOTE]

    assert [(one.subject, one.check) for one in notes] == [("web-asg", "hook")]
    assert typed(account, strict=True)[0] == 0


def test_the_hook_of_managed_draining_is_enough_for_a_group_that_is_named() -> None:
    account = Healthy()
    account.hooks[GROUP] = [hook("ecs-managed-draining-termination-hook", "")]

    assert account.found(GROUP) == set()


def test_services_are_listed_only_where_the_group_is() -> None:
    # ECS's quota is shared with drains in progress.
    account = Healthy()
    account.clusters["web"] = {"i-0e20d7a4c18f9b563": "ACTIVE"}

    account.results()

    assert [one["cluster"] for one in account.border.asked["ecs.list_services"]] == [CLUSTER]


def test_many_groups_are_read_at_a_fifth_of_a_second_each() -> None:
    account = Healthy()
    account.groups += [group(f"g{count}", []) for count in range(30)]

    account.results()

    assert set(account.pauses) == {PAUSE_SECONDS}
    assert 10 < len(account.pauses) < 40


def test_a_list_that_does_not_end_is_not_read_forever() -> None:
    def page(given: dict[str, Any]) -> dict[str, Any]:
        count = int(given.get("nextToken", 0)) + 1
        return {"clusterArns": [arn("ecs", f"cluster/{count}")], "nextToken": str(count)}

    border = Border({"ecs.list_clusters": page})

    found = attempt(
        Reader(border.client, lambda _: None).pages, "ecs", "list_clusters", "clusterArns"
    )

    assert found == Unread(f"ecs:ListClusters: more than {PAGES_MAX} pages")
    assert len(border.asked["ecs.list_clusters"]) == PAGES_MAX


def test_each_page_is_a_read_that_counts_and_is_bounded() -> None:
    # A hundred pages that count as one read would take the quota that drains in progress need.
    pages = Border(
        {"ecs.list_clusters": lambda _: {"clusterArns": ["a"], "nextToken": next(tokens)}}
    )
    tokens = map(str, count())
    reader = Reader(pages.client, most=3)

    found = attempt(reader.pages, "ecs", "list_clusters", "clusterArns")

    assert found == Unread("ecs:ListClusters: the limit of 3 reads")
    assert reader.counts == {"ecs": 3}
    assert len(pages.asked["ecs.list_clusters"]) == 3


def test_no_command_that_reads_can_write() -> None:
    # The commands that act read with the same reader: only their plan writes.
    border = Border()

    with pytest.raises(ValueError, match="stop_task is no read"):
        Reader(border.client).ask("ecs", "stop_task", task="t")
    with pytest.raises(ValueError, match="delete_lifecycle_hook is no read"):
        Reader(border.client).client("autoscaling").delete_lifecycle_hook()
    assert border.calls == set()


def test_the_screen_is_80_columns_wide_but_for_commands() -> None:
    # A command that is broken into lines cannot be pasted.
    account = Healthy()
    publish_denied(account)
    protected(account)

    shown = [line.plain for line in screen.lines(account.results())]

    wide = [line for line in some(shown) if len(line) > 80]
    assert [line for line in wide if not line.startswith("  fix ")] == []


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_region_it_exits_with_2(
    value: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A pipeline sets an empty variable where a setting is missing: that was a traceback.
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    assert guarded(lambda: run(Options(stack=STACK))) == 2
    assert capsys.readouterr().err == (
        "error: no AWS Region is set: add --region or set AWS_REGION\n"
    )


def test_help_says_what_the_exit_codes_mean() -> None:
    shown = CliRunner().invoke(app, ["doctor", "--help"])

    assert shown.exit_code == 0
    words = " ".join(shown.output.split())
    assert "It only reads." in words
    for code in ("with 0 if", "with 1 if", "with 2 if"):
        assert code in words
