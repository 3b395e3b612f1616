"""
Which open drains have a container instance, by what an execution environment has read before.

A wake-up names a container instance, and the table's keys name EC2 instances. A crowd's records
would all be read for each batch of wake-ups.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.drain.record import DrainRecord

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from drainer.drain.record import Key
    from drainer.lifecycle.records import Records


# The index tells of all open drains each time. One that it does not show has begun since, and the
# set of its tasks is closed twice task_set.ANSWER_LAG after that at the earliest: before, one more
# look cannot release its instance.
INDEX_KNOWN_FOR = timedelta(seconds=10)

# An agent that registers again is known by its events so much later; until then passes find it.
KNOWN_FOR = timedelta(seconds=300)


class OpenDrains:
    """The container instances of open drains, as they were within the last minutes."""

    def __init__(self) -> None:
        self._container_instances: dict[Key, frozenset[str]] = {}
        self._since: datetime | None = None
        self._keys: Collection[Key] = ()
        self._listed_at: datetime | None = None

    def of(
        self, container_instance_arns: Collection[str], records: Records, now: datetime
    ) -> list[DrainRecord]:
        """
        Return the records, read now, of open drains that have one of the container instances.

        Raises:
            DrainerError: The index could not be read.
        """
        if self._since is None or now - self._since >= KNOWN_FOR:
            self._container_instances, self._since = {}, now
        if self._listed_at is None or abs(now - self._listed_at) >= INDEX_KNOWN_FOR:
            self._keys = records.open_keys()
            self._listed_at = now
            # What has ended is forgotten, so that no more is kept than is open.
            before = self._container_instances
            self._container_instances = {one: before[one] for one in self._keys if one in before}
        known, arns = self._container_instances, set(container_instance_arns)
        rows = records.read(
            [one for one in self._keys if not arns.isdisjoint(known.get(one, arns))]
        )
        found = [one for one in rows.values() if isinstance(one, DrainRecord)]
        for one in found:
            if one.container_instances:
                known[one.key] = one.container_instances
        return [one for one in found if one.container_instances & arns]
