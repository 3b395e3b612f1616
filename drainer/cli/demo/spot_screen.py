"""
An interruption at this moment: the two-minute clock, targets, tasks and requests.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from drainer.cli.demo.drain_screen import duration
from drainer.cli.demo.timeline import STATUS_STYLES

if TYPE_CHECKING:
    from rich.console import RenderableType

    from drainer.simulation.embedded.spot_watch import GroupView, SpotView

BAR_COLUMNS = 40
WARNING_SECONDS = 120
TARGET_STYLES = {"healthy": "green", "draining": "yellow"}


def screen(view: SpotView) -> RenderableType:
    """Return what to show of it on a terminal."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("taken back", view.subject)
    facts.add_row("status", Text(view.status, style=STATUS_STYLES.get(view.status, "bold")))
    facts.add_row("reads before the first write", ", ".join(view.reads) or "-")
    facts.add_row("DRAINING after", _after(view.drained_after))
    facts.add_row("targets draining after", _after(view.deregistered_after))
    return Group(_clock(view), facts, Text(), _groups(view), Text(), _tasks(view))


def plain_line(view: SpotView) -> str:
    """Return what changes seldom in one line; two equal lines mean that nothing has changed."""
    targets = Counter(state for group in view.groups for state in group.leaving)
    leaving = ", ".join(f"{count} {state}" for state, count in sorted(targets.items()))
    tasks = Counter(f"{owner} {status}" for owner, _, status in view.tasks)
    cut = sum(group.cut for group in view.groups)
    needless = sum(len(group.needless) for group in view.groups)
    return (
        f"{'gone' if view.gone else view.status}: targets {leaving or 'gone'}; "
        f"{', '.join(f'{count} x {what}' for what, count in tasks.items())}; "
        f"requests cut {cut}, needlessly {needless}"
    )


def requests_table(view: SpotView) -> Table:
    """Return what became of the requests, one row for each target group."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("balancer", no_wrap=True)
    for name in ("sent", "served", "under way", "no target", "cut", "needless"):
        table.add_column(name, justify="right")
    for group in view.groups:
        table.add_row(group.balancer, *_numbers(group))
    return table


def _clock(view: SpotView) -> Text:
    left = view.seconds_left
    filled = round(BAR_COLUMNS * left / WARNING_SECONDS)
    style = "red" if left < WARNING_SECONDS / 4 else "yellow"
    return Text.assemble(
        ("of the two minutes ", "dim"),
        (duration(left), "bold"),
        " ",
        ("#" * filled, style),
        ("." * (BAR_COLUMNS - filled), "dim"),
    )


def _groups(view: SpotView) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("balancer", no_wrap=True)
    table.add_column("leaving", no_wrap=True)
    for name in ("staying", "sent", "served", "under way", "cut", "needless"):
        table.add_column(name, justify="right")
    for group in view.groups:
        leaving = Text()
        for state, count in sorted(Counter(group.leaving).items()):
            leaving.append(f"{count} {state} ", style=TARGET_STYLES.get(state, ""))
        sent, served, under_way, _, cut, needless = _numbers(group)
        figures = (str(group.staying), sent, served, under_way, cut, needless)
        table.add_row(group.balancer, leaving, *figures)
    return table


def _tasks(view: SpotView) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("task")
    table.add_column("")
    table.add_column("last status")
    for owner, task_id, status in view.tasks:
        table.add_row(owner, task_id[:8], Text(status, style=STATUS_STYLES.get(status, "")))
    return table


def _numbers(group: GroupView) -> tuple[str, ...]:
    return tuple(
        str(number)
        for number in (
            group.sent,
            group.served,
            group.under_way,
            group.unserved,
            group.cut,
            len(group.needless),
        )
    )


def _after(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
