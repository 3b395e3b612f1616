"""
Judge what the table of records can tell of a drain that has left a container instance DRAINING.

What no record tells of may have been set DRAINING by hand, and an instance whose record is open may
still be drained: neither is brought back. Both excuse the drainer only where the table is to blame,
by what has become of it in this account:

* It failed since the drain began, or was deleted, and has no record of that drain or a later one.
* It failed in the invocation that set the container instance DRAINING, and the records of the drain
  are by passes that did not know of that. They name other container instances or another cluster,
  or the sweep has created them and no heartbeat that they tell of has confirmed the action.
* Writes are denied now, and a record of the instance is open: its end cannot be written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.aws import Aws
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.dynamodb.item_expressions import Item


@dataclass(frozen=True)
class Memory:
    """
    Knows what the table of records holds about drains.

    Attributes:
        table_failed_at: says when a call of the table last failed; None for never.
        unrecorded: the container instances that were set DRAINING while a call of the table failed.
        clusters: the clusters that the drainer's settings name; none for all.
    """

    account: Aws
    table_failed_at: Callable[[], datetime | None]
    unrecorded: Collection[str] = ()
    clusters: Sequence[str] = ()

    def tells(self, arn: str, actions: Sequence[LifecycleAction]) -> bool:
        """
        Whether the drainer can know that it has set a container instance DRAINING, and is done.

        Args:
            arn: the container instance.
            actions: those of our hooks that its EC2 instance has met, the first one first.
        """
        records = [
            item
            for table in self.account.record_tables.tables.values()
            for (instance, _), row in table.rows.items()
            if instance == actions[0].ec2_instance_id and (item := row.item)
        ]
        if any("end" not in one for one in records) and not self.account.record_tables.is_writable:
            return False
        # Which action it was set DRAINING for: the last one that had begun by then.
        drained = drained_at(self.account, arn)
        begun = [one.started_at for one in actions if one.started_at <= drained]
        since = max(begun, default=actions[0].started_at)
        tokens = {one.token for one in actions if one.started_at >= since}
        about = [one for one in records if _is_about(one, tokens, since)]
        if about and arn in self.unrecorded:
            return any(_knows(one, arn, self.clusters) for one in about)
        return bool(about) or not self._failed(since)

    def _failed(self, since: datetime) -> bool:
        """Whether the table may have missed, or lost, what was to be written since an instant."""
        instants = (self.table_failed_at(), self.account.record_tables.deleted_at)
        return any(at is not None and at >= since for at in instants)


def drained_at(account: Account, arn: str) -> datetime:
    """Return when a container instance that is DRAINING was last set so."""
    at, before = account.now, ""
    for fact in account.facts("container_instance", container_instance_arn=arn):
        if before != (before := fact.about["status"]) == "DRAINING":
            at = fact.at
    return at


def _is_about(record: Item, tokens: set[str], since: datetime) -> bool:
    """Whether a record is of one of these actions; without a token, by when a sweep began it."""
    if "token" in record:
        return record["token"]["S"] in tokens
    return float(record["began_at"]["N"]) >= since.timestamp()


def _knows(record: Item, arn: str, configured: Sequence[str]) -> bool:
    """Whether a record leads to a container instance, and says that the action was confirmed."""
    drain: dict[str, Any] = json.loads(record["drain"]["S"])
    if "token" not in record and drain["last_heartbeat_at"] < float(record["began_at"]["N"]):
        return False
    named = {drain.get("container_instance_arn"), *(one[-1] for one in drain.get("others", ()))}
    if named != {None}:
        return arn in named
    policy = drain.get("policy") or {}
    cluster = drain.get("cluster") or policy.get("cluster")
    clusters = [one.rpartition("/")[2] for one in ([cluster] if cluster else configured)]
    return not clusters or arn.split("/")[1] in clusters
