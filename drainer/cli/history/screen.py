"""
Shows past drains: a line for each, and the sums below.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from drainer.cli.account.screen import counted, duration, time_of
from drainer.cli.history.past import summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, tzinfo

    from drainer.cli.history.past import Past
    from drainer.cli.history.read_past import Drains

ENDED_COLUMNS, GROUP_COLUMNS = 10, 13
# What an extension's words leave of 80.
CALLER_COLUMNS = 47


def line(one: Past) -> str:
    """Return a drain as one line of JSON; times are UTC."""
    return json.dumps(values(one))


def values(one: Past) -> dict[str, Any]:
    """Return a drain as plain values."""
    return {
        "instance": one.instance,
        "group": one.group,
        "cluster": one.cluster,
        "began_at": one.began_at.isoformat(),
        "ended_at": one.ended_at.isoformat() if one.ended_at else None,
        "seconds": round(one.seconds, 1),
        "decision": one.decision,
        "tasks_left": one.left,
        "tasks": list(one.tasks),
        "phases": [{"phase": span.phase, "seconds": round(span.seconds, 1)} for span in one.spans],
        "phases_from_log": one.is_measured,
        "waited_for": {owner: round(seconds, 1) for owner, seconds in sorted(one.waits.items())},
        "reason": one.reason,
        "released_by": one.released_by or None,
        "extended_by": one.extended_by or None,
        "trace_id": one.trace_id,
    }


def lines(found: Drains, now: datetime, limit: int, zone: tzinfo | None = None) -> Iterator[Text]:
    """Yield the lines of the screen, the newest drain first."""
    if not found.drains:
        none = "No records of drains in this time." if found.older else "No drains in this time."
        yield Text(none, "yellow" if found.older else "green")
        yield from _unread(found)
        return
    name = now.astimezone(zone).tzname()
    ended = f"ENDED {name}"[:ENDED_COLUMNS]
    titles = f"{ended:<10}  {'INSTANCE':<19}  {'GROUP':<13}  {'TOOK':<6}  LEFT  BY"
    yield Text(titles, "dim")
    for one in reversed(newest(found.drains, limit)):
        yield _line(one, now, zone)
        for what, who in one.by_hand:
            yield Text(f"{'':<{ENDED_COLUMNS}}  {what} {_short(who)}", "dim")
    if left := not_shown(found.drains, limit):
        yield Text(left, "dim")
    yield Text()
    yield from _sums(found.drains)
    yield from _unread(found)


def newest(drains: Sequence[Past], limit: int) -> Sequence[Past]:
    """Return the newest drains, the oldest of them first; 0: all."""
    return drains[-limit:] if limit else drains


def not_shown(drains: Sequence[Past], limit: int) -> str:
    """Say how many older drains a limit leaves out; empty for none."""
    left = len(drains) - len(newest(drains, limit))
    return f"Older, not shown: {left} (--limit 0 shows all)." if left else ""


def _line(one: Past, now: datetime, zone: tzinfo | None) -> Text:
    # Of an older one the date alone.
    ended = time_of(one.ended_at, now, zone)[:ENDED_COLUMNS] if one.ended_at else "open"
    group = one.group
    if len(group) > GROUP_COLUMNS:
        group = group[: GROUP_COLUMNS - 2] + ".."
    style = "red" if one.left and not one.is_open else "yellow" if one.is_open else "green"
    return Text.assemble(
        f"{ended:<10}  ",
        (f"{one.instance:<19}", "cyan"),
        f"  {group:<13}  {duration(one.seconds):<6}  ",
        (f"{one.left:>4}", style),
        f"  {one.decision}",
    )


def _short(arn: str) -> str:
    """Return who a caller is without account and partition: `assumed-role/ops/anna`."""
    name = arn.rpartition(":")[2]
    return name if len(name) <= CALLER_COLUMNS else f"{name[: CALLER_COLUMNS - 2]}.."


def _sums(drains: Sequence[Past]) -> Iterator[Text]:
    sums = summary_of(drains)
    took = ""
    if sums.p50 is not None and sums.p95 is not None:
        took = f": p50 {duration(sums.p50)}, p95 {duration(sums.p95)}"
    drained = f"{counted(sums.drains, 'drain')} of {counted(sums.groups, 'group')}"
    yield Text(f"{drained}, {sums.open} open{took}.", "bold")
    if sums.left:
        where = counted(sums.left_in, "drain")
        yield Text(f"Left at the end of {where}: {counted(sums.left, 'task')}.", "red")
    if sums.slowest:
        slowest = ", ".join(f"{owner} {duration(seconds)}" for owner, seconds in sums.slowest)
        yield Text(f"Slowest to leave (median): {slowest}.")
    shares = ", ".join(f"{phase} {share:.0%}" for phase, share in sums.shares.items())
    yield Text(f"Time in each phase: {shares}.")


def _unread(found: Drains) -> Iterator[Text]:
    if found.older:
        yield Text(f"? {found.older}", "yellow")
    if found.log:
        yield Text(f"? The log was not read, so that two phases are one: {found.log}", "yellow")
    if found.malformed:
        yield Text(f"? Not understood: {counted(found.malformed, 'record')}.", "yellow")
