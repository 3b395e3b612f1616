"""
A drain as a picture in text: one bar per task, from the first look to STOPPED, and the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from drainer.cli.demo.screen import STATUS_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL_COLUMNS = 24
PLOT_COLUMNS_MIN = 20

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


@dataclass(frozen=True)
class Bar:
    """
    One task's way out.

    Attributes:
        label: whose it is.
        moves: seconds since the drain began, and the last status from then on, in order.

    """

    label: str
    moves: tuple[tuple[float, str], ...]

    def status_at(self, seconds: float) -> str:
        """Return the last status at that moment, empty before the first."""
        status = ""
        for since, name in self.moves:
            if since > seconds:
                break
            status = name
        return status


def draw(
    bars: Sequence[Bar],
    *,
    answered_seconds: float | None,
    end_seconds: float,
    columns: int,
    blocks: bool,
) -> list[Text]:
    """
    Return the lines of the picture.

    Args:
        bars: one for each task that was on the container instance.
        answered_seconds: when the lifecycle action was answered; None if it was not.
        end_seconds: where the axis ends.
        columns: how wide a line may be.
        blocks: draw with Unicode blocks instead of letters.

    """
    plot = max(PLOT_COLUMNS_MIN, columns - LABEL_COLUMNS - 2)
    seconds_per_column = max(end_seconds, 1.0) / plot
    answered_column = None
    if answered_seconds is not None:
        answered_column = min(plot - 1, int(answered_seconds / seconds_per_column))
    lines = [_axis(plot, seconds_per_column)]
    for bar in bars:
        line = Text(f"{bar.label[:LABEL_COLUMNS]:<{LABEL_COLUMNS}} ")
        for column in range(plot):
            line.append(*_cell(bar, column, seconds_per_column, answered_column, blocks=blocks))
        lines.append(line)
    if answered_column is not None:
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


def _cell(
    bar: Bar, column: int, seconds_per_column: float, answered_column: int | None, *, blocks: bool
) -> tuple[str, str]:
    if column == answered_column:
        return "|", "bold"
    # The middle of the column stands for it.
    status = bar.status_at((column + 0.5) * seconds_per_column)
    return STATUS_GLYPHS.get(status, "  ")[blocks], STATUS_STYLES.get(status, "")
