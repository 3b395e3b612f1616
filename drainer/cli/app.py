"""
The command line: arguments in, exit codes out; what it does is elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drainer.cli.scenarios import SCENARIOS, ScenarioName

# A shell's code for a command ended by SIGINT.
EXIT_INTERRUPTED = 130
FACTOR_DEFAULT = 12.0
FACTOR_MAX = 40.0

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
    epilog="Examples: `python -m drainer demo` shows one drain; "
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
    """
    # The emulator and the simulation take half a second to import; --help need not.
    from drainer.cli.demo import Demo  # noqa: PLC0415 (see above)

    console = Console()
    try:
        found = Demo(SCENARIOS[scenario], factor, zip_file, console, as_json).run()
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
        console.print("nothing was let go early", style="green")
