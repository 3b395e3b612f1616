"""
An instance refresh at this moment: the instances, old and new, and the requests to the services.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from drainer.cli.demo import drain_screen
from drainer.cli.demo.screen import duration, table

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType
    from rich.table import Table

    from drainer.simulation.embedded.roll import InstanceRow, RollSnapshot

AGE_STYLES = {"new": "green", "old": "yellow"}


def age(instance: InstanceRow, wanted: str) -> str:
    """Return whether an instance runs what the group launches now."""
    return "new" if instance.launch_template == wanted else "old"


def screen(snapshot: RollSnapshot, began_at: datetime) -> RenderableType:
    """Return what to show of it on a terminal."""
    head = Text.assemble(
        ("elapsed ", "dim"),
        (duration((snapshot.now - began_at).total_seconds()), "bold"),
        ("   refresh ", "dim"),
        (_progress(snapshot), "bold"),
    )
    return Group(head, Text(), instances_table(snapshot), Text(), requests_table(snapshot))


def plain_line(snapshot: RollSnapshot) -> str:
    """Return what changes seldom in one line; two equal lines mean that nothing has changed."""
    counts = Counter(
        f"{age(one, snapshot.wanted)} {one.lifecycle_state}" for one in snapshot.instances
    )
    instances = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    cut = sum(len(one.cut) for one in snapshot.streams)
    return f"refresh {_progress(snapshot)}: {instances}, requests cut {cut}"


def data(snapshot: RollSnapshot) -> dict[str, Any]:
    """Return what changes seldom, for programs."""
    instances: dict[str, Counter[str]] = defaultdict(Counter)
    for one in snapshot.instances:
        instances[age(one, snapshot.wanted)][one.lifecycle_state] += 1
    return {
        "stack": snapshot.stack_status,
        "refresh": snapshot.refresh.get("Status"),
        "percentage": snapshot.refresh.get("PercentageComplete"),
        "instances": instances,
        "cut": sum(len(one.cut) for one in snapshot.streams),
        **drain_screen.data(snapshot.drains),
    }


def instances_table(snapshot: RollSnapshot) -> Table:
    """Return the group's instances, one row each."""
    made = table("instance", "", "lifecycle", "container inst.", ">tasks")
    for one in snapshot.instances:
        word = age(one, snapshot.wanted)
        made.add_row(
            one.ec2_instance_id,
            Text(word, style=AGE_STYLES[word]),
            one.lifecycle_state,
            one.status or "-",
            str(one.tasks),
        )
    return made


def requests_table(snapshot: RollSnapshot) -> Table:
    """Return what became of the requests, one row for each service."""
    made = table("service", ">sent", ">served", ">under way", ">no target", ">cut")
    for one in snapshot.streams:
        cut = Text(str(len(one.cut)), style="red" if one.cut else "green")
        numbers = (one.sent, one.served, one.under_way, one.unserved)
        made.add_row(one.name, *(str(number) for number in numbers), cut)
    return made


def _progress(snapshot: RollSnapshot) -> str:
    refresh = snapshot.refresh
    if not refresh:
        return "not begun"
    return f"{refresh['Status']} {refresh['PercentageComplete']} %"
