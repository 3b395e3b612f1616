"""
A verdict in lines of 80 columns: the two first lines, and the table of causes. A cause's own words
are in its rule (rules_*.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.account.screen import counted, short, time_of
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import MANAGED_HOOK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, tzinfo

    from drainer.cli.explain.estimate import Deadline, Estimate
    from drainer.cli.explain.facts import Facts
    from drainer.cli.explain.finding import Finding
    from drainer.cli.explain.judge import Verdict

COLUMNS = 80
NAME_CHARACTERS_MIN = 3
# Below this several names cannot be told apart, and fewer names are better.
SHORT_NAME_CHARACTERS = 8
# A name is cut with two dots, which no name of ECS has.
CUT = ".."
# Without it an instance seems to be in no group.
GROUP_READ = "DescribeAutoScalingInstances"
# How many causes the first line names. All of them are in the list below it.
NAMED_MAX = 3


class Clock(NamedTuple):
    """The present instant, and the time zone in which times are shown; None for the machine's."""

    now: datetime
    zone: tzinfo | None = None

    def time(self, at: datetime) -> str:
        """Return an instant as a person says it."""
        return time_of(at, self.now, self.zone)

    def left(self, at: datetime) -> str:
        """Return how long until an instant."""
        return short((at - self.now).total_seconds())

    def ago(self, at: datetime) -> str:
        """Return how long since an instant."""
        return short((self.now - at).total_seconds())


def clause(finding: Finding, form: str, clock: Clock, name: str | None = None) -> str:
    """Return one form of a finding's clause, filled in."""
    until, since = finding.until, finding.since
    return form.format(
        name=finding.name if name is None else name,
        until=clock.time(until) if until else "",
        left=clock.left(until) if until else "",
        since=clock.time(since) if since else "",
        ago=clock.ago(since) if since else "",
    )


def shortened(name: str) -> Iterator[str]:
    """Yield a name, and then shorter and shorter beginnings of it."""
    yield name
    for length in range(len(name) - len(CUT) - 1, NAME_CHARACTERS_MIN - 1, -1):
        yield name[:length] + CUT


def waits_for(finding: Finding, clock: Clock, room: int) -> str:
    """Return what a finding says in so many columns: the longest form that fits."""
    # Last the brief form, with the name: a word without it says nothing in a list of services.
    forms = [*finding.clauses, *(["{name}: " + finding.brief] if finding.name else [])]
    for form in forms:
        if len(said := clause(finding, form, clock)) <= room:
            return said
    for form in forms:
        for name in shortened(finding.name):
            if len(said := clause(finding, form, clock, name)) <= room:
                return said
    return finding.brief[:room]


def first_line(instance: str, verdict: Verdict, clock: Clock) -> str:
    """Return one whole sentence that names the cause, or up to three of them."""
    if verdict.main.cause == Cause.FINISHED:
        return f"{instance} has finished draining: 0 tasks are left on it."
    if len(verdict.findings) == 1:
        begin = f"{instance} waits for "
        return f"{begin}{waits_for(verdict.main, clock, COLUMNS - len(begin) - 1)}."
    begin = f"{instance} waits for {len(verdict.findings)}: "
    return f"{begin}{several(verdict.findings, COLUMNS - len(begin) - 1)}."


def several(findings: Sequence[Finding], room: int) -> str:
    """Return the first causes in so many columns: with as many names as fit, the first ones."""
    shown, more = findings[:NAMED_MAX], len(findings) - NAMED_MAX
    end = f", {more} more" if more > 0 else ""
    longest = max(SHORT_NAME_CHARACTERS, *(len(one.name) for one in shown))
    for named in range(len(shown), -1, -1):
        for length in range(longest, SHORT_NAME_CHARACTERS - 1, -1):
            parts = [_named(one, length) for one in shown[:named]]
            said = ", ".join([*parts, *(one.brief for one in shown[named:])]) + end
            if len(said) <= room:
                return said
    return (", ".join(one.brief for one in shown) + end)[:room]


def _named(finding: Finding, length: int) -> str:
    if not finding.name:
        return finding.brief
    is_short = len(finding.name) <= length
    name = finding.name if is_short else finding.name[: length - len(CUT)] + CUT
    return f"{name} ({finding.brief})"


def outlook(
    facts: Facts, verdict: Verdict, deadline: Deadline | None, estimate: Estimate, clock: Clock
) -> str:
    """Return the second line: what happens without an action."""
    if verdict.main.cause == Cause.FINISHED:
        if any(one.what == GROUP_READ for one in facts.unread):
            return "Whether a lifecycle hook holds it was not read."
        return "No lifecycle hook holds it. It stays DRAINING until it is terminated."
    in_time = deadline is None or estimate.at is None or estimate.at <= deadline.at
    if verdict.main.pace == Pace.MOVES and in_time:
        if estimate.at is None:
            return "Nothing to do: the drain goes on."
        at = f"{clock.time(estimate.at)}, in {clock.left(estimate.at)}"
        return f"Nothing to do. Expected release at {at}."
    if deadline is None:
        return "No deadline is known: it stays DRAINING until someone acts."
    left = len(facts.remaining)
    tasks = counted(left, "task")
    cut = f"{tasks} {'is' if left == 1 else 'are'} {'cut' if left else 'left'}."
    begin = f"At {clock.time(deadline.at)}, in {clock.left(deadline.at)}, "
    if deadline.hook == MANAGED_HOOK:
        end = f"ECS managed draining ends and {cut}"
    elif deadline.keeps:
        end = f"the deadline passes: {deadline.result} keeps it with {tasks}."
    elif deadline.is_timeout:
        end = f"the hook times out: {deadline.result}, and {cut}"
    else:
        end = f"the deadline passes: {deadline.result}, and {cut}"
    return begin + end


def table(findings: Sequence[Finding], clock: Clock) -> list[tuple[str, str, str]]:
    """Return for each finding its word, what it says and until when."""
    lines = []
    for one in findings:
        until = "it ends"
        if one.pace == Pace.STUCK:
            until = "somebody acts"
        elif one.until:
            until = f"{clock.time(one.until)} (in {clock.left(one.until)})"
        lines.append((str(one.cause), waits_for(one, clock, 38), until))
    return lines
