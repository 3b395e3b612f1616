"""
The arguments of `drainer doctor`; what it does is in `run.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

EPILOG = (
    "Examples: `drainer doctor` checks every group that the stack drains. "
    "`drainer doctor payments-asg --skip image` checks one. "
    "`drainer doctor --json --strict` is for a pipeline. "
    "docs/doctor.md explains each check."
)


def doctor(  # noqa: PLR0917 (an option of Typer is a parameter)
    groups: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GROUP]...", help="Auto Scaling groups. None: all of the stack."),
    ] = None,
    stack: Annotated[str, typer.Option(help="Name of the drainer's stack.")] = "drainer",
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Make only this check. Repeatable.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Leave a check out. Repeatable.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 on warnings and unread values too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per finding.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="AWS Region.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of the AWS CLI.")] = None,
) -> None:
    """
    Find what would go wrong at the next drain, before it does. It only reads.

    Checks the drainer's stack, and the groups whose hook notifies its topic: hook, role, messages,
    function, alarms, services, scaling and image. Each check is ok, a warning, wrong or not read.
    Exits with 0 if no check is wrong, with 1 if one is, with 2 if it was called wrongly or could
    read no group.
    """
    # botocore takes a quarter of a second to import, and --help need not.
    from drainer.cli.doctor.run import run  # noqa: PLC0415 (see above)

    code = run(
        tuple(groups or ()),
        stack,
        only=only or (),
        skip=skip or (),
        strict=strict,
        as_json=as_json,
        region=region,
        profile=profile,
    )
    raise typer.Exit(code)
