"""
The arguments of `drainer doctor`; what it does is in `run.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from drainer.cli.account.options import Options, on_account

EPILOG = (
    "Examples: `drainer doctor` checks every group that the stack drains. "
    "`drainer doctor payments-asg --skip image` checks one. "
    "`drainer doctor --json --strict` is for a pipeline. "
    "docs/doctor.md explains each check."
)


@on_account("stack", as_json="Print one JSON object per finding.")
def doctor(
    at: Options,
    groups: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GROUP]...", help="Auto Scaling groups. None: all of the stack."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Make only this check. Repeatable.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Leave a check out. Repeatable.")
    ] = None,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 on warnings and unread values too.")
    ] = False,
) -> int:
    """
    Find what would go wrong at the next drain, before it does. It only reads.

    Checks the drainer's stack, and the groups whose hook notifies its topic: hook, role, messages,
    function, alarms, services, scaling and image. Each check is ok, a warning, wrong or not read.
    Exits with 0 if no check is wrong, with 1 if one is, with 2 if it was called wrongly or could
    read no group.
    """
    # botocore takes a quarter of a second to import, and --help need not.
    from drainer.cli.doctor.run import run  # noqa: PLC0415 (see above)

    return run(at, tuple(groups or ()), only=only or (), skip=skip or (), strict=strict)
