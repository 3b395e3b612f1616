"""
Our topic: ten at a time, each accepted or refused for itself, and no topic but ours.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from drainer.aws.topic import PUBLISH_MAX
from drainer.errors import MisconfiguredError

if TYPE_CHECKING:
    from tests.contract.faces import Face


def test_ten_messages_are_one_call(face: Face) -> None:
    arn = face.topic("drainer")
    messages = [json.dumps({"hop": number}) for number in range(PUBLISH_MAX)]

    refusals = face.our_topic(arn).publish(messages)

    assert refusals == {}
    assert face.published(arn) == PUBLISH_MAX
    (asked,) = face.asked
    entries = asked.parameters["PublishBatchRequestEntries"]
    assert [entry["Message"] for entry in entries] == messages


# A refusal taken for another message's loses a drain's chain, or doubles one.
@pytest.mark.moto_fault("publish_batch takes an empty message")
def test_a_refusal_is_told_by_the_messages_position(face: Face) -> None:
    arn = face.topic("drainer")

    refusals = face.our_topic(arn).publish(["{}", "", "{}", ""])

    assert sorted(refusals) == [1, 3]
    assert "Empty message" in refusals[1]
    assert face.published(arn) == 2


def test_eleven_messages_are_an_error(face: Face) -> None:
    arn = face.topic("drainer")

    with pytest.raises(MisconfiguredError, match="TooManyEntries"):
        face.our_topic(arn).publish(["{}"] * (PUBLISH_MAX + 1))

    assert face.published(arn) == 0


# Whoever can send us a message could otherwise send our re-invocations wherever he likes.
def test_defect_17_a_topic_named_in_a_message_gets_nothing(face: Face) -> None:
    ours, theirs = face.topic("drainer"), face.topic("theirs")

    face.our_topic(ours).publish([json.dumps({"TopicArn": theirs, "topic_arn": theirs})])

    assert (face.published(ours), face.published(theirs)) == (1, 0)
    assert [one.parameters["TopicArn"] for one in face.asked] == [ours]


def test_a_missing_topic_is_an_error(face: Face) -> None:
    arn = face.topic("drainer")

    with pytest.raises(MisconfiguredError, match="NotFound"):
        face.our_topic(f"{arn}-gone").publish(["{}"])


def test_operators_get_a_subject_and_a_text_for_each_protocol(face: Face) -> None:
    arn = face.topic("ops")
    texts = {"default": "one", "email": "two", "https": '{"version": "1.0"}'}

    refusals = face.operator_topic(arn).publish([("drainer: it nears its deadline", texts)])

    assert refusals == {}
    assert face.published(arn) == 1
    (asked,) = face.asked
    (entry,) = asked.parameters["PublishBatchRequestEntries"]
    assert (entry["Subject"], entry["MessageStructure"]) == (
        "drainer: it nears its deadline",
        "json",
    )
    assert json.loads(entry["Message"]) == texts
