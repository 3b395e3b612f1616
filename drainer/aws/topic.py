"""The gateways to SNS: our own topic, and the one that operators read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, understood

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
PUBLISH_MAX = 10


class TopicGateway:
    """Our topic, and no other."""

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    @understood
    def publish(self, messages: Sequence[str]) -> dict[int, str]:
        """Publish at most PUBLISH_MAX messages; return refusals by position."""
        entries = [{"Message": message} for message in messages]
        return _publish(self._client, self._topic_arn, entries)


class OperatorTopicGateway:
    """The topic that operators read."""

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    @understood
    def publish(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> dict[int, str]:
        """
        Publish at most PUBLISH_MAX messages; return refusals by position.

        Args:
            messages: Their subjects, and their texts by the protocol of a subscription, one of
                which is `default`.
        """
        # Escaped, a character of another script would take up to three times the bytes.
        entries = [
            {
                "Subject": subject,
                "Message": json.dumps(texts, ensure_ascii=False),
                "MessageStructure": "json",
            }
            for subject, texts in messages
        ]
        return _publish(self._client, self._topic_arn, entries)


def _publish(client: Any, topic_arn: str, entries: Iterable[Mapping[str, str]]) -> dict[int, str]:
    numbered = [{"Id": str(position), **entry} for position, entry in enumerate(entries)]
    answer = ask(client.publish_batch, TopicArn=topic_arn, PublishBatchRequestEntries=numbered)
    taken = {entry["Id"] for entry in answer["Successful"]}
    reasons = {
        failure["Id"]: f"{failure.get('Code')}: {failure.get('Message', '')}"
        for failure in answer.get("Failed", ())
    }
    return {
        position: reasons.get(str(position), "SNS did not confirm the message")
        for position in range(len(numbered))
        if str(position) not in taken
    }
