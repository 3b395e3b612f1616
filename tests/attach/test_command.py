"""
`drainer attach`, `detach` and `list`: what they show, ask and do, and what they leave alone.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from drainer.cli.account.terminal import typed
from drainer.cli.app import app
from drainer.cli.attach import command, plan
from drainer.cli.attach.run import TEMPLATE, Terminal, attach, detach, guarded, list_groups
from drainer.cli.doctor.read_stack import ATTACHED_MAX
from drainer.simulation.template import read_template
from tests.attach.stacks import Account
from tests.doctor.border import GoneError
from tests.doctor.healthy_group import group, hook
from tests.doctor.names import GROUP, STACK, TOPIC, arn
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "drainer-payments"
KEY = arn("kms", "key/1")


def at(account: Account, answer: str | None = "yes", **options: Any) -> Terminal:
    """
    Return the account's terminal, at which a person answers; None for no person.
    """
    ask: Callable[[str], str] | None = None if answer is None else lambda _: answer
    return Terminal(account.border.client, account.pauses.append, ask=ask, **options)


def code_of(account: Account, act: Callable[[Terminal], int]) -> int:
    """
    Return a command's exit code, with its errors in one line as people get them.
    """
    return guarded(act, lambda: at(account))


def wanted(**settings: str) -> plan.Wanted:
    return plan.Wanted(GROUP, STACK, settings=settings)


def test_a_group_is_attached_after_its_change_was_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account(attached=False)

    assert attach(wanted(Cluster="payments"), at(account)) == 0

    made = "drainer-payments-asg"
    assert account.written == [f"create change set: CREATE {made}", f"execute: {made}"]
    assert account.stacks[made] == {
        "AutoScalingGroupName": GROUP,
        "DrainerStack": STACK,
        "Cluster": "payments",
    }
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        f"Create the stack {made}:",
        f"  + AutoScalingGroupName = {GROUP}",
        "  + DrainerStack = drainer",
        "  + Cluster = payments",
        "  + NotificationRole (AWS::IAM::Role)",
        "  + TerminatingHook (AWS::AutoScaling::LifecycleHook)",
        "CREATE_COMPLETE: check it with drainer doctor",
    ]


def test_the_template_that_is_deployed_is_the_shipped_one() -> None:
    account = Account(attached=False)

    attach(wanted(), at(account))

    (asked,) = account.border.asked["cloudformation.create_change_set"]
    assert asked["TemplateBody"] == TEMPLATE.read_text(encoding="utf-8")
    assert asked["Capabilities"] == ["CAPABILITY_IAM"]


def test_a_setting_that_is_not_given_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    # A changed deadline must not set the heartbeat timeout back to its default.
    account = Account()
    account.stacks[NAME] |= {"DrainTimeoutSeconds": "", "RemovedLongAgo": "1"}

    assert attach(wanted(DrainTimeoutSeconds="3600"), at(account)) == 0

    assert account.written == [f"create change set: UPDATE {NAME}", f"execute: {NAME}"]
    assert account.stacks[NAME] == {
        "AutoScalingGroupName": GROUP,
        "DrainerStack": STACK,
        "DrainTimeoutSeconds": "3600",
        "HeartbeatTimeoutSeconds": "1800",
    }
    assert "  ~ DrainTimeoutSeconds = (empty) -> 3600" in capsys.readouterr().out.splitlines()


def test_the_key_of_an_encrypted_topic_is_given_to_the_role() -> None:
    # Without it each notification is rejected, and instances go undrained.
    account = Account(attached=False)
    account.topics[TOPIC]["KmsMasterKeyId"] = KEY

    attach(wanted(), at(account))

    assert account.stacks["drainer-payments-asg"]["TopicKmsKeyArn"] == KEY


@pytest.mark.parametrize("answer", ["", "no", "y", "Yes please"])
def test_what_is_not_agreed_to_is_not_made_and_leaves_nothing_behind(
    answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # A stack in review would be in the way of the next try.
    account = Account(attached=False)

    assert attach(wanted(), at(account, answer)) == 1

    made = "drainer-payments-asg"
    assert account.written[1:] == ["delete change set", f"delete: {made}"]
    assert made not in account.stacks
    assert capsys.readouterr().out.endswith("No changes made.\n")


def test_a_stack_that_exists_is_not_deleted_where_its_change_is_not_agreed_to() -> None:
    account = Account()

    assert attach(wanted(Cluster="other"), at(account, "no")) == 1

    assert account.written[1:] == ["delete change set"]


def test_ctrl_c_at_the_question_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(attached=False)

    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    terminal = Terminal(account.border.client, account.pauses.append, ask=interrupted)

    assert guarded(lambda one: attach(wanted(), one), lambda: terminal) == 130
    assert account.written[1:] == ["delete change set", "delete: drainer-payments-asg"]
    assert "interrupted" in capsys.readouterr().err


def test_without_a_terminal_it_does_not_go_on_unless_it_is_told_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account(attached=False)

    assert attach(wanted(), at(account, None)) == 2
    assert "there is no terminal to ask at: add --yes" in capsys.readouterr().err
    assert attach(wanted(), at(account, None, yes=True)) == 0


@pytest.mark.parametrize("act", ["attach", "detach"])
def test_a_dry_run_writes_nothing(act: str, capsys: pytest.CaptureFixture[str]) -> None:
    account = Account()
    account.border.writes = frozenset()  # each write fails the test
    terminal = at(account, dry_run=True)

    code = (
        attach(wanted(Cluster="x"), terminal) if act == "attach" else detach(GROUP, STACK, terminal)
    )

    assert code == 0
    assert capsys.readouterr().out.endswith("No changes made (--dry-run).\n")


def test_a_stack_that_is_up_to_date_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account()
    account.refused = "The submitted information didn't contain changes. Submit different ..."

    assert attach(wanted(), at(account)) == 0

    assert "execute" not in " ".join(account.written)
    assert f"nothing to do: the stack {NAME} is up to date" in capsys.readouterr().out


def test_what_cloudformation_refuses_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(attached=False)
    account.refused = "Parameter Cluster failed to satisfy constraint"

    assert guarded(lambda one: attach(wanted(), one), lambda: at(account)) == 1

    error = "error: CloudFormation: Parameter Cluster failed to satisfy constraint\n"
    assert capsys.readouterr().err == error
    assert account.written[1:] == ["delete change set", "delete: drainer-payments-asg"]


def test_a_stack_that_is_rolled_back_says_what_failed_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account(attached=False)
    account.fails = True

    assert guarded(lambda one: attach(wanted(), one), lambda: at(account)) == 1

    error = "error: CloudFormation: ROLLBACK_COMPLETE: TerminatingHook: Access denied\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda account: account.groups.clear(), f"no group {GROUP} in eu-central-1"),
        (
            lambda account: account.hooks.update({GROUP: [hook()]}),
            f"{GROUP} has the hook drainer already: change it where it was made",
        ),
        (lambda account: setattr(account, "exists", False), "no stack drainer in eu-central-1"),
        (
            lambda account: account.stacks.update({"drainer-payments-asg": {}}),
            "the stack drainer-payments-asg exists and attaches another group",
        ),
        (
            lambda account: account.border.denied.add("cloudformation:ListImports"),
            "no permission for cloudformation:ListImports",
        ),
    ],
)
def test_what_cannot_be_attached_is_refused_before_anything_is_written(
    change: Callable[[Account], None], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account(attached=False)
    change(account)

    assert code_of(account, lambda one: attach(wanted(), one)) == 1

    assert account.written == []
    assert capsys.readouterr().err.startswith(f"error: {error}")


def test_a_group_is_detached_after_its_waiting_instances_were_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Deleting a hook lets what waits at it go on at once.
    account = Account()
    waiting = account.groups[0]["Instances"][1]
    waiting["LifecycleState"] = "Terminating:Wait"

    assert detach(GROUP, STACK, at(account)) == 0

    assert account.written == [f"delete: {NAME}"]
    shown = capsys.readouterr().out
    assert f"1 wait now and go on at once, undrained: {waiting['InstanceId']}." in shown
    assert f"Instances of {GROUP} are then terminated with their tasks." in shown
    assert shown.endswith(f"{GROUP} is detached.\n")


@pytest.mark.parametrize(("answer", "code"), [("no", 1), (None, 2)])
def test_a_group_is_not_detached_without_a_yes(answer: str | None, code: int) -> None:
    account = Account()

    assert detach(GROUP, STACK, at(account, answer)) == code
    assert account.written == []


def test_a_stack_that_is_not_deleted_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account()
    account.fails = True

    assert guarded(lambda one: detach(GROUP, STACK, one), lambda: at(account)) == 1
    assert "DELETE_FAILED" in capsys.readouterr().err


def test_a_group_that_no_stack_attaches_is_not_detached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert detach("web-asg", STACK, at(Account())) == 1
    assert capsys.readouterr().err == (
        "error: no stack of infra/attach.yaml attaches web-asg: see drainer list\n"
    )


def test_the_attached_groups_are_listed_with_their_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account()
    account.groups += [group("batch-asg", []), group("other-asg", [])]
    metadata = json.dumps({"drain_timeout_seconds": 3_600})
    account.hooks["batch-asg"] = [hook(NotificationMetadata=metadata)]

    assert list_groups(STACK, at(account), as_json=False) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["GROUP", "STACK", "HEARTBEAT", "DEADLINE", "CLUSTER"],
        ["batch-asg", "(in", "its", "group)", "30m", "1h", "any"],
        [GROUP, NAME, "30m", "1d23h", "payments"],
    ]


def test_the_list_is_for_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    list_groups(STACK, at(Account()), as_json=True)

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "group": GROUP,
        "stack": NAME,
        "hook": "drainer",
        "heartbeat_seconds": 1_800,
        "deadline_seconds": 172_620,
        "deadline_result": "CONTINUE",
        "cluster": "payments",
    }


def test_an_empty_list_says_how_to_attach(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_groups(STACK, at(Account(attached=False)), as_json=False) == 0
    assert capsys.readouterr().out.endswith("drains no group: drainer attach GROUP\n")


@pytest.mark.parametrize(
    ("group_name", "stack"),
    [
        ("payments-asg", "drainer-payments-asg"),
        ("team/payments_asg.v2", "drainer-team-payments-asg-v2"),
        ("x" * 255, "drainer-" + "x" * 120),
    ],
)
def test_a_groups_name_makes_the_name_of_a_stack(group_name: str, stack: str) -> None:
    assert plan.stack_name(group_name) == stack


def test_each_option_is_a_parameter_of_the_template_with_its_bounds() -> None:
    # An option that the template does not know fails after the change was shown.
    parameters = read_template(TEMPLATE)["Parameters"]
    heartbeat = parameters["HeartbeatTimeoutSeconds"]

    assert (heartbeat["MinValue"], heartbeat["MaxValue"]) == (
        command.HEARTBEAT_MIN,
        command.HEARTBEAT_MAX,
    )
    bounds = parameters["DrainTimeoutSeconds"]["ConstraintDescription"]
    assert f"from {command.SECONDS_MIN} to {command.SECONDS_MAX}" in bounds
    assert set(parameters["DefaultResult"]["AllowedValues"]) == {*command.Result}
    assert set(parameters["StandaloneTasks"]["AllowedValues"]) - {""} == {*command.Standalone}
    for name in some(
        [
            *("Cluster", "DrainTimeoutSeconds", "DeadlineResult", "StandaloneTasks"),
            *("StandaloneGraceSeconds", "HeartbeatTimeoutSeconds", "DefaultResult", "HookName"),
        ]
    ):
        assert name in parameters
        assert f'"{name}": ' in (TEMPLATE.with_name("command.py")).read_text()


@pytest.mark.parametrize("name", ["attach", "detach", "list"])
def test_help_says_what_the_exit_codes_mean(name: str) -> None:
    words = " ".join(CliRunner().invoke(app, [name, "--help"]).output.split())

    assert "Exits with 0" in words
    assert "Examples: " in words


def test_a_group_whose_hooks_were_not_read_is_not_attached_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A denied call looked like a group without a hook: it got a second one.
    account = Account(attached=False)
    account.border.denied.add("autoscaling:DescribeLifecycleHooks")

    assert code_of(account, lambda one: attach(wanted(), one)) == 1

    assert account.written == []
    assert "no permission for autoscaling:DescribeLifecycleHooks" in capsys.readouterr().err


def test_a_group_that_was_not_read_is_not_detached(capsys: pytest.CaptureFixture[str]) -> None:
    # Instances that wait would be terminated with their tasks, and none was named.
    account = Account()
    account.border.denied.add("autoscaling:DescribeAutoScalingGroups")

    assert code_of(account, lambda one: detach(GROUP, STACK, one)) == 1

    assert account.written == []
    assert "no permission for autoscaling:DescribeAutoScalingGroups" in capsys.readouterr().err


def test_an_instance_that_is_launched_does_not_wait_to_leave(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account()
    account.groups[0]["Instances"][1]["LifecycleState"] = "Pending:Wait"

    assert detach(GROUP, STACK, at(account)) == 0
    assert "undrained" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("denied", "shown"),
    [("autoscaling:DescribeLifecycleHooks", ""), ("cloudformation:ListImports", "  ?  ")],
)
def test_a_list_that_is_not_whole_is_said_and_fails(
    denied: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # "The stack drains no group" is a lie where no hook could be read, and "(in its group)" where
    # no stack could.
    account = Account()
    account.border.denied.add(denied)

    assert list_groups(STACK, at(account), as_json=False) == 1

    said = capsys.readouterr()
    assert f"no permission for {denied}" in said.err
    assert "drains no group" not in said.out
    assert "(in its group)" not in said.out
    assert shown in said.out


def test_more_stacks_than_are_read_are_no_missing_stack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The stacks behind the limit seemed not to be there: their groups were attached twice.
    account = Account(attached=False)
    account.imports.extend(f"other-{number}" for number in range(ATTACHED_MAX + 1))

    assert code_of(account, lambda one: attach(wanted(), one)) == 1

    assert account.written == []
    assert f"more than {ATTACHED_MAX}" in capsys.readouterr().err


def test_the_end_of_the_input_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ctrl-D at the question was a traceback, with a change set left behind.
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    account = Account(attached=False)
    terminal = Terminal(account.border.client, account.pauses.append, ask=typed)

    assert attach(wanted(), terminal) == 1
    assert account.written[1:] == ["delete change set", "delete: drainer-payments-asg"]


def test_what_aws_says_of_a_refused_call_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    # "Try again later" sent people in a circle: a stack that was rolled back takes no change.
    account = Account(attached=False)

    def refuse(_: Any) -> Any:
        raise GoneError("ValidationError")

    account.border.answers["cloudformation.create_change_set"] = refuse

    assert guarded(lambda one: attach(wanted(), one), lambda: at(account)) == 1

    error = "error: CreateChangeSet failed (ValidationError): ValidationError: refused\n"
    assert capsys.readouterr().err == error
