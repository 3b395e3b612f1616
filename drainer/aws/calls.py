"""
Calls of AWS: clients with our bounds, AWS's errors turned into ours, pages and batches.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from drainer.errors import (
    ClusterMissingError,
    FleetMissingError,
    LifecycleActionOverError,
    MisconfiguredError,
    OvertakenError,
    RefusedError,
    TableMissingError,
    ThrottledError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from drainer.errors import DrainerError

Item = TypeVar("Item")

Parameters = ParamSpec("Parameters")

# Every operation that the function calls, and no other: infra/drainer.yaml grants exactly these,
# and a test holds the two together. (PublishBatch is granted by the action sns:Publish.)
CALLS = {
    "autoscaling": (
        "CompleteLifecycleAction",
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingInstances",
        "DescribeLifecycleHooks",
        "DescribeWarmPool",
        "RecordLifecycleActionHeartbeat",
    ),
    "ecs": (
        "DeregisterContainerInstance",
        "DescribeContainerInstances",
        "DescribeTasks",
        "ListClusters",
        "ListContainerInstances",
        "ListTasks",
        "PutAttributes",
        "StopTask",
        "UpdateContainerInstancesState",
    ),
    "sns": ("PublishBatch",),
}

# Two hundred pages hold 20,000 tasks or clusters, and 10,000 instances of Auto Scaling groups; an
# answer that never ends must not hold an invocation.
PAGES_MAX = 200

# One call must not use up the invocation (30 s in infra/drainer.yaml): two attempts of at most 5 s,
# and up to 1 s of back-off between them. Two calls in a row that hang leave time to publish. The
# next pass repeats a call that failed.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
CLIENT_CONFIG = BotoConfig(
    connect_timeout=1,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 2},
)

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RateExceeded",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
    }
)

REFUSALS = frozenset(
    {"ClientException", "InvalidParameterException", "InvalidTarget", "ValidationError"}
)

# The meaning of each code depends on the call, so that each is an error of its own.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
NAMED = {
    "ClusterNotFoundException": ClusterMissingError,
    "ConditionalCheckFailedException": OvertakenError,
    "InvalidSpotFleetRequestId.NotFound": FleetMissingError,
    "ResourceNotFoundException": TableMissingError,
}


def client(service: str) -> Any:
    """Return boto3's client for a service, with our bounds on time and attempts."""
    return boto3.client(service, config=CLIENT_CONFIG)


def ask(call: Callable[..., dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    """Make a call, with AWS's errors turned into ours."""
    try:
        return call(**parameters)
    except ClientError as error:
        raise translated(error) from error
    except ParamValidationError as error:
        raise MisconfiguredError(str(error)) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise UnavailableError(f"{type(error).__name__}: {error}") from error


def understood(read: Callable[Parameters, Item]) -> Callable[Parameters, Item]:
    """Take an answer that lacks what AWS documents for a failed look, never for an empty one."""

    @wraps(read)
    def reading(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Item:
        try:
            return read(*args, **kwargs)
        except (AttributeError, KeyError, TypeError) as error:
            message = f"{read.__name__}: unexpected answer: {type(error).__name__}: {error}"
            raise UnavailableError(message) from error

    return reading


def translated(error: ClientError) -> DrainerError:
    """Return AWS's error as the one of ours that says what can be done about it."""
    details = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    sentence = f"{error.operation_name}: {code}: {message}"
    # Not a modelled error: "ValidationError ... No active Lifecycle Action found with token ..."
    # is how Auto Scaling says that the action was answered, timed out, or went with its instance.
    # Every other ValidationError is a fault of the request.
    if code == "ValidationError" and "No active Lifecycle Action found" in message:
        return LifecycleActionOverError(sentence)
    # ResourceContention comes with HTTP status 500.
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html
    if status >= 500:  # noqa: PLR2004 (HTTP's own border)
        return UnavailableError(sentence)
    if code in THROTTLES:
        return ThrottledError(sentence)
    otherwise = RefusedError if code in REFUSALS else MisconfiguredError
    return NAMED.get(code, otherwise)(sentence)


def pages(
    call: Callable[..., dict[str, Any]],
    key: str,
    token: str,
    *,
    into: str | None = None,
    go_on: Callable[[], bool] | None = None,
    **parameters: Any,
) -> Iterator[Any]:
    """
    Yield the items of all pages.

    Args:
        call: The operation.
        key: Where an answer has its items.
        token: Where it has the way to the next page.
        into: Which parameter takes that; by default the one of the same name.
        go_on: Asked before each page but the first, whether there is time for it.
        parameters: Of every call.

    Raises:
        UnavailableError: There are more than PAGES_MAX pages, or there was no time for all.
    """
    cursor: dict[str, Any] = {}
    for _ in range(PAGES_MAX):
        if cursor and go_on is not None and not go_on():
            raise UnavailableError(f"{key}: no time was left to read all pages")
        answer = ask(call, **parameters, **cursor)
        yield from answer[key]
        if not answer.get(token):
            return
        cursor = {into or token: answer[token]}
    raise UnavailableError(f"{key}: the answer has more than {PAGES_MAX} pages")


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in runs of at most `size`; nothing for no items, as AWS refuses nothing."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
