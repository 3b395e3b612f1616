"""
What becomes of the fleets of the embedded account: their tasks, the requests, and the answers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.embedded.fleet import FleetStage
    from drainer.simulation.records import Fact

ANSWERED = "answered"
# An EC2 instance that is in no cluster yet.
BOOTING = "booting"
TERMINATED = "terminated"


@dataclass
class FleetTrack:
    """
    A Spot Fleet, and what has been on it.

    Attributes:
        state: of the fleet request.
        instances: the status of each container instance, or what else the EC2 instance is, by id.
        tasks: the last status of each task that was ever on it, by owner and id.
        joined_at: when its last container instance was registered.
        draining_at: when the first of them was set DRAINING.
        last_stopped_at: when a task on it was STOPPED last.
        cancelled_at: when it was cancelled, and its EC2 instances with it.
        left: the tasks that were on it then.
        killed: the tasks that ended with an EC2 instance.
    """

    fleet_id: str
    requested_at: datetime
    state: str = ""
    instances: dict[str, str] = field(default_factory=dict)
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)
    joined_at: datetime | None = None
    draining_at: datetime | None = None
    last_stopped_at: datetime | None = None
    cancelled_at: datetime | None = None
    left: tuple[str, ...] = ()
    killed: list[str] = field(default_factory=list)

    @property
    def running(self) -> int:
        """How many tasks are RUNNING on it."""
        return sum(status == "RUNNING" for status in self.tasks.values())

    @property
    def remaining(self) -> int:
        """How many tasks are on it."""
        return sum(status != "STOPPED" for status in self.tasks.values())

    def note(self, fact: Fact) -> None:
        """Take in what happened to the fleet, or on one of its EC2 instances."""
        about = fact.about
        match fact.kind:
            case "launched":
                self.instances[about["ec2_instance_id"]] = BOOTING
            case "terminated":
                self.instances[about["ec2_instance_id"]] = TERMINATED
            # ECS keeps it for a while.
            case "container_instance" if self.instances[about["ec2_instance_id"]] != TERMINATED:
                if self.instances[about["ec2_instance_id"]] == BOOTING:
                    self.joined_at = fact.at
                self.instances[about["ec2_instance_id"]] = about["status"]
                if about["status"] == "DRAINING" and self.draining_at is None:
                    self.draining_at = fact.at
            case "task":
                self.tasks[about["owner"], about["task_id"]] = about["last_status"]
                if about["last_status"] == "STOPPED":
                    self.last_stopped_at = fact.at
            case "killed":
                self.killed.append(about["owner"])
            case "fleet_cancelled":
                self.cancelled_at, self.left = fact.at, tuple(about["remaining"])


def tracks(account: Aws) -> tuple[FleetTrack, ...]:
    """Return the account's fleets, the oldest first."""
    fleets: dict[str, FleetTrack] = {}
    of_instance: dict[str, FleetTrack] = {}
    for fact in account.history:
        about = fact.about
        if fact.kind == "fleet_requested":
            fleets[about["fleet_id"]] = FleetTrack(about["fleet_id"], fact.at)
            continue
        track = fleets.get(about.get("fleet_id", "")) or of_instance.get(
            about.get("ec2_instance_id", "")
        )
        if track is None:
            continue
        if fact.kind == "launched":
            of_instance[about["ec2_instance_id"]] = track
        track.note(fact)
    for track in fleets.values():
        track.state = account.fleets.fleets[track.fleet_id].state
    return tuple(fleets.values())


@dataclass(frozen=True)
class FleetView:
    """
    The fleets and the requests, as of one look.

    Attributes:
        stack_name: of the example's stack, and its status.
        fleets: the oldest first.
        sent: how many requests were sent to the service, and so on for the three that follow.
        cut: why each of those that were cut was.
        events: when, which resource and which status, for each event of the example's stack.
        lines: what the function has logged about requests of CloudFormation.
    """

    now: datetime
    stack_name: str
    stack_status: str
    fleets: tuple[FleetTrack, ...]
    sent: int
    served: int
    under_way: int
    unserved: int
    cut: tuple[str, ...]
    events: tuple[tuple[datetime, str, str], ...]
    lines: tuple[Mapping[str, Any], ...]

    @property
    def answers(self) -> Counter[tuple[str, str]]:
        """How often each request was answered, by its type and id; once is right."""
        return Counter((line["request_type"], line["request_id"]) for line in self.answered)

    @property
    def answered(self) -> list[Mapping[str, Any]]:
        """The lines that say that a request was answered, in order."""
        return [line for line in self.lines if line["step"] == ANSWERED]


class FleetWatch:
    """
    Follows the fleets of a stage.

    Args:
        stage: what is deployed.
    """

    def __init__(self, stage: FleetStage) -> None:
        self._stage = stage

    def look(self) -> FleetView:
        """Return everything as it is now."""
        stage = self._stage
        # First, so that what follows is complete where the stack is.
        status = stage.status
        stage.look()
        stream = stage.stream
        with stage.embedded.catching_up() as account:
            return FleetView(
                now=account.now,
                stack_name=stage.example.pseudo["AWS::StackName"],
                stack_status=status,
                fleets=tracks(account),
                sent=stream.sent,
                served=stream.served,
                under_way=stream.under_way,
                unserved=stream.unserved,
                cut=tuple(str(request.why) for request in stream.cut),
                events=tuple(self._events(stage.events)),
                lines=tuple(stage.watch.requests),
            )

    def _events(self, events: Iterable[Mapping[str, Any]]) -> Iterable[tuple[datetime, str, str]]:
        time = self._stage.embedded.time
        for event in events:
            yield time.at(event["Timestamp"]), event["LogicalResourceId"], event["ResourceStatus"]
