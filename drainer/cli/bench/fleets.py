"""
Count what a drain costs in AWS calls, in the simulated account, as ratios of one run.

Nothing here is timed: calls and throttles do not depend on the machine that counts them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from drainer import handler
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.scenario.installation import NOTICES, Settings, install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.quotas import Quotas

if TYPE_CHECKING:
    from drainer.simulation.scenario.installation import Installation

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CROWDS = (1, 10, 100, 300)
FLEETS = (1, 10, 100, 300, 1_000)
# The drain of the project's tests: healthy +60 s, deregistration 300 s, stop 30 s.
STOPPED_SECONDS = 390
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Cost:
    """What draining so many instances at once took."""

    instances: int
    reads: int
    modifies: int
    others: int
    throttles: int
    invocations: int
    lag_seconds: float


def drain(instances: int, *, queued: bool) -> Cost:
    """
    Drain so many instances of a group twice as large, under ECS's published quotas.

    Args:
        instances: How many leave at once.
        queued: Whether first notices take the queue, as infra/drainer.yaml has it, or go straight
            to the function.
    """
    account = Aws(now=START)
    # An invocation takes a second, so that the quotas meet the calls as they would come.
    settings = Settings(function_duration_seconds=1.0)
    installed = install(
        account, build=handler.build, environ={"DRAINER_CLUSTERS": "c"}, settings=settings
    )
    if not queued:
        installed.topic.subscriptions.pop(0)
        installed.topic.subscribe(installed.function, NOTICES)
    account.auto_scaling.create_group("g", cluster="c", desired=2 * instances)
    account.auto_scaling.put_hook(
        LifecycleHook(
            "drainer",
            "g",
            heartbeat_timeout_seconds=1800,
            default_result="CONTINUE",
            notification_target_arn=installed.topic.arn,
        )
    )
    account.ecs.create_service("c", "web", desired=2 * instances)
    quotas = Quotas(account.clock)
    account.interceptors.append(quotas)
    account.auto_scaling.scale_in("g", instances)
    actions = account.auto_scaling.actions
    account.run_until(lambda: all(not action.is_open for action in actions), HOUR)
    if any(fact.kind == "released" and fact.about["remaining"] for fact in account.history):
        raise AssertionError("an instance was released early")
    last = max(action.ended_at or START for action in actions)
    return _cost(instances, account, quotas, installed, last)


def drain_fleet(instances: int) -> Cost:
    """Drain so many instances of a Spot Fleet for one request of CloudFormation, quotas and all."""
    account = Aws(now=START)
    account.stacks.unavailable, account.stacks.refused = UnavailableError, MisconfiguredError
    settings = Settings(function_duration_seconds=1.0, custom_resources=True)
    installed = install(account, build=handler.build, settings=settings)
    fleet = account.fleets.create("c", instances, already_running=True)
    account.ecs.create_service("c", "web", desired=instances)
    account.fleets.create("c", instances, already_running=True)
    quotas = Quotas(account.clock)
    account.interceptors.append(quotas)
    properties = {"Cluster": "c", "SpotFleet": fleet.fleet_id}
    request = account.stacks.request("Delete", properties, physical_id=fleet.fleet_id)
    request.by_topic(installed.topic)
    account.run_until(lambda: request.answer is not None, HOUR)
    if any(account.ecs.remaining_tasks(one) for one in fleet.ec2_instance_ids):
        raise AssertionError("CloudFormation was answered early")
    return _cost(instances, account, quotas, installed, request.answers[0][0])


def _cost(
    instances: int, account: Aws, quotas: Quotas, installed: Installation, last: datetime
) -> Cost:
    made = Counter(_bucket(call.service, call.operation) for call in account.calls)
    return Cost(
        instances,
        made["read"],
        made["modify"],
        made["other"],
        sum(quotas.throttled.values()),
        installed.function.invocations,
        (last - START).total_seconds() - STOPPED_SECONDS,
    )


def _bucket(service: str, operation: str) -> str:
    if service != "ecs":
        return "other"
    return "read" if operation.startswith(("List", "Describe")) else "modify"


def main() -> None:
    """Print the table."""
    title = "one drain of 390 s: AWS calls for each instance, throttles of all, last answer"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0))
    for heading in ("number", "first", "ECS read", "modify", "other", "invoked", "throttled",
                    "answer"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for instances in CROWDS:
        for queued in (False, True):
            _add(table, "queued" if queued else "direct", drain(instances, queued=queued))
    table.add_section()
    for instances in FLEETS:
        _add(table, "fleet", drain_fleet(instances))
    Console().print(table)


def _add(table: Table, notices: str, cost: Cost) -> None:
    each = (cost.reads, cost.modifies, cost.others, cost.invocations)
    ratios = (f"{number / cost.instances:.1f}" for number in each)
    lag = f"{cost.lag_seconds:.0f} s"
    table.add_row(str(cost.instances), notices, *ratios, str(cost.throttles), lag)


if __name__ == "__main__":
    main()
