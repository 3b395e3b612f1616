"""
`drainer explain`: its arguments.
"""

from __future__ import annotations

from typing import Annotated

import typer

from drainer.cli.account.options import Options, on_account
from drainer.cli.explain.causes import Cause  # noqa: TC001 (Typer reads it)

EPILOG = (
    "Examples: `drainer explain i-0a1f4c8e2b7d93650` searches all clusters for the instance. "
    "`drainer explain i-0a1f4c8e2b7d93650 --cluster payments` reads that cluster only. "
    "`drainer explain i-0a1f4c8e2b7d93650 --cause image-pull` shows one of several causes. "
    "`drainer explain payments-asg` says in a line for each instance why the group's still drain. "
    "`drainer explain i-0a1f4c8e2b7d93650 --json` prints JSON for programs."
)

ABSENT = "Name of the drainer's stack. It may be absent."


@on_account(
    "cluster", stack=ABSENT, as_json="Print one JSON object per instance, with times in UTC."
)
def explain(
    at: Options,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="INSTANCE",
            help="The EC2 instance's id, the container instance's ARN, or a group or a cluster.",
        ),
    ],
    *,
    cause: Annotated[
        Cause | None,
        typer.Option(metavar="CAUSE", help="Which of several causes to show in detail."),
    ] = None,
) -> int:
    """
    Say why a container instance is still draining.

    Works for each DRAINING container instance, by the drainer, by ECS managed draining or by hand.
    The first line names the cause. Below it: evidence, what to do, and an estimate of the end.

    For an Auto Scaling group or a cluster it prints the first line of each draining instance, the
    longest-waiting first, and with --json one object each. It explains 20 of them at most, with
    at most 5 reads of ECS a second after the first 20.

    It only reads. The search makes one read for each cluster until the instance is found. The rest
    makes 10 to 40 reads for an instance with a few services, and 150 at most.
    Exits with 0 if the instance was explained, with 1 if its tasks could not be read, with 3 if it
    was not found or does not leave, with 4 if access is missing, with 5 if AWS did not answer.
    """
    # boto3 takes a quarter of a second to import; --help need not.
    from rich.console import Console  # noqa: PLC0415 (see above)

    from drainer import clock  # noqa: PLC0415 (see above)
    from drainer.cli.account.session import clients  # noqa: PLC0415 (see above)
    from drainer.cli.explain.several import show_any  # noqa: PLC0415 (see above)

    return show_any(
        subject,
        cluster=at.cluster or None,
        stack=at.stack,
        cause=cause,
        json_wanted=at.as_json,
        client=clients(at.region, at.profile),
        now=clock.now(),
        console=Console(),
        sleep=clock.sleep,
    )
