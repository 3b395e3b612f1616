"""
`drainer doctor`: read, judge, show, and return an exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from drainer import clock
from drainer.cli.account.reader import Reader, Unread, attempt, refusal
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, EXIT_USAGE, clients, fail
from drainer.cli.doctor import judge, screen, table
from drainer.cli.doctor.read_account import Wanted, read_account
from drainer.cli.doctor.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from drainer.cli.account.options import Options
    from drainer.cli.doctor.verdicts import Result

STRICT = {Verdict.WRONG, Verdict.WARNING, Verdict.NOT_READ}


def run(
    at: Options,
    groups: tuple[str, ...] = (),
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    strict: bool = False,
    client: Callable[[str], Any] | None = None,
    console: Console | None = None,
) -> int:
    """Make the checks and show them; return the exit code. A test gives the clients."""
    if unknown := sorted({*only, *skip} - {*table.NAMES}):
        advice = f"the checks are {', '.join(table.NAMES)}"
        return fail(f"no check {unknown[0]}", advice, code=EXIT_USAGE)
    names = frozenset(only or table.NAMES) - frozenset(skip)
    made = client or clients(at.region, at.profile)
    found = made("autoscaling").meta.region_name
    reader = Reader(made, clock.sleep)
    account = attempt(read_account, reader, Wanted(at.stack, found, groups), clock.now())
    if isinstance(account, Unread):
        return fail(*refusal(account, "check the name and --region"), code=EXIT_USAGE)
    results = judge.run(account, names)
    if isinstance(account.stack, Unread) and not account.groups:
        why = refusal(account.stack, "name the stack with --stack, or a group")
        return fail(*why, code=EXIT_USAGE)
    _show(console or Console(), results, as_json=at.as_json)
    return code_of(results, strict=strict)


def code_of(results: Iterable[Result], *, strict: bool) -> int:
    """Return the exit code of what was found."""
    bad = STRICT if strict else {Verdict.WRONG}
    return EXIT_FAILED if any(one.finding.verdict in bad for one in results) else EXIT_OK


def _show(console: Console, results: Sequence[Result], *, as_json: bool) -> None:
    if not as_json:
        screen.show(console, results)
        return
    for result in results:
        print(screen.line(result))
