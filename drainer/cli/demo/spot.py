"""
The demo of Spot: the shipped templates and zip in the embedded account, and what Spot takes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.cli.demo import runner
from drainer.cli.demo.runner import INFRA, Frame
from drainer.cli.demo.spot_screen import plain_line, requests_table, screen
from drainer.cli.demo.spot_verdict import problems
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.embedded.spot import ec2_stage, fargate_stage, warm_up
from drainer.simulation.embedded.spot_watch import SpotWatch
from drainer.simulation.scenario.client_requests import Mix

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from drainer.cli.demo.scenarios import SpotScenario
    from drainer.cli.demo.voice import Voice
    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.embedded.spot import Stage
    from drainer.simulation.embedded.spot_watch import SpotView
    from drainer.simulation.embedded.watch import DrainTrack

# Requests before the interruption, so that there is something under way.
BEFORE_SECONDS = 60.0
# Requests go on until the two minutes are over and the load balancers have settled.
REQUESTS_SECONDS = 150.0
LIMIT_SECONDS = 600.0
# Slower than the two minutes, as replacements are that need a new instance: ECS alone moves nothing
# in time. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
PHYSICS = Physics(start_seconds=180.0)
MIX = Mix(every_seconds=0.5, lasting_seconds=3.0, long_every=10, long_seconds=40.0)


@dataclass(frozen=True)
class SpotDemo:
    """
    An interruption to be shown.

    Attributes:
        scenario: what to show.
        factor: how many of the account's seconds pass in a real one.
        zip_file: what `make package` built.
        voice: how to show it.
    """

    scenario: SpotScenario
    factor: float
    zip_file: Path
    voice: Voice

    def run(self) -> list[str]:
        """Show it and return what went wrong; nothing if the two minutes were enough."""
        stop_at = runner.stop_at()
        self.voice.say(f"{self.scenario.title}; time runs {self.factor:g} times as fast")
        self.voice.say(f"deploying drainer.yaml, spot.yaml and {self.scenario.example} ...")
        with (
            runner.account(self.factor, self.zip_file) as embedded,
            self._stage(embedded) as stage,
        ):
            return self._show(embedded, stage, stop_at)

    def _stage(self, embedded: EmbeddedAccount) -> AbstractContextManager[Stage]:
        if self.scenario.fargate:
            return fargate_stage(
                embedded,
                infra=INFRA,
                zip_file=self.zip_file,
                parameters=self.scenario.parameters,
                mix=MIX,
            )
        return ec2_stage(
            embedded,
            infra=INFRA,
            zip_file=self.zip_file,
            parameters=self.scenario.parameters,
            physics=PHYSICS,
            mix=MIX,
        )

    def _show(self, embedded: EmbeddedAccount, stage: Stage, stop_at: float) -> list[str]:
        count = sum(len(stack.physical_ids) for stack in stage.stacks)
        services = ", ".join(f"{one.name} ({one.desired} tasks)" for one in stage.services)
        groups = len(stage.streams)
        self.voice.say(f"{count} resources; {services} behind {groups} target group(s)")
        warm_up(stage)
        embedded.time.sleep(BEFORE_SECONDS)
        subject, tasks, warned_at = stage.strike()
        self.voice.say(f"Spot takes back {subject}: two minutes", elapsed=0.0)
        watch = SpotWatch(stage, subject, tasks, warned_at)
        view, drains = self._follow(stage, watch, stop_at)
        found = problems(view, drains, by_instance=not self.scenario.fargate)
        failures = [*embedded.failures, *stage.bus.failures]
        found += [f"the simulation failed: {failure!r}" for failure in failures]
        # A line about an interruption names when it ends.
        troubles = [line for line in stage.watch.refusals if "ends_at" in line]
        found += [f"the function had trouble: {line.get('reason')}" for line in troubles]
        self._summarise(stage, view, drains, found)
        return found

    def _follow(
        self, stage: Stage, watch: SpotWatch, stop_at: float
    ) -> tuple[SpotView, list[DrainTrack]]:
        def look() -> Frame[tuple[SpotView, list[DrainTrack]]]:
            drains = stage.watch.look()
            view = watch.look()
            elapsed = (view.now - view.warned_at).total_seconds()
            if elapsed > REQUESTS_SECONDS:
                for stream in stage.streams:
                    stream.stop()
            return Frame(
                (view, drains),
                elapsed,
                plain_line(view),
                lambda: screen(view),
                is_last=self._settled(view, drains, elapsed) or elapsed > LIMIT_SECONDS,
            )

        return runner.follow(self.voice, look, stop_at).seen

    def _settled(self, view: SpotView, drains: list[DrainTrack], elapsed: float) -> bool:
        if elapsed <= REQUESTS_SECONDS or any(group.under_way for group in view.groups):
            return False
        answered = any(
            drain.answered_at for drain in drains if drain.ec2_instance_id == view.subject
        )
        return view.gone and (self.scenario.fargate or answered)

    def _summarise(
        self, stage: Stage, view: SpotView, drains: list[DrainTrack], found: list[str]
    ) -> None:
        lines = stage.watch.interruptions
        late = sorted({sentence for line in lines for sentence in line.get("late", ())})
        figures: dict[str, Any] = {
            "taken back": view.subject,
            "reads before the first write": ", ".join(view.reads) or "none",
            "DRAINING after": _seconds(view.drained_after),
            "targets draining after": _seconds(view.deregistered_after),
            "will not make it": "; ".join(late) or "nothing",
            "lifecycle action": ", ".join(
                f"{drain.action.result} by {drain.action.ended_by}" for drain in drains
            )
            or "none",
        }
        if self.voice.as_json:
            groups = [
                {
                    "name": group.name,
                    "sent": group.sent,
                    "served": group.served,
                    "cut": group.cut,
                    "cut_needlessly": len(group.needless),
                    "without_target": group.unserved,
                }
                for group in view.groups
            ]
            self.voice.tell({"message": "summary", "problems": found, "groups": groups, **figures})
            return
        console = self.voice.console
        console.print()
        console.print(requests_table(view), highlight=False)
        console.print()
        for name, value in figures.items():
            console.print(f"{name:<30} {value}", highlight=False, markup=False, soft_wrap=True)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
