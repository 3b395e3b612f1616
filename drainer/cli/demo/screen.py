"""
What every screen of the demo is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

STATUS_STYLES = {
    "RUNNING": "green",
    "DEACTIVATING": "yellow",
    "STOPPING": "yellow",
    "DEPROVISIONING": "yellow",
    "STOPPED": "dim",
}


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def since(seconds: float | None) -> str:
    """Return seconds as a figure; a dash for none."""
    return "-" if seconds is None else f"{seconds:.1f} s"


def status_text(status: str, default: str = "") -> Text:
    """Return a status in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, default))


def table(*columns: str) -> Table:
    """Return a table without rows; a column of figures begins with `>`, and gives way first."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        if name.startswith(">"):
            made.add_column(name[1:], justify="right")
        else:
            made.add_column(name, no_wrap=True)
    return made


def short(owner: str) -> str:
    """Return the owner of a task without its kind, which is part of its name."""
    return owner.partition(":")[2] or owner


def facts(rows: Iterable[Sequence[RenderableType]]) -> Table:
    """Return rows of names and values by turns."""
    made = Table.grid(padding=(0, 2))
    for row in rows:
        if not made.columns:
            for _ in row[::2]:
                made.add_column(style="dim", no_wrap=True)
                made.add_column(overflow="fold")
        made.add_row(*row)
    return made
