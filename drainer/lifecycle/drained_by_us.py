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
    """Whether records name a container instance, or one of them names none at all."""
    known = [
        {record.drain.container_instance_arn, *(arn for _, arn in record.drain.others)}
        for record in records
    ]
    return any(instance.arn in arns or arns == {None} for arns in known)
