"""
What can be seen of the drains in the embedded account: by AWS's state and by the function's log.

It only looks; nothing here takes part in a drain.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from drainer.aws.calls import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from threading import RLock

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Fact
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction

# A page of FilterLogEvents holds up to 10,000 events; a look that needs more pages than this has
# fallen behind, and the next one goes on where it stopped.
LOG_PAGES_MAX = 20
# Two invocations at once write their lines in either order; looking back this far finds all.
LOG_OVERLAP_MILLISECONDS = 10_000


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


@dataclass
class DrainTrack:
    """
    One lifecycle action and the container instance behind it, as of the latest look.

    Attributes:
        action: the lifecycle action.
        lifecycle_state: the EC2 instance's state in its group.
        container_instance_status: ACTIVE, DRAINING or INACTIVE.
        tasks: what was on it when the action began or came after.
        latest_pass: the function's latest log line about it, empty before the first.
        killed: tasks that died with the EC2 instance.

    """

    action: LifecycleAction
    lifecycle_state: str = ""
    container_instance_status: str = ""
    tasks: dict[str, TaskTrack] = field(default_factory=dict)
    latest_pass: dict[str, Any] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)

    @property
    def ec2_instance_id(self) -> str:
        """The EC2 instance."""
        return self.action.ec2_instance_id

    @property
    def answered_at(self) -> datetime | None:
        """When the action ended; None while Auto Scaling waits."""
        return self.action.ended_at

    @property
    def phase(self) -> str:
        """The phase that the function saw last."""
        return "answered" if self.answered_at else str(self.latest_pass.get("phase", "noticed"))

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


class Watch:
    """
    Follows all drains of an account.

    Args:
        account: the simulated part of the embedded account.
        lock: to be held while reading it.
        logs: a CloudWatch Logs client.
        log_group_name: the function's log group.

    """

    def __init__(self, account: Aws, lock: RLock, logs: Any, log_group_name: str) -> None:
        self._account = account
        self._lock = lock
        self._logs = logs
        self._log_group_name = log_group_name
        self._facts_read = 0
        self._log_read_until = 0
        self._log_events_seen: set[tuple[int, str]] = set()
        self._tasks: dict[str, dict[str, TaskTrack]] = {}
        self._states: dict[str, str] = {}
        self._statuses: dict[str, str] = {}
        self._killed: dict[str, list[str]] = {}
        self._passes: dict[str, dict[str, Any]] = {}
        self.drains: dict[str, DrainTrack] = {}
        self.passes = 0
        self.refusals: list[dict[str, Any]] = []
        self.interruptions: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []

    def look(self) -> list[DrainTrack]:
        """Return all drains as they are now, in the order of their notices."""
        for line in self._log_lines():
            self._note_line(line)
        with self._lock:
            facts = list(islice(self._account.history, self._facts_read, None))
            actions = list(self._account.auto_scaling.actions)
        self._facts_read += len(facts)
        for fact in facts:
            self._note_fact(fact)
        for action in actions:
            self._note_action(action)
        return list(self.drains.values())

    def calls(self) -> dict[str, int]:
        """Return how often each of the function's operations was called, publishing aside."""
        with self._lock:
            calls = list(self._account.calls)
        return dict(
            Counter(
                call.operation for call in calls if call.operation in CALLS.get(call.service, ())
            )
        )

    def _note_action(self, action: LifecycleAction) -> None:
        track = self.drains.setdefault(action.token, DrainTrack(action))
        instance = action.ec2_instance_id
        track.lifecycle_state = self._states.get(instance, "")
        track.container_instance_status = self._statuses.get(instance, "")
        track.killed = self._killed.get(instance, [])
        track.latest_pass = self._passes.get(instance, {})
        track.tasks = {
            task_id: task
            for task_id, task in self._tasks.get(instance, {}).items()
            # What stopped before the notice is no part of the drain.
            if task.stopped_at is None or task.stopped_at >= action.started_at
        }

    def _note_fact(self, fact: Fact) -> None:
        about = fact.about
        instance = about.get("ec2_instance_id", "")
        match fact.kind:
            case "task":
                tasks = self._tasks.setdefault(instance, {})
                task = tasks.setdefault(
                    about["task_id"], TaskTrack(about["task_id"], about["owner"])
                )
                if not task.moves or task.last_status != about["last_status"]:
                    task.moves.append((fact.at, about["last_status"]))
            case "lifecycle_state":
                self._states[instance] = about["state"]
            case "container_instance":
                self._statuses[instance] = about["status"]
            case "killed":
                killed = self._killed.setdefault(instance, [])
                killed.append(f"{about['owner']} {about['last_status']} {about['task_id']}")

    def _note_line(self, line: dict[str, Any]) -> None:
        if line.get("message") == "pass" and "ec2_instance_id" in line:
            self._passes[line["ec2_instance_id"]] = line
            self.passes += 1
        elif line.get("message") == "interruption":
            self.interruptions.append(line)
        elif line.get("message") == "custom resource":
            self.requests.append(line)
        if line.get("level") in ("WARNING", "ERROR", "CRITICAL"):
            self.refusals.append(line)

    def _log_lines(self) -> Iterable[dict[str, Any]]:
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
