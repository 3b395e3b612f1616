"""
The options that the commands on a user's account share, each declared once.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

HELP = {
    "cluster": "ECS cluster. Empty: all clusters are searched.",
    "stack": "Name of the drainer's stack.",
    "yes": "Do not ask.",
    "dry_run": "Print the calls and make none.",
    "as_json": "Print one JSON object per line.",
    "region": "AWS Region.",
    "profile": "Profile of the AWS CLI.",
}
# A flag has no negation.
FLAGS = {"yes": "--yes", "dry_run": "--dry-run", "as_json": "--json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was given of them; a command has those that it names."""

    cluster: str = ""
    stack: str = "drainer"
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False
    region: str | None = None
    profile: str | None = None


def on_account(*names: str, **helps: str) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """
    Return what makes a command of a function that takes Options and its own arguments.

    The command exits with what the function returns. Errors of AWS are said in one line.

    Args:
        names: The options that the command has, beside Region and profile.
        helps: The help of options that have another one than in HELP.
    """
    order = [one.name for one in fields(Options)]
    wanted = sorted({*names, *helps, "region", "profile"}, key=order.index)
    shared = [_parameter(name, helps.get(name, HELP[name])) for name in wanted]

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


def _parameter(name: str, text: str) -> inspect.Parameter:
    """Return an option as the parameter of a function that Typer reads."""
    default = next(one.default for one in fields(Options) if one.name == name)
    flags = [FLAGS[name]] if name in FLAGS else []
    annotation: Any = Annotated[get_type_hints(Options)[name], typer.Option(*flags, help=text)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
