"""Interruptions under faults, by the seed: throttles, stale listings, leftovers, duplicates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.faults.spot_faults import SpotFaults
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.spot_installation import SpotSettings, install_spot
from drainer.simulation.scenario.turns import TurnMapping, Turns
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.quotas import Quotas, Rate
from tests.simulation.conftest import CLUSTER, GROUP, Reports

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
# Faults of 25 s, an event that is 5 s late, and two ways round of 33 s.
DRAINING_WITHIN_SECONDS = 75.0
OUT_WITHIN_SECONDS = 80.0


class Story:
    """One account of a seed, and what became of its interrupted instances."""

    def __init__(self, seed: int) -> None:
        random = Random(f"spot {seed}")  # noqa: S311 - chance with a seed
        self.random, self.reports = random, Reports()
        self.account = account = Aws(now=START, seed=seed)
        turns = Turns(account, random.uniform(0.02, 0.3))

        def build(environ: Any, client: Any, clock: Any, /) -> Any:
            return handler.build(environ, client, clock, self.reports, sleep=turns.sleep)

        clusters = random.choice(["", CLUSTER, f"old,{CLUSTER}", "old", "missing"])
        self.installed = install(
            account, build=build, environ={"DRAINER_CLUSTERS": clusters}, settings=Settings()
        )
        account.ecs.create_cluster("old")
        account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=8)
        if random.random() < 0.7 or clusters in {"old", "missing"}:
            account.auto_scaling.put_hook(
                LifecycleHook(
                    "drainer",
                    GROUP,
                    notification_metadata=random.choice([CLUSTER, "old", "misspelt"]),
                    notification_target_arn=self.installed.topic.arn,
                )
            )
        for number in range(random.randint(1, 4)):
            account.ecs.create_service(
                CLUSTER,
                f"web-{number}",
                desired=random.randint(1, 16),
                start_seconds=random.choice([5.0, 200.0]),
                deregistration_delay_seconds=30.0,
            )
        self.faults = SpotFaults(account, random)
        quotas = Quotas(account.clock, auto_scaling=Rate(20, 5), elbv2=Rate(20, 5))
        account.interceptors.append(quotas)
        TurnMapping.turns = turns
        self.spot = install_spot(account, self.installed.function, SpotSettings(), TurnMapping)
        self.faults.install(self.spot)
        account.interceptors.append(turns)
        self.leaving = self._interrupt()

    def _interrupt(self) -> dict[str, datetime]:
        account, random = self.account, self.random
        known = list(account.auto_scaling.groups[GROUP].instances)
        leaving = random.sample(known, random.randint(1, 4))
        for one in leaving:
            if random.random() < 0.3:
                account.ecs.register("old", one).agent_connected = False
        self.faults.begin()
        warned = {}
        for one in leaving:
            at = account.now + timedelta(seconds=random.uniform(0, 3))
            warned[one] = at
            account.at(at, lambda one=one: account.spot.interrupt(one))  # type: ignore[misc]
        account.at(account.now, lambda: account.spot.interrupt("i-0123456789abcdef0"))
        return warned

    def seconds(self, kind: str, one: str, **about: str) -> list[float]:
        """Return after how many seconds facts of one instance came."""
        warned_at = self.leaving[one]
        return [(f.at - warned_at).total_seconds() for f in self.account.facts(kind, **about)]

    def problems(self) -> list[str]:
        """Say what must not be."""
        found = [f"crash: {crash!r}" for crash in self.reports.crashes]
        for one in self.leaving:
            about = {"ec2_instance_id": one, "cluster": CLUSTER, "status": "DRAINING"}
            draining = self.seconds("container_instance", one, **about)
            if not draining or draining[0] > DRAINING_WITHIN_SECONDS:
                found.append(f"{one}: DRAINING after {draining[:1]}")
            out = self.seconds("target", one, target_id=one, state="draining")
            if out and max(out) > OUT_WITHIN_SECONDS:
                found.append(f"{one}: out of a target group after {max(out)} s")
        for group in self.account.load_balancing.target_groups.values():
            found += [
                f"{target.target_id} stays in {group.name}"
                for target in group.targets.values()
                if target.target_id in self.leaving and target.state != "draining"
            ]
        others = {
            fact.about["ec2_instance_id"]
            for fact in self.account.facts("container_instance", status="DRAINING")
        }
        return [*found, *(f"{one} is not interrupted" for one in others - set(self.leaving))]


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_interruptions_are_served_in_time_whatever_befalls_them(first: int) -> None:
    # Each fault by itself has a test; together they find what was not thought of.
    found, struck = [], 0
    for seed in range(first, first + 50):
        story = Story(seed)
        story.account.run_for(115)
        struck += len(story.faults.struck)
        found += [f"seed {seed}: {problem}" for problem in story.problems()]

    assert found == []
    assert struck > 100
