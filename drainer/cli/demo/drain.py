"""
The demo of lifecycle hooks: the shipped templates and zip, a scale-in, and what comes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.demo import report
from drainer.cli.demo.drain_screen import data, plain_line, screen, why
from drainer.cli.demo.drain_verdict import problems
from drainer.cli.demo.runner import INFRA, Frame, Show
from drainer.simulation.embedded.installation import install, warm_up
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.services.ecs.definitions import NEVER_STOPS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from drainer.simulation.embedded.watch import DrainTrack

# From the answer to the end of the EC2 instance, when a task that was left would be killed.
AFTERMATH_SECONDS = 15.0


class DrainShow(Show):
    """Instances leave an Auto Scaling group."""

    drains: list[DrainTrack]

    def deploy(self, zip_file: Path) -> None:
        """Deploy the drainer and the example cluster."""
        self.installation = installation = install(
            self.embedded,
            infra=INFRA,
            zip_file=zip_file,
            cluster_parameters=self.scenario.parameters,
            physics=Physics(),
        )
        count = len(installation.drainer.physical_ids) + len(installation.cluster.physical_ids)
        warm_up(self.embedded, installation)
        shape = installation.shape
        services = ", ".join(
            f"{service.name} ({'daemon' if service.daemon else f'{service.desired_count} tasks'})"
            for service in shape.services
        )
        self.voice.say(
            f"{count} resources, {shape.group.desired} instances run {services}",
            event="deployed",
            resources=count,
            instances=shape.group.desired,
            services={
                one.name: None if one.daemon else one.desired_count for one in shape.services
            },
        )

    def begin(self) -> None:
        """Lower the group's desired capacity."""
        shape, seconds = self.installation.shape, self.scenario.standalone_seconds
        if seconds != 0:
            with self.embedded.catching_up() as account:
                # The group lets its oldest instances go first.
                leaving = next(iter(account.auto_scaling.groups[shape.group.name].instances))
                account.ecs.run_standalone(
                    shape.name,
                    leaving,
                    seconds=seconds,
                    profile=NEVER_STOPS if seconds is None else None,
                )
        desired = shape.group.desired - self.scenario.leaving
        self.voice.say(
            f"scale-in: desired capacity {shape.group.desired} -> {desired}",
            event="scale-in",
            desired_before=shape.group.desired,
            desired=desired,
        )
        if deadline := self.scenario.parameters.get("DrainTimeoutSeconds"):
            self.voice.say(
                f"the deadline is {deadline} s later, and its answer {self.scenario.result}",
                event="deadline",
                after_seconds=int(deadline),
                answer=self.scenario.result,
            )
        self.began_at = self.embedded.time.now()
        self.embedded.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=shape.group.name, DesiredCapacity=desired
        )

    def look(self) -> Frame:
        """Look at the lifecycle actions."""
        self.drains = drains = self.installation.watch.look()
        now = self.embedded.time.now()
        return Frame(
            (now - self.began_at).total_seconds(),
            plain_line(drains),
            lambda: screen(drains, now, self.began_at),
            is_last=self._settled(now),
            why=why(drains),
            data=data(drains),
        )

    def problems(self) -> list[str]:
        """Return what was wrong with the drains."""
        return problems(self.drains, expected=self.scenario.leaving, result=self.scenario.result)

    def figures(self) -> dict[str, Any]:
        """Return what the drains took."""
        watch = self.installation.watch
        figures = report.summary(self.drains, calls=watch.calls(), passes=len(watch.passes))
        return {"factor": self.embedded.factor, **figures}

    def summarise(self, console: Console, found: list[str]) -> None:
        """Print timeline and figures."""
        del found
        report.show(console, self.drains, self.figures(), began_at=self.began_at)

    def _settled(self, now: datetime) -> bool:
        answered = [drain.answered_at for drain in self.drains if drain.answered_at]
        if len(answered) < max(len(self.drains), self.scenario.leaving):
            return False
        return (now - max(answered)).total_seconds() > AFTERMATH_SECONDS
