"""
Tell the container instances that a drain of ours has set DRAINING from those of others. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.drain.attributes import drained_at
from drainer.drain.task_set import ANSWER_LAG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.drain.model import ContainerInstance
    from drainer.drain.record import DrainRecord


def stays_by_hand(instance: ContainerInstance, records: Sequence[DrainRecord]) -> bool:
    """
    Whether it is DRAINING because an operator has set it so, and not because a drain of ours has.

    ACTIVE that was set in the console leaves the attribute there. If a drain of ours that began
    later has found it ACTIVE, what the attribute tells of was over by then.
    """
    at = drained_at(instance.drained_by)
    return at is None or not any(
        one.drain.was_active and one.drain.started_at > at + ANSWER_LAG for one in records
    )


def is_known(instance: ContainerInstance, records: Sequence[DrainRecord]) -> bool:
    """
    Whether a drain of these records may have set a container instance DRAINING.

    A record that does not know what was set DRAINING stands for all that was registered before its
    end: an agent registers again when its instance is back, and that one was never drained.
    """
    return any(
        instance.arn in record.drained or not (record.drained or _is_newer(instance, record))
        for record in records
    )


def _is_newer(instance: ContainerInstance, record: DrainRecord) -> bool:
    """
    Whether it was registered after the end of a drain, and of each pass beside that.

    An agent that finds its state keeps its container instance. AWS does not say of `registeredAt`
    that it stays then; so it decides only where a record names no registration.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
    """
    registered_at, ended_at = instance.registered_at, record.ended_at
    if registered_at is None or ended_at is None:
        return False
    return registered_at > ended_at + ANSWER_LAG
