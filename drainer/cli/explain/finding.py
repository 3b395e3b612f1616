"""
What a rule returns: a cause with its sentence, its evidence, what to do about it and until when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.cli.explain.causes import IMPORTANCE, PACES, Cause, Pace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact, where it comes from, and when it became true; None for the present."""

    text: str
    source: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that would help: a sentence, and the lines of a command that can be pasted."""

    text: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One cause that holds the instance.

    Attributes:
        cause: Which one.
        pace: Whether it ends by itself.
        clauses: What the instance waits for, the longest form first. `{name}` is the name below,
            `{until}` and `{left}` are the time of `until` and the time until then, `{since}` and
            `{ago}` the time of `since` and the time since then.
        brief: The same in at most three words, for a line that names several causes.
        name: Of a service, a job or a hook; empty for the instance.
        evidence: What it was concluded from.
        actions: What would help, the best first.
        until: When it ends by itself, if that is known.
        since: When it began, if that is known.
        how: How `until` was computed, or why there is none.
    """

    cause: Cause
    pace: Pace
    clauses: tuple[str, ...]
    brief: str
    name: str = ""
    evidence: tuple[Evidence, ...] = ()
    actions: tuple[Action, ...] = ()
    until: datetime | None = None
    since: datetime | None = None
    how: str = ""


def by_importance(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, those first that do not end by themselves, then in the list's order."""
    return sorted(
        findings, key=lambda one: (PACES.index(one.pace), IMPORTANCE[one.cause], one.name)
    )
