"""
The arguments of `drainer attach`, `detach` and `list`; what they do is in `run.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from drainer.cli.account.options import Options, on_account

ATTACH_EPILOG = (
    "Examples: `drainer attach payments-asg --cluster payments --dry-run` shows the settings. "
    "`drainer attach payments-asg --drain-timeout-seconds 3600` changes one setting. "
    "docs/attach.md has more."
)
DETACH_EPILOG = (
    "Examples: `drainer detach payments-asg --dry-run` shows what is deleted. "
    "`drainer detach payments-asg` asks and deletes it."
)
LIST_EPILOG = (
    "Examples: `drainer list` shows each attached group. "
    "`drainer list --json --stack drainer-eu` is for programs."
)


class Result(StrEnum):
    """The two results of a hook."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


class Standalone(StrEnum):
    """The rules for tasks without a service."""

    WAIT = "wait"
    STOP = "stop"
    IGNORE = "ignore"


# The bounds are those of infra/attach.yaml (tests/attach/test_command.py).
SECONDS_MIN, SECONDS_MAX = 60, 172_800
HEARTBEAT_MIN, HEARTBEAT_MAX = 30, 7_200

DRY_RUN = "Show the change and make none."

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="The Auto Scaling group.")]


@on_account("stack", "yes", dry_run=DRY_RUN)
def attach(  # noqa: PLR0917 (an option of Typer is a parameter)
    at: Options,
    group: GroupName,
    cluster: Annotated[str | None, typer.Option(help="ECS cluster of its instances.")] = None,
    drain_timeout_seconds: Annotated[
        int | None, typer.Option(min=SECONDS_MIN, max=SECONDS_MAX, help="Seconds to the deadline.")
    ] = None,
    deadline_result: Annotated[Result | None, typer.Option(help="Answer at the deadline.")] = None,
    standalone_tasks: Annotated[
        Standalone | None, typer.Option(help="Rule for tasks without a service.")
    ] = None,
    standalone_grace_seconds: Annotated[
        int | None, typer.Option(min=0, max=SECONDS_MAX, help="Seconds until they are stopped.")
    ] = None,
    heartbeat_timeout_seconds: Annotated[
        int | None,
        typer.Option(min=HEARTBEAT_MIN, max=HEARTBEAT_MAX, help="Seconds without a heartbeat."),
    ] = None,
    default_result: Annotated[
        Result | None, typer.Option(help="What Auto Scaling does without a heartbeat.")
    ] = None,
    hook_name: Annotated[str | None, typer.Option(help="Name of the lifecycle hook.")] = None,
    attach_stack: Annotated[str, typer.Option(help="Name of the stack to make.")] = "",
) -> int:
    """
    Attach an Auto Scaling group to the drainer, or change how it is attached.

    Makes or changes a CloudFormation stack of infra/attach.yaml: a lifecycle hook and its role.
    Shows the change set and asks before it is made. A setting that is not given stays as it is.
    Exits with 0 if it is made or nothing was to do, with 1 if not, with 2 if called wrongly.
    """
    # botocore takes a quarter of a second to import, and --help need not.
    from drainer.cli.attach import run  # noqa: PLC0415 (see above)
    from drainer.cli.attach.plan import Wanted  # noqa: PLC0415 (see above)

    settings = {
        "Cluster": cluster,
        "DrainTimeoutSeconds": drain_timeout_seconds,
        "DeadlineResult": deadline_result,
        "StandaloneTasks": standalone_tasks,
        "StandaloneGraceSeconds": standalone_grace_seconds,
        "HeartbeatTimeoutSeconds": heartbeat_timeout_seconds,
        "DefaultResult": default_result,
        "HookName": hook_name,
    }
    given = {name: str(value) for name, value in settings.items() if value is not None}
    wanted = Wanted(group, at.stack, attach_stack, given)
    return run.guarded(lambda one: run.attach(wanted, one), lambda: run.terminal(at))


@on_account("stack", "yes", dry_run=DRY_RUN)
def detach(at: Options, group: GroupName) -> int:
    """
    Detach an Auto Scaling group: its instances are then terminated with their tasks.

    Deletes the CloudFormation stack with the group's hook and role. Asks first, and names the
    instances that wait at the hook: they go on at once.
    Exits with 0 if it is deleted, with 1 if not, with 2 if it was called wrongly.
    """
    # As above.
    from drainer.cli.attach import run  # noqa: PLC0415 (see above)

    return run.guarded(lambda one: run.detach(group, at.stack, one), lambda: run.terminal(at))


@on_account("stack", as_json="Print one JSON object per group.")
def list_groups(at: Options) -> int:
    """
    List the groups that are attached to the drainer, with their settings. It only reads.

    Exits with 0, with 1 if the stack or the groups could not be read.
    """
    # As above.
    from drainer.cli.attach import run  # noqa: PLC0415 (see above)

    return run.guarded(
        lambda one: run.list_groups(at.stack, one, as_json=at.as_json), lambda: run.terminal(at)
    )
