"""
The demo of custom resources: the shipped templates and zip, and a new image for a Spot Fleet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.cli.demo import runner
from drainer.cli.demo.fleet_screen import (
    chronicle,
    chronicle_table,
    fleets_table,
    plain_line,
    screen,
)
from drainer.cli.demo.fleet_verdict import REQUESTS, problems, sentence
from drainer.cli.demo.runner import INFRA, Frame
from drainer.simulation.embedded.fleet import fleet_stage
from drainer.simulation.embedded.fleet_watch import FleetWatch
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.scenario.client_requests import Mix

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from drainer.cli.demo.scenarios import FleetScenario
    from drainer.cli.demo.voice import Voice
    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.embedded.fleet import FleetStage
    from drainer.simulation.embedded.fleet_watch import FleetView

# Requests before the update, so that there is something under way.
BEFORE_SECONDS = 60.0
LIMIT_SECONDS = 900.0
# None takes as long as the deregistration delay, so that all can end.
MIX = Mix(every_seconds=0.5, lasting_seconds=3.0, long_every=10, long_seconds=40.0)


@dataclass(frozen=True)
class FleetDemo:
    """
    A replacement to be shown.

    Attributes:
        scenario: what to show.
        factor: how many of the account's seconds pass in a real one.
        zip_file: what `make package` built.
        voice: how to show it.
    """

    scenario: FleetScenario
    factor: float
    zip_file: Path
    voice: Voice

    def run(self) -> list[str]:
        """Show it and return what went wrong; nothing if the fleet went after its last task."""
        stop_at = runner.stop_at()
        self.voice.say(f"{self.scenario.title}; time runs {self.factor:g} times as fast")
        self.voice.say("deploying drainer.yaml and examples/spot-fleet.yaml ...")
        with runner.account(self.factor, self.zip_file) as embedded:
            stage = self._stage(embedded)
            embedded.time.sleep(BEFORE_SECONDS)
            began_at = embedded.time.now()
            self.voice.say("updating the stack: another image, so another fleet", elapsed=0.0)
            stage.change_image()
            view = self._follow(stage, began_at, stop_at)
            found = problems(view)
            found += [f"the simulation failed: {failure!r}" for failure in embedded.failures]
            refusals = stage.watch.refusals
            found += [f"the function had trouble: {line.get('reason')}" for line in refusals]
            self._summarise(view, began_at, found)
        return found

    def _stage(self, embedded: EmbeddedAccount) -> FleetStage:
        stage = fleet_stage(
            embedded,
            infra=INFRA,
            zip_file=self.zip_file,
            parameters=self.scenario.parameters,
            physics=Physics(),
            mix=MIX,
        )
        with embedded.catching_up() as account:
            (fleet,) = account.fleets.fleets.values()
            account.ecs.run_standalone(
                stage.cluster,
                fleet.ec2_instance_ids[0],
                seconds=self.scenario.standalone_seconds,
            )
        count = len(stage.drainer.physical_ids) + len(stage.example.physical_ids)
        service = stage.service
        self.voice.say(
            f"{count} resources; {fleet.fleet_id} of {len(fleet.instances)} instances runs "
            f"{service.name} ({service.desired} tasks) and a standalone task"
        )
        self.voice.say("Spot Fleets are stood in for: the emulator does not know them")
        return stage

    def _follow(self, stage: FleetStage, began_at: datetime, stop_at: float) -> FleetView:
        watch = FleetWatch(stage)

        def look() -> Frame[FleetView]:
            view = watch.look()
            elapsed = (view.now - began_at).total_seconds()
            at_work = "IN_PROGRESS" in view.stack_status
            if not at_work:
                stage.stream.stop()
            # The function says that it has answered a moment after it has.
            told = len(view.answered) >= len(REQUESTS)
            return Frame(
                view,
                elapsed,
                plain_line(view),
                lambda: screen(view, began_at),
                is_last=elapsed > LIMIT_SECONDS or (told and not (at_work or view.under_way)),
            )

        return runner.follow(self.voice, look, stop_at).seen

    def _summarise(self, view: FleetView, began_at: datetime, found: list[str]) -> None:
        if self.voice.as_json:
            figures: dict[str, Any] = {
                "sent": view.sent,
                "served": view.served,
                "without_target": view.unserved,
                "cut": len(view.cut),
                "chronicle": [
                    {"after_seconds": round((at - began_at).total_seconds(), 1), "what": text}
                    for at, text in chronicle(view, began_at)
                ],
            }
            self.voice.tell({"message": "summary", "problems": found, **figures})
            return
        console = self.voice.console
        for table in (chronicle_table(view, began_at), fleets_table(view)):
            console.print()
            console.print(table, highlight=False)
        console.print()
        if not found:
            console.print(sentence(view), highlight=False, markup=False)
