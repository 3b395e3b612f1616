"""
What can be seen in the embedded account: by AWS's state and by the function's log.

It only looks; nothing here takes part in a drain.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from drainer.aws.calls import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.records import Fact
    from drainer.simulation.scenario.client_requests import Requests
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.template import DeployedStack

# A page of FilterLogEvents holds up to 10,000 events; a look that needs more pages than this has
# fallen behind, and the next one goes on where it stopped.
LOG_PAGES_MAX = 20
# Two invocations at once write their lines in either order; looking back this far finds all.
LOG_OVERLAP_MILLISECONDS = 10_000
WARNINGS = frozenset({"WARNING", "ERROR", "CRITICAL"})


@dataclass
class TaskTrack:
    """
    A task's way through its last statuses.

    Attributes:
        task_id: the last part of its ARN.
        owner: `service:web`, `daemon:agent` or `standalone:job`.
        moves: each last status and when it was reached, in order.

    """

    task_id: str
    owner: str
    moves: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def last_status(self) -> str:
        """Where it is now."""
        return self.moves[-1][1]

    @property
    def stopped_at(self) -> datetime | None:
        """When it was really gone; None while it remains."""
        return self.moves[-1][0] if self.last_status == "STOPPED" else None


class Tracked:
    """What tasks run on: an EC2 instance, or the instances of a fleet."""

    tasks: dict[str, TaskTrack]

    @property
    def remaining(self) -> list[TaskTrack]:
        """The tasks that are not STOPPED."""
        return [task for task in self.tasks.values() if task.stopped_at is None]

    @property
    def last_stopped_at(self) -> datetime | None:
        """When the last of its tasks was STOPPED; None if it had none, or some remain."""
        if self.remaining or not self.tasks:
            return None
        return max(task.moves[-1][0] for task in self.tasks.values())


@dataclass
class InstanceTrack(Tracked):
    """
    An EC2 instance and its container instance.

    Attributes:
        fleet_id: the Spot Fleet that launched it; empty for none.
        lifecycle_state: its state in its group; empty for none.
        status: ACTIVE, DRAINING or INACTIVE; empty before the container instance is registered.
        tasks: what was ever on it.
        killed: tasks that died with it.
        joined_at: when the container instance was registered.
        draining_at: when it was first set DRAINING.
        terminated: whether it is.
    """

    fleet_id: str = ""
    lifecycle_state: str = ""
    status: str = ""
    tasks: dict[str, TaskTrack] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    joined_at: datetime | None = None
    draining_at: datetime | None = None
    terminated: bool = False

    def record(self, fact: Fact) -> None:
        """Take in what happened to it, or on it."""
        about = fact.about
        match fact.kind:
            case "launched":
                self.fleet_id = about.get("fleet_id", "")
            case "lifecycle_state":
                self.lifecycle_state = about["state"]
            case "container_instance":
                self.status = about["status"]
                self.joined_at = self.joined_at or fact.at
                if self.status == "DRAINING":
                    self.draining_at = self.draining_at or fact.at
            case "task":
                task = self.tasks.setdefault(
                    about["task_id"], TaskTrack(about["task_id"], about["owner"])
                )
                if not task.moves or task.last_status != about["last_status"]:
                    task.moves.append((fact.at, about["last_status"]))
            case "killed":
                self.killed.append(f"{about['owner']} {about['last_status']} {about['task_id']}")
            case "terminated":
                self.terminated = True


@dataclass
class DrainTrack(Tracked):
    """
    One lifecycle action and the EC2 instance behind it, as of one look.

    Attributes:
        action: the lifecycle action.
        instance: the EC2 instance.
        latest_pass: the function's latest log line about it, empty before the first.
    """

    action: LifecycleAction
    instance: InstanceTrack
    latest_pass: dict[str, Any]

    def __post_init__(self) -> None:
        self.ec2_instance_id = self.action.ec2_instance_id
        # When the action ended; None while Auto Scaling waits.
        self.answered_at = self.action.ended_at
        self.killed = self.instance.killed
        # What stopped before the notification is no part of the drain.
        self.tasks = {
            task_id: task
            for task_id, task in self.instance.tasks.items()
            if task.stopped_at is None or task.stopped_at >= self.action.started_at
        }

    @property
    def phase(self) -> str:
        """The phase that the function saw last."""
        return "answered" if self.answered_at else str(self.latest_pass.get("phase", "notified"))


@dataclass(frozen=True, kw_only=True)
class RequestCounts:
    """
    What has become of the requests to a target group; `cut` says why each was that was cut.
    """

    sent: int
    served: int
    under_way: int
    unserved: int
    cut: tuple[str, ...]


def counts_of(stream: Requests) -> dict[str, Any]:
    """Return the fields of `RequestCounts`, as they are now."""
    return {
        "sent": stream.sent,
        "served": stream.served,
        "under_way": stream.under_way,
        "unserved": stream.unserved,
        "cut": tuple(str(request.why) for request in stream.cut),
    }


def instances_of(history: Iterable[Fact]) -> dict[str, InstanceTrack]:
    """Return what has become of each EC2 instance, by its id."""
    found: dict[str, InstanceTrack] = defaultdict(InstanceTrack)
    for fact in history:
        if "ec2_instance_id" in fact.about:
            found[fact.about["ec2_instance_id"]].record(fact)
    return found


class Watch:
    """
    Follows the drains of an account and the function's log.

    Args:
        embedded: the account.
        drainer: the stack of `infra/drainer.yaml`.

    Attributes:
        lines: what the function has logged until the latest look, START and the like aside.
    """

    def __init__(self, embedded: EmbeddedAccount, drainer: DeployedStack) -> None:
        self._account, self._lock = embedded.account, embedded.lock
        self._logs = embedded.client("logs")
        self._log_group_name = drainer.outputs["LogGroupName"]
        self._log_read_until = 0
        self._log_events_seen: set[tuple[int, str]] = set()
        self.lines: list[dict[str, Any]] = []

    def read(self) -> None:
        """Take in what the function has logged."""
        self.lines += self._new_lines()

    def look(self) -> list[DrainTrack]:
        """Return all drains as they are now, in the order of their notifications."""
        self.read()
        latest = {line["ec2_instance_id"]: line for line in self.passes}
        with self._lock:
            history = list(self._account.history)
            actions = list(self._account.auto_scaling.actions)
        instances = instances_of(history)
        return [
            DrainTrack(one, instances[one.ec2_instance_id], latest.get(one.ec2_instance_id, {}))
            for one in actions
        ]

    def said(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines of one kind."""
        return [line for line in self.lines if line.get("message") == message]

    @property
    def passes(self) -> list[dict[str, Any]]:
        """The log lines of passes over an EC2 instance."""
        return [line for line in self.said("pass") if "ec2_instance_id" in line]

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """The log lines that are warnings or errors."""
        return [line for line in self.lines if line.get("level") in WARNINGS]

    def calls(self) -> dict[str, int]:
        """Return how often each of the function's operations was called, publishing aside."""
        with self._lock:
            calls = list(self._account.calls)
        return dict(
            Counter(
                call.operation for call in calls if call.operation in CALLS.get(call.service, ())
            )
        )

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        for event in self._log_events():
            # ministack gives its events no eventId.
            identity = (event["timestamp"], event["message"])
            if identity in self._log_events_seen:
                continue
            self._log_events_seen.add(identity)
            self._log_read_until = max(self._log_read_until, event["timestamp"])
            try:
                line = json.loads(event["message"])
            except ValueError:
                # START, END and REPORT lines are text.
                continue
            if isinstance(line, dict):
                yield line

    def _log_events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        request: dict[str, Any] = {
            "logGroupName": self._log_group_name,
            "startTime": max(0, self._log_read_until - LOG_OVERLAP_MILLISECONDS),
        }
        try:
            for _ in range(LOG_PAGES_MAX):
                answer = self._logs.filter_log_events(**request)
                events.extend(answer["events"])
                if "nextToken" not in answer:
                    break
                request["nextToken"] = answer["nextToken"]
        except (BotoCoreError, ClientError):
            # The log tells of a drain and takes no part in it: without it there is less to show.
            return events
        return events
