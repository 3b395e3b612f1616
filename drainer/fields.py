"""
Judge what a message claims: what an identifier may look like, and how a claim is quoted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drainer.errors import MalformedEventError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What an identifier may look like; they end up in API calls and in a filter expression.
# InstanceId has at most 19 characters, LifecycleActionToken 36, the names 255.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html
PATTERNS = {
    "EC2InstanceId": re.compile(r"i-[0-9A-Za-z]{1,17}"),
    "LifecycleActionToken": re.compile(r"[\x21-\x7e]{1,36}"),
    "LifecycleHookName": re.compile(r"[A-Za-z0-9\-_/]{1,255}"),
    "AutoScalingGroupName": re.compile(r"[^\x00-\x1f]{1,255}"),
}

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html
CONTAINER_INSTANCE_ARN = re.compile(
    r"arn:aws[a-z-]{0,17}:ecs:[a-z0-9-]{1,30}:[0-9]{12}:container-instance/[A-Za-z0-9_/-]{1,300}"
)

YEAR_MIN, YEAR_MAX = 2000, 2200

# ECS's own hook for managed instance draining; its notifications come by EventBridge, and are
# ECS's.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
ECS_OWN_HOOK = "ecs-managed-draining-termination-hook"

# A claim is quoted in a log line or an error, but never at length.
QUOTED_CHARACTERS_MAX = 80


def identifiers(claimed: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the identifiers of a lifecycle action.

    Raises:
        MalformedEventError: One of them is missing or cannot be one; names it.
    """
    for name, pattern in PATTERNS.items():
        value = claimed[name]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            # Never log a token, not even a malformed one.
            secret = name == "LifecycleActionToken" and isinstance(value, str)
            claim = f"{len(value)} characters" if secret else quoted(value)
            raise MalformedEventError(f"{name} is {claim}, which is not valid")
    return dict(claimed)


def instant(value: Any) -> datetime | None:
    """Return the instant that a claim in ISO 8601 names; None where it names none."""
    try:
        stamp = datetime.fromisoformat(value)
        aware = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
        # An instant at the edge of the calendar cannot take part in arithmetic.
        return aware if YEAR_MIN <= aware.year <= YEAR_MAX else None
    except (TypeError, ValueError, OverflowError):
        return None


def quoted(value: Any) -> str:
    """Return a claim as it may stand in a log line: bounded, and a string or only its type."""
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text[:QUOTED_CHARACTERS_MAX])
