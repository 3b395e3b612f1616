"""
Whether a fleet that was replaced went after its last task, and cut no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.demo.spot_verdict import of_requests

if TYPE_CHECKING:
    from drainer.simulation.embedded.fleet_watch import FleetSnapshot, FleetTrack

UPDATED = "UPDATE_COMPLETE"
# What CloudFormation asks: to guard the first fleet, then to guard the second one instead, and at
# the end to drain the first.
REQUESTS = ["Create", "Update", "Delete"]


def problems(snapshot: FleetSnapshot) -> list[str]:
    """Return what was wrong, in words; nothing if all was well."""
    found = []
    if snapshot.stack_status != UPDATED:
        found.append(f"the stack is {snapshot.stack_status}, not {UPDATED}")
    match snapshot.fleets:
        case (old, _):
            found += _of(old)
        case _:
            found.append(f"two fleets were expected, {len(snapshot.fleets)} were found")
    if snapshot.cut:
        found.append(f"{len(snapshot.cut)} requests were cut")
    found += of_requests(snapshot)
    asked = [request_type for request_type, _ in snapshot.answers]
    if asked != REQUESTS:
        found.append(f"CloudFormation was answered {', '.join(asked) or 'no request'}")
    found += [
        f"CloudFormation was answered {count} times about one {request_type}"
        for (request_type, _), count in snapshot.answers.items()
        if count > 1
    ]
    return found


def sentence(snapshot: FleetSnapshot) -> str:
    """Say what came of an update in which nothing was wrong."""
    lead = _lead_seconds(snapshot.fleets[0])
    return (
        f"the old fleet's last task ended {lead or 0.0:.0f} s before the fleet was cancelled. "
        f"{snapshot.served} requests served, {len(snapshot.cut)} cut. "
        f"CloudFormation was answered once for each of its {len(snapshot.answers)} requests"
    )


def _of(old: FleetTrack) -> list[str]:
    found = []
    if old.cancelled_at is None:
        found.append("the old fleet was not cancelled")
    if old.left:
        found.append(f"the old fleet was cancelled with tasks on it: {', '.join(old.left)}")
    elif old.killed:
        found.append(f"tasks were killed on the old fleet: {', '.join(old.killed)}")
    lead = _lead_seconds(old)
    if not old.tasks:
        found.append("no task has run on the old fleet")
    elif lead is not None and lead < 0:
        found.append(f"the old fleet was cancelled {-lead:.0f} s before its last task ended")
    return found


def _lead_seconds(fleet: FleetTrack) -> float | None:
    """Return for how long the fleet was there without a task; None where it still is."""
    if fleet.cancelled_at is None or fleet.last_stopped_at is None:
        return None
    return (fleet.cancelled_at - fleet.last_stopped_at).total_seconds()
