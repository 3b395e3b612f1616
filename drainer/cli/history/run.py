"""
`drainer history` and `drainer report`: read the records, and show or write them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from drainer import clock
from drainer.cli.account.reader import Reader, Unread, attempt, refusal
from drainer.cli.account.screen import counted
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, EXIT_USAGE, clients, fail
from drainer.cli.history import screen
from drainer.cli.history.asked import since_of
from drainer.cli.history.page import Subject, page
from drainer.cli.history.read_past import Drains, read_past

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo
    from pathlib import Path

    from drainer.cli.history.asked import Asked

# As many lines as a screen has.
SHOWN = 40


def history(
    asked: Asked,
    limit: int | None,
    *,
    as_json: bool,
    client: Callable[[str], Any] | None = None,
    console: Console | None = None,
    zone: tzinfo | None = None,
) -> int:
    """
    Show past drains; return the exit code. A test gives clients, console and time zone.

    Without a limit a program gets all of them, and a person a screen of them; 0 is all.
    """
    found = _read(asked, client)
    if isinstance(found, int):
        return found
    _, drains = found
    if as_json:
        for one in screen.newest(drains.drains, limit or 0):
            print(screen.line(one))
        left = screen.not_shown(drains.drains, limit or 0)
        for warning in [*_warnings(drains), *([left] if left else [])]:
            print(warning, file=sys.stderr)
        return EXIT_OK
    console = console or Console()
    for text in screen.lines(drains, clock.now(), SHOWN if limit is None else limit, zone):
        console.print(text, soft_wrap=True, highlight=False)
    return EXIT_OK


def report(
    asked: Asked,
    output: Path,
    *,
    client: Callable[[str], Any] | None = None,
    zone: tzinfo | None = None,
) -> int:
    """Write the report; return the exit code."""
    found = _read(asked, client)
    if isinstance(found, int):
        return found
    subject, drains = found
    text = page(replace(subject, zone=zone), drains.drains, _warnings(drains))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        return fail(f"{output} was not written", error.strerror or "", code=EXIT_FAILED)
    print(f"{output}: {counted(len(drains.drains), 'drain')}")
    return EXIT_OK


def _read(asked: Asked, client: Callable[[str], Any] | None) -> tuple[Subject, Drains] | int:
    """Return what was read, or the exit code of what failed."""
    now = clock.now()
    try:
        since = since_of(asked.since, now)
    except (ValueError, OverflowError):
        return fail(
            f"--since {asked.since} names no past time",
            "write 30m, 24h, 7d, 2w or 2026-11-02",
            code=EXIT_USAGE,
        )
    made = client or clients(asked.region, asked.profile)
    region = made("cloudformation").meta.region_name
    reader = Reader(made, clock.sleep)
    found = attempt(read_past, reader, asked.stack, since, now, with_log=asked.with_log)
    if isinstance(found, Unread):
        advice = f"name the stack with --stack, and check --region ({region})"
        return fail(*refusal(found, advice))
    chosen = tuple(one for one in found.drains if asked.group in {None, one.group})
    return Subject(asked.stack, region, since, now), replace(found, drains=chosen)


def _warnings(drains: Drains) -> list[str]:
    found: list[str] = [drains.older] if drains.older else []
    if drains.log:
        found.append(f"The log was not read, so that two phases are one: {drains.log}")
    if drains.malformed:
        found.append(f"Not understood: {counted(drains.malformed, 'record')}.")
    return found
