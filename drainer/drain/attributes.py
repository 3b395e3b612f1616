"""
The attributes that we put on container instances: for whom one was set DRAINING that may stay.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html
"""

from __future__ import annotations

from hashlib import sha256

# Who set it DRAINING for a stack that rolls back its update sets it ACTIVE again.
DRAINED_FOR = "drainer.custom-resource"

# Set DRAINING because Spot stops or hibernates the instance, which may return
# (drainer/spot/comeback.py).
INTERRUPTED = "drainer.interrupted"


def checksum(text: str) -> str:
    """Return what tells tokens and stacks apart; the token itself is nobody else's business."""
    return sha256(text.encode()).hexdigest()[:8] if text else ""
