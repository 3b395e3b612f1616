"""
What is said of each subscription that is missing or misled, and of a queue's wrong numbers.
"""

from __future__ import annotations

import pytest

from tests.doctor.faults import queue
from tests.doctor.healthy import FAULTS, Healthy
from tests.doctor.names import TOPIC, queue_arn


def sentences(account: Healthy) -> list[tuple[str, str, str]]:
    """
    Return check, sentence and fix of each fault.
    """
    faulty = (one for one in account.results() if one.finding.verdict in FAULTS)
    return [(one.check, one.finding.sentence, one.finding.fix) for one in faulty]


@pytest.mark.parametrize(
    ("name", "what", "queue_name"),
    [
        ("NoticeSubscription", "notifications and requests of CloudFormation", "NoticeQueue"),
        ("EnvelopeSubscription", "re-invocations", "WaitQueue"),
        ("QuietSubscription", "quiet re-invocations", "QuietQueue"),
    ],
)
def test_a_missing_subscription_is_named_by_what_it_delivers(
    name: str, what: str, queue_name: str
) -> None:
    account = Healthy()
    listed = account.subscriptions[TOPIC]
    listed[:] = [one for one in listed if f":{name}:" not in one["SubscriptionArn"]]

    (found,) = sentences(account)

    sentence = f"No subscription of the topic delivers {what} to {queue_name}."
    assert found[:2] == ("subscriptions", sentence)


def test_messages_that_go_to_each_others_queue_are_found() -> None:
    # Every re-invocation would come 75 s late, and every quiet one five times too often.
    account = Healthy()
    exchanged = {queue_arn("WaitQueue"): "QuietQueue", queue_arn("QuietQueue"): "WaitQueue"}
    for one in account.subscriptions[TOPIC]:
        if one["Endpoint"] in exchanged:
            one["Endpoint"] = queue_arn(exchanged[one["Endpoint"]])

    assert [one[0] for one in sentences(account)] == ["subscriptions", "subscriptions"]


@pytest.mark.parametrize(
    ("name", "change", "fix"),
    [
        ("WaitQueue", {"DelaySeconds": "0"}, "DelaySeconds=15"),
        ("QuietQueue", {"DelaySeconds": "15"}, "DelaySeconds=75"),
        ("NoticeQueue", {"DelaySeconds": "1"}, "DelaySeconds=0"),
        ("WakeUpQueue", {"DelaySeconds": "1"}, "DelaySeconds=0"),
        ("WaitQueue", {"VisibilityTimeout": "30"}, "VisibilityTimeout=181"),
    ],
)
def test_a_queues_wrong_number_is_set_by_the_command_that_is_shown(
    name: str, change: dict[str, str], fix: str
) -> None:
    account = Healthy()
    queue(name, **change)(account)

    (found,) = sentences(account)

    command = f"aws sqs set-queue-attributes --queue-url {account.resources[name]} --attributes"
    assert (found[0], found[2]) == ("queues", f"{command} {fix}")
