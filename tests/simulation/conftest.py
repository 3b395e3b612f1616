"""An account with the drainer installed, as the virtual-time tests meet it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer import handler
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.scenario.installation import Installation, Settings, install
from drainer.simulation.scenario.shipped import role_policy, shipped_stack
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, LifecycleHook
from drainer.simulation.services.iam.gate import Gate
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drainer.custom_resource.report import Report
    from drainer.errors import DrainerError
    from drainer.lifecycle.bringing_back import Returned
    from drainer.lifecycle.controller import PassReport
    from drainer.spot.report import InterruptionReport

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP = "payments-asg"
CLUSTER = "payments"


@dataclass
class Reports(Telemetry):
    """What the function reported, kept instead of logged."""

    passes: list[PassReport] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)
    reports: list[InterruptionReport] = field(default_factory=list)
    requests: list[Report] = field(default_factory=list)
    returns: list[Returned] = field(default_factory=list)

    def passed(self, report: PassReport, now: datetime) -> None:
        self.passes.append(report)

    def refused(self, record_id: str, refusal: DrainerError) -> None:
        self.refusals.append(f"{record_id}: {refusal}")

    def interrupted(self, reports: Sequence[InterruptionReport]) -> None:
        self.reports += reports

    def returned(self, returned: Sequence[Returned]) -> None:
        self.returns += returned

    def requested(self, report: Report) -> None:
        self.requests.append(report)

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        error.add_note(", ".join(ec2_instance_ids))
        self.crashes.append(error)

    @property
    def phases(self) -> list[str]:
        """The phases that the passes went through, without repetitions."""
        found: list[str] = []
        for report in self.passes:
            for outcome in report.outcomes:
                if found[-1:] != [outcome.decision.phase.value]:
                    found.append(outcome.decision.phase.value)
        return found


@dataclass
class World:
    """A simulated account, the drainer in it, and the words that tests use."""

    account: Aws
    installed: Installation
    reports: Reports
    gate: Gate

    def group(
        self, desired: int = 3, *, metadata: Mapping[str, Any] | str | None = None, **more: Any
    ) -> None:
        """Create the group, its cluster and the hook that notifies the drainer."""
        hook = {name: more.pop(name) for name in HOOK_WORDS if name in more}
        self.account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=desired, **more)
        self.hook(metadata=metadata, **hook)

    def hook(
        self,
        name: str = "drainer",
        *,
        metadata: Mapping[str, Any] | str | None = None,
        heartbeat_timeout_seconds: int = 1800,
        default_result: Any = "CONTINUE",
        target: str | None = "",
    ) -> LifecycleHook:
        """Put a hook on the group; by default its target is our topic."""
        as_text = metadata if isinstance(metadata, str) or metadata is None else None
        return self.account.auto_scaling.put_hook(
            LifecycleHook(
                name,
                GROUP,
                heartbeat_timeout_seconds=heartbeat_timeout_seconds,
                default_result=default_result,
                notification_metadata=as_text or (json.dumps(metadata) if metadata else None),
                notification_target_arn=self.installed.topic.arn if target == "" else target,
            )
        )

    def service(self, desired: int = 3, **more: Any) -> None:
        """Create the service of the issue: healthy +60 s, deregistration 300 s, stop 30 s."""
        self.account.ecs.create_service(CLUSTER, "web", desired=desired, **more)

    def scale_in(self, count: int = 1) -> list[str]:
        """Let instances go; return their ids."""
        leaving = self.account.auto_scaling.scale_in(GROUP, count)
        return [instance.ec2_instance_id for instance in leaving]

    def topic(self, name: str) -> None:
        """Create a topic that is not ours."""
        sns = self.account.apis["sns"]
        assert isinstance(sns, SnsApi)
        sns.create_topic_named(name)

    def say(self, body: Mapping[str, Any]) -> None:
        """Publish a message to our topic."""
        self.installed.topic.publish(json.dumps(body))

    def redrive(self, body: str) -> None:
        """Put a message back into the wait queue, as an operator does from a dead-letter queue."""
        self.installed.wait_queue.send(body)

    @property
    def oldest(self) -> str:
        """The EC2 instance that the group lets go next."""
        return next(iter(self.account.auto_scaling.groups[GROUP].instances))

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.account.advance_to(self.account.now + timedelta(seconds=seconds))

    def until_answered(self, limit_seconds: float = 172_800) -> LifecycleAction:
        """Run until every lifecycle action has ended; return the last one."""
        actions = self.account.auto_scaling.actions
        self.account.run_until(
            lambda: all(not action.is_open for action in actions),
            timedelta(seconds=limit_seconds),
        )
        return actions[-1]

    def seconds(self, at: datetime | None) -> float:
        """Return an instant as seconds since the start."""
        assert at is not None
        return (at - START).total_seconds()

    def last_stopped_seconds(self, ec2_instance_id: str) -> float:
        """Return when the last task of an instance became STOPPED, in seconds since the start."""
        return max(
            self.seconds(fact.at)
            for fact in self.account.history
            if fact.kind == "task"
            and fact.about.get("ec2_instance_id") == ec2_instance_id
            and fact.about.get("last_status") == "STOPPED"
        )

    @property
    def killed(self) -> list[Mapping[str, Any]]:
        """The tasks that an instance took with it: what must never be."""
        return [fact.about for fact in self.account.history if fact.kind == "killed"]

    @property
    def left_behind(self) -> list[str]:
        """The tasks that were not STOPPED when their instance was released."""
        return [
            task
            for fact in self.account.history
            if fact.kind == "released"
            for task in fact.about["remaining"]
        ]

    def calls(self, operation: str, *, error: str | None = None) -> int:
        """Count the calls of an operation that ended so."""
        return sum(c.operation == operation and c.error == error for c in self.account.calls)


HOOK_WORDS = ("heartbeat_timeout_seconds", "default_result", "target")


@pytest.fixture
def make_world() -> Callable[..., World]:
    def make(
        environ: Mapping[str, str] | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> World:
        account, reports = Aws(now=START), Reports()
        # Whatever the function calls in virtual time, the template's own policy has to allow.
        stack = shipped_stack(account.account_id, account.region, **(parameters or {}))
        gate = Gate(account, role_policy(stack))
        account.interceptors.append(gate)

        account.stacks.unavailable = UnavailableError
        account.stacks.refused = MisconfiguredError

        def build(environment: Any, client: Any, clock: Any, /, respond: Any = None) -> Any:
            return handler.build(environment, client, clock, reports, respond)

        installed = install(
            account,
            build=build,
            environ={"DRAINER_CLUSTERS": CLUSTER, **(environ or {})},
            settings=Settings(**settings),
        )
        return World(account, installed, reports, gate)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
