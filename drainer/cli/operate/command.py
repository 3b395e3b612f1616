"""
The commands that act on drains, as they are typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from drainer.cli.account.options import Options, on_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.operate.run import Operate

Instances = Annotated[list[str], typer.Argument(metavar="INSTANCE...", help="EC2 instance ids.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="EC2 instance id.")]
# What a command that changes something has.
ACTS = ("yes", "dry_run", "as_json")

retained_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@on_account("cluster", *ACTS)
def drain(
    at: Options,
    instances: Instances,
    *,
    why: Annotated[str, typer.Option("--message", "-m", help="Why, kept on the instance.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no task is left.")] = False,
    timeout: Annotated[
        str, typer.Option(help="How long to wait, 30m or 2h. Empty: without limit.")
    ] = "",
) -> int:
    """
    Set container instances DRAINING. Does not terminate them.

    ECS starts the tasks of services elsewhere and then stops them here, within each service's
    minimum and maximum. Standalone tasks go on until they end. Caller and reason become attributes
    of the container instance. --wait watches until no task is left. Ctrl-C ends only the watching.
    """
    return _operate(at).drain(instances, why, wait=wait, timeout=timeout)


@on_account("cluster", *ACTS)
def undrain(at: Options, instances: Instances) -> int:
    """
    Set container instances ACTIVE again.

    Rejects an instance that leaves its group: the drainer would set it DRAINING again.
    """
    return _operate(at).undrain(instances)


@on_account("cluster", "stack", *ACTS)
def release(
    at: Options,
    instance: Instance,
    *,
    hook: Annotated[str, typer.Option(help="The hook, if the group has several.")] = "",
) -> int:
    """
    Answer CONTINUE for an instance that waits at a terminating hook.

    Shows the tasks that this cuts, and asks. There is no way back.
    """
    return _operate(at).release(instance, hook)


@on_account("stack", *ACTS)
def extend(
    at: Options,
    instance: Instance,
    length: Annotated[str, typer.Argument(metavar="LENGTH", help="How much later: 30m, 1h30m.")],
) -> int:
    """
    Put off the deadline of a drain of the drainer.

    The new deadline is the old one plus LENGTH, and not later than the hook waits. It is written
    into the drain's record. The drainer's next pass goes by it.
    """
    return _operate(at).extend(instance, length)


@on_account("cluster", *ACTS)
def unprotect(
    at: Options,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK...", help="Ids or ARNs of tasks.")
    ] = None,
    *,
    service: Annotated[str, typer.Option(help="All tasks of this service.")] = "",
) -> int:
    """
    End the scale-in protection of tasks, after asking.

    A protected task may hold a drain until its protection ends. --service needs --cluster.
    """
    return _operate(at).unprotect(tasks or [], service)


@retained_app.callback(
    epilog="Examples: `drainer retained` lists. `drainer retained free i-0a1f4c8e2b7d93650` lets "
    "one go."
)
@on_account("as_json")
def retained(at: Options, context: typer.Context) -> int:
    """List instances that an ABANDON has retained: billed, not counted by their groups."""
    return 0 if context.invoked_subcommand else _operate(at).retained()


@retained_app.command(epilog="Example: `drainer retained free i-0a1f4c8e2b7d93650 --dry-run`.")
@on_account("cluster", *ACTS)
def free(at: Options, instance: Instance) -> int:
    """
    Terminate a retained instance, after asking.

    Its terminating hooks run again, so that the drainer drains it once more.
    """
    return _operate(at).free(instance)


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


def _operate(at: Options) -> Operate:
    # botocore takes a quarter of a second to import; --help need not.
    from drainer.cli.operate.run import operate  # noqa: PLC0415 (see above)

    return operate(at)
