"""
An explanation as lines of at most 80 columns, and as one JSON object.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from drainer.cli.account.screen import duration
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import MANAGED_HOOK
from drainer.cli.explain.summary import COLUMNS, Clock, first_line, outlook, table, waits_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from drainer.cli.explain.estimate import Deadline, Estimate
    from drainer.cli.explain.facts import Facts
    from drainer.cli.explain.finding import Action, Evidence, Finding
    from drainer.cli.explain.judge import Verdict

RED, YELLOW, GREEN, CYAN, DIM, PLAIN = "red", "yellow", "green", "cyan", "dim", ""
COLOURS = {Pace.STUCK: RED, Pace.WAITS: YELLOW, Pace.MOVES: GREEN}
TIME_COLUMNS, TEXT_COLUMNS = 10, 50
# Of an instance with a hundred tasks the first ones show what the others are like.
EVIDENCE_MAX = 12


class Line(NamedTuple):
    """A line and its colour, which says nothing that the line does not say."""

    text: str
    colour: str = PLAIN


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is shown of one instance."""

    facts: Facts
    verdict: Verdict
    deadline: Deadline | None
    estimate: Estimate
    clock: Clock

    @property
    def first_line(self) -> str:
        """The sentence that names the cause."""
        return first_line(self.facts.instance.ec2_instance_id, self.verdict, self.clock)

    @property
    def outlook(self) -> str:
        """What happens without an action."""
        return outlook(self.facts, self.verdict, self.deadline, self.estimate, self.clock)


def lines(one: Explanation, cause: Cause | None = None) -> list[Line]:
    """
    Return an explanation's lines.

    Args:
        one: The explanation.
        cause: Which of several causes to show in detail; None for the only one, or a table.
    """
    main = one.verdict.main
    shown = [Line(one.first_line, COLOURS[main.pace])]
    shown += [Line(text, _colour_of_outlook(one)) for text in _wrapped(one.outlook)]
    shown.append(Line(""))
    chosen = [found for found in one.verdict.findings if cause in {None, found.cause}]
    if len(one.verdict.findings) > 1 and cause is None:
        shown += _table(one)
        shown += _heading(one, None)
        shown += _unread(one)
        shown += _evidence(one, [found.evidence[0] for found in chosen if found.evidence])
    else:
        shown += _heading(one, chosen[0] if chosen else main)
        shown += _unread(one)
        for finding in chosen:
            shown += _evidence(one, finding.evidence)
            shown += _actions(finding.actions)
    shown += _estimate(one)
    if len(one.verdict.findings) > 1 and cause is None:
        instance = one.facts.instance.ec2_instance_id
        shown += [
            Line(""),
            Line(f"Details: drainer explain {instance} --cause {main.cause}", DIM),
        ]
    return shown


def _colour_of_outlook(one: Explanation) -> str:
    if one.verdict.main.pace == Pace.MOVES:
        return GREEN
    return RED if one.deadline and not one.deadline.keeps else YELLOW


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, COLUMNS, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False
    )


def _table(one: Explanation) -> Iterator[Line]:
    yield Line(f"{'CAUSE':<24}{'WHAT':<40}UNTIL", DIM)
    rows = zip(one.verdict.findings, table(one.verdict.findings, one.clock), strict=True)
    for finding, (word, what, until) in rows:
        yield Line(f"{word:<24}{what:<40}{until}"[:COLUMNS], COLOURS[finding.pace])
    yield Line("")


def _heading(one: Explanation, finding: Finding | None) -> Iterator[Line]:
    if finding is not None:
        yield Line(f"cause     {finding.cause}", CYAN)
    facts = one.facts
    parts = [f"group     {facts.group.name}" if facts.group else "group     none"]
    parts.append(f"cluster {facts.instance.cluster}")
    if one.deadline:
        parts.append(f"hook {one.deadline.hook}")
    if facts.draining_since:
        parts.append(f"draining for {one.clock.ago(facts.draining_since)}")
    for text in _wrapped(", ".join(parts), indent=" " * 10):
        yield Line(text)
    if facts.drain is None and facts.group:
        hooks = {hook.name for hook in facts.group.hooks or ()}
        if MANAGED_HOOK in hooks:
            yield Line("          drained by ECS managed draining")
    for name in one.verdict.background:
        yield Line(f"          then {waits_for(name, one.clock, COLUMNS - 16)}", DIM)


def _unread(one: Explanation) -> Iterator[Line]:
    for missing in one.facts.unread:
        for text in _wrapped(f"? not read: {missing.what}: {missing.why}", indent="  "):
            yield Line(text, YELLOW)


