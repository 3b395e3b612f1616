"""
An interruption at this moment: the two-minute clock, targets, tasks and requests.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from drainer.cli.demo.screen import duration, facts, short, since, status_text, table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from drainer.simulation.embedded.spot_watch import GroupSnapshot, SpotSnapshot

BAR_COLUMNS = 40
WARNING_SECONDS = 120
TARGET_STYLES = {"healthy": "green", "draining": "yellow"}


def screen(snapshot: SpotSnapshot) -> RenderableType:
    """Return what to show of it on a terminal."""
    rows: list[tuple[RenderableType, ...]] = [
        ("taken back", snapshot.subject),
        ("status", status_text(snapshot.status, "bold")),
        ("reads before the first write", "\n".join(snapshot.reads) or "-"),
        ("DRAINING after", since(snapshot.drained_after)),
        ("targets draining after", since(snapshot.deregistered_after)),
    ]
    return Group(_clock(snapshot), facts(rows), Text(), _groups(snapshot), Text(), _tasks(snapshot))


def plain_line(snapshot: SpotSnapshot) -> str:
    """Return what changes seldom in one line; two equal lines mean that nothing has changed."""
    targets = Counter(state for group in snapshot.groups for state in group.leaving)
    leaving = ", ".join(f"{count} {state}" for state, count in sorted(targets.items()))
    tasks = Counter(f"{short(owner)} {status}" for owner, _, status in snapshot.tasks)
    cut = sum(len(group.cut) for group in snapshot.groups)
    needless = sum(len(group.needless) for group in snapshot.groups)
    counted = (what if count == 1 else f"{count} x {what}" for what, count in tasks.items())
    return (
        f"{'gone' if snapshot.gone else snapshot.status}: targets {leaving or 'gone'}, "
        f"{', '.join(counted)}, requests cut {cut}, needlessly {needless}"
    )


def data(snapshot: SpotSnapshot) -> dict[str, Any]:
    """Return what changes seldom, for programs."""
    tasks: dict[str, Counter[str]] = defaultdict(Counter)
    for owner, _, status in snapshot.tasks:
        tasks[owner][status] += 1
    return {
        "status": snapshot.status,
        "gone": snapshot.gone,
        "targets": Counter(state for group in snapshot.groups for state in group.leaving),
        "tasks": tasks,
        "cut": sum(len(group.cut) for group in snapshot.groups),
        "cut_needlessly": sum(len(group.needless) for group in snapshot.groups),
    }


def requests_table(snapshot: SpotSnapshot) -> Table:
    """Return what became of the requests, one row for each target group."""
    made = table("balancer", ">sent", ">served", ">open", ">no target", ">cut", ">needless")
    for group in snapshot.groups:
        made.add_row(group.balancer, *_numbers(group))
    return made


def _clock(snapshot: SpotSnapshot) -> Text:
    left = snapshot.seconds_left
    filled = round(BAR_COLUMNS * left / WARNING_SECONDS)
    style = "red" if left < WARNING_SECONDS / 4 else "yellow"
    return Text.assemble(
        ("of the two minutes ", "dim"),
        (duration(left), "bold"),
        " ",
        ("#" * filled, style),
        ("." * (BAR_COLUMNS - filled), "dim"),
    )


def _groups(snapshot: SpotSnapshot) -> Table:
    figures = (">staying", ">sent", ">served", ">open", ">cut", ">needless")
    made = table("balancer", "leaving", *figures)
    for group in snapshot.groups:
        leaving = Text(" ").join(
            Text(f"{count} {state}", style=TARGET_STYLES.get(state, ""))
            for state, count in sorted(Counter(group.leaving).items())
        )
        sent, served, under_way, _, cut, needless = _numbers(group)
        staying = str(group.staying)
        made.add_row(group.balancer, leaving, staying, sent, served, under_way, cut, needless)
    return made


def _tasks(snapshot: SpotSnapshot) -> Table:
    made = table("task", "", "last status")
    for owner, task_id, status in snapshot.tasks:
        made.add_row(owner, task_id[:8], status_text(status))
    return made


def _numbers(group: GroupSnapshot) -> tuple[str, ...]:
    sent = (group.sent, group.served, group.under_way, group.unserved)
    return tuple(str(number) for number in (*sent, len(group.cut), len(group.needless)))
