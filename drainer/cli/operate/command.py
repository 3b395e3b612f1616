"""
The commands that act on drains, as they are typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.operate.run import Operate

Instances = Annotated[list[str], typer.Argument(metavar="INSTANCE...", help="EC2 instance ids.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="EC2 instance id.")]
Cluster = Annotated[str, typer.Option(help="ECS cluster. Empty: all clusters are searched.")]
Stack = Annotated[str, typer.Option(help="Name of the drainer's stack.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the calls and make none.")]
Region = Annotated[str, typer.Option(help="AWS Region.")]
Profile = Annotated[str, typer.Option(help="Profile of the AWS configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]

retained_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


def drain(
    instances: Instances,
    *,
    why: Annotated[str, typer.Option("--message", "-m", help="Why, kept on the instance.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no task is left.")] = False,
    timeout: Annotated[
        str, typer.Option(help="How long to wait, 30m or 2h. Empty: without limit.")
    ] = "",
    cluster: Cluster = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """
    Set container instances DRAINING. Does not terminate them.

    ECS starts the tasks of services elsewhere and then stops them here, within each service's
    minimum and maximum. Standalone tasks go on until they end. Caller and reason become attributes
    of the container instance. --wait watches until no task is left. Ctrl-C ends only the watching.
    """
    _run(
        lambda one: one.drain(instances, why, wait=wait, timeout=timeout),
        region, profile, cluster, yes=yes, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def undrain(
    instances: Instances,
    *,
    cluster: Cluster = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """
    Set container instances ACTIVE again.

    Rejects an instance that leaves its group: the drainer would set it DRAINING again.
    """
    _run(
        lambda one: one.undrain(instances),
        region, profile, cluster, yes=yes, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def release(
    instance: Instance,
    *,
    hook: Annotated[str, typer.Option(help="The hook, if the group has several.")] = "",
    cluster: Cluster = "",
    stack: Stack = "drainer",
    yes: Yes = False,
    dry_run: DryRun = False,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """
    Answer CONTINUE for an instance that waits at a terminating hook.

    Shows the tasks that this cuts, and asks. There is no way back.
    """
    _run(
        lambda one: one.release(instance, hook),
        region, profile, cluster, stack, yes=yes, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def extend(
    instance: Instance,
    length: Annotated[str, typer.Argument(metavar="LENGTH", help="How much later: 30m, 1h30m.")],
    *,
    stack: Stack = "drainer",
    yes: Yes = False,
    dry_run: DryRun = False,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """
    Put off the deadline of a drain of the drainer.

    The new deadline is the old one plus LENGTH, and not later than the hook waits. It is written
    into the drain's record. The drainer's next pass goes by it.
    """
    _run(
        lambda one: one.extend(instance, length),
        region, profile, "", stack, yes=yes, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def unprotect(
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK...", help="Ids or ARNs of tasks.")
    ] = None,
    *,
    service: Annotated[str, typer.Option(help="All tasks of this service.")] = "",
    cluster: Cluster = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """
    End the scale-in protection of tasks, after asking.

    A protected task may hold a drain until its protection ends. --service needs --cluster.
    """
    _run(
        lambda one: one.unprotect(tasks or [], service),
        region, profile, cluster, yes=yes, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


@retained_app.callback(
    epilog="Examples: `drainer retained` lists. `drainer retained free i-0a1f4c8e2b7d93650` lets "
    "one go."
)
def retained(
    context: typer.Context,
    *,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """List instances that an ABANDON has retained: billed, not counted by their groups."""
    if context.invoked_subcommand is None:
        _run(lambda one: one.retained(), region, profile, as_json=as_json)


@retained_app.command(epilog="Example: `drainer retained free i-0a1f4c8e2b7d93650 --dry-run`.")
def free(
    instance: Instance,
    *,
    cluster: Cluster = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    region: Region = "",
    profile: Profile = "",
    as_json: Json = False,
) -> None:
    """
    Terminate a retained instance, after asking.

    Its terminating hooks run again, so that the drainer drains it once more.
    """
    _run(
        lambda one: one.free(instance),
        region, profile, cluster, yes=yes, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


EPILOGS: dict[Callable[..., None], str] = {
    drain: "Examples: `drainer drain i-0b77e1d09c3f5a248 -m 'kernel CVE' --wait` waits until no "
    "task is left. `drainer drain i-0b77e1d09c3f5a248 --dry-run` prints the calls.",
    undrain: "Example: `drainer undrain i-0b77e1d09c3f5a248`.",
    release: "Examples: `drainer release i-0a1f4c8e2b7d93650` shows what is cut, and asks. "
    "`drainer release i-0a1f4c8e2b7d93650 --yes` does not ask.",
    extend: "Example: `drainer extend i-0d3e6b1a97c2f4058 45m`.",
    unprotect: "Examples: `drainer unprotect 9f2e07b1c4d84f0a8b6e3d5c7a9b1e2f`. "
    "`drainer unprotect --service feed --cluster web --dry-run`.",
}


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command, epilog in EPILOGS.items():
        app.command(epilog=epilog)(command)
    app.add_typer(retained_app, name="retained")


def _run(
    act: Callable[[Operate], int],
    region: str,
    profile: str,
    cluster: str = "",
    stack: str = "drainer",
    *,
    yes: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Run a command on the user's account; exit with its code."""
    # botocore takes a quarter of a second to import; --help need not.
    from drainer.cli.account.session import (  # noqa: PLC0415 (see above)
        AWS_ERRORS,
        EXIT_INTERRUPTED,
        clients,
        fail,
    )
    from drainer.cli.operate.plan import EXIT_UNREAD  # noqa: PLC0415 (see above)
    from drainer.cli.operate.run import operate  # noqa: PLC0415 (see above)

    try:
        client = clients(region or None, profile or None)
        code = act(operate(client, cluster, stack, yes=yes, dry_run=dry_run, as_json=as_json))
    except AWS_ERRORS as error:
        said, advice = str(error).rstrip("."), "check --region, --profile and your login"
        raise typer.Exit(fail(f"AWS was not read: {said}", advice, code=EXIT_UNREAD)) from None
    except (KeyboardInterrupt, typer.Abort):
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(code)
