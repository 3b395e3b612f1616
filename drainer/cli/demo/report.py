"""
What the demo says at the end: the timeline, the answer, and how soon after the last task it came.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from drainer.cli.demo.drain_screen import hop_of
from drainer.cli.demo.screen import facts
from drainer.cli.demo.timeline import draw, legend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import Console

    from drainer.simulation.embedded.watch import DrainTrack

OVERDUE = "overdue"
# Timelines of more drains than this say less than the summary.
TIMELINES_MAX = 2


def summary(drains: Sequence[DrainTrack], *, calls: dict[str, int], passes: int) -> dict[str, Any]:
    """Return the figures, in seconds of the account's time."""
    answered = [(drain, drain.answered_at) for drain in drains if drain.answered_at]
    took = [(at - drain.action.started_at).total_seconds() for drain, at in answered]
    lags = [
        (at - drain.last_stopped_at).total_seconds()
        for drain, at in answered
        if drain.last_stopped_at
    ]
    return {
        "drains": len(drains),
        "answers": sorted({drain.action.result or "none" for drain in drains}),
        "answered_after_seconds": _spread(took),
        "answered_after_last_task_stopped_seconds": _spread(lags),
        "tasks_left": [
            f"{task.owner} {task.last_status} {task.task_id}"
            for drain in drains
            for task in drain.remaining
        ],
        "tasks_killed": [task for drain in drains for task in drain.killed],
        "lifecycle_states": sorted({drain.instance.lifecycle_state for drain in drains}),
        "passes": passes,
        "hops_max": max((hop_of(drain) for drain in drains), default=0),
        "heartbeats": sum(len(drain.action.heartbeats) for drain in drains),
        "calls": calls,
    }


def show(
    console: Console,
    drains: Sequence[DrainTrack],
    figures: dict[str, Any],
    *,
    began_at: datetime,
) -> None:
    """Print timeline and figures."""
    blocks = console.encoding.lower().startswith("utf")
    if len(drains) <= TIMELINES_MAX:
        for drain in drains:
            console.print()
            for line in draw(drain, began_at, columns=console.width, blocks=blocks):
                console.print(line, no_wrap=True, overflow="crop")
        console.print(legend(blocks=blocks))
    console.print()
    console.print(facts(_rows(figures)), highlight=False)
    console.print()
    for sentence in endings(drains):
        console.print(sentence, highlight=False, markup=False)


def endings(drains: Sequence[DrainTrack]) -> list[str]:
    """Say how the drains ended, the most frequent ending first."""
    return [
        sentence if count == 1 else f"{count} x {sentence}"
        for sentence, count in Counter(map(_ending, drains)).most_common()
    ]


def _ending(drain: DrainTrack) -> str:
    action, state = drain.action, drain.instance.lifecycle_state.rpartition(":")[2].lower()
    if action.ended_at is None:
        return "not answered"
    left = len(drain.remaining)
    tasks = f"{left or 'no'} task{'' if left == 1 else 's'} left"
    if drain.latest_pass.get("phase") == OVERDUE:
        return f"deadline passed: {action.result}, {state}, {tasks}"
    return f"drained: {action.result}, {state}, {tasks}"


def _rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    calls = figures["calls"]
    width = max((len(str(count)) for count in calls.values()), default=1)
    rows = [
        ("drains", str(figures["drains"])),
        ("answer", ", ".join(figures["answers"])),
        ("answered after", _range(figures["answered_after_seconds"])),
        (
            "after the last STOPPED",
            _range(figures["answered_after_last_task_stopped_seconds"]),
        ),
        ("tasks left", "\n".join(_brief(task) for task in figures["tasks_left"]) or "none"),
        ("tasks killed", ", ".join(figures["tasks_killed"]) or "none"),
        ("instances are now", ", ".join(figures["lifecycle_states"])),
        ("passes, hops", f"{figures['passes']}, {figures['hops_max']}"),
        ("heartbeats", str(figures["heartbeats"])),
        ("calls", "\n".join(f"{calls[name]:>{width}} {name}" for name in sorted(calls))),
    ]
    return [(name, text) for name, text in rows if text]


def _brief(task: str) -> str:
    """Shorten the id of a task that is left; JSON has all of it."""
    named, _, task_id = task.rpartition(" ")
    return f"{named} {task_id[:8]}"


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "least": round(min(values), 1),
        "median": round(median(values), 1),
        "most": round(max(values), 1),
    }


def _range(spread: dict[str, float] | None) -> str:
    if spread is None:
        return ""
    if spread["least"] == spread["most"]:
        return f"{spread['most']:.1f} s"
    return f"{spread['least']:.1f} to {spread['most']:.1f} s, median {spread['median']:.1f} s"
