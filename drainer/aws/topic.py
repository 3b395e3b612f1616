"""The gateway to our own SNS topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, understood

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        answer = ask(
            self._client.publish_batch,
            TopicArn=self._topic_arn,
            PublishBatchRequestEntries=[
                {"Id": str(position), "Message": message}
                for position, message in enumerate(messages)
            ],
        )
        taken = {entry["Id"] for entry in answer["Successful"]}
        reasons = {
            failure["Id"]: f"{failure.get('Code')}: {failure.get('Message', '')}"
            for failure in answer.get("Failed", ())
        }
        return {
            position: reasons.get(str(position), "SNS did not confirm the message")
            for position in range(len(messages))
            if str(position) not in taken
        }
