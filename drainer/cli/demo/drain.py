"""
The demo: the shipped templates and zip in the embedded account, a scale-in, and what comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.cli.demo import report, runner
from drainer.cli.demo.drain_screen import plain_line, screen
from drainer.cli.demo.drain_verdict import problems
from drainer.cli.demo.runner import INFRA, Frame
from drainer.simulation.embedded.installation import install, warm_up
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.services.ecs.definitions import NEVER_STOPS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from drainer.cli.demo.scenarios import Scenario
    from drainer.cli.demo.voice import Voice
    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.embedded.installation import Installation
    from drainer.simulation.embedded.watch import DrainTrack

# From the answer to the end of the EC2 instance, when a task that was left would be killed.
AFTERMATH_SECONDS = 15.0


@dataclass(frozen=True)
class Demo:
    """
    A scenario to be shown.

    Attributes:
        scenario: what to show.
        factor: how many of the account's seconds pass in a real one.
        zip_file: what `make package` built.
        voice: how to show it.

    """

    scenario: Scenario
    factor: float
    zip_file: Path
    voice: Voice

    def run(self) -> list[str]:
        """Show it and return what went wrong; nothing if the promise was kept."""
        stop_at = runner.stop_at()
        self.voice.say(f"{self.scenario.title}; time runs {self.factor:g} times as fast")
        with runner.account(self.factor, self.zip_file) as embedded:
            installation = self._install(embedded)
            began_at = self._scale_in(embedded, installation)
            drains = self._follow(embedded, installation, began_at, stop_at)
            found = problems(
                drains, expected=self.scenario.leaving, result=self.scenario.result
            ) + [f"the simulation failed: {failure!r}" for failure in embedded.failures]
            self._summarise(embedded, installation, drains, began_at, found)
        return found

    def _install(self, embedded: EmbeddedAccount) -> Installation:
        self.voice.say("deploying infra/drainer.yaml, the zip and infra/examples/cluster.yaml ...")
        installation = install(
            embedded,
            infra=INFRA,
            zip_file=self.zip_file,
            cluster_parameters=self.scenario.cluster_parameters(),
            physics=Physics(),
        )
        count = len(installation.drainer.physical_ids) + len(installation.cluster.physical_ids)
        warm_up(embedded, installation)
        shape = installation.shape
        services = ", ".join(
            f"{service.name} ({'daemon' if service.daemon else f'{service.desired_count} tasks'})"
            for service in shape.services
        )
        self.voice.say(f"{count} resources; {shape.group.desired} instances run {services}")
        return installation

    def _scale_in(self, embedded: EmbeddedAccount, installation: Installation) -> datetime:
        shape, scenario = installation.shape, self.scenario
        auto_scaling = embedded.client("autoscaling")
        answer = auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[shape.group.name])
        # The group lets its oldest instances go first.
        leaving = answer["AutoScalingGroups"][0]["Instances"][0]["InstanceId"]
        if scenario.standalone_seconds != 0:
            with embedded.catching_up() as account:
                account.ecs.run_standalone(
                    shape.name,
                    leaving,
                    seconds=scenario.standalone_seconds,
                    profile=NEVER_STOPS if scenario.standalone_seconds is None else None,
                )
        desired = shape.group.desired - scenario.leaving
        self.voice.say(f"scale-in: desired capacity {shape.group.desired} -> {desired}")
        began_at = embedded.time.now()
        auto_scaling.set_desired_capacity(
            AutoScalingGroupName=shape.group.name, DesiredCapacity=desired
        )
        return began_at

    def _follow(
        self,
        embedded: EmbeddedAccount,
        installation: Installation,
        began_at: datetime,
        stop_at: float,
    ) -> list[DrainTrack]:
        limit_seconds = self.scenario.limit_seconds

        def look() -> Frame[list[DrainTrack]]:
            drains = installation.watch.look()
            now = embedded.time.now()
            elapsed = (now - began_at).total_seconds()
            return Frame(
                drains,
                elapsed,
                plain_line(drains),
                lambda: screen(drains, now, began_at),
                is_last=self._settled(drains, now) or elapsed > limit_seconds,
            )

        last = runner.follow(self.voice, look, stop_at)
        if last.elapsed > limit_seconds:
            self.voice.say("the drains took longer than they may", elapsed=last.elapsed)
        return last.seen

    def _settled(self, drains: Sequence[DrainTrack], now: datetime) -> bool:
        if len(drains) < self.scenario.leaving:
            return False
        answered = [drain.answered_at for drain in drains if drain.answered_at]
        if len(answered) < len(drains):
            return False
        return (now - max(answered)).total_seconds() > AFTERMATH_SECONDS

    def _summarise(
        self,
        embedded: EmbeddedAccount,
        installation: Installation,
        drains: Sequence[DrainTrack],
        began_at: datetime,
        found: Sequence[str],
    ) -> None:
        summary = report.summary(
            drains, calls=installation.watch.calls(), passes=installation.watch.passes
        )
        if self.voice.as_json:
            ended = {"problems": list(found), "factor": embedded.factor, **summary}
            self.voice.tell({"message": "summary", **ended})
            return
        report.show(self.voice.console, drains, summary, began_at=began_at)
