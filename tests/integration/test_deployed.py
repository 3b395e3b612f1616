"""
The shipped templates and the zip in the embedded account, with nothing of ours called directly.

Three EC2 instances leave one group at once. The notification of the first goes its way; that of the
second is delivered twice; that of the third arrives in a batch between messages that make no sense.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drainer.cli.account.reader import Reader, Unread
from drainer.cli.doctor import judge, table
from drainer.cli.doctor.read_account import Wanted, read_account
from drainer.cli.doctor.verdicts import Verdict
from drainer.cli.history.past import PHASES
from drainer.cli.history.read_past import read_past
from drainer.simulation.embedded.account import REGION, EmbeddedAccount
from drainer.simulation.embedded.installation import Installation, install, warm_up
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.template import read_template
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.simulation.embedded.watch import DrainTrack
    from drainer.simulation.records import Notification

INFRA = Path(__file__).resolve().parents[2] / "infra"
# A drain takes 420 of the account's seconds. While the function is at work, time passes as it does
# here; in between, as fast as leaves SNS and SQS the milliseconds that they take.
FACTOR = 60.0
# Bounds a test that hangs, and nothing else; no test asserts real time.
REAL_SECONDS_MAX = 300.0
# Replacement healthy +60 s, deregistration 300 s, stop 30 s: the service's tasks are gone at
# +390 s; only then does the daemon begin to leave, which takes 20 s.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
TASKS_GONE_SECONDS = 410.0
# A pass interval, and what a busy machine's second is in the account's time.
ANSWERED_WITHIN_SECONDS = 120.0
QUEUES = ("NoticeQueueUrl", "WaitQueueUrl")
DEAD_LETTER_QUEUES = ("DeadLetterQueueUrl",)

NONSENSE = {
    "malformed JSON": "{",
    "an empty notification": "{}",
    "a test notification": json.dumps({"Event": "autoscaling:TEST_NOTIFICATION"}),
    "a launch": json.dumps(
        {
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "AutoScalingGroupName": "shop",
            "LifecycleHookName": "launching",
            "EC2InstanceId": "i-00000000000000001",
            "LifecycleActionToken": "00000000-0000-4000-8000-000000000000",
        }
    ),
}


@dataclass
class Deployed:
    """The account, what is deployed in it, and the drains that were started."""

    account: EmbeddedAccount
    installation: Installation
    first: str = ""
    doubled: str = ""
    crowded: str = ""
    nonsense_ids: tuple[tuple[str, str], ...] = ()

    def drain(self, ec2_instance_id: str) -> DrainTrack:
        """Return the one drain of an instance."""
        tracks = self.installation.watch.look()
        (track,) = (one for one in tracks if one.ec2_instance_id == ec2_instance_id)
        return track

    def log_lines(self) -> list[dict[str, Any]]:
        """Return every JSON line of the function's log."""
        pages = self.account.client("logs").get_paginator("filter_log_events")
        name = self.installation.drainer.outputs["LogGroupName"]
        messages = [
            event["message"]
            for page in pages.paginate(logGroupName=name)
            for event in page["events"]
        ]
        return [json.loads(message) for message in messages if message.startswith("{")]

    def messages_in(self, queue_url: str) -> int:
        """Return how many messages a queue holds, seen by consumers or not."""
        answer = self.account.client("sqs").get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["All"]
        )
        names = ("", "NotVisible", "Delayed")
        return sum(int(answer["Attributes"][f"ApproximateNumberOfMessages{one}"]) for one in names)

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Wait for something that has to come to pass."""
        deadline = time.monotonic() + REAL_SECONDS_MAX
        while not done():
            assert time.monotonic() < deadline, self.account.log_tail()
            time.sleep(0.25)


@pytest.fixture(scope="module")
def deployed(embedded_zip: Path) -> Iterator[Deployed]:
    """Deploy, and let three instances leave; all drains are over when the tests begin."""
    with EmbeddedAccount(factor=FACTOR) as account:
        installation = install(
            account,
            infra=INFRA,
            zip_file=embedded_zip,
            # By its chain alone: with the fast path most passes of so long a drain are spared.
            drainer_parameters={"UseFastPath": "false"},
            cluster_parameters={"InstanceCount": "6", "InstanceCountMax": "6", "TaskCount": "12"},
            physics=Physics(),
        )
        warm_up(account, installation)
        whole = Deployed(account, installation)
        scale_in(whole)
        whole.wait_until(
            lambda: sum(one.answered_at is not None for one in installation.watch.look()) == 3
        )
        whole.wait_until(lambda: not any(whole.messages_in(url(whole, name)) for name in QUEUES))
        yield whole


def url(deployed: Deployed, output: str) -> str:
    """Return the URL of a queue by the name of the stack's output."""
    return deployed.installation.drainer.outputs[output]


