"""
What a check is, what it finds, and how all of them are run; no check knows another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from drainer.cli.doctor.facts import NotReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Subject = TypeVar("Subject")


class Verdict(StrEnum):
    """What a check says, the worst first."""

    WRONG = "wrong"
    WARNING = "warning"
    NOT_READ = "not read"
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that a check says.

    Attributes:
        verdict: How bad it is.
        sentence: What was found.
        effect: What follows from it at the next drain; empty where it is fine.
        fix: What to do, a command where there is one.
    """

    verdict: Verdict
    sentence: str
    effect: str = ""
    fix: str = ""


def wrong(sentence: str, effect: str, fix: str) -> Finding:
    """Return a finding that breaks drains."""
    return Finding(Verdict.WRONG, sentence, effect, fix)


def warning(sentence: str, effect: str, fix: str) -> Finding:
    """Return a finding that makes drains slower or harder to follow."""
    return Finding(Verdict.WARNING, sentence, effect, fix)


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """
    One row of the table.

    Attributes:
        name: What `--only` and `--skip` take.
        looks_at: What it reads.
        fine: What it says where it finds no fault.
        judge: Yields what it finds.
    """

    name: str
    looks_at: str
    fine: str
    judge: Callable[[Subject], Iterable[Finding]]

    def findings(self, subject: Subject) -> list[Finding]:
        """Return what the check says of a subject: at least one finding."""
        found: list[Finding] = []
        try:
            # One by one, so that what was found before an unread value is kept.
            for one in self.judge(subject):
                found.append(one)  # noqa: PERF402 (see above)
        except NotReadError as error:
            found.append(Finding(Verdict.NOT_READ, str(error)))
        return found or [Finding(Verdict.OK, self.fine)]


@dataclass(frozen=True, slots=True)
class Result:
    """What a check says of a subject: the stack, or a group."""

    subject: str
    check: str
    looks_at: str
    finding: Finding
