"""
The lines of `drainer status`: 80 columns, one for each drain, or one for each group.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from drainer.cli.account.screen import counted, short
from drainer.cli.explain.screen import CYAN, DIM, GREEN, RED, YELLOW, Line, utc
from drainer.cli.explain.summary import shortened
from drainer.cli.status.rows import WAITS_COLUMNS, Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from drainer.cli.status.rows import Row, Status

COLUMNS = 80
# More drains than a screen has lines are shown by group, with those that need attention.
GROUPED_FROM = 41
ATTENTION_MAX = 20
HEADING = f"  {'INSTANCE':<19}  {'PHASE':<8}  {'FOR':>6}  {'DEADLINE':>8}  WAITS FOR"
COLOURS = {Mark.ATTENTION: RED, Mark.UNREAD: YELLOW}
PHASES = ("draining", "closing", "unseen")
GROUP_COLUMNS, CLUSTER_COLUMNS = 14, 10


def lines(status: Status, *, grouped: bool) -> list[Line]:
    """Return the lines of a look; grouped, if there are more drains than GROUPED_FROM."""
    shown: list[Line] = []
    if not status.rows:
        where = counted(status.clusters, "cluster")
        if status.missing:
            shown.append(Line(f"No drains were found, and not all was read ({where}).", YELLOW))
        else:
            shown.append(Line(f"No drains in {status.region} ({where}).", GREEN))
    elif grouped and len(status.rows) >= GROUPED_FROM:
        shown += [*_groups(status), Line(""), *_attention(status)]
    else:
        shown += _each(status)
    if status.rows:
        shown += [Line(""), Line(_last(status), RED if status.attention else "")]
    elif status.stack:
        shown.append(Line(_drainer(status)))
    shown += [
        Line(text[:COLUMNS], YELLOW)
        for text in (f"? not read: {one.what}: {one.why}" for one in status.unread)
    ]
    if status.attention:
        shown.append(Line(f"Why: drainer explain {status.attention[0].instance}", DIM))
    return shown


def _each(status: Status) -> Iterator[Line]:
    place = None
    for row in status.rows:
        if (row.group, row.cluster) != place:
            if place is not None:
                yield Line("")
            place = row.group, row.cluster
            same = [one for one in status.rows if (one.group, one.cluster) == place]
            yield Line(_title(status, same), CYAN)
            yield Line(HEADING, DIM)
        yield row_line(row, status.now)


def _title(status: Status, rows: Sequence[Row]) -> str:
    row = rows[0]
    size = f" of {status.sizes[row.group]}" if row.group in status.sizes else ""
    by = row.by if len({one.by for one in rows}) == 1 else "by several"
    for name in shortened(row.group or "no group"):
        said = f"{name} in cluster {row.cluster}: {len(rows)}{size} leaving ({by})"
        if len(said) <= COLUMNS:
            return said
    return said[:COLUMNS]


def row_line(row: Row, now: datetime, waits_for: str | None = None, mark: str = "") -> Line:
    """Return one drain's line; columns as in HEADING."""
    since = short((now - row.since).total_seconds()) if row.since else "-"
    left = short((row.deadline_at - now).total_seconds()) if row.deadline_at else "-"
    says = (row.waits_for if waits_for is None else waits_for)[:WAITS_COLUMNS]
    colour = COLOURS.get(row.mark, GREEN if row.phase in {"drained", "gone"} else "")
    return Line(
        f"{mark or row.mark} {row.instance:<19}  {row.phase[:8]:<8}  {since:>6}  {left:>8}  {says}",
        colour,
    )


