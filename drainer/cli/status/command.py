"""
`drainer status`: its arguments.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from drainer.cli.account.options import Options, on_account
from drainer.cli.explain.command import ABSENT

EPILOG = (
    "Examples: `drainer status` shows all drains of the Region. "
    "`drainer status --cluster payments --watch` looks again and again. "
    "`drainer status --group batch-asg` shows one group. "
    "`drainer status --json | jq 'select(.needs_attention)'` finds what needs attention."
)


@on_account(
    "cluster", stack=ABSENT, as_json="Print one JSON object per drain, then one for the rest."
)
def status(
    at: Options,
    *,
    group: Annotated[str | None, typer.Option(help="Show only this Auto Scaling group.")] = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help="One line for each drain, however many there are.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again, until q or Ctrl-C.")
    ] = False,
) -> int:
    """
    Show what drains, since when, until when, and what it waits for.

    One line for each DRAINING container instance, by the drainer, by ECS managed draining or by
    hand. More than 40 are shown by group, with those that need attention.

    It only reads. One look asks ECS once for each cluster, once more for each cluster with drains,
    and 2 or 3 times for each of the first 20 drains. The other drains show the drainer's record or
    ECS's counters. With --watch the next look waits until the reads are below one a second.
    Exits with 0, with 1, 4 or 5 if a cluster could not be read, with 3 if --cluster does not exist,
    with 2 on a wrong option.
    """
    # boto3 takes a quarter of a second to import; --help need not.
    from rich.console import Console  # noqa: PLC0415 (see above)

    from drainer import clock  # noqa: PLC0415 (see above)
    from drainer.cli.account.session import EXIT_INTERRUPTED, clients  # noqa: PLC0415 (see above)
    from drainer.cli.status.keys import waiting  # noqa: PLC0415 (see above)
    from drainer.cli.status.show import Question, show  # noqa: PLC0415 (see above)
    from drainer.cli.status.show import watch as look_again  # noqa: PLC0415 (see above)

    asked = Question(
        cluster=at.cluster or None,
        group=group,
        stack=at.stack,
        all_rows=all_rows,
        as_json=at.as_json,
    )
    client, console = clients(at.region, at.profile), Console()
    if not watch:
        return show(asked, client=client, now=clock.now(), console=console)
    try:
        with waiting(sys.stdin, clock.sleep) as (wait, quits):
            return look_again(
                asked, client=client, now=clock.now, sleep=wait, console=console, quits=quits
            )
    except KeyboardInterrupt:
        typer.echo("stopped watching: draining goes on", err=True)
        return EXIT_INTERRUPTED
