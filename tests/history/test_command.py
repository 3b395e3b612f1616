"""
`drainer history` and `drainer report` as they are typed.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from drainer import clock
from drainer.cli.account.terminal import guarded
from drainer.cli.app import app
from drainer.cli.history.asked import Asked
from drainer.cli.history.run import history, report
from drainer.drain.record import End
from tests.doctor.border import Border, GoneError
from tests.doctor.healthy_stack import Given, summary
from tests.doctor.names import STACK
from tests.doctor.past import ended, item, record
from tests.loops import some

if TYPE_CHECKING:
    from pathlib import Path

KEPT = [{"ParameterKey": "RecordRetentionDays", "ParameterValue": "14"}]
FIRST, SECOND, THIRD = (f"i-0a1f4c8e2b7d9365{count}" for count in range(3))


def border(*records: Given, lines: tuple[Given, ...] = ()) -> Border:
    """
    Return an account with a stack, its records and its log.
    """
    resources = [
        summary("Records", "AWS::DynamoDB::Table", "drainer-Records-1K2J"),
        summary("LogGroup", "AWS::Logs::LogGroup", "drainer-LogGroup-1K2J"),
    ]
    described = {
        "StackName": STACK,
        "CreationTime": clock.now(),
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": KEPT,
    }
    return Border(
        {
            "cloudformation.list_stack_resources": lambda _: {"StackResourceSummaries": resources},
            "cloudformation.describe_stacks": lambda _: {"Stacks": [described]},
            "dynamodb.scan": lambda _: {"Items": [*records]},
            "logs.filter_log_events": lambda _: {"events": [*lines]},
        }
    )


def three_drains() -> Border:
    """
    Return an account with two drains that ended lately, and one that is open.
    """
    now = clock.now()
    hour = timedelta(hours=1)
    records = (
        ended(instance=FIRST, ended_at=now - 2 * hour),
        ended(instance=SECOND, ended_at=now - hour, phase="overdue", tasks=("9f2e07b1",)),
        ended(instance=THIRD, ended_at=now, end=End.OPEN, phase="closing", group="batch-asg"),
    )
    line = {"ec2_instance_id": SECOND, "phase": "draining", "remaining": ["s RUNNING family:etl 9"]}
    at = int((now - hour - timedelta(minutes=5)).timestamp() * 1_000)
    return border(*records, lines=({"timestamp": at, "message": json.dumps(line)},))


def shown(made: Border, limit: int | None = None, **asked: Any) -> tuple[int, list[str]]:
    """
    Return the exit code and the screen.
    """
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    given = Asked(**{"since": "7d", **asked})
    code = guarded(
        lambda: history(given, limit, as_json=False, client=made.client, console=console, zone=UTC)
    )
    return code, screen.getvalue().splitlines()


def instances(lines: list[str]) -> list[str]:
    """
    Return the EC2 instance of each line that has one.

    When it ended is one word, or two: what ended before midnight has its day before its time.
    """
    return [word for line in lines for word in line.split() if word.startswith("i-")]


def test_the_newest_drain_comes_first_and_the_open_one_before_it() -> None:
    code, lines = shown(three_drains())

    assert code == 0
    assert lines[0].split() == ["ENDED", "UTC", "INSTANCE", "GROUP", "TOOK", "LEFT", "BY"]
    assert instances(lines[1:4]) == [THIRD, SECOND, FIRST]
    assert lines[2].endswith("7m00s      1  deadline, CONTINUE")
    assert "3 drains of 2 groups, 1 open: p50 7m00s, p95 7m00s." in lines
    assert "Left at the end of 1 drain: 1 task." in lines
    assert "Slowest to leave (median): family:etl 7m00s." in lines
    assert [line for line in some(lines[:4]) if len(line) > 80] == []


LONG = f"arn:aws:sts::123456789012:assumed-role/{'r' * 64}/anna"


@pytest.mark.parametrize(
    ("who", "shown_as"),
    [
        ("arn:aws:sts::123456789012:assumed-role/ops/anna", "assumed-role/ops/anna"),
        (LONG, f"assumed-role/{'r' * 32}.."),
    ],
)
def test_a_line_says_who_released_an_instance_and_who_extended_its_deadline(
    who: str, shown_as: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # "By hand, timeout" answers nobody who asks whose decision it was.
    now = clock.now()
    one = replace(
        record(instance=FIRST, ended_at=now - timedelta(hours=1), end=End.OVER, phase="draining"),
        released_by=who,
        extended_by=who,
    )
    made = border(item(one), ended(instance=SECOND, ended_at=now))

    _, lines = shown(made)
    history(Asked("7d"), 0, as_json=True, client=made.client)

    assert lines[2].endswith("released by hand")
    assert lines[3:5] == [
        f"            deadline extended by {shown_as}",
        f"            released by {shown_as}",
    ]
    assert [line for line in some(lines[:5]) if len(line) > 80] == []
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (said[0]["released_by"], said[0]["extended_by"]) == (who, who)
    assert said[1]["released_by"] is None


def test_older_drains_are_counted_where_they_are_not_shown() -> None:
    _, lines = shown(three_drains(), limit=1)

    assert "Older, not shown: 2 (--limit 0 shows all)." in lines
    assert len([line for line in lines if "i-0a1f" in line]) == 1


def test_one_group_can_be_asked_for() -> None:
    _, lines = shown(three_drains(), group="batch-asg")

    assert lines[1].split()[1:3] == [THIRD, "batch-asg"]
    assert "1 drain of 1 group, 1 open." in lines


def test_no_drains_are_said_in_one_line() -> None:
    assert shown(border()) == (0, ["No drains in this time."])


def test_what_was_deleted_is_not_called_no_drains() -> None:
    # Somebody looks for a drain of last month, and believes that there was none.
    code, lines = shown(border(), since="4w")

    assert code == 0
    assert lines == [
        "No records of drains in this time.",
        "? Records are kept for 14 days (RecordRetentionDays): older drains may be missing.",
    ]


def test_where_it_is_not_known_how_long_records_are_kept_that_is_said() -> None:
    made = border()
    made.denied.add("cloudformation:DescribeStacks")

    assert shown(made)[1][-1] == (
        "? How long records are kept was not read: no permission for cloudformation:DescribeStacks."
    )


def test_a_program_gets_all_drains_or_as_many_of_the_newest_as_it_asks_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # `--limit 1` answered with every drain of the week.
    made = three_drains()
    printed = []
    for limit in (None, 0, 2):
        history(Asked("7d"), limit, as_json=True, client=made.client)
        captured = capsys.readouterr()
        printed.append([json.loads(line)["instance"] for line in captured.out.splitlines()])

    assert printed == [[FIRST, SECOND, THIRD]] * 2 + [[SECOND, THIRD]]
    assert captured.err == "Older, not shown: 1 (--limit 0 shows all).\n"


def test_the_table_is_asked_for_drains_since_the_instant_and_not_for_requests() -> None:
    made = three_drains()
    shown(made, since="2026-11-02")

    (asked,) = made.asked["dynamodb.scan"]
    assert asked["ExpressionAttributeValues"] == {
        ":prefix": {"S": "i-"},
        ":since": {"N": "1793577600.0"},
    }


def test_without_the_log_the_records_are_shown_and_the_reason_is_said() -> None:
    # Logs expire sooner than records, and their permission is often another one.
    made = three_drains()
    made.denied.add("logs:FilterLogEvents")

    code, lines = shown(made)

    assert code == 0
    assert lines[-1] == (
        "? The log was not read, so that two phases are one: no permission for logs:FilterLogEvents"
    )
    assert len([line for line in lines if "i-0a1f" in line]) == 3


def test_a_log_whose_lines_have_expired_is_said() -> None:
    made = three_drains()
    empty: Given = {"events": []}
    made.answers["logs.filter_log_events"] = lambda _: empty

    _, lines = shown(made)

    assert lines[-1].endswith("so that two phases are one: it has no line of these drains")


def test_the_log_is_not_read_if_that_is_asked_for() -> None:
    made = three_drains()

    _, lines = shown(made, with_log=False)

    assert made.asked["logs.filter_log_events"] == []
    assert "?" not in "".join(lines)


def test_a_record_that_cannot_be_read_does_not_hide_the_others() -> None:
    made = border(ended(instance=FIRST, ended_at=clock.now()), {"instance": {"S": "i-1"}})

    code, lines = shown(made)

    assert code == 0
    assert instances(lines[1:2]) == [FIRST]
    assert lines[-1] == "? Not understood: 1 record."


def test_json_has_a_line_for_each_drain(capsys: pytest.CaptureFixture[str]) -> None:
    code = history(Asked("7d"), None, as_json=True, client=three_drains().client)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    # All of them, the oldest first: a program has its own limit.
    assert [one["instance"] for one in lines] == [FIRST, SECOND, THIRD]
    assert lines[1]["waited_for"] == {"family:etl": 420.0}
    assert lines[1]["phases"] == [
        {"phase": "draining", "seconds": 420.0},
    ]
    assert lines[2]["ended_at"] is None
    # Each has its own, or X-Ray would show one drain for another.
    assert len({one["trace_id"] for one in lines}) == len(lines)
    assert lines[0]["trace_id"].startswith("1-")
    assert "token" not in "".join(json.dumps(one) for one in some(lines))


@pytest.mark.parametrize(
    ("denied", "gone", "error"),
    [
        ("dynamodb:Scan", False, "error: no permission for dynamodb:Scan: log in, or add"),
        ("cloudformation:ListStackResources", False, "error: no permission for cloudformation:"),
        ("", True, "error: no stack drainer: name the stack with --stack, and check --region"),
    ],
)
def test_without_records_the_command_fails_and_says_what_to_do(
    denied: str, gone: bool, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = three_drains()
    made.denied.add(denied)

    def missing(_: Given) -> Given:
        raise GoneError("ValidationError")

    if gone:
        made.answers["cloudformation.list_stack_resources"] = missing

    assert shown(made) == (1, [])
    assert capsys.readouterr().err.startswith(error)


def test_a_stack_that_is_not_the_drainers_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    made = border()
    empty: Given = {"StackResourceSummaries": []}
    made.answers["cloudformation.list_stack_resources"] = lambda _: empty

    assert shown(made)[0] == 1
    assert f"the stack {STACK} has no table of records" in capsys.readouterr().err


def test_ctrl_c_exits_as_a_shell_expects() -> None:
    made = border()

    def interrupted(_: Given) -> Given:
        raise KeyboardInterrupt

    made.answers["dynamodb.scan"] = interrupted

    assert shown(made) == (130, [])


def test_a_wrong_time_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(border(), since="yesterday")[0] == 2
    assert capsys.readouterr().err == (
        "error: --since yesterday names no past time: write 30m, 24h, 7d, 2w or 2026-11-02\n"
    )


def test_the_report_is_written_to_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "drains.html"

    assert report(Asked("7d"), output, client=three_drains().client, zone=UTC) == 0
    assert capsys.readouterr().out == f"{output}: 3 drains\n"
    assert output.read_text(encoding="utf-8").count(FIRST) == 1


def test_a_file_that_cannot_be_written_fails_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "none" / "drains.html"

    assert report(Asked("7d"), output, client=three_drains().client) == 1
    assert "was not written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["history", "report"])
def test_help_says_what_the_exit_codes_mean(command: str) -> None:
    words = " ".join(CliRunner().invoke(app, [command, "--help"]).output.split())

    assert "Exits with 0, with 1 if the records could not be read" in words
    assert "Examples: " in words


def test_what_is_typed_reaches_the_command() -> None:
    typed = ["history", "--since", "nonsense", "--region", "eu-west-1"]

    assert CliRunner().invoke(app, typed).exit_code == 2
