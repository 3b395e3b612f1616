"""
Which hooks are the drainer's, and what is said of hooks that EventBridge serves.
"""

from __future__ import annotations

import json
import re
from typing import Any

from typer.main import get_command

from drainer.cli.app import app
from tests.doctor.faults import FAULTS, own
from tests.doctor.healthy import Healthy
from tests.doctor.healthy_group import hook
from tests.doctor.names import CLUSTER, GROUP, arn
from tests.doctor.past import ended
from tests.loops import some

GONE = arn("sns", "drainer-Topic-0000")


def test_a_hook_whose_topic_is_gone_is_known_by_its_metadata() -> None:
    # The stack was made again, and this hook was forgotten: no group needs to be named to find it.
    account = Healthy()
    own(account).update(LifecycleHookName="mine", NotificationTargetARN=GONE)

    assert account.found() == {"hook-target"}


def test_a_hook_whose_topic_is_gone_is_known_by_its_name() -> None:
    account = Healthy()
    own(account).update(NotificationTargetARN=GONE, NotificationMetadata=CLUSTER)

    assert account.found() == {"hook-target"}


def test_a_hook_of_another_tool_is_not_the_drainers() -> None:
    # Its target may be a queue, which no one asks here whether it exists.
    account = Healthy()
    account.hooks[GROUP].append(hook("log-shipper", arn("sqs", "logs")))

    assert account.found() == set()
    assert len([one for one in account.results() if one.check == "hook-target"]) == 1


def test_a_hook_without_a_target_is_fine_only_if_the_stack_serves_eventbridge() -> None:
    account = Healthy()
    for name in ("NotificationTargetARN", "RoleARN"):
        del own(account)[name]
    assert account.found() == {"hook-target"}

    rule = "drainer-EventBridgeNotices-1K2J"
    account.resources["EventBridgeNotices"] = rule
    account.kinds["EventBridgeNotices"] = "AWS::Events::Rule"
    account.rules[rule] = {"Name": rule, "State": "ENABLED"}
    assert account.found() == set()


def test_the_longest_of_all_drains_is_compared() -> None:
    account = Healthy()
    metadata = {"cluster": CLUSTER, "drain_timeout_seconds": 3_600}
    own(account)["NotificationMetadata"] = json.dumps(metadata)
    account.records += [
        ended(seconds=60, instance="i-1"),
        ended(seconds=3_700, instance="i-2"),
        ended(seconds=90, instance="i-3"),
    ]

    (found,) = [one for one in account.results(GROUP) if one.check == "heartbeat"]

    assert found.finding.sentence == "A drain here lasted 1h01m, and at most 1h is allowed."
    options = "--heartbeat-timeout-seconds 1800 --drain-timeout-seconds 7400"
    assert found.finding.fix == f"drainer attach {GROUP} {options}"


def test_a_hook_in_its_groups_own_template_is_changed_there() -> None:
    # `drainer attach` would make a second hook beside it.
    account = Healthy()
    account.imports.clear()
    own(account).update(HeartbeatTimeout=300)

    (found,) = [one for one in account.results(GROUP) if one.check == "heartbeat"]

    assert found.finding.fix == (
        "Change the hook drainer where it was made: --heartbeat-timeout-seconds 1800"
    )


def test_each_fix_that_is_a_command_of_the_drainer_can_be_typed() -> None:
    # A fix that the command line does not know is found at three in the morning.
    fixes: list[str] = []
    for _, plant, _ in FAULTS:
        account = Healthy()
        plant(account)
        fixes += [one.finding.fix for one in account.results(GROUP)]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {name for command in commands.values() for name in _names(command)}

    pattern = re.compile(r"(?:^|then |: )drainer (\w+)([^,.]*)")
    typed = [words for fix in some(fixes) for words in pattern.findall(fix)]
    assert {command for command, _ in typed} >= {"attach", "detach", "doctor", "redrive"}
    for command, rest in some(typed):
        assert command in commands
        assert set(re.findall(r"--[a-z-]+", rest)) <= options


def _names(command: Any) -> list[str]:
    return [name for one in command.params for name in one.opts]


def test_drains_of_other_groups_say_nothing_of_this_one() -> None:
    account = Healthy()
    account.records.append(ended(seconds=172_800, group="web-asg"))

    assert account.found(GROUP) == set()


def test_a_deadline_that_is_just_the_hooks_limit_is_fine() -> None:
    account = Healthy()
    metadata = {"cluster": CLUSTER, "drain_timeout_seconds": 69_820}
    own(account).update(
        NotificationMetadata=json.dumps(metadata), HeartbeatTimeout=700, GlobalTimeout=70_000
    )

    assert account.found(GROUP) == set()


def test_a_long_pass_interval_keeps_the_delay_of_quiet_drains() -> None:
    # The template gives that queue 75 s, whatever the interval is.
    account = Healthy()
    account.variables["DRAINER_PASS_INTERVAL_SECONDS"] = "100"
    account.queues[account.resources["WaitQueue"]]["DelaySeconds"] = "100"

    assert account.found(GROUP) == set()
