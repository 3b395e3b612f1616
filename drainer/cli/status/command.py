"""
`drainer status`: its arguments.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

# Typer reads these when the command is made.
from drainer.cli.explain.command import (  # noqa: TC001 (see above)
    ClusterOption,
    ProfileOption,
    RegionOption,
    StackOption,
)

EPILOG = (
    "Examples: `drainer status` shows all drains of the Region. "
    "`drainer status --cluster payments --watch` looks again and again. "
    "`drainer status --group batch-asg` shows one group. "
    "`drainer status --json | jq 'select(.needs_attention)'` finds what needs attention."
)


def status(  # noqa: PLR0917 (Typer gives names)
    cluster: ClusterOption = None,
    group: Annotated[str | None, typer.Option(help="Show only this Auto Scaling group.")] = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help="One line for each drain, however many there are.")
    ] = False,
    watch: Annotated[bool, typer.Option(help="Look again and again, until q or Ctrl-C.")] = False,
    stack: StackOption = "drainer",
    region: RegionOption = None,
    profile: ProfileOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object for each drain, then one for the rest."),
    ] = False,
) -> None:
    """
    Show what drains, since when, until when, and what it waits for.

    One line for each DRAINING container instance, by the drainer, by ECS managed draining or by
    hand. More than 40 are shown by group, with those that need attention.

    It only reads. One look asks ECS once for each cluster, once more for each cluster with drains,
    and 2 or 3 times for each of the first 20 drains. The other drains show the drainer's record or
    ECS's counters. With --watch the next look waits until the reads are below one a second.
    Exits with 0, with 4 or 5 if a cluster could not be read, with 2 on a wrong option.
    """
    # boto3 takes a quarter of a second to import; --help need not.
    from rich.console import Console  # noqa: PLC0415 (see above)

    from drainer import clock  # noqa: PLC0415 (see above)
    from drainer.cli.account.refusals import refused  # noqa: PLC0415 (see above)
    from drainer.cli.account.session import (  # noqa: PLC0415 (see above)
        AWS_ERRORS,
        EXIT_INTERRUPTED,
        clients,
    )
    from drainer.cli.status.keys import waiting  # noqa: PLC0415 (see above)
    from drainer.cli.status.show import Question, show  # noqa: PLC0415 (see above)
    from drainer.cli.status.show import watch as look_again  # noqa: PLC0415 (see above)

    asked = Question(cluster=cluster, group=group, stack=stack, all_rows=all_rows, as_json=as_json)
    try:
        client, console = clients(region, profile), Console()
        if watch:
            with waiting(sys.stdin, clock.sleep) as (wait, quits):
                code = look_again(
                    asked, client=client, now=clock.now, sleep=wait, console=console, quits=quits
                )
        else:
            code = show(asked, client=client, now=clock.now(), console=console)
    except KeyboardInterrupt:
        typer.echo("stopped watching: draining goes on", err=True)
        code = EXIT_INTERRUPTED
    except AWS_ERRORS as error:
        code = refused(error)
    raise typer.Exit(code)
