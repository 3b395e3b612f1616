"""
`drainer adopt` as it is typed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drainer.cli.account.options import Options, on_account

EPILOG = (
    "Examples: `drainer adopt` lists the hooks of old drainers and what replaces each. "
    "`drainer adopt --apply web-asg/drain --dry-run` shows one change. "
    "`drainer adopt --back drainer-adopt-web-asg-drain-20261122T120000Z.json` restores the hook."
)


@on_account(
    "stack",
    "yes",
    dry_run="Show the call and make none.",
    as_json="Print one JSON object per hook, for programs.",
)
def adopt(
    at: Options,
    *,
    apply: Annotated[
        str, typer.Option("--apply", help="Change this hook. Else the command only reads.")
    ] = "",
    back: Annotated[
        Path | None, typer.Option("--back", help="Restore the hook that this file describes.")
    ] = None,
    role: Annotated[
        str, typer.Option(help="ARN of the role that may notify the drainer's topic.")
    ] = "",
    cluster: Annotated[
        str, typer.Option(help="ECS cluster of the groups, if their function names none.")
    ] = "",
) -> int:
    """
    Find hooks that old sample drainers serve, and replace them.

    Reads the terminating hooks of all groups, and the topics, queues, rules and functions behind
    them. Says what is wrong with each old drainer and prints the change that replaces it, with
    the way back. Only --apply and --back write, after asking: one PutLifecycleHook.
    """
    # botocore takes a quarter of a second to import; --help need not.
    from drainer.cli.account.session import EXIT_USAGE, clients, fail  # noqa: PLC0415 (see above)
    from drainer.cli.account.terminal import asking  # noqa: PLC0415 (see above)
    from drainer.cli.adopt.run import Adopt, fetch  # noqa: PLC0415 (see above)
    from drainer.clock import now  # noqa: PLC0415 (see above)

    if apply and back:
        return fail("--apply and --back exclude each other", code=EXIT_USAGE)
    typed = asking()

    def ask(question: str) -> bool:
        assert typed is not None  # noqa: S101 - without a terminal nothing is asked
        return typed(f"{question} [y/N]:").strip().lower() in {"y", "yes"}

    client, folder = clients(at.region, at.profile), Path.cwd()
    run = Adopt(client, fetch, typed and ask, Console(), now(), folder, at.stack, role, cluster)
    if back is not None:
        return run.restore(back, yes=at.yes, dry_run=at.dry_run)
    if apply:
        return run.apply(apply, yes=at.yes, dry_run=at.dry_run)
    return run.show(as_json=at.as_json)
