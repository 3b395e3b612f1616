"""
SNS: a topic, its subscriptions with filter policies, and the two operations that publish.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError, parsed, stamp
from drainer.simulation.services.messaging.channel import Channel
from drainer.simulation.services.messaging.functions import Function

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.records import Notification
    from drainer.simulation.services.messaging.queues import Queue

# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
ENTRIES_MAX = 10
PUBLISH_BYTES_MAX = 262_144
# "must be less than 100 characters long"
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT_CHARACTERS_MAX = 100

# A filter policy: for each key of the body one of these values, or whether the key is there.
# https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
FilterValue = str | bool | Mapping[str, bool]
Terms = Mapping[str, Sequence[FilterValue]]
# Or "$or" alone, and terms of which one set must match.
# https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
OR = "$or"
Policy = Terms | Mapping[str, Sequence[Terms]]


@dataclass(frozen=True, slots=True)
class Publication:
    """One message on its way to a topic's subscribers."""

    message_id: str
    topic_arn: str
    message: str
    subject: str | None
    timestamp: str


@dataclass(slots=True, eq=False)
class Subscription:
    """An endpoint, what of the topic it wants, and the channel that leads there."""

    arn: str
    endpoint: Queue | Function
    filter_policy: Policy | None
    channel: Channel[Publication]

    def wants(self, message: str) -> bool:
        """
        Judge a message by a filter policy of scope MessageBody: each key has one of the values.

        "FilterPolicyScope: MessageBody" takes well-formed JSON only.
        https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering-scope.html
        """
        if self.filter_policy is None:
            return True
        body = _body(message)
        any_of: Any = self.filter_policy.get(OR, [self.filter_policy])
        return body is not None and any(_match(body, terms) for terms in any_of)


def _body(message: str) -> Mapping[str, Any] | None:
    """Return a message's JSON object, None if it is none."""
    try:
        body = parsed(message)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _match(body: Mapping[str, Any], terms: Terms) -> bool:
    return all(
        any(_matches(body, name, value) for value in values) for name, values in terms.items()
    )


def _matches(body: Mapping[str, Any], name: str, value: FilterValue) -> bool:
    if isinstance(value, dict):
        return (name in body) is value["exists"]
    return name in body and body[name] == value


class Topic:
    """
    A standard topic.

    Attributes:
        filters_apply_at: from when on the subscriptions' filter policies are in effect.
        published: how many messages have come in.
        unwanted: how many of them no subscription wanted.
    """

    def __init__(self, account: Account, name: str, *, arn: str | None = None) -> None:
        self._account = account
        self.arn = arn or account.arn("sns", name)
        self.subscriptions: list[Subscription] = []
        self.filters_apply_at = account.now
        self.published = 0
        self.unwanted = 0

    def subscribe(
        self,
        endpoint: Queue | Function,
        filter_policy: Policy | None = None,
    ) -> Subscription:
        """
        Subscribe a queue or a function.

        Raises:
            ApiError: It is subscribed already, with another filter policy. Of this error public
                threads tell, such as https://github.com/localstack/localstack/issues/8816.
        """
        there = [one for one in self.subscriptions if one.endpoint is endpoint]
        if any(one.filter_policy != filter_policy for one in there):
            message = "Attributes Reason: Subscription already exists with different attributes"
            raise ApiError("InvalidParameter", f"Invalid parameter: {message}")
        if there:
            return there[0]
        arn = f"{self.arn}:{self._account.uuid()}"

        def deliver(publication: Publication) -> None:
            if isinstance(endpoint, Function):
                endpoint.invoke_asynchronously(_function_event(publication, arn))
            else:
                endpoint.send(json.dumps(_queue_body(publication, arn)))

        subscription = Subscription(arn, endpoint, filter_policy, Channel(self._account, deliver))
        self.subscriptions.append(subscription)
        return subscription

    def publish(self, message: str, subject: str | None = None) -> str:
        """
        Send a message to every subscription that wants it; return its id.

        "Additions or changes to a subscription filter policy require up to 15 minutes to fully
        take effect."
        https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html
        """
        self.published += 1
        now = stamp(self._account.now)
        publication = Publication(self._account.uuid(), self.arn, message, subject, now)
        filtered = self._account.now >= self.filters_apply_at
        wanting = [one for one in self.subscriptions if not filtered or one.wants(message)]
        self.unwanted += not wanting
        spent = self._account.spent()
        for subscription in wanting:
            if spent:
                # What an invocation publishes leaves when its calls have come so far.
                self._account.after(
                    spent,
                    lambda one=subscription: one.channel.send(publication),  # type: ignore[misc]
                )
            else:
                subscription.channel.send(publication)
        return publication.message_id


