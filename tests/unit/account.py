"""
An account by its ports: Auto Scaling, ECS, a topic and the table of records, which note each call.

It changes what is told to it and nothing else; drainer/simulation/ has an account that lives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.config import Config
from drainer.drain import envelope
from drainer.drain.model import (
    ContainerInstance,
    Drain,
    Hook,
    LifecycleAction,
    LifecycleActionResult,
    Owner,
    Task,
)
from drainer.drain.record import QUIET_SECONDS, DrainRecord, key_of
from drainer.invocation import InvocationClock
from drainer.lifecycle.controller import Controller, PassReport
from tests.unit.ecs import container_instance
from tests.unit.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.errors import DrainerError

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=60)
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer"
CONFIG = Config(TOPIC_ARN)
TOKEN = "87654321-4321-4321-4321-210987654321"
OTHER_TOKEN = "0f0e0d0c-0000-4000-8000-000000000000"
WAIT = "Terminating:Wait"
GROUP = "payments-asg"
HOOK = Hook("drainer", 1800, 172_800, TOPIC_ARN, None)
# What a pass only looks at; the listing of tasks is told, as it is what a set is closed by.
LOOKS = frozenset({"states", "describe", "read", "query"})


def instance_id(number: int = 0) -> str:
    return f"i-{number:017x}"


def action(number: int = 0, token: str = TOKEN, hook: str = "drainer") -> LifecycleAction:
    return LifecycleAction(GROUP, hook, instance_id(number), token)


def notification(number: int = 0, at: datetime = NOW, **changes: Any) -> Drain:
    """The first message of a drain."""
    return replace(Drain(action(number), at, at), **changes)


def drain(number: int = 0, **changes: Any) -> Drain:
    """A drain in the middle of its way, all of whose tasks are known: what its message says."""
    known = Drain(
        action(number),
        START,
        START,
        hop=3,
        cluster="payments",
        container_instance_arn=f"arn-{number}",
        draining_since=START,
        listed_at=START,
        settled=True,
        closed=True,
        generation=1,
    )
    return replace(known, **changes)


def record(of: Drain | None = None, **changes: Any) -> DrainRecord:
    """The record that a drain's latest pass wrote, an interval ago."""
    of = of or drain()
    ago = timedelta(seconds=QUIET_SECONDS if of.quiet else 15)
    known = DrainRecord(
        key_of(of.action), of.generation or 1, of.hop, "an-earlier-pass", of,
        written_at=NOW - ago,
    )  # fmt: skip
    return replace(known, **changes)


def task(number: int = 1, last: str = "RUNNING", owner: Owner = Owner.SERVICE) -> Task:
    wanted = "RUNNING" if last == "RUNNING" else "STOPPED"
    return Task(f"{number:032x}", owner, "service:web", wanted, last)


@dataclass
class Account:
    """
    What a pass reads and does, and the time that each call takes.

    Attributes:
        states: The lifecycle state of each EC2 instance that is in the group.
        fails: What a call fails with, by its name, or its name and what it is about.
        log: The calls, in their order.
        late: Those that were begun when no time was left.
    """

    states: dict[str, str] = field(default_factory=dict)
    instances: dict[str, ContainerInstance] = field(default_factory=dict)
    running: dict[str, list[Task]] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = (HOOK,)
    records: Records = field(default_factory=Records)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    refused_arns: set[str] = field(default_factory=set)
    unpublished: set[int] = field(default_factory=set)
    fast_path: bool = False
    seconds_left: float = 100.0
    call_seconds: float = 0.0
    log: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    published: list[Drain] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records.call = self._call

    def has(
        self, number: int = 0, status: str = "DRAINING", *tasks: Task, cluster: str = "payments"
    ) -> None:
        """Let an EC2 instance wait, with a container instance and its tasks."""
        arn = f"arn-{number}"
        self.states.setdefault(instance_id(number), WAIT)
        self.running[arn] = list(tasks)
        wanted = sum(one.wanted for one in tasks)
        self.instances[arn] = container_instance(
            arn, instance_id(number), status, running_tasks=wanted, cluster=cluster
        )

    def follows(
        self,
        number: int = 0,
        status: str = "DRAINING",
        *tasks: Task,
        cluster: str = "payments",
        **changes: Any,
    ) -> Drain:
        """Put a drain in the middle of its way, with its record; return the message that is due."""
        self.has(number, status, *tasks, cluster=cluster)
        due = drain(number, cluster=cluster, **changes)
        self.records.put(record(due))
        return due

    @property
    def done(self) -> list[str]:
        """What was done, without what was only looked at."""
        return [one for one in self.log if one not in LOOKS and not one.startswith("list")]

    def record(self, number: int = 0, hook: str = "drainer") -> DrainRecord:
        """Return a record as it is stored."""
        found: DrainRecord = self.records.rows[key_of(action(number, hook=hook))]
        return found

    def run(
        self,
        *drains: Drain,
        now: datetime = NOW,
        controller: Controller | None = None,
        **more: Any,
    ) -> PassReport:
        """Run one pass, in an execution environment of its own unless one is given."""
        time = InvocationClock(now, self.left)
        return (controller or self.controller()).run_pass(drains, time=time, **more)

    def controller(self) -> Controller:
        """Return what an execution environment keeps from one pass to the next."""
        config = replace(CONFIG, use_fast_path=self.fast_path)
        return Controller(self, self, self, self.records, config)

    def left(self) -> float:
        return self.seconds_left

    def _call(self, name: str, about: str = "") -> None:
        if self.seconds_left <= 0:
            self.late.append(name)
        self.log.append(name)
        self.seconds_left -= self.call_seconds
        for key in (name, f"{name} {about}"):
            if key in self.fails:
                raise self.fails[key]

    # Auto Scaling

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self._call("states")
        return {one: (GROUP, self.states[one]) for one in ec2_instance_ids if one in self.states}

    def group_names(self) -> list[str]:
        return [GROUP]

    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        return {one: (GROUP, state) for one, state in self.states.items()}, []

    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        return {}

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        return {hook.name: hook for hook in self.hooks}

    def record_heartbeat(self, action: LifecycleAction) -> None:
        self._call("heartbeat", action.lifecycle_action_token or action.ec2_instance_id)
        self.tokens.append(action.lifecycle_action_token)

    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        self._call("complete", action.ec2_instance_id)
        self.answered.append((action.ec2_instance_id, result))
        self.tokens.append(action.lifecycle_action_token)

    # ECS

    def clusters(self) -> list[str]:
        return sorted({one.cluster for one in self.instances.values()})

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        return [
            one.arn
            for one in self.instances.values()
            if one.cluster == cluster and one.ec2_instance_id in ec2_instance_ids
        ]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self._call("describe")
        return [self.instances[one] for one in arns if one in self.instances]

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        self._call(f"list {desired_status}")
        return [
            one.id
            for one in self.running.get(container_instance_arn, ())
            if one.desired_status == desired_status
        ]

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        known = {one.id: one for tasks in self.running.values() for one in tasks}
        return {one: known[one] for one in task_ids if one in known}

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self._call("set DRAINING")
        return {one: "refused" for one in arns if one in self.refused_arns}

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        raise AssertionError("a drain leaves nothing on a container instance")

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        self._call("stop")

    # The topic

    def publish(self, messages: Sequence[str]) -> dict[int, str]:
        self._call("publish")
        sent = [one for one in range(len(messages)) if one not in self.unpublished]
        self.published += [envelope.decode(json.loads(messages[one])) for one in sent]
        return dict.fromkeys(self.unpublished & set(range(len(messages))), "refused")
