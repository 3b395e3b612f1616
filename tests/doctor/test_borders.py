"""
How bad each fault is, and the values at which a check turns.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.cli.doctor.verdicts import Verdict
from tests.doctor import faults
from tests.doctor.faults import FAULTS, metadata, of_group, of_hook, queue, reserved
from tests.doctor.healthy import Healthy
from tests.doctor.healthy_group import instance
from tests.doctor.names import CLUSTER, GROUP, IMAGE, NOW, TOPIC
from tests.doctor.past import ended
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Callable

# What does not leave instances undrained, or on their instance forever, is a warning.
WARNINGS = {
    "someone else subscribed",
    "no redrive policy",
    "mapping fails whole batches",
    "too little concurrency",
    "function errors",
    "throttles",
    "fast path disabled",
    "dead letters",
    "alarms without an action",
    "alarm actions off",
    "alarm topic without a listener",
    "listener not confirmed",
    "alarm deleted",
    "alarm rings",
    "hook outlives its group",
    "heartbeat under two sweeps",
    "deadline above the hook's limit",
    "ABANDON at the deadline retains nothing",
    "hook is deleted before its group",
    "managed draining beside",
    "aws-cdk's drain hook beside",
    "sample beside",
    "other hook's target deleted",
    "instance in no cluster",
    "port on each instance",
    "two services on one port",
    "slow to stop on Spot",
    "the same by a launch configuration",
    "simple scaling",
    "protection of an unmanaged provider",
    "scale-in protection left over",
    "new instances protected",
    "terminates first",
    "terminates 10 % first",
    "terminating suspended",
    "instance retained",
    "image old",
    "ABANDON beside another hook",
    "metadata names another cluster",
}


def test_what_leaves_instances_undrained_is_wrong_and_the_rest_a_warning() -> None:
    # A pipeline stops at "wrong": what is not must not be in its way.
    found: set[str] = set()
    for name, plant, checks in some(FAULTS):
        account = Healthy()
        plant(account)
        results = [one for one in account.results(GROUP) if one.check in checks]
        if any(one.finding.verdict == Verdict.WARNING for one in results):
            found.add(name)

    assert found == WARNINGS


def made_before(days: int) -> Callable[[Healthy], None]:
    return lambda account: account.images.update({IMAGE: NOW - timedelta(days=days, hours=5)})


def drained_for(seconds: float) -> Callable[[Healthy], None]:
    def plant(account: Healthy) -> None:
        metadata(cluster=CLUSTER, drain_timeout_seconds=3_600)(account)
        account.records.append(ended(seconds=seconds))

    return plant


def alternatively(*plants: Callable[[Healthy], None]) -> Callable[[Healthy], None]:
    def plant(account: Healthy) -> None:
        for one in plants:
            one(account)

    return plant


WRONG_UNTIL: list[tuple[Callable[[Healthy], None], set[str]]] = [
    (made_before(90), set()),
    (made_before(91), {"image"}),
    (of_hook(HeartbeatTimeout=601), set()),
    (of_hook(HeartbeatTimeout=600), {"heartbeat"}),
    (drained_for(3_599), set()),
    (drained_for(3_600), {"heartbeat"}),
    (reserved(10), set()),
    (reserved(9), {"function"}),
    (queue("WaitQueue", VisibilityTimeout="180"), set()),
    (queue("WaitQueue", VisibilityTimeout="179"), {"queues"}),
    (queue("DeadLetterQueue", VisibilityTimeout="1"), set()),
    (queue("DeadLetterQueue", ApproximateNumberOfMessages="1"), {"dead-letters"}),
    (faults.metric("errors", 1.0), {"function-errors"}),
    (faults.metric("invocations", 1.0), set()),
    (faults.mapping(State="Updating"), set()),
    (faults.alarm(StateValue="INSUFFICIENT_DATA"), set()),
    # An action that is no topic runs something, which is a listener.
    (faults.alarm(AlarmActions=["arn:aws:lambda:eu-central-1:123456789012:function:f"]), set()),
    # Retention makes ABANDON at the deadline mean what it says.
    (
        alternatively(
            metadata(cluster=CLUSTER, deadline_result="ABANDON"),
            of_group(
                InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
            ),
        ),
        set(),
    ),
    # An instance that leaves may be in no cluster any more.
    (
        lambda account: account.groups[0]["Instances"].append(
            {**instance("i-0e20d7a4c18f9b563"), "LifecycleState": "Terminating:Wait"}
        ),
        set(),
    ),
    # ABANDON ends no other hook where there is none.
    (of_hook(DefaultResult="ABANDON"), set()),
    (of_hook(NotificationMetadata=CLUSTER), set()),
    (lambda account: faults.own(account).pop("NotificationMetadata"), set()),
    (of_group(SuspendedProcesses=[{"ProcessName": "AZRebalance"}]), set()),
]


@pytest.mark.parametrize(("plant", "checks"), WRONG_UNTIL)
def test_a_check_turns_at_its_border(plant: Callable[[Healthy], None], checks: set[str]) -> None:
    account = Healthy()
    plant(account)

    assert account.found(GROUP) == checks


@pytest.mark.parametrize(("timeout", "verdict"), [(44, Verdict.WRONG), (45, Verdict.WARNING)])
def test_three_passes_fit_into_a_heartbeat_timeout(timeout: int, verdict: Verdict) -> None:
    account = Healthy()
    of_hook(HeartbeatTimeout=timeout)(account)

    found = [one for one in account.results(GROUP) if one.check == "heartbeat"]

    assert [one.finding.verdict for one in found] == [verdict]


def test_the_limit_of_a_hook_leaves_three_minutes_for_the_answer() -> None:
    account = Healthy()
    of_hook(GlobalTimeout=70_000, HeartbeatTimeout=700)(account)
    account.records.append(ended(seconds=69_819))
    assert account.found(GROUP) == set()

    account.records.append(ended(seconds=69_820, instance="i-2"))
    assert account.found(GROUP) == {"heartbeat"}


def test_a_managed_provider_protects_its_instances_on_purpose() -> None:
    account = Healthy()
    faults.unmanaged(account)
    provider = account.providers[0]["autoScalingGroupProvider"]
    provider["managedTerminationProtection"] = "ENABLED"

    assert account.found(GROUP) == set()


def test_an_unknown_list_is_cut_and_counted() -> None:
    account = Healthy()
    account.groups[0]["Instances"] += [
        {**instance(f"i-{count}"), "LifecycleState": "Terminating:Retained"} for count in range(7)
    ]

    (found,) = [one for one in account.results(GROUP) if one.check == "retained"]

    sentence = "Terminating:Retained: i-0, i-1, i-2, i-3, i-4 and 2 more."
    assert found.finding.sentence == sentence


def test_without_the_fast_path_a_stack_has_fewer_queues_and_another_filter() -> None:
    # UseFastPath=false: what is not there is not missing.
    account = Healthy()
    for name in ("QuietQueue", "WakeUpQueue", "FastPath", "StoppedTasks", "QuietSubscription"):
        url = account.resources.pop(name)
        account.queues.pop(url, None)
        account.rules.pop(url, None)
    account.mappings = [
        one for one in account.mappings if not one["EventSourceArn"].endswith(("Quiet", "WakeUp"))
    ]
    listed = account.subscriptions[TOPIC]
    listed[:] = [one for one in listed if "QuietQueue" not in one["Endpoint"]]
    for one in listed:
        if "WaitQueue" in one["Endpoint"]:
            one["attributes"]["FilterPolicy"] = '{"drainer": ["re-invocation"]}'

    assert account.found(GROUP) == set()
