"""
The demo of an instance refresh: the shipped templates and zip, and a stack update with a new image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.demo import report
from drainer.cli.demo.refresh_screen import (
    data,
    instances_table,
    plain_line,
    requests_table,
    screen,
)
from drainer.cli.demo.refresh_verdict import problems, sentence
from drainer.cli.demo.runner import BEFORE_SECONDS, INFRA, MIX, Frame, Show
from drainer.simulation.embedded.installation import install, warm_up
from drainer.simulation.embedded.roll import RollStage, over
from drainer.simulation.embedded.shape import Physics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from drainer.simulation.embedded.roll import RollSnapshot


class RefreshShow(Show):
    """A stack update replaces every instance of a group."""

    snapshot: RollSnapshot

    def deploy(self, zip_file: Path) -> None:
        """Deploy the drainer and the example cluster."""
        installation = install(
            self.embedded,
            infra=INFRA,
            zip_file=zip_file,
            cluster_parameters=self.scenario.parameters,
            physics=Physics(),
        )
        warm_up(self.embedded, installation)
        with self.embedded.lock:
            # AWS does not say whether a refresh waits for a drain. The tests show both.
            self.embedded.account.auto_scaling.refreshes.waits_for_hooks = False
        self.stage = RollStage(self.embedded, installation, self.scenario.parameters, MIX)
        count = len(installation.drainer.physical_ids) + len(installation.cluster.physical_ids)
        shape = installation.shape
        balanced = {one.name: one.desired_count for one in shape.services if not one.daemon}
        self.voice.say(
            f"{count} resources, {shape.group.desired} instances run {', '.join(balanced)}",
            event="deployed",
            resources=count,
            instances=shape.group.desired,
            services=balanced,
        )
        self.voice.say(
            "the simulation begins the template's instance refresh: the emulator has none"
        )

    def begin(self) -> None:
        """Update the stack."""
        self.embedded.time.sleep(BEFORE_SECONDS)
        self.began_at = self.embedded.time.now()
        self.voice.say("updating the stack: a newer image", elapsed=0.0, event="update")
        self.stage.update()

    def look(self) -> Frame:
        """Look at the refresh, and end the requests when it is over."""
        self.snapshot = snapshot = self.stage.look()
        is_over = over(snapshot)
        if is_over:
            self.stage.stop()
        return Frame(
            (snapshot.now - self.began_at).total_seconds(),
            plain_line(snapshot),
            lambda: screen(snapshot, self.began_at),
            is_last=is_over and not any(one.under_way for one in snapshot.streams),
            data=data(snapshot),
        )

    def problems(self) -> list[str]:
        """Return where the update, an instance or a request came to harm."""
        return problems(self.snapshot, expected=self.scenario.leaving)

    def warnings(self) -> list[Mapping[str, Any]]:
        """Return the warnings and errors; there should be none."""
        return [*self.stage.installation.watch.refusals]

    def figures(self) -> dict[str, Any]:
        """Return what has become of the instances and the requests, and what the drains took."""
        snapshot, watch = self.snapshot, self.stage.installation.watch
        return {
            "factor": self.embedded.factor,
            "refresh": snapshot.refresh.get("Status"),
            "launch_template": snapshot.wanted,
            "instances": {one.ec2_instance_id: one.launch_template for one in snapshot.instances},
            "requests": {
                one.name: {
                    "sent": one.sent,
                    "served": one.served,
                    "without_target": one.unserved,
                    "cut": len(one.cut),
                }
                for one in snapshot.streams
            },
            **report.summary(snapshot.drains, calls=watch.calls(), passes=len(watch.passes)),
        }

    def summarise(self, console: Console, found: list[str]) -> None:
        """Print the instances, the requests and a sentence."""
        for table in (instances_table(self.snapshot), requests_table(self.snapshot)):
            console.print()
            console.print(table, highlight=False)
        console.print()
        if not found:
            console.print(sentence(self.snapshot), highlight=False, markup=False)
