"""The gateway to the queue of notifications, as far as a sweep looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, understood
from drainer.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

# What a sweep calls beside the operations of every pass; infra/drainer.yaml grants it.
QUEUE_CALLS = {"sqs": ("GetQueueAttributes",)}
WAITING = "ApproximateNumberOfMessages"


class QueueGateway:
    """
    One queue, of which only a number is read.

    Args:
        client: Makes boto3's client; asked for the first sweep.
        url: The queue's.
    """

    def __init__(self, client: Callable[[], Any], url: str) -> None:
        self._client = client
        self._url = url

    @understood
    def waiting(self) -> int:
        """
        Return how many messages could be received now.

        Neither those in flight nor their ages are told: the attributes have no age.
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
        """
        call = self._client().get_queue_attributes
        answer = ask(call, QueueUrl=self._url, AttributeNames=[WAITING])
        number = answer["Attributes"][WAITING]
        if not (number.isascii() and number.isdigit()):
            raise UnavailableError(f"{WAITING} is no number")
        return int(number)