def _groups(status: Status) -> Iterator[Line]:
    heads = "".join(f"{phase:>10}" for phase in PHASES)
    yield Line(f"{'GROUP':<16}{'CLUSTER':<12}{'LEAVING':>9}{heads}{'DEADLINE':>10}", DIM)
    for place in dict.fromkeys((row.group, row.cluster) for row in status.rows):
        rows = [row for row in status.rows if (row.group, row.cluster) == place]
        phases = Counter(row.phase for row in rows)
        ends = [row.deadline_at for row in rows if row.deadline_at]
        left = short((min(ends) - status.now).total_seconds()) if ends else "-"
        size = status.sizes.get(place[0])
        leaving = f"{len(rows)}/{size}" if size is not None else str(len(rows))
        yield Line(
            f"{_cut(place[0] or '-', GROUP_COLUMNS):<16}{_cut(place[1], CLUSTER_COLUMNS):<12}"
            f"{leaving:>9}{''.join(f'{phases[phase]:>10}' for phase in PHASES)}{left:>10}"
        )


def _cut(name: str, columns: int) -> str:
    return next((one for one in shortened(name) if len(one) <= columns), name[:columns])


def _attention(status: Status) -> Iterator[Line]:
    rows = status.attention
    read = sum(row.tasks is not None or row.mark == Mark.UNREAD for row in status.rows)
    closely = f" (the tasks of {read} were read)" if read < len(status.rows) else ""
    verb = "needs" if len(rows) == 1 else "need"
    yield Line(f"{len(rows) or 'None'} of {len(status.rows)} {verb} attention{closely}.", RED)
    if not rows:
        return
    is_one = len({row.group for row in status.rows}) == 1
    yield Line(HEADING if is_one else HEADING.replace("WAITS FOR", "GROUP, WAITS FOR"), DIM)
    for row in rows[:ATTENTION_MAX]:
        group = "" if is_one or not row.group else f"{_cut(row.group, 10)}: "
        yield row_line(row, status.now, f"{group}{row.waits_for}")
    if len(rows) > ATTENTION_MAX:
        yield Line(f"  and {len(rows) - ATTENTION_MAX} more: drainer status --all", DIM)


def _last(status: Status) -> str:
    number = len(status.attention)
    needs = "none needs" if number == 0 else f"{number} need{'s' if number == 1 else ''}"
    said = f"{counted(len(status.rows), 'drain')}, {needs} attention."
    return f"{said} {_drainer(status)}".rstrip()


def _drainer(status: Status) -> str:
    stack = status.stack
    if stack is None:
        return ""

    def number(value: int | None) -> str:
        return "?" if value is None else str(value)

    sweep = "?"
    if stack.last_sweep:
        sweep = f"{short((status.now - stack.last_sweep).total_seconds())} ago"
    alarms = number(None if stack.alarms is None else len(stack.alarms))
    return f"Sweep {sweep}, dead letters {number(stack.dead_letters)}, alarms {alarms}."


def row_json(row: Row, now: datetime) -> dict[str, Any]:
    """Return a drain as plain values, times in UTC."""
    return {
        "instance": row.instance,
        "cluster": row.cluster,
        "group": row.group or None,
        "by": row.by,
        "phase": row.phase,
        "draining_since": utc(row.since),
        "deadline_at": utc(row.deadline_at),
        "cause": str(row.cause),
        "waits_for": row.waits_for,
        "needs_attention": row.mark != Mark.FINE,
        "tasks_left": row.tasks,
        "expected_at": utc(row.expected_at),
        "record": row.record or None,
        "at": utc(now),
    }


def end_json(status: Status) -> dict[str, Any]:
    """Return what is not one drain's: the drainer, the reads, and what was not read."""
    stack = status.stack
    return {
        "drains": len(status.rows),
        "need_attention": len(status.attention),
        "clusters": status.clusters,
        "stack": stack.name if stack else None,
        "dead_letters": stack.dead_letters if stack else None,
        "last_sweep": utc(stack.last_sweep) if stack else None,
        "alarms": list(stack.alarms) if stack and stack.alarms is not None else None,
        "reads": status.reads,
        "unread": [{"what": one.what, "why": one.why} for one in status.unread],
        "at": utc(status.now),
    }
