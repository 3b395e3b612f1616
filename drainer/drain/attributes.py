"""
The attributes that we put on container instances: for whom one was set DRAINING that may stay.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

# The stack for which it was set DRAINING: it is set ACTIVE again if that stack rolls back.
DRAINED_FOR = "drainer.custom-resource"

# Set DRAINING because Spot stops or hibernates the instance, which may return
# (drainer/spot/comeback_events.py).
INTERRUPTED = "drainer.interrupted"

# Set DRAINING by `drainer drain`: when, and by whom. The function does not set it ACTIVE again.
DRAINED_BY = "drainer.drained-by"


def drained_at(drained_by: str) -> datetime | None:
    """Return when an operator has set a container instance DRAINING; None where it does not say."""
    try:
        at = datetime.fromisoformat(drained_by.partition(" ")[0])
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def checksum(text: str) -> str:
    """Return a checksum by which tokens and stacks differ. The token itself is not stored."""
    return sha256(text.encode()).hexdigest()[:8] if text else ""