def scale_in(deployed: Deployed) -> None:
    """Let three instances leave, and interfere with how their notifications arrive."""
    account = deployed.account
    group_name = deployed.installation.shape.group.name
    auto_scaling = account.client("autoscaling")
    answer = auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group_name])
    instances = answer["AutoScalingGroups"][0]["Instances"]
    deployed.first, deployed.doubled, deployed.crowded = (
        instance["InstanceId"] for instance in instances[:3]
    )
    withheld: list[Notification] = []

    def deliver(notification: Notification) -> None:
        leaving = notification.message.get("EC2InstanceId")
        if leaving == deployed.crowded:
            withheld.append(notification)
            return
        account.publish(notification)
        if leaving == deployed.doubled:
            account.publish(notification)

    account.account.on_notification[:] = [deliver]
    auto_scaling.set_desired_capacity(AutoScalingGroupName=group_name, DesiredCapacity=3)
    deployed.nonsense_ids = send_among_nonsense(deployed, withheld[0])


def send_among_nonsense(
    deployed: Deployed, notification: Notification
) -> tuple[tuple[str, str], ...]:
    """
    Put a notification and messages without a sense into the queue of notifications, in one batch.
    """
    topic_arn = deployed.installation.drainer.outputs["TopicArn"]
    texts = {**NONSENSE, "good": json.dumps(notification.message)}
    wrapped = {
        name: json.dumps({"Type": "Notification", "TopicArn": topic_arn, "Message": text})
        for name, text in texts.items()
    }
    wrapped["no envelope of SNS"] = "not JSON at all"
    answer = deployed.account.client("sqs").send_message_batch(
        QueueUrl=url(deployed, "NoticeQueueUrl"),
        Entries=[
            {"Id": str(position), "MessageBody": body}
            for position, body in enumerate(wrapped.values())
        ],
    )
    names = list(wrapped)
    return tuple(
        (names[int(entry["Id"])], entry["MessageId"])
        for entry in answer["Successful"]
        if names[int(entry["Id"])] != "good"
    )


def assert_well_drained(track: DrainTrack) -> None:
    """Assert the promise: answered by the drainer, after the last task and not much later."""
    assert (track.action.ended_by, track.action.result) == ("completed", "CONTINUE")
    assert track.killed == []
    assert track.answered_at is not None
    assert track.last_stopped_at is not None

    took = (track.answered_at - track.action.started_at).total_seconds()
    assert took >= TASKS_GONE_SECONDS
    assert (track.answered_at - track.last_stopped_at).total_seconds() >= 0
    assert (track.answered_at - track.last_stopped_at).total_seconds() <= ANSWERED_WITHIN_SECONDS


def answers(deployed: Deployed, ec2_instance_id: str) -> list[str | None]:
    """Return how Auto Scaling took each answer for an instance: None, or the error's code."""
    with deployed.account.lock:
        return [
            call.error
            for call in deployed.account.account.calls
            if call.operation == "CompleteLifecycleAction"
            and call.parameters["InstanceId"] == ec2_instance_id
        ]


def passes(deployed: Deployed, ec2_instance_id: str) -> list[dict[str, Any]]:
    """Return the function's log lines about an instance."""
    return [
        line
        for line in deployed.log_lines()
        if line.get("message") == "pass" and line["ec2_instance_id"] == ec2_instance_id
    ]


def test_an_instance_leaves_only_after_its_last_task_and_then_soon(deployed: Deployed) -> None:
    # Answered while targets deregister, requests are cut: what every sample does at +60 s.
    assert_well_drained(deployed.drain(deployed.first))
    assert answers(deployed, deployed.first) == [None]


def test_defect_13_the_chain_of_reinvocations_goes_far_beyond_sixteen_hops(
    deployed: Deployed,
) -> None:
    # A chain that ends at sixteen hops leaves the instance hanging after four minutes.
    assert max(line["hop"] for line in passes(deployed, deployed.first)) > 16


def test_defect_15_a_notification_delivered_twice_is_one_drain_with_one_chain(
    deployed: Deployed,
) -> None:
    # Two chains double the calls for as long as the drain takes, and answer twice.
    assert_well_drained(deployed.drain(deployed.doubled))
    assert answers(deployed, deployed.doubled) == [None]

    re_invoked = Counter(
        line["hop"]
        for line in passes(deployed, deployed.doubled)
        if "re-invoke" in line["step"] and "duplicate" not in line["step"]
    )
    # The first passes run side by side and may not see one another; the later ones must.
    assert all(count == 1 for hop, count in re_invoked.items() if hop > 8)


