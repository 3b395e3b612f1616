"""
Shows what the checks have found: the worst first, each with its effect and its fix.
"""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text

from drainer.cli.doctor.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console

    from drainer.cli.doctor.verdicts import Result

COLUMNS = 80
STYLES = {
    Verdict.WRONG: "red",
    Verdict.WARNING: "yellow",
    Verdict.NOT_READ: "yellow",
    Verdict.NOTE: "dim",
    Verdict.OK: "green",
}
ORDER = list(Verdict)
INDENT = 11


def line(result: Result) -> str:
    """Return a result as one line of JSON."""
    finding = result.finding
    return json.dumps(
        {
            "subject": result.subject,
            "check": result.check,
            "verdict": finding.verdict,
            "sentence": finding.sentence,
            "effect": finding.effect,
            "fix": finding.fix,
            "looks_at": result.looks_at,
        }
    )


def show(console: Console, results: Sequence[Result]) -> None:
    """Show all results, one block for each subject."""
    for text in lines(results):
        # A command that is broken into lines cannot be pasted, so that it may be wider.
        console.print(text, soft_wrap=True, highlight=False)


def lines(results: Sequence[Result]) -> Iterator[Text]:
    """Yield the lines of the screen."""
    subjects = list(dict.fromkeys(result.subject for result in results))
    for count, subject in enumerate(subjects):
        if count:
            yield Text()
        yield from _block(subject, [one for one in results if one.subject == subject])


def _block(subject: str, results: Sequence[Result]) -> Iterator[Text]:
    yield _headline(subject, results)
    for result in sorted(results, key=lambda one: ORDER.index(one.finding.verdict)):
        if result.finding.verdict != Verdict.OK:
            yield Text()
            yield from _finding(result)
    names = {one.check: None for one in results}
    fine = [name for name in names if _is_fine(name, results)]
    if fine:
        yield Text()
        yield from _labelled("ok", ", ".join(fine), STYLES[Verdict.OK])


def _is_fine(name: str, results: Iterable[Result]) -> bool:
    return all(one.finding.verdict == Verdict.OK for one in results if one.check == name)


def _headline(subject: str, results: Sequence[Result]) -> Text:
    verdicts = [one.finding.verdict for one in results]
    checks = len({one.check for one in results})
    shown = (Verdict.WRONG, Verdict.WARNING, Verdict.NOT_READ)
    parts = [f"{verdicts.count(one)} {one}" for one in shown if one in verdicts]
    # "2 wrong" and "2 not read", but "2 warnings".
    parts = [f"{one}s" if one.endswith("ing") and one != "1 warning" else one for one in parts]
    worst = min(verdicts, key=ORDER.index)
    return Text(f"{subject}: {', '.join(parts) or 'no problems'}. {checks} checks.", STYLES[worst])


def _finding(result: Result) -> Iterator[Text]:
    finding = result.finding
    style = STYLES[finding.verdict]
    yield from _labelled(finding.verdict, f"{result.check}: {finding.sentence}", style)
    if finding.effect:
        yield from _labelled("  effect", finding.effect, "dim")
    if finding.fix:
        yield Text.assemble(("  fix".ljust(INDENT), "dim"), (finding.fix, "cyan"))


def _labelled(label: str, sentence: str, style: str) -> Iterator[Text]:
    for count, part in enumerate(wrap(sentence, COLUMNS - INDENT, break_on_hyphens=False) or [""]):
        yield Text.assemble(((label if not count else "").ljust(INDENT), style), part)
