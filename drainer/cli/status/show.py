"""
Shows the drains of an account once, or watches them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from drainer.cli.account.refusals import EXIT_NO_ACCESS, EXIT_NO_ANSWER, refused
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK
from drainer.cli.explain.screen import DIM, Line
from drainer.cli.explain.summary import Clock
from drainer.cli.status.reader import look
from drainer.cli.status.screen import end_json, lines, row_json
from drainer.cli.status.watch import Watch, header, interval, marked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, tzinfo

    from rich.console import Console

    from drainer.cli.explain.facts import Unread
    from drainer.cli.status.rows import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked for."""

    cluster: str | None = None
    group: str | None = None
    stack: str = "drainer"
    all_rows: bool = False
    as_json: bool = False

    @property
    def grouped(self) -> bool:
        """Whether many drains may be shown by group."""
        return not (self.all_rows or self.group)


def show(
    asked: Question,
    *,
    client: Callable[[str], Any],
    now: datetime,
    console: Console,
    zone: tzinfo | None = None,
) -> int:
    """Show the drains once; return the exit code."""
    status = _look(asked, client, Clock(now, zone))
    if status.error is not None:
        return refused(status.error)
    if asked.as_json:
        for row in status.rows:
            print(json.dumps(row_json(row, status.now)))
        print(json.dumps(end_json(status)))
    else:
        _print(console, lines(status, grouped=asked.grouped and console.is_terminal))
    return _code(status)


def watch(
    asked: Question,
    *,
    client: Callable[[str], Any],
    now: Callable[[], datetime],
    sleep: Callable[[float], bool | None],
    console: Console,
    zone: tzinfo | None = None,
    looks: int | None = None,
    quits: str = "Ctrl-C",
) -> int:
    """
    Show the drains again and again; return the exit code.

    Args:
        asked: What was asked for.
        client: Returns boto3's client for a service's name.
        now: Returns the present instant.
        sleep: Waits for so many seconds; true if the watching is to end.
        console: Where it is shown. A pipe gets one line for each change.
        zone: In which times are shown; None for the machine's.
        looks: After how many looks to end; None for none.
        quits: The key that ends it.
    """
    remembered, number, told = Watch(), 0, set["Unread"]()
    while looks is None or number < looks:
        clock = Clock(now(), zone)
        status = _look(asked, client, clock)
        if number == 0 and status.error is not None:
            return refused(status.error)
        seconds = interval(status.reads.get("ecs", 0))
        shown, changed, said = remembered.take(status, clock)
        if asked.as_json or (number and not console.is_terminal):
            _tell(one for one in status.unread if one not in told)
        told = {*status.unread}
        if asked.as_json:
            for row in shown.rows:
                if number == 0 or row.instance in changed or row.phase == "gone":
                    print(json.dumps(row_json(row, status.now)), flush=True)
        elif console.is_terminal:
            console.clear()
            first = header(status, seconds, clock, quits)
            _print(console, _screen(shown, changed, remembered, first, grouped=asked.grouped))
        elif number == 0:
            _print(console, lines(shown, grouped=False))
        else:
            _print(console, [Line(text) for text in said])
        number += 1
        if sleep(seconds):
            break
    return EXIT_OK


def _screen(
    status: Status, changed: frozenset[str], remembered: Watch, first: Line, *, grouped: bool
) -> Sequence[Line]:
    found = [first, Line(""), *marked(lines(status, grouped=grouped), changed)]
    if remembered.recent:
        found += [Line(""), Line("RECENT", DIM), *(Line(text) for text in remembered.recent)]
    return found


def _tell(unread: Iterable[Unread]) -> None:
    """Say what is not read any more: drains of a login that has ended would seem not to change."""
    for one in unread:
        print(f"? not read: {one.what}: {one.why}", file=sys.stderr, flush=True)


def _look(asked: Question, client: Callable[[str], Any], clock: Clock) -> Status:
    return look(client, cluster=asked.cluster, group=asked.group, stack=asked.stack, clock=clock)


def _print(console: Console, shown: Sequence[Line]) -> None:
    for line in shown:
        console.print(Text(line.text, style=line.colour), soft_wrap=True)


def _code(status: Status) -> int:
    """Return 0 if every cluster was read, and otherwise why not."""
    missing = status.missing
    if not missing:
        return EXIT_OK
    if any("Denied" in one.why for one in missing):
        return EXIT_NO_ACCESS
    return EXIT_NO_ANSWER if any("Thrott" in one.why for one in missing) else EXIT_FAILED
