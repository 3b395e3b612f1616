"""What the commands read from a typed line and say of a call: tables of values."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drainer.cli.account.session import fail
from drainer.cli.operate.drains import VALUE_CHARACTERS_MAX, short_name, value
from drainer.cli.operate.durations import parse, typed
from drainer.cli.operate.plan import Call


def test_an_error_is_one_line_whatever_aws_or_a_proxy_has_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The page of a proxy filled the screen, and what to do was below it.
    assert fail(f"not read:\n\n<html>\n{'x' * 9_000}", "try again") == 1

    said = capsys.readouterr().err
    assert said.startswith("error: not read: <html> xxx")
    assert said.endswith("..: try again\n")
    assert said.count("\n") == 1
    assert len(said) < 1_300


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("30m", 1_800),
        ("1h", 3_600),
        ("1h30m", 5_400),
        ("2h05m10s", 7_510),
        ("90s", 90),
        (" 45m ", 2_700),
        ("120m", 7_200),
    ],
)
def test_a_duration_is_read_as_it_is_shown(typed: str, seconds: int) -> None:
    assert parse(typed) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "typed", ["", "30", "m", "0m", "-5m", "1.5h", "30 m", "5m1h", "1d", "99999999h", "30M"]
)
def test_what_is_no_duration_is_said(typed: str) -> None:
    # "30" could be seconds or minutes: a deadline that passes while somebody sleeps.
    with pytest.raises(ValueError, match="write 30m"):
        parse(typed)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("kernel CVE-2026-1: /var@web", "kernel CVE-2026-1: /var@web"),
        ("größer, (again)!", "gr__er_ _again__"),
        (" spaced ", "spaced"),
        ("", ""),
        ("a" * 127 + " b", "a" * 127),
        ("x" * 300, "x" * VALUE_CHARACTERS_MAX),
    ],
)
def test_a_reason_is_kept_as_far_as_ecs_takes_it(text: str, kept: str) -> None:
    # Rejected, who and why would be lost for a comma.
    assert value(text) == kept


def test_a_caller_is_named_without_its_account() -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/ops/anna"
    assert short_name(arn) == "assumed-role/ops/anna"
    assert short_name("arn:aws:iam::123456789012:user/eve") == "user/eve"


def test_a_call_is_shown_as_a_command_without_its_token() -> None:
    # Who has the token can answer the hook.
    call = Call(
        "autoscaling",
        "CompleteLifecycleAction",
        {"AutoScalingGroupName": "my web", "LifecycleActionToken": "465e0162"},
    )

    assert call.method == "complete_lifecycle_action"
    assert call.command() == (
        "aws autoscaling complete-lifecycle-action \\\n"
        "  --auto-scaling-group-name 'my web' \\\n"
        "  --lifecycle-action-token '***'"
    )


def test_a_command_can_be_pasted_whatever_its_values_are() -> None:
    call = Call(
        "ecs",
        "PutAttributes",
        {"tasks": ["a", "b c"], "protectionEnabled": False, "attributes": [{"name": "n"}]},
    )

    assert call.command().splitlines()[1:] == [
        "  --tasks a 'b c' \\",
        "  --no-protection-enabled \\",
        """  --attributes '[{"name": "n"}]'""",
    ]


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=1, hours=20, minutes=10, seconds=59), "44h10m"),
        (timedelta(hours=2), "2h"),
        (timedelta(minutes=5, seconds=1), "5m"),
        (timedelta(seconds=59), ""),
        (timedelta(seconds=-90), ""),
    ],
)
def test_an_advised_duration_can_be_typed(length: timedelta, text: str) -> None:
    # "at most: drainer extend i-... 1d20h" was refused: the command knows no days.
    assert typed(length) == text
    assert not text or parse(text) <= length
