"""
The demo of custom resources: the shipped templates and zip, and a new image for a Spot Fleet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.demo.fleet_screen import (
    chronicle,
    chronicle_table,
    data,
    fleets_table,
    plain_line,
    screen,
)
from drainer.cli.demo.fleet_verdict import REQUESTS, problems, sentence
from drainer.cli.demo.runner import BEFORE_SECONDS, INFRA, MIX, Frame, Show
from drainer.simulation.embedded.fleet import fleet_stage
from drainer.simulation.embedded.fleet_watch import FleetWatch
from drainer.simulation.embedded.shape import Physics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from drainer.simulation.embedded.fleet_watch import FleetSnapshot


class FleetShow(Show):
    """CloudFormation replaces a Spot Fleet."""

    snapshot: FleetSnapshot

    def deploy(self, zip_file: Path) -> None:
        """Deploy the drainer and the example, and run a standalone task on its fleet."""
        self.stage = stage = fleet_stage(
            self.embedded,
            infra=INFRA,
            zip_file=zip_file,
            parameters=self.scenario.parameters,
            physics=Physics(),
            mix=MIX,
        )
        with self.embedded.catching_up() as account:
            (fleet,) = account.fleets.fleets.values()
            account.ecs.run_standalone(
                stage.cluster,
                fleet.ec2_instance_ids[0],
                seconds=self.scenario.standalone_seconds,
            )
        count = len(stage.drainer.physical_ids) + len(stage.example.physical_ids)
        service = stage.service
        self.voice.say(
            f"{count} resources, {fleet.fleet_id} of {len(fleet.instances)} instances runs "
            f"{service.name} ({service.desired} tasks) and a standalone task",
            event="deployed",
            resources=count,
            instances=len(fleet.instances),
            services={service.name: service.desired},
        )
        self.voice.say("a custom resource stands in for Spot Fleets: the emulator has none")

    def begin(self) -> None:
        """Update the stack."""
        with self.voice.working(f"requests for {BEFORE_SECONDS:.0f} s before it happens"):
            self.embedded.time.sleep(BEFORE_SECONDS)
        self.watch = FleetWatch(self.stage)
        self.began_at = self.embedded.time.now()
        self.voice.say(
            "updating the stack: a new image, so a new fleet", elapsed=0.0, event="update"
        )
        self.stage.change_image()

    def look(self) -> Frame:
        """Look at stack and fleets, and end the requests when the update is over."""
        self.snapshot = snapshot = self.watch.look()
        at_work = "IN_PROGRESS" in snapshot.stack_status
        if not at_work:
            self.stage.stream.stop()
        # The function says that it has answered a moment after it has.
        told = len(snapshot.answered) >= len(REQUESTS)
        return Frame(
            (snapshot.now - self.began_at).total_seconds(),
            plain_line(snapshot),
            lambda: screen(snapshot, self.began_at),
            is_last=told and not (at_work or snapshot.under_way),
            data=data(snapshot),
        )

    def problems(self) -> list[str]:
        """Return where the old fleet, or a request, came to harm."""
        return problems(self.snapshot)

    def warnings(self) -> list[Mapping[str, Any]]:
        """Return the warnings and errors; there should be none."""
        return [*self.stage.watch.refusals]

    def figures(self) -> dict[str, Any]:
        """Return what has become of the requests, and what happened when."""
        snapshot = self.snapshot
        return {
            "sent": snapshot.sent,
            "served": snapshot.served,
            "without_target": snapshot.unserved,
            "cut": len(snapshot.cut),
            "chronicle": [
                {"after_seconds": round((at - self.began_at).total_seconds(), 1), "what": text}
                for at, text in chronicle(snapshot, self.began_at)
            ],
        }

    def summarise(self, console: Console, found: list[str]) -> None:
        """Print what happened, the fleets and a sentence."""
        for table in (chronicle_table(self.snapshot, self.began_at), fleets_table(self.snapshot)):
            console.print()
            console.print(table, highlight=False)
        console.print()
        if not found:
            self.voice.say(sentence(self.snapshot))
