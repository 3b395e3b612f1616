"""
What the drains look like at this moment, for a terminal and as plain lines.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from drainer.cli.demo.screen import duration, facts, short, status_text, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from drainer.simulation.embedded.watch import DrainTrack

# With more drains than this a screen shows counts, no tasks.
DETAILED_MAX = 1
TASK_ROWS_MAX = 12
BAR_COLUMNS = 40
# The order in which a drain goes through them; the function's own words.
PHASES = (
    "notified",
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
PHASE_STYLES = {"unseen": "yellow", "overdue": "red", "answered": "green", "closing": "yellow"}
# It looks like an error, and is the ordinary answer to a look that does not show all.
UNSEEN = "unseen: not everything was read in this pass, so the next pass looks again"


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
        f"{short(task.owner)} {task.last_status}" for drain in drains for task in drain.remaining
    )
    if len(drains) > DETAILED_MAX:
        phases = Counter(drain.phase for drain in drains)
        statuses = Counter(task.last_status for drain in drains for task in drain.remaining)
        who = ", ".join(f"{phases[phase]} {phase}" for phase in PHASES if phase in phases)
    else:
        who = f"{drains[0].phase}, {drains[0].instance.lifecycle_state}"
    what = ", ".join(
        status if count == 1 else f"{count} x {status}" for status, count in statuses.items()
    )
    heartbeats = sum(len(drain.action.heartbeats) for drain in drains)
    beats = f", heartbeats {heartbeats}" if heartbeats else ""
    return f"{who}: {what or 'no task left'}{beats}"


def why(drains: Sequence[DrainTrack]) -> str:
    """Return what is waited for, in the function's own words; and what unseen means."""
    waiting = [drain for drain in drains if not drain.answered_at]
    if any(drain.phase == "unseen" for drain in waiting):
        return UNSEEN
    if len(drains) == DETAILED_MAX and waiting:
        return str(waiting[0].latest_pass.get("reason") or "")
    return ""


def data(drains: Sequence[DrainTrack]) -> dict[str, Any]:
    """Return what is seen of the drains, for programs."""
    tasks: dict[str, Counter[str]] = defaultdict(Counter)
    for drain in drains:
        for task in drain.remaining:
            tasks[task.owner][task.last_status] += 1
    return {
        "phases": Counter(drain.phase for drain in drains),
        "lifecycle_states": Counter(drain.instance.lifecycle_state for drain in drains),
        "tasks": tasks,
        "heartbeats": sum(len(drain.action.heartbeats) for drain in drains),
    }


def hop_of(drain: DrainTrack) -> int:
    """Return how often the function has sent the drain round."""
    return int(drain.latest_pass.get("hop") or 0)


def _one(drain: DrainTrack, now: datetime, elapsed: Text) -> RenderableType:
    action = drain.action
    instance = drain.instance
    phase = Text(drain.phase, style=PHASE_STYLES.get(drain.phase, "bold cyan"))
    rows: list[tuple[RenderableType, ...]] = [
        ("instance", drain.ec2_instance_id, "lifecycle", instance.lifecycle_state),
        ("phase", phase, "container inst.", instance.status),
        ("hop", str(hop_of(drain)), "heartbeats", str(len(action.heartbeats))),
        ("deadline in", _deadline(drain, now), "hook times out in", _due(drain, now)),
    ]
    reason = why([drain]) or f"{len(drain.remaining)} tasks"
    # A table of its own, so that a reason of two lines does not widen the columns above it.
    waits_for = facts([("waits for  ", "nothing: it is answered" if drain.answered_at else reason)])
    return Group(elapsed, facts(rows), waits_for, Text(), _tasks(drain, now))


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
    made = table("task of", "id", "last status", ">for")
    shown = sorted(drain.tasks.values(), key=lambda task: task.owner)[:TASK_ROWS_MAX]
    for task in shown:
        since, status = task.moves[-1]
        lasting = duration((now - since).total_seconds())
        made.add_row(task.owner, task.task_id[:8], status_text(status), lasting)
    if len(drain.tasks) > len(shown):
        made.add_row(f"and {len(drain.tasks) - len(shown)} more", "", "", "")
    return made


def _many(drains: Sequence[DrainTrack], elapsed: Text) -> RenderableType:
    phases = table("phase", ">instances", "")
    counts = Counter(drain.phase for drain in drains)
    for phase in PHASES:
        if phase in counts:
            share = max(1, round(counts[phase] * BAR_COLUMNS / len(drains)))
            style = PHASE_STYLES.get(phase, "cyan")
            phases.add_row(phase, str(counts[phase]), Text("#" * share, style=style))
    statuses = Counter(task.last_status for drain in drains for task in drain.remaining)
    tasks = table("tasks remaining", ">")
    for status, count in sorted(statuses.items()):
        tasks.add_row(status_text(status), str(count))
    heartbeats = sum(len(drain.action.heartbeats) for drain in drains)
    hops = max(hop_of(drain) for drain in drains)
    foot = Text(f"hops {hops}   heartbeats {heartbeats}", style="dim")
    left = (tasks,) if statuses else (Text("no task remains"),)
    return Group(elapsed, phases, Text(why(drains), style="dim"), *left, foot)
