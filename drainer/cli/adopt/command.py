"""
`drainer adopt` as it is typed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

EPILOG = (
    "Examples: `drainer adopt` lists the hooks of old drainers and what replaces each. "
    "`drainer adopt --apply web-asg/drain --dry-run` shows one change. "
    "`drainer adopt --back drainer-adopt-web-asg-drain-20261122T120000Z.json` restores the hook."
)


def adopt(
    *,
    apply: Annotated[
        str, typer.Option("--apply", help="Change this hook. Else the command only reads.")
    ] = "",
    back: Annotated[
        Path | None, typer.Option("--back", help="Restore the hook that this file describes.")
    ] = None,
    stack: Annotated[str, typer.Option(help="Name of the drainer's stack.")] = "drainer",
    role: Annotated[
        str, typer.Option(help="ARN of the role that may notify the drainer's topic.")
    ] = "",
    cluster: Annotated[
        str, typer.Option(help="ECS cluster of the groups, if their function names none.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the call and make none.")
    ] = False,
    region: Annotated[str, typer.Option(help="AWS Region.")] = "",
    profile: Annotated[str, typer.Option(help="Profile of the AWS configuration.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per hook, for programs.")
    ] = False,
) -> None:
    """
    Find hooks that old sample drainers serve, and replace them.

    Reads the terminating hooks of all groups, and the topics, queues, rules and functions behind
    them. Says what is wrong with each old drainer and prints the change that replaces it, with
    the way back. Only --apply and --back write, after asking: one PutLifecycleHook.
    """
    # botocore takes a quarter of a second to import; --help need not.
    from drainer.cli.account.refusals import refused  # noqa: PLC0415 (see above)
    from drainer.cli.account.session import (  # noqa: PLC0415 (see above)
        AWS_ERRORS,
        EXIT_INTERRUPTED,
        EXIT_USAGE,
        clients,
        fail,
    )
    from drainer.cli.adopt.run import Adopt, fetch  # noqa: PLC0415 (see above)
    from drainer.clock import now  # noqa: PLC0415 (see above)

    if apply and back:
        raise typer.Exit(fail("--apply and --back exclude each other", code=EXIT_USAGE))

    def ask(question: str) -> bool:
        return typer.confirm(question, err=True)

    try:
        client = clients(region or None, profile or None)
        folder = Path.cwd()
        run = Adopt(client, fetch, ask, Console(), now(), folder, stack, role, cluster)
        if back is not None:
            code = run.restore(back, yes=yes, dry_run=dry_run)
        elif apply:
            code = run.apply(apply, yes=yes, dry_run=dry_run)
        else:
            code = run.show(as_json=as_json)
    except AWS_ERRORS as error:
        raise typer.Exit(refused(error)) from None
    except (KeyboardInterrupt, typer.Abort):
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(code)
