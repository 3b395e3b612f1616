"""
The arguments of `drainer history` and `drainer report`; what they do is in `run.py`.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads it)
from typing import Annotated

import typer

from drainer.cli.account.options import Options, on_account
from drainer.cli.history.asked import Asked

HISTORY_EPILOG = (
    "Examples: `drainer history` shows the last 7 days. "
    "`drainer history --since 24h --group payments-asg` shows one group. "
    "`drainer history --since 2026-11-02 --json` is for programs."
)
REPORT_EPILOG = (
    "Examples: `drainer report -o drains.html` writes the last 7 days. "
    "`drainer report -o drains.html --since 4w --stack drainer-eu` writes four weeks."
)

Since = Annotated[
    str, typer.Option(help="How far back: 30m, 24h, 7d, 2w or a date in UTC, as 2026-11-02.")
]
Group = Annotated[str | None, typer.Option(help="Only drains of this Auto Scaling group.")]
NoLog = Annotated[
    bool, typer.Option("--no-log", help="Do not read the function's log: fewer phases, faster.")
]


@on_account("stack", as_json="Print one JSON object per drain, the oldest first.")
def history(
    at: Options,
    *,
    since: Since = "7d",
    group: Group = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="The newest drains only. 0: all. [default: 40, with --json all]"),
    ] = None,
    no_log: NoLog = False,
) -> int:
    """
    Show what has drained, how long it took and what was left. It only reads.

    Reads the records in the stack's table and the function's log. LEFT is how many tasks were left
    when the hook was answered. BY says what ended the drain.
    Exits with 0, with 1 if the records could not be read, with 2 if it was called wrongly.
    """
    # botocore takes a quarter of a second to import, and --help need not.
    from drainer.cli.history import run  # noqa: PLC0415 (see above)

    asked = Asked(since, group, at.stack, not no_log, at.region, at.profile)
    return run.history(asked, limit, as_json=at.as_json)


@on_account("stack")
def report(
    at: Options,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="The HTML file to write.")
    ],
    since: Since = "7d",
    group: Group = None,
    no_log: NoLog = False,
) -> int:
    """
    Write a web page of past drains: a bar for each, coloured by phase. It only reads AWS.

    The page is one file without scripts. It loads no other file, and can be printed.
    Exits with 0, with 1 if the records could not be read, with 2 if it was called wrongly.
    """
    # As above.
    from drainer.cli.history import run  # noqa: PLC0415 (see above)

    return run.report(Asked(since, group, at.stack, not no_log, at.region, at.profile), output)
