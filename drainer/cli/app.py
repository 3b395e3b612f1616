"""
The command line: arguments in, exit codes out; what it does is elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drainer.cli.demo.scenarios import SCENARIOS, ScenarioName

# A shell's code for a command ended by SIGINT.
EXIT_INTERRUPTED = 130
FACTOR_DEFAULT = 12.0
FACTOR_MAX = 40.0
MESSAGES_DEFAULT = 1_000
MESSAGES_MAX = 100_000

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def drainer() -> None:
    """Let EC2 instances leave an ECS cluster and cut nothing short."""


@app.command(
    epilog="Examples: `.venv/bin/python -m drainer demo` shows one drain; "
    "`python -m drainer demo --scenario stuck` the deadline policy; "
    "`python -m drainer demo --scenario crowd --json` is for programs."
)
def demo(
    scenario: Annotated[ScenarioName, typer.Option(help="What to show.")] = ScenarioName.DRAIN,
    factor: Annotated[
        float,
        typer.Option(min=1.0, max=FACTOR_MAX, help="How many times as fast time runs there."),
    ] = FACTOR_DEFAULT,
    zip_file: Annotated[
        Path, typer.Option("--zip", help="The function's zip, as `make package` builds it.")
    ] = Path("build/drainer.zip"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for programs.")
    ] = False,
) -> None:
    """
    Watch a drain in an embedded AWS account.

    Deploys the shipped templates and zip into an account of this machine alone, lets instances
    leave an Auto Scaling group, and shows what happens until the last lifecycle action is
    answered. Exits with 0 only if nothing was let go early and nothing was left hanging.
    The scenarios spot and fargate-spot let Spot take back an instance or a task, with requests
    under way, and exit with 0 only if none was cut that the two minutes allow.
    The scenario spot-fleet lets CloudFormation replace a fleet, and exits with 0 only if the old
    one went after its last task, no request was cut and CloudFormation was answered once.
    """
    # The emulator and the simulation take half a second to import; --help need not.
    from drainer.cli.demo.run import run  # noqa: PLC0415 (see above)
    from drainer.cli.demo.voice import Voice  # noqa: PLC0415 (see above)

    voice, chosen = Voice(Console(), as_json), SCENARIOS[scenario]
    try:
        found = run(chosen, factor, zip_file, voice)
    except KeyboardInterrupt:
        typer.echo("interrupted; the embedded account is gone", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except Exception as error:
        typer.echo(f"the demo failed: {type(error).__name__}: {error}", err=True)
        for note in getattr(error, "__notes__", []):
            typer.echo(note, err=True)
        raise typer.Exit(1) from error
    if found:
        for sentence in found:
            typer.echo(f"FAILED: {sentence}", err=True)
        raise typer.Exit(1)
    if not as_json:
        voice.console.print(chosen.kept, style="green")


@app.command(
    epilog="Examples: `python -m drainer redrive --dry-run` says what would be done; "
    "`python -m drainer redrive --stack drainer-eu --max 50` puts fifty messages back; "
    "`AWS_PROFILE=ops python -m drainer redrive --json` is for programs."
)
def redrive(
    stack: Annotated[str, typer.Option(help="Name of the drainer's stack.")] = "drainer",
    messages_max: Annotated[
        int, typer.Option("--max", min=1, max=MESSAGES_MAX, help="The most messages to put back.")
    ] = MESSAGES_DEFAULT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a message, for programs.")
    ] = False,
) -> None:
    """
    Put back what lies in the stack's dead-letter queues.

    Each message goes back to where it belongs, and is deleted only after that; one that cannot be
    understood stays where it is and is named. However old a message is, it releases nothing early.
    Exits with 0 if nothing stays, with 1 if something does or failed, with 2 if asked wrongly.
    """
    # boto3 takes a quarter of a second to import; --help need not.
    from drainer.cli.redrive import show  # noqa: PLC0415 (see above)

    code = show(stack, messages_max, dry_run=dry_run, as_json=as_json, console=Console())
    raise typer.Exit(code)
