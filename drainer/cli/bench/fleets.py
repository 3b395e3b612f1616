"""
Drain a Spot Fleet for one request of CloudFormation, under ECS's published quotas.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from drainer import handler
from drainer.cli.bench.drains import START
from drainer.cli.bench.meter import READ, Meter
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.quotas import Quotas

FLEETS = (1, 10, 100, 300, 1_000)
# Healthy after 60 s, deregistered after 300 s, stopped after 30 s.
STOPPED_SECONDS = 390
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class FleetCost:
    """What draining a fleet took."""

    instances: int
    reads: float
    throttles: int
    lag_seconds: float


def drain_fleet(instances: int) -> FleetCost:
    """Drain so many instances of a Spot Fleet; fail if CloudFormation is answered early."""
    account = Aws(now=START)
    account.stacks.unavailable, account.stacks.refused = UnavailableError, MisconfiguredError
    # An invocation takes a second, so that the quotas meet the calls as they would come.
    settings = Settings(function_duration_seconds=1.0, custom_resources=True)
    installed = install(account, build=handler.build, settings=settings)
    fleet = account.fleets.create("c", instances, already_running=True)
    account.ecs.create_service("c", "web", desired=instances)
    account.fleets.create("c", instances, already_running=True)
    meter, quotas = Meter(account), Quotas(account.clock)
    account.interceptors += [meter, quotas]
    properties = {"Cluster": "c", "SpotFleet": fleet.fleet_id}
    request = account.stacks.request("Delete", properties, physical_id=fleet.fleet_id)
    request.by_topic(installed.topic)
    account.run_until(lambda: request.answer is not None, HOUR)
    if any(account.ecs.remaining_tasks(one) for one in fleet.ec2_instance_ids):
        raise AssertionError("CloudFormation was answered early")
    return FleetCost(
        instances,
        meter.ecs[READ] / instances,
        quotas.throttled.total(),
        (request.answers[0][0] - START).total_seconds() - STOPPED_SECONDS,
    )
