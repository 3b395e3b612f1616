"""
What happened in a run, told in order: facts of the account, calls of the function, faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws

# The facts that a reader needs; target states and invocations would drown them.
TOLD = frozenset(
    {
        "answered",
        "container_instance",
        "dead_letter",
        "heartbeat",
        "hook_opened",
        "killed",
        "lifecycle_state",
        "released",
        "task",
    }
)
LINES_MAX = 200_000
VALUE_CHARACTERS_MAX = 160
# Random in every write, also of one seed: a trace has to be the same each time.
UNTOLD = ":pass_id"


@dataclass
class Trace:
    """
    The lines of a run; silent unless it is switched on, because telling takes most of the time.

    Attributes:
        on: whether lines are kept.
        lines: what was told.
    """

    account: Aws
    started_at: datetime
    on: bool = False
    lines: list[str] = field(default_factory=list)
    _told: int = 0

    def say(self, what: str, sentence: str) -> None:
        """Add a line."""
        if self.on and len(self.lines) < LINES_MAX:
            self._catch_up()
            self._add(self.account.now, what, sentence)

    def call(self, operation: str, parameters: Mapping[str, Any], outcome: str) -> None:
        """Add a line about a call of the function."""
        if self.on:
            self.say("call", f"{operation} {_brief(parameters)} -> {outcome}")

    def finish(self) -> None:
        """Add the facts that nothing else followed."""
        if self.on:
            self._catch_up()

    def _catch_up(self) -> None:
        facts = list(islice(self.account.history, self._told, None))
        self._told += len(facts)
        for fact in facts:
            if fact.kind in TOLD:
                self._add(fact.at, "account", f"{fact.kind} {_brief(fact.about)}")

    def _add(self, at: datetime, what: str, sentence: str) -> None:
        seconds = (at - self.started_at).total_seconds()
        self.lines.append(f"{seconds:10.3f}  {what:<8} {sentence}")


def _brief(values: Mapping[str, Any]) -> str:
    if UNTOLD in values.get("ExpressionAttributeValues", {}):
        given = values["ExpressionAttributeValues"]
        shown = {name: value for name, value in given.items() if name != UNTOLD}
        values = {**values, "ExpressionAttributeValues": shown}
    return " ".join(f"{name}={str(value)[:VALUE_CHARACTERS_MAX]}" for name, value in values.items())


def told(answer: Mapping[str, Any]) -> str:
    """Say what matters of an answer."""
    parts = []
    for name, value in answer.items():
        if isinstance(value, list):
            parts.append(f"{name}=[{', '.join(map(_row, value[:12]))}]")
    return " ".join(parts) or "done"


def _row(row: Any) -> str:
    if not isinstance(row, dict):
        return str(row).rpartition("/")[2]
    names = (
        "InstanceId",
        "LifecycleState",
        "ec2InstanceId",
        "status",
        "runningTasksCount",
        "pendingTasksCount",
        "desiredStatus",
        "lastStatus",
        "group",
        "reason",
    )
    return " ".join(str(row[name]) for name in names if name in row)
