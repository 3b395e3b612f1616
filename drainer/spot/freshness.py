"""
Tell whether an interrupted task of Fargate still has its addresses, when its event comes late.

ECS gives the address of a task that has ended to the next one. Deregistering it then would take a
healthy task out of service.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.errors import DrainerError
from drainer.spot.events import WARNING_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.spot.events import TaskInterruption
    from drainer.spot.patience import Patience
    from drainer.spot.report import InterruptionReport, SpotReads

    Member = tuple[InterruptionReport, TaskInterruption]

# A container has 30 s to exit unless its stopTimeout says more: before that its address is in use.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
FRESH = timedelta(seconds=30)


def still_there(
    spot: SpotReads, patience: Patience, cluster: str, gone: Sequence[Member], now: datetime
) -> list[Member]:
    """
    Return the tasks whose targets may be taken out; a look that fails is an error in its report.

    A task that ECS does not list has ended long ago. ECS itself deregisters what is not taken out.
    """
    late = [member for member in gone if now > member[1].ends_at - WARNING_TIME + FRESH]
    if not late:
        return list(gone)
    ids = list(dict.fromkeys(task.task_id for _, task in late))
    try:
        placed = patience.again(lambda: spot.placed(cluster, ids))
    except DrainerError as error:
        for report, _ in late:
            report.add_error("The task was not read", error)
        alive = set[str]()
    else:
        alive = {one.task_id for one in placed if not one.ended}
    over = {report.key for report, task in late if task.task_id not in alive}
    return [member for member in gone if member[0].key not in over]
