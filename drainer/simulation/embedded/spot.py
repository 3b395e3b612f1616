"""
Spot's templates beside the drainer's in the embedded account, something for them to save, and the
requests that show whether it was saved.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.embedded.bus import Bus
from drainer.simulation.embedded.fargate import build_fargate
from drainer.simulation.embedded.installation import (
    DRAINER_STACK,
    deploy_drainer,
    install,
    wait_until_warm,
)
from drainer.simulation.embedded.unknown import without_unknown
from drainer.simulation.scenario.client_requests import Mix, Requests
from drainer.simulation.template import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.embedded.shape import Physics
    from drainer.simulation.embedded.watch import Watch
    from drainer.simulation.services.ecs.model import Service, Task
    from drainer.simulation.template import DeployedStack

SPOT_STACK = "spot"
FARGATE_STACK = "shop"
SPOT_RULES = ("Interruptions", "FargateSpot")
# An instance of another team's, as most that Spot tells of: it warms the function up and asks
# for nothing.
UNKNOWN_INSTANCE = "i-00000000000000000"
TELL_AGAIN_SECONDS = 2.0
WARNING = timedelta(seconds=120)


@dataclass(frozen=True)
class Stage:
    """
    What is deployed, and the requests to it.

    Attributes:
        stacks: all that were deployed.
        watch: follows the drains and the function's log.
        bus: brings the simulation's events to the function.
        services: those whose tasks the load balancers know.
        streams: the requests, one stream for each target group.
        leaving: the EC2 instance to interrupt; None for a task of Fargate Spot instead.
    """

    embedded: EmbeddedAccount
    stacks: tuple[DeployedStack, ...]
    watch: Watch
    bus: Bus
    services: tuple[Service, ...]
    streams: tuple[Requests, ...]
    leaving: str | None

    def strike(self) -> tuple[str, tuple[Task, ...], datetime]:
        """Let Spot take something back; return its id, the tasks that go with it, and when."""
        with self.embedded.catching_up() as account:
            account.calls.clear()
            if self.leaving is not None:
                tasks = tuple(account.ecs.remaining_tasks(self.leaving))
                account.spot.interrupt(self.leaving)
                return self.leaving, tasks, account.now
            task = next(
                task
                for service in self.services
                for task in service.tasks.values()
                if task.capacity_provider == "FARGATE_SPOT"
            )
            # As it is reported to come at times: too late to be of any use.
            account.spot.deregister_after_seconds = None
            account.spot.interrupt_fargate(task)
            return task.task_id, (task,), account.now


@contextmanager
def ec2_stage(
    embedded: EmbeddedAccount,
    *,
    infra: Path,
    zip_file: Path,
    parameters: Mapping[str, str],
    physics: Physics,
    mix: Mix,
    drainer_parameters: Mapping[str, str] | None = None,
) -> Iterator[Stage]:
    """Deploy drainer.yaml, spot.yaml and examples/cluster.yaml, and send it requests."""
    installation = install(
        embedded,
        infra=infra,
        zip_file=zip_file,
        cluster_parameters=parameters,
        physics=physics,
        drainer_parameters=drainer_parameters,
    )
    spot = _deploy_spot(embedded, infra)
    shape = installation.shape
    with embedded.catching_up() as account:
        leaving = next(iter(account.auto_scaling.groups[shape.group.name].instances))
        cluster = account.ecs.clusters[shape.name]
        services = [one for one in cluster.services.values() if one.balanced]
    with _served(embedded, spot, services, mix) as (bus, streams):
        stacks = (installation.drainer, spot, installation.cluster)
        yield Stage(embedded, stacks, installation.watch, bus, tuple(services), streams, leaving)


@contextmanager
def fargate_stage(
    embedded: EmbeddedAccount,
    *,
    infra: Path,
    zip_file: Path,
    parameters: Mapping[str, str],
    mix: Mix,
    drainer_parameters: Mapping[str, str] | None = None,
) -> Iterator[Stage]:
    """Deploy drainer.yaml, spot.yaml and examples/fargate-spot.yaml, and send it requests."""
    drainer, watch = deploy_drainer(embedded, infra, zip_file, drainer_parameters)
    spot = _deploy_spot(embedded, infra)
    template = without_unknown(read_template(infra / "examples" / "fargate-spot.yaml"))
    example = embedded.deployment().create_stack(FARGATE_STACK, template, dict(parameters))
    with embedded.catching_up() as account:
        service = build_fargate(account, example)
    with _served(embedded, spot, [service], mix) as (bus, streams):
        yield Stage(embedded, (drainer, spot, example), watch, bus, (service,), streams, None)


def warm_up(stage: Stage) -> None:
    """Let the function start before it matters, by an interruption that is none of ours."""
    tell_at = time.monotonic()

    def is_asked_about() -> bool:
        nonlocal tell_at
        with stage.embedded.catching_up() as account:
            if time.monotonic() >= tell_at:
                # Again, since while the function starts the first one's two minutes may be over.
                tell_at += TELL_AGAIN_SECONDS
                account.emit(
                    "aws.ec2",
                    "EC2 Spot Instance Interruption Warning",
                    [f"arn:aws:ec2:{account.region}a:instance/{UNKNOWN_INSTANCE}"],
                    {"instance-id": UNKNOWN_INSTANCE, "instance-action": "terminate"},
                )
            return any(UNKNOWN_INSTANCE in str(call.parameters) for call in account.calls)

    wait_until_warm(is_asked_about)


def _deploy_spot(embedded: EmbeddedAccount, infra: Path) -> DeployedStack:
    return embedded.deployment().create_stack(
        SPOT_STACK, read_template(infra / "spot.yaml"), {"DrainerStack": DRAINER_STACK}
    )


@contextmanager
def _served(
    embedded: EmbeddedAccount, spot: DeployedStack, services: Sequence[Service], mix: Mix
) -> Iterator[tuple[Bus, tuple[Requests, ...]]]:
    rules = [spot.physical_ids[name] for name in SPOT_RULES]
    with Bus(embedded.client, rules, embedded.time) as bus:
        with embedded.catching_up() as account:
            account.on_event.append(bus.listen)
            groups = [one.target_group for service in services for one in service.balanced]
            streams = tuple(Requests(account, group, mix) for group in groups)
            for stream in streams:
                stream.start()
        yield bus, streams
