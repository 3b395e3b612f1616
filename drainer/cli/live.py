"""
What the drains look like at this moment, for a terminal and as plain lines.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from drainer.cli.timeline import STATUS_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from drainer.simulation.embedded_watch import DrainTrack

# With more drains than this a screen shows counts, no tasks.
DETAILED_MAX = 1
TASK_ROWS_MAX = 12
BAR_COLUMNS = 40
# The order in which a drain goes through them; the function's own words.
PHASES = (
    "noticed",
    "unseen",
    "unready",
    "active",
    "draining",
    "closing",
    "drained",
    "unregistered",
    "overdue",
    "answered",
)
PHASE_STYLES = {"unseen": "red", "overdue": "red", "answered": "green", "closing": "yellow"}


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def screen(drains: Sequence[DrainTrack], now: datetime, began_at: datetime) -> RenderableType:
    """Return what to show of the drains."""
    elapsed = Text.assemble(
        ("elapsed ", "dim"), (duration((now - began_at).total_seconds()), "bold")
    )
    if not drains:
        return Group(elapsed, Text("waiting for the lifecycle action to begin"))
    if len(drains) <= DETAILED_MAX:
        return Group(*(_one(drain, now, elapsed) for drain in drains))
    return _many(drains, elapsed)


def plain_line(drains: Sequence[DrainTrack]) -> str:
    """Return the same in one line; two equal lines mean that nothing has changed."""
    if not drains:
        return "waiting for the lifecycle action to begin"
    statuses = Counter(
        f"{task.owner} {task.last_status}" for drain in drains for task in drain.remaining
    )
    if len(drains) > DETAILED_MAX:
        phases = Counter(drain.phase for drain in drains)
        statuses = Counter(task.last_status for drain in drains for task in drain.remaining)
        who = ", ".join(f"{phases[phase]} {phase}" for phase in PHASES if phase in phases)
    else:
        who = f"{drains[0].phase:<9} {drains[0].lifecycle_state}"
    what = ", ".join(
        status if count == 1 else f"{count} x {status}" for status, count in statuses.items()
    )
    heartbeats = sum(len(drain.action.heartbeats) for drain in drains)
    beats = f", heartbeats {heartbeats}" if heartbeats else ""
    return f"{who}: {what or 'no task left'}{beats}"


def hop_of(drain: DrainTrack) -> int:
    """Return how often the function has sent the drain round."""
    return int(drain.latest_pass.get("hop") or 0)


def _one(drain: DrainTrack, now: datetime, elapsed: Text) -> RenderableType:
    action = drain.action
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("instance", drain.ec2_instance_id, "lifecycle", drain.lifecycle_state)
    facts.add_row(
        "phase",
        Text(drain.phase, style=PHASE_STYLES.get(drain.phase, "bold cyan")),
        "container inst.",
        drain.container_instance_status,
    )
    facts.add_row("hop", str(hop_of(drain)), "heartbeats", str(len(action.heartbeats)))
    facts.add_row("deadline in", _deadline(drain, now), "hook times out in", _due(drain, now))
    reason = str(drain.latest_pass.get("reason") or f"{len(drain.remaining)} tasks")
    waits_for = Text.assemble(("waits for    ", "dim"), reason, overflow="ellipsis", no_wrap=True)
    return Group(elapsed, facts, waits_for, Text(), _tasks(drain, now))


def _deadline(drain: DrainTrack, now: datetime) -> str:
    deadline_at = drain.latest_pass.get("deadline_at")
    if not deadline_at:
        return "-"
    return duration((datetime.fromisoformat(deadline_at) - now).total_seconds())


def _due(drain: DrainTrack, now: datetime) -> str:
    if drain.answered_at:
        return "-"
    return duration((drain.action.timeout_at - now).total_seconds())


def _tasks(drain: DrainTrack, now: datetime) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("task of", no_wrap=True, overflow="ellipsis")
    table.add_column("id", no_wrap=True)
    table.add_column("last status", no_wrap=True)
    table.add_column("for", justify="right", no_wrap=True)
    shown = sorted(drain.tasks.values(), key=lambda task: task.owner)[:TASK_ROWS_MAX]
    for task in shown:
        since, status = task.moves[-1]
        table.add_row(
            task.owner,
            task.task_id[:8],
            Text(status, style=STATUS_STYLES.get(status, "")),
            duration((now - since).total_seconds()),
        )
    if len(drain.tasks) > len(shown):
        table.add_row(f"and {len(drain.tasks) - len(shown)} more", "", "", "")
    return table


def _many(drains: Sequence[DrainTrack], elapsed: Text) -> RenderableType:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("phase")
    table.add_column("instances", justify="right")
    table.add_column("")
    counts = Counter(drain.phase for drain in drains)
    for phase in PHASES:
        if phase in counts:
            share = max(1, round(counts[phase] * BAR_COLUMNS / len(drains)))
            style = PHASE_STYLES.get(phase, "cyan")
            table.add_row(phase, str(counts[phase]), Text("#" * share, style=style))
    statuses = Counter(task.last_status for drain in drains for task in drain.remaining)
    tasks = Table(box=None, padding=(0, 2), header_style="dim")
    tasks.add_column("tasks remaining")
    tasks.add_column("", justify="right")
    for status, count in sorted(statuses.items()):
        tasks.add_row(Text(status, style=STATUS_STYLES.get(status, "")), str(count))
    heartbeats = sum(len(drain.action.heartbeats) for drain in drains)
    hops = max(hop_of(drain) for drain in drains)
    foot = Text(f"hops {hops}   heartbeats {heartbeats}", style="dim")
    return Group(elapsed, table, Text(), tasks, foot)
