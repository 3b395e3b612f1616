"""
What becomes of the fleets of the embedded account: their tasks, the requests, and the answers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.simulation.embedded.watch import RequestCounts, Tracked, counts_of, instances_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.embedded.fleet import FleetStage
    from drainer.simulation.embedded.watch import InstanceTrack


@dataclass
class FleetTrack(Tracked):
    """
    A Spot Fleet, and what has been on it.

    Attributes:
        state: of the fleet request.
        tracks: its EC2 instances, by id.
        cancelled_at: when it was cancelled, and its EC2 instances with it.
        left: the tasks that were on it then.
    """

    fleet_id: str
    requested_at: datetime
    state: str = ""
    tracks: dict[str, InstanceTrack] = field(default_factory=dict)
    cancelled_at: datetime | None = None
    left: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tracks = self.tracks.values()
        self.tasks = {task_id: task for one in tracks for task_id, task in one.tasks.items()}
        self.running = sum(task.last_status == "RUNNING" for task in self.tasks.values())
        self.killed = [task for one in tracks for task in one.killed]
        # When the last container instance was registered, and when the first was set DRAINING.
        self.joined_at = max((one.joined_at for one in tracks if one.joined_at), default=None)
        draining = (one.draining_at for one in tracks if one.draining_at)
        self.draining_at = min(draining, default=None)
        # ECS keeps a container instance for a while after the EC2 instance's end.
        self.instances = {
            instance_id: "terminated" if one.terminated else one.status or "booting"
            for instance_id, one in self.tracks.items()
        }


def fleets_of(account: Aws) -> tuple[FleetTrack, ...]:
    """Return the account's fleets, the oldest first."""
    instances = instances_of(account.history)
    found: dict[str, FleetTrack] = {}
    for fact in account.facts("fleet_requested"):
        fleet_id = fact.about["fleet_id"]
        tracks = {name: one for name, one in instances.items() if one.fleet_id == fleet_id}
        state = account.fleets.fleets[fleet_id].state
        found[fleet_id] = FleetTrack(fleet_id, fact.at, state, tracks)
    for fact in account.facts("fleet_cancelled"):
        fleet = found[fact.about["fleet_id"]]
        fleet.cancelled_at, fleet.left = fact.at, tuple(fact.about["remaining"])
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True)
class FleetSnapshot(RequestCounts):
    """
    The fleets and the requests to the service, as of one look.

    Attributes:
        stack_name: of the example's stack, and its status.
        fleets: the oldest first.
        events: when, which resource and which status, for each event of the example's stack.
        lines: what the function has logged about requests of CloudFormation.
    """

    now: datetime
    stack_name: str
    stack_status: str
    fleets: tuple[FleetTrack, ...]
    events: tuple[tuple[datetime, str, str], ...]
    lines: tuple[Mapping[str, Any], ...]

    @property
    def answers(self) -> Counter[tuple[str, str]]:
        """How often each request was answered, by its type and id; once is right."""
        return Counter((line["request_type"], line["request_id"]) for line in self.answered)

    @property
    def answered(self) -> list[Mapping[str, Any]]:
        """The lines that say that a request was answered, in order."""
        return [line for line in self.lines if line["step"] == "answered"]


class FleetWatch:
    """
    Follows the fleets of a stage.

    Args:
        stage: what is deployed.
    """

    def __init__(self, stage: FleetStage) -> None:
        self._stage = stage

    def look(self) -> FleetSnapshot:
        """Return everything as it is now."""
        stage = self._stage
        # First, so that what follows is complete where the stack is.
        status = stage.status
        stage.look()
        time = stage.embedded.time
        with stage.embedded.catching_up() as account:
            return FleetSnapshot(
                now=account.now,
                stack_name=stage.example.pseudo["AWS::StackName"],
                stack_status=status,
                fleets=fleets_of(account),
                events=tuple(
                    (time.at(one["Timestamp"]), one["LogicalResourceId"], one["ResourceStatus"])
                    for one in stage.events
                ),
                lines=tuple(stage.watch.said("custom resource")),
                **counts_of(stage.stream),
            )
