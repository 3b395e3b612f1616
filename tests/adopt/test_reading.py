"""
What `drainer adopt` reads, recognises and changes, with real clients and AWS's answers planted.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from drainer.cli.account.reader import Unread
from drainer.cli.account.terminal import guarded
from drainer.cli.adopt.plan import (
    DEFAULT_RESULT,
    HEARTBEAT_TIMEOUT_SECONDS,
    TERMINATING,
    Finding,
    Kind,
    findings,
)
from drainer.cli.adopt.reader import Reader
from drainer.cli.adopt.run import Adopt
from drainer.cli.app import app
from drainer.config import METADATA
from drainer.simulation.template import read_template
from tests.adopt.planted import FUNCTION, PLANTED, ROLE, RULE_PATTERN, TOPIC, PlantedAccount
from tests.loops import some

if TYPE_CHECKING:
    from drainer.cli.adopt.facts import AccountFacts

INFRA = Path(__file__).resolve().parents[2] / "infra"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = "alpha-asg/alpha-hook"


def read(account: PlantedAccount, *names: str) -> AccountFacts:
    return Reader(account.client, account.fetch, *(names or ("drainer",))).read()


def found(account: PlantedAccount, **options: Any) -> dict[str, Finding]:
    facts = read(account, options.pop("stack", "drainer"))
    return {one.hook.group.removesuffix("-asg"): one for one in findings(facts, **options)}


class Run:
    """The command on an account, with all that it prints."""

    def __init__(self, account: PlantedAccount, folder: Path, *, answer: bool = True) -> None:
        self.printed = io.StringIO()
        self.asked: list[str] = []

        def ask(question: str) -> bool:
            self.asked.append(question)
            return answer

        console = Console(file=self.printed, width=80)
        self.adopt = Adopt(account.client, account.fetch, ask, console, NOW, folder)

    @property
    def text(self) -> str:
        return self.printed.getvalue()


def test_each_of_the_five_old_drainers_is_recognised() -> None:
    # What is not recognised stays in the account, and goes on releasing early.
    by_group = found(PlantedAccount())

    assert {name: one.old and one.old.name.value for name, one in by_group.items()} == {
        name: one.old for name, one in PLANTED.items()
    }
    assert {one.kind for one in by_group.values()} == {Kind.OLD}


def test_what_is_wrong_is_said_with_the_numbers_of_that_function() -> None:
    wrong = {name: one.old.wrong for name, one in found(PlantedAccount()).items() if one.old}

    assert "dies after about 16 hops (80 s)" in wrong["alpha"]
    assert "no token" in wrong["alpha"]
    assert "first 100 instances only" in wrong["beta"]
    assert "after 300 s" in wrong["gamma"]
    assert "after 900 s" in wrong["delta"]
    assert "after 7200 s" in wrong["epsilon"]


def test_a_loop_that_lambda_lets_go_on_is_not_said_to_die() -> None:
    # Some have set RecursiveLoop to Allow by hand.
    account = PlantedAccount()
    account.recursive_loop = "Allow"
    wrong = [one.old.wrong for one in found(account).values() if one.old]

    assert not any("dies after" in one for one in wrong)
    assert sum("loops for ever" in one for one in wrong) == 3


def test_a_sample_that_does_not_sleep_is_not_said_to_last_for_seconds() -> None:
    # An older release of ecs-cid-sample publishes again at once.
    account = PlantedAccount()
    sources = {"index.py": "ecs.update_container_instances_state()\nsns.publish()\n"}
    account.planted["alpha"] = replace(PLANTED["alpha"], source=sources)
    old = found(account)["alpha"].old
    assert old is not None

    assert "dies after about 16 hops: Lambda" in old.wrong


def test_a_name_alone_recognises_nothing_and_another_name_hides_nothing() -> None:
    # Names are the first thing that people change, and the first that a stranger's function shares.
    account, stranger = PlantedAccount(), "print('no drain here')"
    account.planted["alpha"] = replace(
        PLANTED["alpha"], source={"index.py": stranger}, actions=("s3:GetObject",)
    )

    by_group = found(account)

    assert by_group["alpha"].kind == Kind.UNKNOWN
    assert by_group["alpha"].change is None


def test_a_function_of_which_neither_role_nor_source_is_read_is_not_guessed() -> None:
    # InstanceDrainHook and the samples differ in nothing else that can be seen.
    account = PlantedAccount()
    account.denied.add("GetRolePolicy")
    account.planted["gamma"] = replace(PLANTED["gamma"], code_bytes=9_000_000)

    assert found(account)["gamma"].kind == Kind.UNKNOWN


def test_a_python_function_that_names_no_cluster_is_not_taken_for_aws_cdks() -> None:
    account = PlantedAccount()
    account.planted["gamma"] = replace(PLANTED["gamma"], variables={"TABLE": "t"})

    assert found(account)["gamma"].kind == Kind.UNKNOWN


def test_a_sample_that_was_given_its_cluster_is_still_a_sample() -> None:
    # Many have put the cluster's name into the environment.
    account = PlantedAccount()
    account.planted["alpha"] = replace(PLANTED["alpha"], variables={"CLUSTER": "shop"})
    old = found(account)["alpha"].old

    assert old is not None
    assert old.name.value == PLANTED["alpha"].old


@pytest.mark.parametrize("denied", ["GetRolePolicy", "ListRolePolicies"])
def test_the_source_is_enough_where_the_role_may_not_be_read(denied: str) -> None:
    account = PlantedAccount()
    account.denied.add(denied)

    old = {name: one.old and one.old.name.value for name, one in found(account).items()}

    # A program in Go has no source to read.
    assert old == {name: one.old if name != "delta" else None for name, one in PLANTED.items()}


def test_the_role_is_enough_where_the_source_may_not_be_read() -> None:
    account = PlantedAccount()
    for name, one in PLANTED.items():
        account.planted[name] = replace(one, code_bytes=9_000_000)

    old = {name: one.old and one.old.name.value for name, one in found(account).items()}

    assert old == {name: one.old for name, one in PLANTED.items()}


def test_what_cannot_be_read_is_said_and_does_not_end_the_command(tmp_path: Path) -> None:
    account = PlantedAccount()
    account.denied |= {"GetFunction", "ListRules"}
    facts = read(account)
    by_group = {one.hook.group: one for one in findings(facts)}

    assert facts.problems == ("The rules of EventBridge: AccessDenied",)
    assert by_group["alpha-asg"].kind == Kind.UNKNOWN
    assert "AccessDenied" in by_group["alpha-asg"].hook.problems[0]
    run = Run(account, tmp_path)
    assert run.adopt.show(as_json=False) == 4
    assert "? not read: The rules of EventBridge: AccessDenied" in run.text


def test_without_a_drainer_the_old_ones_are_still_told() -> None:
    by_group = found(PlantedAccount(), stack="none")

    assert by_group["alpha"].kind == Kind.OLD
    assert by_group["alpha"].change is not None
    assert by_group["alpha"].change.put == {}
    assert "was not found" in by_group["alpha"].change.blocked


def test_a_hook_keeps_its_name_and_becomes_what_the_template_would_make() -> None:
    # A second hook beside the old one would leave the old function in charge.
    change = found(PlantedAccount())["gamma"].change
    assert change is not None
    defaults = read_template(INFRA / "attach.yaml")["Parameters"]

    assert change.put == {
        "AutoScalingGroupName": "gamma-asg",
        "LifecycleHookName": "gamma-hook",
        "LifecycleTransition": TERMINATING,
        "NotificationTargetARN": TOPIC,
        "RoleARN": ROLE,
        "NotificationMetadata": '{"cluster": "gamma"}',
        "HeartbeatTimeout": defaults["HeartbeatTimeoutSeconds"]["Default"],
        "DefaultResult": defaults["DefaultResult"]["Default"],
    }
    assert defaults["HeartbeatTimeoutSeconds"]["Default"] == HEARTBEAT_TIMEOUT_SECONDS
    assert defaults["DefaultResult"]["Default"] == DEFAULT_RESULT


def test_what_an_old_function_was_set_to_goes_into_the_metadata() -> None:
    by_group = found(PlantedAccount())
    metadata = {
        name: json.loads(one.change.put.get("NotificationMetadata", "{}"))
        for name, one in by_group.items()
        if one.change
    }

    assert metadata["epsilon"] == {"cluster": "epsilon", "drain_timeout_seconds": 7_200}
    assert metadata["alpha"] == {}
    assert {key for one in metadata.values() for key in one} <= set(METADATA)
    named = found(PlantedAccount(), cluster="shop")["alpha"].change
    assert named is not None
    assert named.put["NotificationMetadata"] == '{"cluster": "shop"}'


def test_former_metadata_does_not_stay_as_a_setting_of_the_drainer() -> None:
    # PutLifecycleHook keeps what it is not given: the drainer would read a stranger's text.
    account = PlantedAccount()
    account.hooks["alpha-asg"]["alpha-hook"]["NotificationMetadata"] = "some cluster"
    change = found(account)["alpha"].change
    assert change is not None

    assert change.put["NotificationMetadata"] == "{}"
    assert change.back["NotificationMetadata"] == "some cluster"


def test_the_way_back_names_everything_that_the_change_names() -> None:
    # What it left out would stay as the change has made it.
    for one in some(found(PlantedAccount()).values()):
        assert one.change is not None
        assert set(one.change.put) - {"RoleARN"} <= set(one.change.back)


def test_a_hook_of_eventbridge_alone_gets_its_empty_target_back() -> None:
    change = found(PlantedAccount())["delta"].change
    assert change is not None

    assert change.back["NotificationTargetARN"] == ""
    assert "RoleARN" not in change.back


def test_a_rule_is_told_to_leave_the_group_out() -> None:
    # A hook with a topic is told to EventBridge as well: the old function would answer early.
    change = found(PlantedAccount())["delta"].change
    assert change is not None
    commands = [one.command for one in change.steps]
    pattern = {
        **RULE_PATTERN,
        "detail": {"AutoScalingGroupName": [{"anything-but": ["delta-asg"]}]},
    }

    assert "put-lifecycle-hook" in commands[0]
    assert json.dumps(pattern) in commands[1]
    assert json.dumps(RULE_PATTERN) in commands[2]


def test_a_rule_for_all_groups_is_told_to_leave_out_each_that_changes() -> None:
    # Such a rule tells of groups whose hooks have other targets, too.
    change = found(PlantedAccount())["alpha"].change
    assert change is not None
    pattern = {
        **RULE_PATTERN,
        "detail": {"AutoScalingGroupName": [{"anything-but": ["alpha-asg"]}]},
    }

    assert json.dumps(pattern) in change.steps[1].command


def test_a_rule_for_this_group_alone_is_disabled() -> None:
    account = PlantedAccount()
    account.patterns["delta"] = {**RULE_PATTERN, "detail": {"AutoScalingGroupName": ["delta-asg"]}}
    change = found(account)["delta"].change
    assert change is not None

    assert change.steps[1].command == "aws events disable-rule \\\n  --name delta-rule"


def test_a_hook_whose_rule_still_tells_an_old_function_is_not_done() -> None:
    # Half a change is worse than it looks: the new drain is answered early by the old function.
    account = PlantedAccount()
    account.hooks["delta-asg"]["delta-hook"] |= {"NotificationTargetARN": TOPIC, "RoleARN": ROLE}

    one = found(account)["delta"]
    account.patterns.clear()

    assert one.kind == Kind.STILL_TOLD
    assert found(account)["delta"].kind == Kind.ADOPTED


def test_the_drainers_own_rule_is_no_old_drainer() -> None:
    # With ServeEventBridgeNotices the drainer has such a rule itself.
    account = PlantedAccount()
    account.hooks["delta-asg"]["delta-hook"] |= {"NotificationTargetARN": TOPIC}
    account.planted["drainer"] = replace(PLANTED["delta"], name="drainer")
    account.patterns = {"drainer": RULE_PATTERN}

    assert PLANTED["delta"].function_arn != FUNCTION
    assert found(account)["delta"].kind == Kind.ADOPTED


def test_ecs_own_hook_and_hooks_for_launches_are_left_alone() -> None:
    account = PlantedAccount()
    hooks = account.hooks["alpha-asg"]
    own = "ecs-managed-draining-termination-hook"
    hooks[own] = {**hooks["alpha-hook"], "LifecycleHookName": own}
    launching = "autoscaling:EC2_INSTANCE_LAUNCHING"
    hooks["boot"] = {
        **hooks["alpha-hook"],
        "LifecycleHookName": "boot",
        "LifecycleTransition": launching,
    }
    facts = read(account)

    assert [one.name for one in facts.hooks if one.group == "alpha-asg"] == ["alpha-hook"]
    assert facts.ecs_own == 1


def test_without_a_role_the_plan_makes_one_and_changes_nothing_before() -> None:
    # A role that may not publish makes each instance go undrained at once.
    account = PlantedAccount()
    account.roles.clear()
    change = found(account)["alpha"].change
    assert change is not None
    commands = [one.command.split(" \\")[0] for one in change.steps]

    assert commands[:3] == [
        "aws iam create-role",
        "aws iam put-role-policy",
        "aws autoscaling put-lifecycle-hook",
    ]
    assert TOPIC in change.steps[1].command
    assert change.blocked


def test_the_role_of_another_group_is_not_taken() -> None:
    # It goes when that group's stack is deleted; then every instance here goes undrained at once.
    account = PlantedAccount()
    account.roles.clear()
    role = f"{ROLE}-of-attach"
    account.hooks["beta-asg"]["beta-hook"] |= {"NotificationTargetARN": TOPIC, "RoleARN": role}
    change = found(account)["alpha"].change
    assert change is not None

    assert change.put["RoleARN"] == ROLE
    assert change.blocked


def test_a_role_that_is_named_is_taken() -> None:
    account = PlantedAccount()
    account.roles.clear()
    facts = read(account, "drainer", f"{ROLE}-named")
    [alpha] = [one for one in findings(facts) if one.hook.name == "alpha-hook"]
    assert alpha.change is not None

    assert alpha.change.put["RoleARN"] == f"{ROLE}-named"
    assert not alpha.change.blocked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--apply", KEY, "--back", "a.json"], "--apply and --back exclude each other"),
        (["--back", "missing.json", "--region", "us-east-1"], "missing.json was not read"),
    ],
)
def test_what_is_typed_wrongly_is_one_line_on_stderr(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["adopt", *words])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {said}")
    assert result.stderr.count("\n") == 1


def test_reading_writes_nothing_and_shows_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The planted account refuses every call that is no read.
    run = Run(PlantedAccount(), tmp_path)

    assert run.adopt.show(as_json=False) == 0
    assert run.adopt.show(as_json=True) == 0
    printed = run.text + capsys.readouterr().out

    assert "hunter2" not in printed
    assert [*tmp_path.iterdir()] == []


def test_the_policy_for_operators_has_each_read(tmp_path: Path) -> None:
    # The advice for a denied read is to add a permission of that policy.
    account = PlantedAccount()
    Run(account, tmp_path).adopt.show(as_json=False)
    statements = json.loads((INFRA / "operator-policy.json").read_text("utf-8"))["Statement"]
    allowed = {action.partition(":")[2] for one in statements for action in one["Action"]}

    assert set(some(account.calls)) - allowed == set()


def test_the_first_line_answers_and_sentences_fit_the_screen(tmp_path: Path) -> None:
    account = PlantedAccount()
    account.states["alpha-asg"] = {f"i-{number:017x}": "Terminating:Wait" for number in range(5)}
    account.hooks["beta-asg"]["beta-hook"] |= {"NotificationTargetARN": TOPIC, "RoleARN": ROLE}
    account.patterns.clear()
    run = Run(account, tmp_path)
    run.adopt.show(as_json=False)
    lines = run.text.splitlines()

    assert lines[0] == (
        "3 hooks of old drainers in 5 groups, 1 of the drainer, 1 unknown, 0 of ECS."
    )
    assert not any("beta" in line for line in lines)
    assert "! alpha-asg/alpha-hook" in lines
    assert any(line.startswith("  waiting   5 now: i-") for line in lines)
    assert any(line.endswith("and 2 more") for line in lines)
    # Commands are pasted: they are not wrapped.
    assert [one for one in lines if len(one) > 80 and " --" not in one] == []


def test_json_has_one_object_for_each_hook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run(PlantedAccount(), tmp_path).adopt.show(as_json=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [one["hook"] for one in objects] == sorted(one.hook for one in PLANTED.values())
    assert objects[0]["put"]["NotificationTargetARN"] == TOPIC
    assert objects[0]["stack"] == "alpha-stack"


def test_apply_asks_and_then_makes_exactly_the_printed_call(tmp_path: Path) -> None:
    account = PlantedAccount(may_write=True)
    change = found(account)["alpha"].change
    assert change is not None
    run = Run(account, tmp_path)

    assert run.adopt.apply(KEY, yes=False, dry_run=False) == 0
    hook = account.hooks["alpha-asg"]["alpha-hook"]

    assert run.asked == [f"Change {KEY}?"]
    assert account.calls.count("PutLifecycleHook") == 1
    assert {name: hook[name] for name in change.put} == change.put
    assert "DeletionPolicy: Retain" in run.text


@pytest.mark.parametrize(("answer", "dry_run", "code"), [(False, False, 1), (True, True, 0)])
def test_without_a_yes_nothing_is_written(
    tmp_path: Path, answer: bool, dry_run: bool, code: int
) -> None:
    run = Run(PlantedAccount(), tmp_path, answer=answer)

    assert run.adopt.apply(KEY, yes=False, dry_run=dry_run) == code
    assert [*tmp_path.iterdir()] == []


def test_the_saved_way_back_restores_the_hook(tmp_path: Path) -> None:
    # An operator who goes back has no time to look up what the hook was.
    account = PlantedAccount(may_write=True)
    names = ("alpha", "delta")
    before = {name: dict(account.hooks[f"{name}-asg"][f"{name}-hook"]) for name in names}
    for name in names:
        run = Run(account, tmp_path)
        run.adopt.apply(f"{name}-asg/{name}-hook", yes=True, dry_run=False)
        assert run.asked == []
    files = sorted(tmp_path.iterdir())
    for file in files:
        assert Run(account, tmp_path).adopt.restore(file, yes=True, dry_run=False) == 0
    after = {name: dict(account.hooks[f"{name}-asg"][f"{name}-hook"]) for name in names}
    # PutLifecycleHook cannot take a role away; without a target it has no use.
    after["delta"].pop("RoleARN")

    assert [file.name for file in files] == [
        "drainer-adopt-alpha-asg-alpha-hook-20261122T120000Z.json",
        "drainer-adopt-delta-asg-delta-hook-20261122T120000Z.json",
    ]
    assert after == before


def test_a_saved_way_back_is_not_written_over(tmp_path: Path) -> None:
    # The second file would hold the drainer's hook, and the former one would be lost.
    account = PlantedAccount(may_write=True)
    Run(account, tmp_path).adopt.apply(KEY, yes=True, dry_run=False)
    account.hooks["alpha-asg"]["alpha-hook"] = PLANTED["alpha"].settings()

    assert Run(account, tmp_path).adopt.apply(KEY, yes=True, dry_run=False) == 1
    assert account.calls.count("PutLifecycleHook") == 1


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"region": "us-east-1", "put": {"AutoScalingGroupName": "a"}}',
        (
            '{"region": "us-east-1", "put": {"AutoScalingGroupName": "a", "LifecycleHookName": "b",'
            ' "NotificationTargetARN": "", "ForceDelete": true}}'
        ),
        (
            '{"region": "eu-west-1", "put": {"AutoScalingGroupName": "a", "LifecycleHookName": "b",'
            ' "NotificationTargetARN": ""}}'
        ),
    ],
    ids=["no JSON", "no object", "too little", "too much", "another Region"],
)
def test_a_file_that_is_no_way_back_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "back.json"
    file.write_text(text)

    assert Run(PlantedAccount(), tmp_path).adopt.restore(file, yes=True, dry_run=False) == 2


def test_a_hook_that_is_not_recognised_is_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # What its function does is not known: another owner may wait for the hook.
    account = PlantedAccount(may_write=True)
    account.planted["alpha"] = replace(PLANTED["alpha"], source={"index.py": "pass"}, actions=())

    assert Run(account, tmp_path).adopt.apply(KEY, yes=True, dry_run=False) == 1
    assert Run(account, tmp_path).adopt.apply("a/b", yes=True, dry_run=False) == 2
    assert "PutLifecycleHook" not in account.calls
    assert "its function was not recognised" in capsys.readouterr().err


def test_a_hook_that_differs_after_the_change_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Somebody's stack update came in between, and the change is not there.
    account = PlantedAccount(may_write=True)
    account.forgets = {"HeartbeatTimeout"}

    assert Run(account, tmp_path).adopt.apply(KEY, yes=True, dry_run=False) == 1
    assert "the hook differs in HeartbeatTimeout" in capsys.readouterr().err


def test_a_refused_change_is_an_error_and_the_hook_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # AWS sends a test message first, and refuses the change where the role may not send it.
    account = PlantedAccount(may_write=True)
    account.denied.add("PutLifecycleHook")

    assert Run(account, tmp_path).adopt.apply(KEY, yes=True, dry_run=False) == 1
    assert "the hook was not changed" in capsys.readouterr().err
    assert account.hooks["alpha-asg"]["alpha-hook"] == PLANTED["alpha"].settings()


def test_an_unreadable_part_is_a_value_with_a_reason() -> None:
    account = PlantedAccount()
    account.denied.add("GetFunctionRecursionConfig")
    listener, _ = found(account)["alpha"].hook.listeners

    assert not isinstance(listener.function, Unread)
    assert listener.function.recursive_loop == Unread("RecursiveLoop of alpha: AccessDenied")


def test_a_role_that_was_not_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    # "No role may notify the topic yet": a denied GetRole blocked the change for ever.
    account = PlantedAccount()
    account.denied.add("GetRole")
    change = found(account)["alpha"].change
    run = Run(account, tmp_path)

    assert change is not None
    assert "AccessDenied. Name a role with --role" in change.blocked
    assert run.adopt.show(as_json=False) == 4
    assert "No role may notify" not in run.text


@pytest.mark.parametrize("denied", ["ListRules", "ListTargetsByRule"])
def test_no_hook_is_changed_while_a_rule_may_tell_an_old_function(
    denied: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The old function went on to release instances early, and the command said what is left to do.
    account = PlantedAccount(may_write=True)
    account.denied.add(denied)
    run = Run(account, tmp_path)

    assert run.adopt.apply(KEY, yes=True, dry_run=False) == 4

    assert "PutLifecycleHook" not in account.calls
    assert "a rule may tell an old function" in capsys.readouterr().err


def test_a_function_that_was_not_read_fails_the_listing(tmp_path: Path) -> None:
    account = PlantedAccount()
    account.denied.add("GetFunction")

    assert Run(account, tmp_path).adopt.show(as_json=True) == 4


def test_groups_that_were_not_read_end_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = PlantedAccount()
    account.denied.add("DescribeAutoScalingGroups")

    assert guarded(lambda: Run(account, tmp_path).adopt.show(as_json=False)) == 4
    assert capsys.readouterr().err.startswith("error: DescribeAutoScalingGroups is denied")


def test_without_a_terminal_a_change_needs_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # It exited with 130 and no word.
    account = PlantedAccount(may_write=True)
    run = Run(account, tmp_path)
    adopt = replace(run.adopt, ask=None)

    assert adopt.apply(KEY, yes=False, dry_run=False) == 2
    assert "add --yes" in capsys.readouterr().err
    assert adopt.apply(KEY, yes=True, dry_run=False) == 0
