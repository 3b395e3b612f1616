"""
Spot takes instances back by the hundred, under ECS's own request quotas, with calls that take time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.spot_installation import SpotSettings, install_spot
from drainer.simulation.scenario.turns import TurnMapping, Turns
from drainer.simulation.services.quotas import Quotas, Rate
from tests.simulation.conftest import CLUSTER, GROUP, Reports

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
# One bucket for all calls of Elastic Load Balancing, where "non-mutating API actions" alone have 40
# tokens; Auto Scaling's is not published: a harsh one.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html
ELBV2_RATE = Rate(20, 10)
AUTO_SCALING_RATE = Rate(20, 5)
STAYING = 100
DRAINING_WITHIN_SECONDS = 15.0
OUT_WITHIN_SECONDS = 60.0


def crowd(instances: int, seconds: float, **spot: Any) -> tuple[list[float], list[float], Reports]:
    """
    Interrupt so many instances within so many seconds, of a cluster in which others stay.

    Returns:
        For each instance after how many seconds it was DRAINING, and was out of both its target
        groups; infinite where it never was within its two minutes.
    """
    account, reports = Aws(now=START), Reports()
    turns = Turns(account)

    def build(environ: Any, client: Any, clock: Any, /) -> Any:
        return handler.build(environ, client, clock, reports, sleep=turns.sleep)

    installed = install(
        account, build=build, environ={"DRAINER_CLUSTERS": CLUSTER}, settings=Settings()
    )
    account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=instances + STAYING)
    create = account.load_balancing.create_target_group
    for number in range(2):
        groups = [
            create(f"{balancer}-{number}", balancer=balancer)
            for balancer in ("application", "network")
        ]
        account.ecs.create_service(
            CLUSTER,
            f"web-{number}",
            desired=instances + STAYING,
            target_groups=groups,
            start_seconds=200,
        )
    quotas = Quotas(account.clock, elbv2=ELBV2_RATE, auto_scaling=AUTO_SCALING_RATE)
    account.interceptors += [quotas, turns]
    TurnMapping.turns = turns
    install_spot(account, installed.function, SpotSettings(**spot), TurnMapping)

    leaving = list(account.auto_scaling.groups[GROUP].instances)[:instances]
    warned = {
        one: account.now + timedelta(seconds=seconds * number / instances)
        for number, one in enumerate(leaving)
    }
    for one, at in warned.items():
        account.at(at, partial(account.spot.interrupt, one))
    account.run_for(seconds + 119)
    return *_times(account, warned), reports


def _times(account: Aws, warned: dict[str, datetime]) -> tuple[list[float], list[float]]:
    never = float("inf")
    draining = dict.fromkeys(warned, never)
    out = dict.fromkeys(warned, 0.0)
    for fact in account.history:
        one = fact.about.get("ec2_instance_id", fact.about.get("target_id"))
        if one not in warned:
            continue
        after = (fact.at - warned[one]).total_seconds()
        if fact.kind == "container_instance" and fact.about["status"] == "DRAINING":
            draining[one] = min(draining[one], after)
        if fact.kind == "target" and fact.about["state"] == "draining":
            out[one] = max(out[one], after)
    for group in account.load_balancing.target_groups.values():
        for target in group.targets.values():
            if target.target_id in warned and target.state != "draining":
                out[target.target_id] = never
    return sorted(draining.values()), sorted(out.values())


def test_an_auto_scaling_that_is_slow_does_not_use_up_the_two_minutes() -> None:
    # Each look at a group's hooks takes four seconds. Ten of them are longer than an invocation
    # may take: Lambda ended it, and none of the instances was set DRAINING.
    account, reports = Aws(now=START), Reports()
    turns = Turns(account)
    turns.slow["autoscaling"] = 4.0

    def build(environ: Any, client: Any, clock: Any, /) -> Any:
        return handler.build(environ, client, clock, reports, sleep=turns.sleep)

    installed = install(account, build=build, environ={"DRAINER_CLUSTERS": ""})
    groups = [f"group-{number}" for number in range(20)]
    for group in groups:
        account.auto_scaling.create_group(group, cluster=CLUSTER, desired=1)
    account.interceptors.append(turns)
    TurnMapping.turns = turns
    install_spot(account, installed.function, SpotSettings(), TurnMapping)
    warned = {}
    for group in groups:
        (one,) = account.auto_scaling.groups[group].instances
        warned[one] = account.now
        account.spot.interrupt(one)
    account.run_for(60)

    draining, _ = _times(account, warned)
    assert draining[-1] <= DRAINING_WITHIN_SECONDS
    assert reports.crashes == []


# How many messages SQS's pollers bring together is not documented: a second of them, or a part.
@pytest.mark.parametrize("batch", [100, 10])
def test_five_hundred_instances_leave_in_time(batch: int) -> None:
    # With an invocation for each event, 265 of them were never set DRAINING and most of the others
    # kept their targets until Spot took them: every request to those was cut.
    draining, out, reports = crowd(500, 10.0, batch_size=batch)

    assert draining[-1] <= DRAINING_WITHIN_SECONDS
    assert out[-1] <= OUT_WITHIN_SECONDS
    assert reports.crashes == []
    assert sum(report.first for report in reports.reports) == 500


def test_calls_that_take_a_second_do_not_keep_all_targets_in() -> None:
    # Listing a wave of instances took all of each invocation: not one target was ever taken out,
    # and the messages of all instances ended in the dead-letter queue.
    account, reports = Aws(now=START), Reports()
    turns = Turns(account)

    def build(environ: Any, client: Any, clock: Any, /) -> Any:
        return handler.build(environ, client, clock, reports, sleep=turns.sleep)

    installed = install(account, build=build, environ={"DRAINER_CLUSTERS": CLUSTER})
    account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=50)
    group = account.load_balancing.create_target_group("web")
    account.ecs.create_service(CLUSTER, "web", desired=50, target_groups=[group], start_seconds=200)
    account.interceptors.append(turns)
    TurnMapping.turns = turns
    install_spot(account, installed.function, SpotSettings(), TurnMapping)
    turns.call_seconds = 0.9
    leaving = list(account.auto_scaling.groups[GROUP].instances)[:40]
    for one in leaving:
        account.spot.interrupt(one)
    account.run_for(119)

    _, out = _times(account, dict.fromkeys(leaving, START))
    assert sum(after <= 119 for after in out) >= 30
    assert reports.crashes == []
