"""
A fleet in place of another at this moment: instances, tasks, requests, and what has happened.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from drainer.cli.demo.screen import STATUS_STYLES, duration, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

    from drainer.simulation.embedded.fleet_watch import FleetSnapshot, FleetTrack

# ministack reports each resource of an update, changed or not; these are those that change.
TOLD_OF = frozenset({"LaunchTemplate", "Fleet", "Drain"})
LATEST_MAX = 8
NAMES = ("old", "new")

Happening = tuple[datetime, str]


def screen(snapshot: FleetSnapshot, began_at: datetime) -> RenderableType:
    """Return what to show of it on a terminal."""
    elapsed = duration((snapshot.now - began_at).total_seconds())
    head = Text.assemble(
        ("elapsed ", "dim"),
        (elapsed, "bold"),
        ("   stack ", "dim"),
        (snapshot.stack_status, "bold"),
    )
    lately = chronicle_table(snapshot, began_at, most=LATEST_MAX)
    return Group(head, Text(), fleets_table(snapshot), Text(), _requests(snapshot), Text(), lately)


def plain_line(snapshot: FleetSnapshot) -> str:
    """Return what changes seldom in one line; two equal lines mean that nothing has changed."""
    fleets = "; ".join(
        f"{name} fleet {fleet.state}: {_counted(fleet.instances.values())} instances, "
        f"tasks {_counted(_statuses(fleet)) or 'none'}"
        for name, fleet in zip(NAMES, snapshot.fleets, strict=False)
    )
    return f"{snapshot.stack_status}: {fleets}, requests cut {len(snapshot.cut)}"


def data(snapshot: FleetSnapshot) -> dict[str, Any]:
    """Return what changes seldom, for programs."""
    return {
        "stack": snapshot.stack_status,
        "fleets": {
            name: {
                "request": fleet.state,
                "instances": Counter(fleet.instances.values()),
                "tasks": Counter(_statuses(fleet)),
            }
            for name, fleet in zip(NAMES, snapshot.fleets, strict=False)
        },
        "cut": len(snapshot.cut),
    }


def fleets_table(snapshot: FleetSnapshot) -> Table:
    """Return the fleets, one row each."""
    made = table("fleet", "", "request", "instances", "tasks")
    made.columns[-1].no_wrap = False
    for name, fleet in zip(NAMES, snapshot.fleets, strict=False):
        tasks = Text(" ").join(
            Text(f"{count} {status}", style=STATUS_STYLES.get(status, ""))
            for status, count in Counter(_statuses(fleet)).items()
        )
        shortened = f"{fleet.fleet_id[:12]}..."
        made.add_row(name, shortened, fleet.state, _counted(fleet.instances.values()), tasks)
    return made


def chronicle(snapshot: FleetSnapshot, began_at: datetime) -> list[Happening]:
    """Return what has happened since, in its order: in the stack, to the fleets, and between."""
    found: list[Happening] = [
        (at, f"stack: {name} {status}")
        for at, name, status in snapshot.events
        if name in TOLD_OF or name == snapshot.stack_name
    ]
    for name, fleet in zip(NAMES, snapshot.fleets, strict=False):
        found += _of_fleet(fleet, name)
    found += [
        (_at(line), f"answered {line['request_type']}: {line['result']}")
        for line in snapshot.answered
    ]
    # Those of one instant stay as they are.
    return sorted((one for one in found if one[0] >= began_at), key=lambda one: one[0])


def chronicle_table(snapshot: FleetSnapshot, began_at: datetime, *, most: int = 0) -> Table:
    """Return what has happened, one row each; `most` are the latest, 0 are all."""
    made = Table.grid(padding=(0, 2))
    for at, text in chronicle(snapshot, began_at)[-most:]:
        after = f"+{(at - began_at).total_seconds():.0f} s"
        made.add_row(Text(after, style="dim", justify="right"), text)
    return made


def _of_fleet(fleet: FleetTrack, name: str) -> Iterable[Happening]:
    yield fleet.requested_at, f"the {name} fleet is requested"
    if fleet.joined_at is not None:
        yield fleet.joined_at, f"the {name} fleet's instances are in the cluster"
    if fleet.draining_at is not None:
        yield fleet.draining_at, f"the {name} fleet's instances are set DRAINING"
    if fleet.last_stopped_at is not None:
        yield fleet.last_stopped_at, f"the {name} fleet's last task has ended"
    if fleet.cancelled_at is not None:
        yield fleet.cancelled_at, f"the {name} fleet is cancelled, its instances terminated"


def _requests(snapshot: FleetSnapshot) -> Text:
    return Text.assemble(
        ("requests ", "dim"),
        f"{snapshot.sent} sent, {snapshot.served} served, {snapshot.under_way} under way, "
        f"{snapshot.unserved} without a target, ",
        (f"{len(snapshot.cut)} cut", "red" if snapshot.cut else "green"),
    )


def _statuses(fleet: FleetTrack) -> list[str]:
    return [task.last_status for task in fleet.tasks.values()]


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(Counter(words).items()))


def _at(line: Mapping[str, Any]) -> datetime:
    # Every line is stamped by RFC 3339.
    return datetime.fromisoformat(line["timestamp"])