class SnsApi:
    """SNS's operations, and the way in for Auto Scaling's notifications."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.topics: dict[str, Topic] = {}
        self._deleted: set[str] = set()
        account.apis["sns"] = self
        account.on_notification.append(self._take)

    def create_topic_named(self, name: str) -> Topic:
        """Create a topic."""
        topic = Topic(self._account, name)
        self.topics[topic.arn] = topic
        return topic

    def publish(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Publish one message."""
        topic = self._topic(parameters.get("TopicArn"))
        subject = parameters.get("Subject")
        _check_message(parameters["Message"], subject)
        return {"MessageId": topic.publish(parameters["Message"], subject)}

    def publish_batch(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Publish up to ten messages; each succeeds or fails for itself."""
        topic = self._topic(parameters["TopicArn"])
        entries = parameters["PublishBatchRequestEntries"]
        _check_entries(entries)
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for entry in entries:
            try:
                _check_message(entry["Message"], entry.get("Subject"))
            except ApiError as error:
                failure = {"Code": error.code, "Message": error.message, "SenderFault": True}
                answer["Failed"].append({"Id": entry["Id"], **failure})
            else:
                message_id = topic.publish(entry["Message"], entry.get("Subject"))
                answer["Successful"].append({"Id": entry["Id"], "MessageId": message_id})
        return answer

    def delete_topic_at(self, arn: str) -> None:
        """Delete a topic; what is published to it from now on is rejected."""
        del self.topics[arn]
        self._deleted.add(arn)

    def _take(self, notification: Notification) -> None:
        # A topic that was never here is somebody else's, and exists as far as one can tell.
        if notification.target_arn in self.topics or notification.target_arn in self._deleted:
            topic = self._topic(notification.target_arn)
            topic.publish(json.dumps(notification.message), notification.subject)

    def _topic(self, arn: str | None) -> Topic:
        topic = self.topics.get(arn or "")
        if topic is None:
            raise ApiError("NotFound", "Topic does not exist", 404)
        return topic


def _check_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    if not entries:
        raise ApiError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(entries) > ENTRIES_MAX:
        raise ApiError(
            "TooManyEntriesInBatchRequest", "The batch request contains more entries than allowed."
        )
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise ApiError("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
    # "The total aggregate size of all messages ... 262,144 bytes" (API_PublishBatch)
    if sum(len(entry["Message"].encode()) for entry in entries) > PUBLISH_BYTES_MAX:
        raise ApiError("BatchRequestTooLong", "The length of all the messages is over the limit.")


def _check_message(message: str, subject: str | None) -> None:
    if not message:
        raise ApiError("InvalidParameter", "Invalid parameter: Empty message")
    if len(message.encode()) > PUBLISH_BYTES_MAX:
        raise ApiError("InvalidParameter", "Invalid parameter: Message too long")
    if subject is not None and not (
        0 < len(subject) < SUBJECT_CHARACTERS_MAX and subject.isprintable()
    ):
        raise ApiError("InvalidParameter", "Invalid parameter: Subject")


def _function_event(publication: Publication, subscription_arn: str) -> dict[str, Any]:
    """
    Shape a publication as a function gets it.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
    """
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription_arn,
                "EventSource": "aws:sns",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": publication.message_id,
                    "TopicArn": publication.topic_arn,
                    # AWS sends the key with null where there is no subject.
                    "Subject": publication.subject,
                    "Message": publication.message,
                    "Timestamp": publication.timestamp,
                    "SignatureVersion": "1",
                    "Signature": "c2lnbmF0dXJl",
                    "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/certificate.pem",
                    "UnsubscribeUrl": f"https://sns.us-east-1.amazonaws.com/?{subscription_arn}",
                    "MessageAttributes": {},
                },
            }
        ]
    }


def _queue_body(publication: Publication, subscription_arn: str) -> dict[str, Any]:
    """
    Shape a publication as a queue without raw delivery gets it.

    https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
    """
    body = {
        "Type": "Notification",
        "MessageId": publication.message_id,
        "TopicArn": publication.topic_arn,
        "Subject": publication.subject,
        "Message": publication.message,
        "Timestamp": publication.timestamp,
        "SignatureVersion": "1",
        "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/certificate.pem",
        "UnsubscribeURL": f"https://sns.us-east-1.amazonaws.com/?{subscription_arn}",
    }
    return {name: value for name, value in body.items() if value is not None}
