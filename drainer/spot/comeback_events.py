"""
Tell that Spot has given back an instance that it stopped or hibernated.

The attribute says that the drainer set it DRAINING, and until when the instance may still be there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from drainer.config import CLUSTER
from drainer.drain.attributes import INTERRUPTED
from drainer.fields import CONTAINER_INSTANCE_ARN, PATTERNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.spot.events import Interruption

VALUE = re.compile(r"(?:stop|hibernate)/([0-9]{1,10})")
# What a recommendation leaves is no comeback: the instance is there, and may be taken any time.
ADVISED = re.compile(r"recommend/[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Comeback:
    """An EC2 instance whose agent is connected again after Spot stopped or hibernated it."""

    cluster: str
    container_instance_arn: str
    ec2_instance_id: str
    ends_at: datetime

    def names(self) -> dict[str, str]:
        """Return what tells it from others, for a log line."""
        return {"ec2_instance_id": self.ec2_instance_id, "action": "return"}

    @property
    def key(self) -> str:
        """What tells it from other contents of a record."""
        return f"{self.container_instance_arn}/return"


def mark(gone: Interruption) -> tuple[str, str]:
    """Return name and value of the attribute for an instance that may return, or be told to go."""
    return INTERRUPTED, f"{gone.action}/{ceil(gone.ends_at.timestamp())}"


def ended_at(value: str) -> datetime | None:
    """Return when the two minutes were over that an attribute names; None for another value."""
    found = VALUE.fullmatch(value)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


def is_advised(value: str) -> bool:
    """
    Whether an attribute tells of a recommendation, by which the drainer set the instance DRAINING.
    """
    return bool(ADVISED.fullmatch(value))


def read(detail: Any, now: datetime) -> Comeback | None:
    """
    Read a container instance state change; None for one that is no comeback.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
    """
    if not isinstance(detail, dict) or detail.get("agentConnected") is not True:
        return None
    ends_at = ended_at(_attribute(detail, INTERRUPTED))
    # Before that, the event tells of the instance that is about to go.
    if ends_at is None or now < ends_at:
        return None
    cluster, arn = detail.get("clusterArn"), detail.get("containerInstanceArn")
    ec2_instance_id = detail.get("ec2InstanceId")
    patterns = (
        (cluster, CLUSTER),
        (arn, CONTAINER_INSTANCE_ARN),
        (ec2_instance_id, PATTERNS["EC2InstanceId"]),
    )
    if not all(isinstance(value, str) and pattern.fullmatch(value) for value, pattern in patterns):
        return None
    return Comeback(str(cluster), str(arn), str(ec2_instance_id), ends_at)


def _attribute(detail: Mapping[str, Any], name: str) -> str:
    rows = detail.get("attributes")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("name") == name:
            return str(row.get("value"))
    return ""
