"""
The options that the commands on a user's account share, each declared once.
"""

from __future__ import annotations

import inspect
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was given of them; a command has those that it names."""

    cluster: Annotated[str, typer.Option(help="ECS cluster. Empty: all clusters are searched.")] = (
        ""
    )
    stack: Annotated[str, typer.Option(help="Name of the drainer's stack.")] = "drainer"
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the calls and make none.")] = (
        False
    )
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False
    region: Annotated[str | None, typer.Option(help="AWS Region.")] = None
    profile: Annotated[str | None, typer.Option(help="Profile of the AWS CLI.")] = None


def on_account(*names: str, **helps: str) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """
    Return what makes a command of a function that takes Options and its own arguments.

    The command exits with what the function returns. Errors of AWS are said in one line.

    Args:
        names: The options that the command has, beside Region and profile.
        helps: Options that it has too, with a help of their own.
    """
    wanted = {*names, *helps, "region", "profile"}
    known = inspect.signature(Options, eval_str=True).parameters
    shared = [_helped(one, helps.get(name)) for name, one in known.items() if name in wanted]

    def decorate(act: Callable[..., int]) -> Callable[..., None]:
        _, *own = inspect.signature(act, eval_str=True).parameters.values()

        def command(**given: Any) -> None:
            # botocore takes a quarter of a second to import; --help need not.
            from drainer.cli.account.terminal import guarded  # noqa: PLC0415 (see above)

            options = Options(**{name: given.pop(name) for name in wanted})
            # What has succeeded goes on: a command may have commands below it.
            if code := guarded(lambda: act(options, **given)):
                raise typer.Exit(code)

        command.__name__, command.__doc__ = act.__name__, act.__doc__
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + shared
        # Typer reads both.
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _helped(option: inspect.Parameter, text: str | None) -> inspect.Parameter:
    """Return an option with another help; None keeps its own."""
    kind, declared = get_args(option.annotation)
    shown = copy(declared)
    shown.help = text or declared.help
    annotation: Any = Annotated[kind, shown]
    return option.replace(annotation=annotation)
