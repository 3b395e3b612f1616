"""
Ended drains as items of the table, written by the record's own codec.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from drainer.aws.record_expressions import attributes
from drainer.drain import record_codec
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, End, key_of
from tests.doctor.names import CLUSTER, GROUP, NOW

RETENTION = timedelta(days=90)


def record(
    *,
    seconds: float = 420,
    group: str = GROUP,
    instance: str = "i-0b77e1d09c3f5a248",
    end: End = End.CONTINUE,
    phase: str = "drained",
    ended_at: datetime = NOW - timedelta(hours=2),
    tasks: tuple[str, ...] = (),
    reason: str = "",
) -> DrainRecord:
    """
    Return the record of a drain that took so many seconds.
    """
    action = LifecycleAction(group, "drainer", instance, "token")
    began = ended_at - timedelta(seconds=seconds)
    drain = Drain(
        action=action,
        started_at=began,
        last_heartbeat_at=began,
        deadline_at=began + timedelta(hours=1),
        draining_since=began + timedelta(seconds=4),
        cluster=CLUSTER,
        hop=12,
    )
    return DrainRecord(
        key=key_of(action),
        generation=1,
        hop=12,
        pass_id="pass",
        drain=drain,
        written_at=ended_at,
        phase=phase,
        reason=reason,
        running=len(tasks),
        tasks=tasks,
        end=end,
        ended_at=ended_at if end else None,
    )


def item(one: DrainRecord) -> dict[str, Any]:
    """
    Return a record as DynamoDB has it.
    """
    return attributes(record_codec.encode(one, RETENTION))


def ended(**values: Any) -> dict[str, Any]:
    return item(record(**values))
