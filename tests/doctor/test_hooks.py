"""
Which hooks are the drainer's, and what is said of hooks that EventBridge serves.
"""

from __future__ import annotations

import json

from tests.doctor.faults import own
from tests.doctor.healthy import Healthy
from tests.doctor.healthy_group import hook
from tests.doctor.names import CLUSTER, GROUP, arn
from tests.doctor.past import ended

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
    assert found.finding.fix.endswith("DrainTimeoutSeconds=7400")


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
