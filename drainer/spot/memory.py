"""
What a warm function remembers of interruptions: for minutes at most, and never too much.

It saves calls and double counts. A cold function remembers nothing and does the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# An instance that was in no cluster may register at any time. What saves calls is that the
# duplicates of one event are not searched for each: EventBridge delivers at least once.
ABSENT_FOR = timedelta(seconds=20)
# A recommendation and the interruption that follows it are two events; each comes at least once,
# and a redelivery of the queue within these minutes.
SEEN_FOR = timedelta(minutes=10)
CLUSTERS_FOR = timedelta(minutes=10)
# Each name takes about 200 bytes; Lambda gives the function 128 MB or more.
ENTRIES_MAX = 10_000
# More would cost more reads than asking the hooks.
CLUSTERS_MAX = 3


class Recollection:
    """Names that are remembered, each until its time is over."""

    def __init__(self) -> None:
        self._absent: dict[str, datetime] = {}
        self._seen: dict[str, datetime] = {}
        self._clusters: dict[str, datetime] = {}

    def remember_absent(self, ec2_instance_id: str, action: str, now: datetime) -> None:
        """Note that an instance was in no cluster when an event told of an action."""
        _put(self._absent, f"{ec2_instance_id} {action}", now + ABSENT_FOR, ENTRIES_MAX)

    def is_absent(self, ec2_instance_id: str, action: str, now: datetime) -> bool:
        """Whether an instance was in no cluster some seconds ago, by an event of the same kind."""
        return now < self._absent.get(f"{ec2_instance_id} {action}", now)

    def is_first(self, key: str, now: datetime) -> bool:
        """Whether something is seen for the first time; note that it was."""
        known = now < self._seen.get(key, now)
        _put(self._seen, key, now + SEEN_FOR, ENTRIES_MAX)
        return not known

    def remember_cluster(self, cluster: str, now: datetime) -> None:
        """Note that an interrupted instance was in a cluster."""
        _put(self._clusters, cluster, now + CLUSTERS_FOR, CLUSTERS_MAX)

    def clusters(self, now: datetime) -> list[str]:
        """Return where instances were interrupted lately, the latest first."""
        return [one for one, until in reversed(self._clusters.items()) if now < until]


def _put(entries: dict[str, datetime], name: str, until: datetime, size: int) -> None:
    """Put a name last, and drop the oldest beyond `size`."""
    entries.pop(name, None)
    entries[name] = until
    for oldest in list(entries)[: max(0, len(entries) - size)]:
        del entries[oldest]
