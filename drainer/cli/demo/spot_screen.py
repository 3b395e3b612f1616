"""
An interruption at this moment: the two-minute clock, targets, tasks and requests.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from drainer.cli.demo.screen import duration, facts, since, status_text, table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from drainer.simulation.embedded.spot_watch import GroupView, SpotView

BAR_COLUMNS = 40
WARNING_SECONDS = 120
TARGET_STYLES = {"healthy": "green", "draining": "yellow"}


def screen(view: SpotView) -> RenderableType:
    """Return what to show of it on a terminal."""
    rows: list[tuple[RenderableType, ...]] = [
        ("taken back", view.subject),
        ("status", status_text(view.status, "bold")),
        ("reads before the first write", ", ".join(view.reads) or "-"),
        ("DRAINING after", since(view.drained_after)),
        ("targets draining after", since(view.deregistered_after)),
    ]
    return Group(_clock(view), facts(rows), Text(), _groups(view), Text(), _tasks(view))


def plain_line(view: SpotView) -> str:
    """Return what changes seldom in one line; two equal lines mean that nothing has changed."""
    targets = Counter(state for group in view.groups for state in group.leaving)
    leaving = ", ".join(f"{count} {state}" for state, count in sorted(targets.items()))
    tasks = Counter(f"{owner} {status}" for owner, _, status in view.tasks)
    cut = sum(len(group.cut) for group in view.groups)
    needless = sum(len(group.needless) for group in view.groups)
    return (
        f"{'gone' if view.gone else view.status}: targets {leaving or 'gone'}, "
        f"{', '.join(f'{count} x {what}' for what, count in tasks.items())}, "
        f"requests cut {cut}, needlessly {needless}"
    )


def requests_table(view: SpotView) -> Table:
    """Return what became of the requests, one row for each target group."""
    made = table("balancer", ">sent", ">served", ">under way", ">no target", ">cut", ">needless")
    for group in view.groups:
        made.add_row(group.balancer, *_numbers(group))
    return made


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
    figures = (">staying", ">sent", ">served", ">under way", ">cut", ">needless")
    made = table("balancer", "leaving", *figures)
    for group in view.groups:
        leaving = Text()
        for state, count in sorted(Counter(group.leaving).items()):
            leaving.append(f"{count} {state} ", style=TARGET_STYLES.get(state, ""))
        sent, served, under_way, _, cut, needless = _numbers(group)
        staying = str(group.staying)
        made.add_row(group.balancer, leaving, staying, sent, served, under_way, cut, needless)
    return made


def _tasks(view: SpotView) -> Table:
    made = table("task", "", "last status")
    for owner, task_id, status in view.tasks:
        made.add_row(owner, task_id[:8], status_text(status))
    return made


def _numbers(group: GroupView) -> tuple[str, ...]:
    sent = (group.sent, group.served, group.under_way, group.unserved)
    return tuple(str(number) for number in (*sent, len(group.cut), len(group.needless)))
