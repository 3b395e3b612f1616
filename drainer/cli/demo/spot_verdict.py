"""
Whether an interruption that was shown cut nothing that the two minutes allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drainer.simulation.embedded.spot_watch import SpotSnapshot
    from drainer.simulation.embedded.watch import RequestCounts

# "at most three reads before the first write", which is what the function is built for.
READS_MAX = 3
NAMED_MAX = 5


def problems(snapshot: SpotSnapshot, *, by_instance: bool) -> list[str]:
    """
    Return what was wrong, in words; nothing if all was well.

    Args:
        snapshot: how it ended.
        by_instance: an EC2 instance was taken back, and not a task on Fargate.
    """
    found = []
    for group in snapshot.groups:
        if group.needless:
            named = ", ".join(group.needless[:NAMED_MAX])
            found.append(
                f"{group.name}: {len(group.needless)} requests were cut that the two minutes "
                f"allowed ({named})"
            )
        found += [f"{group.name}: {sentence}" for sentence in of_requests(group)]
    if snapshot.deregistered_after is None:
        found.append("its targets were not taken out of their target groups")
    if not snapshot.gone:
        found.append("it was not taken back")
    if len(snapshot.reads) > READS_MAX:
        found.append(f"{len(snapshot.reads)} reads came before the first write")
    if by_instance:
        found += _of_instance(snapshot)
    return found


def of_requests(counts: RequestCounts) -> list[str]:
    """Return what was wrong with requests, those aside that were cut."""
    found = []
    if counts.unserved:
        found.append(f"{counts.unserved} requests found no target")
    if counts.under_way or not counts.served:
        found.append(f"{counts.served} requests served, {counts.under_way} not yet")
    return found


def _of_instance(snapshot: SpotSnapshot) -> list[str]:
    found = []
    if snapshot.drained_after is None:
        found.append("its container instance was not set DRAINING")
    ended = [drain.action for drain in snapshot.drains if drain.ec2_instance_id == snapshot.subject]
    if not ended:
        found.append("its group's lifecycle action did not begin")
    found += [
        f"its lifecycle action was ended {action.result} by {action.ended_by}"
        for action in ended
        if (action.result, action.ended_by) != ("CONTINUE", "completed")
    ]
    return found