def _evidence(one: Explanation, evidence: Sequence[Evidence]) -> Iterator[Line]:
    yield Line("")
    zone = one.clock.now.astimezone(one.clock.zone).tzname() or "UTC"
    yield Line(f"{f'Evidence (times in {zone})':<{2 + TIME_COLUMNS + TEXT_COLUMNS}}SOURCE", DIM)
    for number, fact in enumerate(evidence):
        if number == EVIDENCE_MAX:
            yield Line(f"  and {len(evidence) - EVIDENCE_MAX} more, see --json", DIM)
            return
        at = _exact(fact.at, one.clock) if fact.at else "now"
        texts = textwrap.wrap(fact.text, TEXT_COLUMNS - 2, break_long_words=True) or [""]
        room = COLUMNS - 2 - TIME_COLUMNS - TEXT_COLUMNS
        yield Line(f"  {at:<{TIME_COLUMNS}}{texts[0]:<{TEXT_COLUMNS}}{fact.source[:room]}".rstrip())
        for text in texts[1:]:
            yield Line(f"  {'':<{TIME_COLUMNS}}{text}")


def _exact(at: datetime, clock: Clock) -> str:
    """Return an instant to the second, if it is of today."""
    there, here = at.astimezone(clock.zone), clock.now.astimezone(clock.zone)
    return there.strftime("%H:%M:%S") if there.date() == here.date() else clock.time(at)[-9:]


def _actions(actions: Sequence[Action]) -> Iterator[Line]:
    if not actions:
        return
    yield Line("")
    yield Line("What to do" + (" (any one of these)" if len(actions) > 1 else ""), DIM)
    for number, action in enumerate(actions, start=1):
        for position, text in enumerate(textwrap.wrap(action.text, COLUMNS - 5)):
            yield Line(f"  {number if position == 0 else ' '}  {text}")
        for command in action.command:
            yield Line(f"     {command}", CYAN)


def _estimate(one: Explanation) -> Iterator[Line]:
    yield Line("")
    at = one.estimate.at
    said = one.estimate.how
    if at:
        said = f"{one.clock.time(at)}, in {one.clock.left(at)}. {said}"
    colour = PLAIN if at else YELLOW
    if one.verdict.main.pace == Pace.MOVES:
        colour = PLAIN
    if at and one.deadline and at > one.deadline.at:
        late = duration((at - one.deadline.at).total_seconds())
        said, colour = f"{said} Misses the deadline by {late}.", YELLOW
    for text in _wrapped(f"Estimate  {said}", indent=" " * 10):
        yield Line(text, colour)


def as_json(one: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values, times in UTC."""
    facts, group = one.facts, one.facts.group
    return {
        "instance": facts.instance.ec2_instance_id,
        "container_instance_arn": facts.instance.arn,
        "cluster": facts.instance.cluster,
        "group": group.name if group else None,
        "lifecycle_state": group.lifecycle_state if group else None,
        "hook": one.deadline.hook if one.deadline else None,
        "stack": facts.stack.name if facts.stack else None,
        "draining_since": utc(facts.draining_since),
        "sentence": one.first_line,
        "outlook": one.outlook,
        "cause": str(one.verdict.main.cause),
        "causes": [_finding(found, one.clock) for found in one.verdict.findings],
        "background": [_finding(found, one.clock) for found in one.verdict.background],
        "tasks_left": None if facts.tasks is None else [task.arn for task in facts.remaining],
        "deadline_at": utc(one.deadline.at) if one.deadline else None,
        "deadline_result": one.deadline.result if one.deadline else None,
        "expected_at": utc(one.estimate.at),
        "estimate": one.estimate.how,
        "reads": facts.reads,
        "unread": [{"what": missing.what, "why": missing.why} for missing in facts.unread],
    }


def _finding(found: Finding, clock: Clock) -> dict[str, Any]:
    return {
        "cause": str(found.cause),
        "name": found.name,
        "pace": str(found.pace),
        "waits_for": waits_for(found, clock, 1_000),
        "since": utc(found.since),
        "until": utc(found.until),
        "how": found.how,
        "evidence": [
            {"at": utc(fact.at), "text": fact.text, "source": fact.source}
            for fact in found.evidence
        ],
        "actions": [
            {"text": action.text, "command": "\n".join(action.command)} for action in found.actions
        ],
    }


def utc(at: datetime | None) -> str | None:
    """Return an instant as programs read it."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