def test_defect_16_each_senseless_message_gets_one_line_and_spoils_nothing(
    deployed: Deployed,
) -> None:
    # A message that raises for ever takes the good ones of its batch along.
    lines = Counter(
        line["record_id"]
        for line in deployed.log_lines()
        if line.get("message") in ("refused", "ignored")
    )
    assert len(deployed.nonsense_ids) == len(NONSENSE) + 1
    assert {name: lines[one] for name, one in deployed.nonsense_ids} == {
        name: 1 for name, _ in deployed.nonsense_ids
    }
    assert_well_drained(deployed.drain(deployed.crowded))


def test_nothing_is_left_in_any_queue_and_no_invocation_failed(deployed: Deployed) -> None:
    # A dead letter is a drain that nobody follows.
    left = {name: deployed.messages_in(url(deployed, name)) for name in DEAD_LETTER_QUEUES}
    assert left == dict.fromkeys(DEAD_LETTER_QUEUES, 0)
    assert [one for one in deployed.log_lines() if one.get("message") == "crashed"] == []
    assert deployed.account.failures == []


def test_the_doctor_finds_no_fault_but_what_the_account_cannot_show(deployed: Deployed) -> None:
    # A check that finds a fault in what is shipped would be skipped by everyone.
    reader = Reader(deployed.account.client, time.sleep)
    wanted = Wanted("drainer", REGION)

    found = read_account(reader, wanted, deployed.account.time.now())

    assert not isinstance(found, Unread), found
    results = judge.run(found, frozenset(table.NAMES))
    by_verdict = {
        verdict: {one.check for one in results if one.finding.verdict == verdict}
        for verdict in Verdict
    }
    # ministack ignores RecursiveLoop and has no metrics of Lambda. The simulated group names no
    # launch template and has no policies. What is deployed here has no AlarmTopicArn and no
    # maintenance policy.
    assert by_verdict[Verdict.WRONG] == {"recursion", "sweep"}
    assert by_verdict[Verdict.WARNING] == {"alarms", "launch-before-terminate"}
    assert by_verdict[Verdict.NOT_READ] == {"image", "scaling-policies", "stop-time"}
    assert len(by_verdict[Verdict.OK]) == len(table.NAMES) - 7


def test_the_history_has_each_drain_with_its_phases(deployed: Deployed) -> None:
    reader = Reader(deployed.account.client, time.sleep)
    now = deployed.account.time.now()

    found = read_past(reader, "drainer", now - timedelta(days=1), now)

    assert not isinstance(found, Unread), found
    assert (found.malformed, found.log) == (0, "")
    instances = {deployed.first, deployed.doubled, deployed.crowded}
    assert {one.instance for one in found.drains} == instances
    for one in some(found.drains):
        assert (one.decision, one.left) == ("drained", 0)
        phases = {span.phase: span.seconds for span in one.spans}
        assert {"draining", "closing"} <= {*phases} <= {*PHASES}
        # The service's tasks are replaced before they stop, and the daemon leaves last.
        assert max(phases, key=lambda phase: phases[phase]) == "draining"
        assert one.seconds >= TASKS_GONE_SECONDS
        assert max(one.waits, key=lambda owner: one.waits[owner]).endswith("DaemonService")


def test_a_notification_that_always_fails_becomes_a_dead_letter(deployed: Deployed) -> None:
    # Lost without a trace, its instance would wait for the hook's timeout and nobody would know.
    account = deployed.account
    broken = account.deployment().create_stack("broken", read_template(INFRA / "drainer.yaml"), {})
    account.client("lambda").update_function_configuration(
        FunctionName=broken.physical_ids["Function"],
        Environment={"Variables": {"DRAINER_DEADLINE_RESULT": "NEITHER"}},
    )
    sqs = account.client("sqs")
    # The six minutes between two attempts are the only thing that is shortened.
    sqs.set_queue_attributes(
        QueueUrl=broken.outputs["NoticeQueueUrl"], Attributes={"VisibilityTimeout": "20"}
    )
    message = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "EC2InstanceId": "i-00000000000000001",
    }
    account.client("sns").publish(TopicArn=broken.outputs["TopicArn"], Message=json.dumps(message))

    dead_letters = broken.outputs["DeadLetterQueueUrl"]
    deployed.wait_until(lambda: deployed.messages_in(dead_letters) == 1)
    assert deployed.messages_in(broken.outputs["NoticeQueueUrl"]) == 0
