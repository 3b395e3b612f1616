"""
Whether the drains that were shown kept the promise: never early, never stuck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.simulation.embedded.watch import DrainTrack


def problems(drains: Sequence[DrainTrack], *, expected: int, result: str) -> list[str]:
    """
    Return what was wrong with the drains, in words; nothing if all was well.

    Args:
        drains: as they ended.
        expected: how many there should have been.
        result: the answer that each lifecycle action should have got.

    """
    found = []
    if len(drains) != expected:
        found.append(f"{expected} lifecycle actions were expected, {len(drains)} began")
    for drain in drains:
        found.extend(f"{drain.ec2_instance_id}: {sentence}" for sentence in _of(drain, result))
    return found


def _of(drain: DrainTrack, result: str) -> list[str]:
    found = []
    action = drain.action
    if action.ended_at is None:
        found.append("its lifecycle action was not answered")
    elif action.ended_by != "completed":
        found.append(f"its lifecycle action was ended by {action.ended_by}, not by the drainer")
    elif action.result != result:
        found.append(f"its lifecycle action was answered {action.result} instead of {result}")
    if drain.killed:
        found.append(f"{len(drain.killed)} tasks were killed with it: {', '.join(drain.killed)}")
    if action.result == "CONTINUE" and drain.remaining:
        left = ", ".join(f"{task.owner} {task.last_status}" for task in drain.remaining)
        found.append(f"it was released with tasks left: {left}")
    if action.result == "CONTINUE" and _released_early(drain):
        found.append("it was released before its last task was STOPPED")
    return found


def _released_early(drain: DrainTrack) -> bool:
    stopped_at, answered_at = drain.last_stopped_at, drain.answered_at
    return bool(stopped_at and answered_at and answered_at < stopped_at)
