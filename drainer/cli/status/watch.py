"""
`drainer status --watch`: looks again and again, with less than one read of ECS a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.cli.explain.screen import DIM, Line
from drainer.cli.status.rows import Mark, arranged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.cli.explain.summary import Clock
    from drainer.cli.status.rows import Row, Status

INTERVAL_SECONDS_MIN = 5
# ECS lets an account read 20 times a second, and the drains of an incident need them.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html
READS_A_SECOND = 0.8
GONE_LASTS = timedelta(seconds=30)
RECENT_MAX = 4
# The first character of a line that has changed since the last look.
CHANGED = "*"


def interval(ecs_reads: int) -> int:
    """Return the seconds until the next look, so that its reads stay below one a second."""
    return max(INTERVAL_SECONDS_MIN, math.ceil(ecs_reads / READS_A_SECOND))


@dataclass
class Watch:
    """What is remembered between two looks: what was there, what has changed, what has gone."""

    before: dict[str, Row] = field(default_factory=dict)
    gone: dict[str, tuple[datetime, Row]] = field(default_factory=dict)
    recent: list[str] = field(default_factory=list)
    has_looked: bool = False

    def take(self, status: Status, clock: Clock) -> tuple[Status, frozenset[str], list[str]]:
        """
        Take a look; return it with what has just gone, what has changed, and the changes' lines.

        A cluster that was not read keeps its rows: a failed read ends no drain.
        """
        rows = {row.instance: row for row in status.rows}
        unread = {one.what for one in status.unread}
        kept = {
            name: replace(row, mark=Mark.UNREAD, waits_for="not read now", phase="unseen")
            for name, row in self.before.items()
            if name not in rows and unread & {f"cluster {row.cluster}", "ListClusters"}
        }
        changed = [
            row
            for name, row in rows.items()
            if name not in self.before or _state(row) != _state(self.before[name])
        ]
        left = [row for name, row in self.before.items() if name not in rows and name not in kept]
        for row in left:
            self.gone[row.instance] = status.now, replace(row, phase="gone", mark=Mark.FINE)
        said = [
            *(_said(row, status.now, clock) for row in changed),
            *(_said(self.gone[row.instance][1], status.now, clock) for row in left),
        ]
        if not self.has_looked:
            said, changed = [], []
        self.has_looked = True
        self.before = rows | kept
        self.gone = {
            name: one
            for name, one in self.gone.items()
            if status.now - one[0] < GONE_LASTS and name not in rows
        }
        self.recent = [*reversed(said), *self.recent][:RECENT_MAX]
        shown = [*rows.values(), *kept.values(), *(row for _, row in self.gone.values())]
        names = frozenset(row.instance for row in changed)
        return replace(status, rows=arranged(shown)), names, said


def _state(row: Row) -> tuple[object, ...]:
    """Return what counts as a change: not the seconds that are left."""
    return row.phase, row.cause, row.mark, row.tasks, row.by


def _said(row: Row, now: datetime, clock: Clock) -> str:
    at = now.astimezone(clock.zone).strftime("%H:%M:%S")
    says = "released or set ACTIVE" if row.phase == "gone" else f"{row.phase}, {row.waits_for}"
    return f"{at}  {row.instance}  {row.mark.strip()}{says}"[:80]


def marked(lines: Sequence[Line], changed: frozenset[str]) -> list[Line]:
    """Return the lines, those of changed drains with a star."""
    return [
        Line(f"{CHANGED}{line.text[1:]}", line.colour)
        if line.text.startswith(" ") and line.text[2:21].strip() in changed
        else line
        for line in lines
    ]


def header(status: Status, seconds: int, clock: Clock, quits: str) -> Line:
    """Return the first line, which says what the watching costs and how to end it."""
    there = status.now.astimezone(clock.zone)
    rate = status.reads.get("ecs", 0) / seconds
    at = f"{there.strftime('%H:%M:%S')} {there.tzname()}"
    text = f"drainer status --watch   {at}   every {seconds}s, {rate:.1f} ECS reads/s"
    return Line(f"{text}   {quits} quits", DIM)
