"""
A drain as a picture in text: one bar per task, from the first look to STOPPED, and the answer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.text import Text

from drainer.cli.demo.screen import STATUS_STYLES

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.simulation.embedded.watch import DrainTrack, TaskTrack

LABEL_COLUMNS = 24
PLOT_COLUMNS_MIN = 20
# So that what comes last is not at the very edge.
AXIS_BEYOND_END = 1.03

# How a last status is drawn: its letter where blocks fail, and its block.
STATUS_GLYPHS = {
    "PROVISIONING": "p·",
    "PENDING": "p·",
    "ACTIVATING": "a·",
    "RUNNING": "r━",
    "DEACTIVATING": "d▒",
    "STOPPING": "s▓",
    "DEPROVISIONING": "u░",
}


def draw(drain: DrainTrack, began_at: datetime, *, columns: int, blocks: bool) -> list[Text]:
    """
    Return the lines of the picture.

    Args:
        drain: as it ended.
        began_at: where the axis begins.
        columns: how wide a line may be.
        blocks: draw with Unicode blocks instead of letters.

    """
    tasks = sorted(drain.tasks.values(), key=lambda task: task.owner)
    ends = [task.moves[-1][0] for task in tasks] + [drain.answered_at or began_at]
    end_seconds = (max(ends) - began_at).total_seconds() * AXIS_BEYOND_END
    plot = max(PLOT_COLUMNS_MIN, columns - LABEL_COLUMNS - 2)
    seconds_per_column = max(end_seconds, 1.0) / plot
    answered_seconds, answered_column = 0.0, -1
    if drain.answered_at is not None:
        answered_seconds = (drain.answered_at - began_at).total_seconds()
        answered_column = min(plot - 1, int(answered_seconds / seconds_per_column))
    lines = [_axis(plot, seconds_per_column)]
    for task in tasks:
        label = f"{task.owner.split(':', 1)[-1]} {task.task_id[:4]}"
        line = Text(f"{label[:LABEL_COLUMNS]:<{LABEL_COLUMNS}} ")
        for column in range(plot):
            # The middle of the column stands for it.
            middle = began_at + timedelta(seconds=(column + 0.5) * seconds_per_column)
            status = _status_at(task, middle)
            glyph = STATUS_GLYPHS.get(status, "  ")[blocks], STATUS_STYLES.get(status, "")
            line.append(*(("|", "bold") if column == answered_column else glyph))
        lines.append(line)
    if drain.answered_at is not None:
        text = f"answered +{answered_seconds:.0f} s"
        before = answered_column - len(text) - 1
        pointer = f"{text} ^" if before >= 0 else f"^ {text}"
        indent = LABEL_COLUMNS + 1 + (before if before >= 0 else answered_column)
        lines.append(Text(" " * indent + pointer, style="bold"))
    return lines


def legend(*, blocks: bool) -> Text:
    """Return one line that says how each status is drawn."""
    line = Text()
    for status in ("RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING"):
        line.append(STATUS_GLYPHS[status][blocks] * 2, style=STATUS_STYLES[status])
        line.append(f" {status}  ")
    line.append("| answer")
    return line


def _axis(plot: int, seconds_per_column: float) -> Text:
    ticks = [" "] * plot
    step = max(1, plot // 4)
    for column in range(0, plot, step):
        text = f"{column * seconds_per_column:.0f}s"
        if column + len(text) <= plot:
            ticks[column : column + len(text)] = list(text)
    return Text(" " * (LABEL_COLUMNS + 1) + "".join(ticks), style="dim")


def _status_at(task: TaskTrack, at: datetime) -> str:
    """Return the last status at that moment, empty before the first."""
    reached = [status for since, status in task.moves if since <= at]
    return reached[-1] if reached else ""
