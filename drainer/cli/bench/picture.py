"""
The results as an SVG for the README, readable on a light and on a dark page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from drainer.cli.bench.subjects import CDK, SAMPLE, SHIPPED
from drainer.cli.bench.tables import README_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.bench.results import Figures, Results

WIDTH, HEIGHT = 880, 300
PANEL_WIDTH, GAP = 260, 40
LEFT, TOP, BOTTOM = 10, 78, 244
# Each stands out on white and on black, and for those who do not tell red from green.
COLOURS = {SHIPPED: "#3b82f6", CDK: "#e08a1e", SAMPLE: "#8b929c"}
NAMES = {SHIPPED: "the drainer", CDK: "aws-cdk InstanceDrainHook", SAMPLE: "sample style"}
SVG = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
    f'width="{WIDTH}" height="{HEIGHT}" role="img">'
)
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; } .small { font-size: 10px; } .muted { opacity: .7; }
  .own { font-size: 10px; fill: #3b82f6; }
  line { stroke: #1f2328; stroke-opacity: .25; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .own { fill: #3b82f6; } line { stroke: #e6edf3; }
  }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """
    One of the bar charts.

    Attributes:
        title: what is shown.
        value: of a row; None for none.
        text: how a value is written.
        is_log: whether the scale is logarithmic, beginning at `least`.
    """

    title: str
    value: Callable[[Figures], float | None]
    text: Callable[[float], str]
    is_log: bool = False
    least: float = 1.0


def _early(row: Figures) -> float:
    return 100 * row.early / (row.instances * row.runs)


PANELS = (
    Panel("released with tasks alive", _early, lambda value: f"{value:.0f}%"),
    Panel(
        "last answer after the last task (log)",
        lambda row: row.lag_last,
        lambda value: f"{value:.0f}s",
        is_log=True,
    ),
    Panel(
        "1,000 drains cost (log)",
        lambda row: row.dollars,
        lambda value: f"${value:.2f}",
        is_log=True,
        least=0.05,
    ),
)


def draw(results: Results) -> str:
    """Return the picture of the drains of seven minutes."""
    rows = [
        row
        for row in results.rows
        if row.length == README_LENGTH and row.tasks == 1 and not row.missing
    ]
    parts = [
        SVG,
        f"<title>{escape(_title(results))}</title>",
        f"<style>{STYLE}</style>",
    ]
    x = LEFT
    for name, colour in COLOURS.items():
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" rx="2" fill="{colour}"/>')
        parts.append(_text(x + 18, 20, NAMES[name]))
        x += 40 + 7 * len(NAMES[name])
    for number, panel in enumerate(PANELS):
        parts += _panel(panel, rows, LEFT + number * (PANEL_WIDTH + GAP))
    parts.append(_text(LEFT, HEIGHT - 8, _title(results), "small muted"))
    return "\n".join([*parts, "</svg>", ""])


def _title(results: Results) -> str:
    return (
        f"Drains of seven minutes by instances at once, one task on each; {results.command}, "
        f"{results.date}"
    )


def _panel(panel: Panel, rows: list[Figures], left: float) -> list[str]:
    sizes = sorted({row.instances for row in rows})
    values = {
        (row.instances, row.subject): value
        for row in rows
        if row.subject in COLOURS and (value := panel.value(row)) is not None
    }
    most = max([*values.values(), panel.least])
    parts = [
        _text(left, 50, panel.title, "title"),
        f'<line x1="{left}" x2="{left + PANEL_WIDTH}" y1="{BOTTOM}" y2="{BOTTOM}"/>',
    ]
    group = PANEL_WIDTH / max(1, len(sizes))
    bar = group * 0.8 / len(COLOURS)
    for place, size in enumerate(sizes):
        begin = left + place * group
        parts.append(_text(begin + group * 0.4, BOTTOM + 14, f"{size:,}", "small", "middle"))
        for order, (name, colour) in enumerate(COLOURS.items()):
            value = values.get((size, name))
            if value is None:
                continue
            height = max(1.0, _share(panel, value, most) * (BOTTOM - TOP))
            at, top = begin + order * bar, BOTTOM - height
            told = f"{NAMES[name]}, {size:,}: {panel.text(value)}"
            box = f'x="{at:.1f}" y="{top:.1f}" width="{bar - 1:.1f}" height="{height:.1f}"'
            parts.append(f'<rect {box} fill="{colour}"><title>{told}</title></rect>')
            if name == SHIPPED:
                # Below its group, where no taller bar hides it.
                words = _text(begin + group * 0.4, BOTTOM + 28, panel.text(value), "own", "middle")
                parts.append(words)
            elif value == most:
                parts.append(_text(at + bar / 2, top - 4, panel.text(value), "small", "middle"))
    return parts


def _share(panel: Panel, value: float, most: float) -> float:
    if not panel.is_log:
        return value / most
    if value <= panel.least or most <= panel.least:
        return 0.0
    return math.log(value / panel.least) / math.log(most / panel.least)


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"
