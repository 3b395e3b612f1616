"""
The demo of Spot: the shipped templates and zip in the embedded account, and what Spot takes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.demo.runner import BEFORE_SECONDS, INFRA, MIX, Frame, Show
from drainer.cli.demo.screen import facts, since
from drainer.cli.demo.spot_screen import data, plain_line, requests_table, screen
from drainer.cli.demo.spot_verdict import problems
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.embedded.spot import ec2_stage, fargate_stage, warm_up
from drainer.simulation.embedded.spot_watch import SpotWatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from drainer.simulation.embedded.spot_watch import SpotSnapshot

# Requests go on until the two minutes are over and the load balancers have settled.
REQUESTS_SECONDS = 150.0
# Slower than the two minutes, as replacements are that need a new instance: ECS alone moves nothing
# in time. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
PHYSICS = Physics(start_seconds=180.0)


class SpotShow(Show):
    """Spot takes back an EC2 instance, or a task on Fargate."""

    snapshot: SpotSnapshot

    def deploy(self, zip_file: Path) -> None:
        """Deploy the drainer, Spot's templates and what is taken back."""
        parameters = self.scenario.parameters
        if self.scenario.kind == "fargate":
            stage = fargate_stage(
                self.embedded, infra=INFRA, zip_file=zip_file, parameters=parameters, mix=MIX
            )
        else:
            stage = ec2_stage(
                self.embedded,
                infra=INFRA,
                zip_file=zip_file,
                parameters=parameters,
                physics=PHYSICS,
                mix=MIX,
            )
        self.stage = self.closing.enter_context(stage)
        count = sum(len(stack.physical_ids) for stack in self.stage.stacks)
        services = ", ".join(f"{one.name} ({one.desired} tasks)" for one in self.stage.services)
        groups = len(self.stage.streams)
        behind = f"{groups} target group{'' if groups == 1 else 's'}"
        self.voice.say(
            f"{count} resources, {services} behind {behind}",
            event="deployed",
            resources=count,
            target_groups=groups,
            services={one.name: one.desired for one in self.stage.services},
        )
        warm_up(self.stage)

    def begin(self) -> None:
        """Let Spot take something back."""
        with self.voice.working(f"requests for {BEFORE_SECONDS:.0f} s before it happens"):
            self.embedded.time.sleep(BEFORE_SECONDS)
        subject, tasks, warned_at = self.stage.strike()
        self.voice.say(
            f"Spot takes back {subject}: two minutes",
            elapsed=0.0,
            event="interruption",
            subject=subject,
            tasks=len(tasks),
        )
        self.watch = SpotWatch(self.stage, subject, tasks, warned_at)

    def look(self) -> Frame:
        """Look at the interruption, and end the requests when it is over."""
        self.snapshot = snapshot = self.watch.look()
        elapsed = (snapshot.now - snapshot.warned_at).total_seconds()
        if elapsed > REQUESTS_SECONDS:
            for stream in self.stage.streams:
                stream.stop()
        return Frame(
            elapsed,
            plain_line(snapshot),
            lambda: screen(snapshot),
            is_last=elapsed > REQUESTS_SECONDS and self._settled(snapshot),
            data=data(snapshot),
        )

    def problems(self) -> list[str]:
        """Return where the two minutes were not used."""
        return problems(self.snapshot, by_instance=self.scenario.kind == "spot")

    def failures(self) -> list[BaseException]:
        """Return what failed in the simulation, and on the way of its events."""
        return [*self.embedded.failures, *self.stage.bus.failures]

    def warnings(self) -> list[Mapping[str, Any]]:
        """Return the warnings about an interruption: such a line names when it ends."""
        return [line for line in self.stage.watch.refusals if "ends_at" in line]

    def figures(self) -> dict[str, Any]:
        """Return what has become of the requests, and how soon."""
        groups = [
            {
                "name": group.name,
                "sent": group.sent,
                "served": group.served,
                "cut": len(group.cut),
                "cut_needlessly": len(group.needless),
                "without_target": group.unserved,
            }
            for group in self.snapshot.groups
        ]
        return {"groups": groups, **self._told()}

    def summarise(self, console: Console, found: list[str]) -> None:
        """Print the requests and the figures."""
        del found
        console.print()
        console.print(requests_table(self.snapshot), highlight=False)
        console.print()
        told = self._told()
        ended = [f"{one['result']} by {one['ended_by']}" for one in told["lifecycle_actions"]]
        rows = [
            ("taken back", told["taken_back"]),
            ("reads before the first write", "\n".join(told["reads"]) or "none"),
            ("DRAINING after", since(told["draining_after_seconds"])),
            ("targets draining after", since(told["targets_draining_after_seconds"])),
            ("will be late", "\n".join(told["late"]) or "nothing"),
            ("lifecycle action", "\n".join(ended) or "none"),
        ]
        console.print(facts(rows), highlight=False, markup=False)

    def _told(self) -> dict[str, Any]:
        snapshot = self.snapshot
        lines = self.stage.watch.said("interruption")
        return {
            "taken_back": snapshot.subject,
            "reads": list(snapshot.reads),
            "draining_after_seconds": _rounded(snapshot.drained_after),
            "targets_draining_after_seconds": _rounded(snapshot.deregistered_after),
            "late": sorted({sentence for line in lines for sentence in line.get("late", ())}),
            "lifecycle_actions": [
                {"result": drain.action.result, "ended_by": drain.action.ended_by}
                for drain in snapshot.drains
            ],
        }

    def _settled(self, snapshot: SpotSnapshot) -> bool:
        if any(group.under_way for group in snapshot.groups):
            return False
        answered = any(
            drain.answered_at
            for drain in snapshot.drains
            if drain.ec2_instance_id == snapshot.subject
        )
        return snapshot.gone and (self.scenario.kind == "fargate" or answered)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
