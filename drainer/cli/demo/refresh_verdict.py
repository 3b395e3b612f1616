"""
Whether a stack update replaced every instance, after its last task, and cut no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.demo import drain_verdict
from drainer.cli.demo.spot_verdict import of_requests

if TYPE_CHECKING:
    from drainer.simulation.embedded.roll import RollSnapshot

UPDATED, REFRESHED = "UPDATE_COMPLETE", "Successful"


def problems(snapshot: RollSnapshot, *, expected: int) -> list[str]:
    """
    Return what was wrong, in words; nothing if all was well.

    Args:
        snapshot: how it ended.
        expected: how many instances were to be replaced.
    """
    found = []
    if snapshot.stack_status != UPDATED:
        found.append(f"the stack is {snapshot.stack_status}, not {UPDATED}")
    status = snapshot.refresh.get("Status", "not begun")
    if status != REFRESHED:
        found.append(f"the instance refresh is {status}, not {REFRESHED}")
    new = [one for one in snapshot.instances if one.launch_template == snapshot.wanted]
    if len(new) != expected or len(snapshot.instances) != expected:
        found.append(f"{len(new)} of {len(snapshot.instances)} instances are new, not {expected}")
    found += drain_verdict.problems(snapshot.drains, expected=expected, result="CONTINUE")
    for one in snapshot.streams:
        if one.cut:
            found.append(f"{one.name}: {len(one.cut)} requests were cut")
        found += [f"{one.name}: {sentence}" for sentence in of_requests(one)]
    return found


def sentence(snapshot: RollSnapshot) -> str:
    """Say what came of an update in which nothing was wrong."""
    served = sum(one.served for one in snapshot.streams)
    cut = sum(len(one.cut) for one in snapshot.streams)
    return (
        f"{len(snapshot.instances)} instances were replaced after their last tasks. "
        f"{served} requests served, {cut} cut."
    )
