"""
The command line: arguments in, exit codes out; what it does is elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from drainer.cli.account.options import Options, on_account
from drainer.cli.adopt.command import EPILOG as ADOPT_EPILOG
from drainer.cli.adopt.command import adopt
from drainer.cli.attach import command as attach
from drainer.cli.demo.scenarios import SCENARIOS, ScenarioName
from drainer.cli.doctor import command as doctor
from drainer.cli.explain import command as explaining
from drainer.cli.history import command as history
from drainer.cli.operate import command as operate
from drainer.cli.status import command as overview

if TYPE_CHECKING:
    from drainer.cli.demo.voice import Voice

# A shell's code for a command ended by SIGINT.
EXIT_INTERRUPTED = 130
STUCK = "stuck-"
# The planted drain's deadline is 72 minutes after the start.
KEEP_MINUTES_MAX = 60
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
    """Drain EC2 instances before they leave an ECS cluster."""


@app.command(
    epilog="Examples: `.venv/bin/python -m drainer demo` shows one drain. "
    "`python -m drainer demo --scenario stuck` shows a deadline. "
    "`python -m drainer demo --scenario stuck-port-taken --keep` leaves a stuck account running. "
    "`python -m drainer demo --scenario crowd --json` prints JSON for programs."
)
def demo(
    *,
    scenario: Annotated[
        str, typer.Option(metavar=f"[{'|'.join(ScenarioName)}|stuck-CAUSE]", help="The scenario.")
    ] = ScenarioName.DRAIN,
    factor: Annotated[
        float,
        typer.Option(min=1.0, max=FACTOR_MAX, help="Simulated seconds in one real second."),
    ] = FACTOR_DEFAULT,
    zip_file: Annotated[
        Path, typer.Option("--zip", help="The function's zip, as `make package` builds it.")
    ] = Path("build/drainer.zip"),
    keep: Annotated[
        bool, typer.Option("--keep", help="In stuck-CAUSE: keep the account for other commands.")
    ] = False,
    minutes: Annotated[
        int, typer.Option(min=1, max=KEEP_MINUTES_MAX, help="With --keep: for how many minutes.")
    ] = KEEP_MINUTES_MAX,
    managed: Annotated[
        bool,
        typer.Option("--managed", help="In stuck-CAUSE: ECS drains, and the stack is absent."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, for programs.")
    ] = False,
) -> None:
    """
    Watch a drain in an embedded AWS account.

    Deploys the shipped templates and zip into an account on this machine. Instances leave an
    Auto Scaling group until the last lifecycle action is answered. Exits with 0 only if no
    instance was released early and every lifecycle action was answered.
    In spot and fargate-spot, Spot interrupts an instance or a task while requests are in
    progress. They exit with 0 only if no request was cut that could have ended in two minutes.
    In spot-fleet, CloudFormation replaces a fleet. It exits with 0 only if the old fleet was
    cancelled after its last task, no request was cut and each request got one response.
    In refresh, a stack update replaces every instance of a group. It exits with 0 only if all are
    new and no request was cut.
    In stuck-CAUSE, an instance is stuck for a cause of docs/causes.md, and `explain` says why.
    stuck-CAUSE+CAUSE plants several, and stuck-three three at random. It exits with 0 only if each
    planted cause is named. With --keep it prints what to export, and answers until Ctrl-C.
    """
    from drainer.cli.demo.voice import Voice, console_of  # noqa: PLC0415 (only this command)

    voice = Voice(console_of(sys.stdout), as_json)
    if scenario.startswith(STUCK):
        _demo_stuck(scenario, voice, keep=keep, minutes=minutes, managed=managed, factor=factor)
        return
    if scenario not in SCENARIOS:
        known = ", ".join((*ScenarioName, f"{STUCK}CAUSE"))
        raise typer.BadParameter(f"{scenario} is not one of: {known}")
    if keep or managed:
        raise typer.BadParameter(f"--keep and --managed are for stuck-CAUSE, not for {scenario}")
    _demo_watched(ScenarioName(scenario), voice, factor, zip_file)


def _demo_watched(scenario: ScenarioName, voice: Voice, factor: float, zip_file: Path) -> None:
    from drainer.cli.demo import opening  # noqa: PLC0415 (only this command needs it)

    chosen = SCENARIOS[scenario]
    try:
        opening.check(zip_file)
        opening.announce(voice, chosen, scenario, factor)
        # The emulator and the simulation take a second to import: the first line need not wait.
        from drainer.cli.demo.run import run  # noqa: PLC0415 (see above)

        found = run(chosen, factor, zip_file, voice)
    except KeyboardInterrupt:
        typer.echo("interrupted: the embedded account was deleted", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except opening.DemoError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except Exception as error:
        typer.echo(f"error: the demo failed: {type(error).__name__}: {error}", err=True)
        for note in getattr(error, "__notes__", []):
            typer.echo(note, err=True)
        raise typer.Exit(1) from error
    if found:
        for sentence in found:
            typer.echo(f"FAILED: {sentence}", err=True)
        raise typer.Exit(1)


def _demo_stuck(
    scenario: str, voice: Voice, *, keep: bool, minutes: int, managed: bool, factor: float
) -> None:
    from drainer import clock  # noqa: PLC0415 (only this scenario needs it)
    from drainer.cli.demo.stuck import choice, show  # noqa: PLC0415 (the same)

    if factor != FACTOR_DEFAULT:
        raise typer.BadParameter("--factor is not for stuck-CAUSE: its time is the real one")
    try:
        chosen = choice.chosen(scenario, managed=managed, seed=int(clock.now().timestamp()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if keep:
        show.keep(chosen, voice, minutes, show.pause)
        return
    if found := show.explain_once(chosen, voice):
        for sentence in found:
            typer.echo(f"FAILED: {sentence}", err=True)
        raise typer.Exit(1)


@app.command(
    epilog="Examples: `python -m drainer redrive --dry-run` only shows the messages. "
    "`python -m drainer redrive --stack drainer-eu --max 50` sends at most 50 messages. "
    "`AWS_PROFILE=ops python -m drainer redrive --json` prints JSON for programs."
)
@on_account(
    "stack",
    dry_run="Show the messages and send none.",
    as_json="Print one JSON object per message, for programs.",
)
def redrive(
    at: Options,
    *,
    messages_max: Annotated[
        int, typer.Option("--max", min=1, max=MESSAGES_MAX, help="The most messages to send again.")
    ] = MESSAGES_DEFAULT,
) -> int:
    """
    Send the messages in the stack's dead-letter queue again.

    Each message is sent to its queue or function, and deleted after that. A message that cannot
    be read stays and is shown. An old message is safe: it releases no instance early.
    Exits with 0 if no message stays, with 1 if one stays or a call failed, with 2 on a wrong stack
    or Region, with 4 if access is missing, with 5 if AWS did not answer.
    """
    # boto3 takes a quarter of a second to import; --help need not.
    from drainer.cli.redrive import show  # noqa: PLC0415 (see above)

    return show(at, messages_max, console=Console())


app.command(epilog=ADOPT_EPILOG)(adopt)
app.command(epilog=explaining.EPILOG)(explaining.explain)
app.command(epilog=overview.EPILOG)(overview.status)
app.command(epilog=doctor.EPILOG)(doctor.doctor)
app.command(epilog=history.HISTORY_EPILOG)(history.history)
app.command(epilog=history.REPORT_EPILOG)(history.report)
app.command(epilog=attach.ATTACH_EPILOG)(attach.attach)
app.command(epilog=attach.DETACH_EPILOG)(attach.detach)
app.command("list", epilog=attach.LIST_EPILOG)(attach.list_groups)
operate.register(app)
