"""
Which open drains have a container instance, by what an execution environment has read before.

A wake-up names a container instance, and the table's keys name EC2 instances. A crowd's records
would all be read for each batch of wake-ups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.drain.record import DrainRecord

if TYPE_CHECKING:
    from collections.abc import Collection

    from drainer.drain.record import Key
    from drainer.lifecycle.records import Records


class OpenDrains:
    """The container instances of open drains. One registered since is found by the next pass."""

    def __init__(self) -> None:
        self._container_instances: dict[Key, frozenset[str]] = {}

    def of(self, container_instance_arns: Collection[str], records: Records) -> list[DrainRecord]:
        """
        Return the records, read now, of open drains that have one of the container instances.

        Raises:
            DrainerError: The index could not be read.
        """
        before, arns = self._container_instances, set(container_instance_arns)
        keys = records.open_keys()
        sought = [one for one in keys if not arns.isdisjoint(before.get(one, arns))]
        rows = records.read(sought)
        found = [one for one in rows.values() if isinstance(one, DrainRecord)]
        known = {one.key: one.container_instances for one in found if one.container_instances}
        # What has ended is forgotten, so that no more is kept than is open.
        self._container_instances = {
            key: known.get(key) or before[key] for key in keys if key in known or key in before
        }
        return [one for one in found if one.container_instances & arns]
