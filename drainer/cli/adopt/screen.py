"""
What `drainer adopt` shows: a person's screen, or one JSON object for each hook.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread
from drainer.cli.account.screen import counted
from drainer.cli.adopt.facts import Route
from drainer.cli.adopt.plan import Kind, aws

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from drainer.cli.adopt.facts import AccountFacts, HookFacts
    from drainer.cli.adopt.plan import Change, Finding

COLUMNS = 80
LABEL = 12
WAITING_SHOWN_MAX = 3
MARKS = {Kind.OLD: "!", Kind.STILL_TOLD: "!", Kind.UNKNOWN: "?", Kind.ADOPTED: " "}
STYLES = {"!": "red", "?": "yellow", " ": "green"}
PUT_HOOK = "autoscaling put-lifecycle-hook"
UNREAD = "? not read: "


def show(facts: AccountFacts, found: Sequence[Finding], console: Console) -> None:
    """Print what was found, and the change for each hook of an old drainer."""
    lines = [(summary(facts, found), "bold"), *_problems(facts)]
    for one in found:
        if one.kind == Kind.ADOPTED:
            continue
        lines += [("", ""), *_finding(one)]
    if any(one.change and not one.change.blocked for one in found):
        lines += [("", ""), ("Apply one: drainer adopt --apply GROUP/HOOK --dry-run", "dim")]
    for text, style in lines:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def as_objects(facts: AccountFacts, found: Sequence[Finding]) -> Iterator[str]:
    """Yield one JSON object for each hook, and one for what was not read."""
    for one in found:
        yield json.dumps(_object(one))
    problems = [*facts.problems]
    if isinstance(facts.drainer, Unread):
        problems.append(facts.drainer.why)
    if problems:
        yield json.dumps({"unread": problems})


def summary(facts: AccountFacts, found: Sequence[Finding]) -> str:
    """Return the first line, which answers the question."""
    count = {kind: sum(one.kind == kind for one in found) for kind in Kind}
    old = count[Kind.OLD] + count[Kind.STILL_TOLD]
    hooks = counted(old, "hook") if old else "No hooks"
    parts = [
        f"{hooks} of old drainers in {counted(facts.groups, 'group')}",
        f"{count[Kind.ADOPTED]} of the drainer",
        f"{count[Kind.UNKNOWN]} unknown",
        f"{facts.ecs_own} of ECS",
    ]
    return ", ".join(parts) + "."


def command_of(change: Change) -> str:
    """Return the command that makes a change."""
    return aws(PUT_HOOK, change.put)


def way_back(change: Change) -> str:
    """Return the command that restores a hook."""
    return aws(PUT_HOOK, change.back)


def wrapped(label: str, text: str) -> list[str]:
    """Return a labelled text in lines that fit the screen; a long word stays whole."""
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=f"  {label:<{LABEL - 2}}",
        subsequent_indent=" " * LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _problems(facts: AccountFacts) -> list[tuple[str, str]]:
    found = [(f"{UNREAD}{one}", "yellow") for one in facts.problems]
    if isinstance(facts.drainer, Unread):
        found.append((f"? {facts.drainer.why}.", "yellow"))
    return found


def _finding(found: Finding) -> list[tuple[str, str]]:
    hook, mark = found.hook, MARKS[found.kind]
    lines = [(f"{mark} {hook.key}", STYLES[mark])]
    for label, text in _facts(found):
        lines += [(line, "") for line in wrapped(label, text)]
    if found.change is not None:
        lines += _change(found.change)
    lines += [(f"  {UNREAD}{one}", "yellow") for one in hook.problems]
    return lines


def _facts(found: Finding) -> Iterator[tuple[str, str]]:
    hook, old = found.hook, found.old
    if old is None:
        yield "unknown", f"{_target(hook)}. {_heard(hook)}"
    else:
        adopted = "It notifies the drainer, and an old one is told too: "
        said = adopted if found.kind == Kind.STILL_TOLD else ""
        yield "old", f"{said}{old.name}, function {old.function.name}"
        yield "wrong", old.wrong
        yield "told by", old.why
        others = {
            one.function.name
            for one in hook.listeners
            if one.route != Route.RULE and not isinstance(one.function, Unread)
        } - {old.function.name}
        if others:
            yield "too", f"Its target also tells {', '.join(sorted(others))}: no more afterwards"
    if hook.waiting:
        more = len(hook.waiting) - WAITING_SHOWN_MAX
        named = ", ".join(hook.waiting[:WAITING_SHOWN_MAX])
        yield (
            "waiting",
            f"{len(hook.waiting)} now: {named}{f' and {more} more' if more > 0 else ''}",
        )
    if hook.stack:
        yield "stack", hook.stack


def _target(hook: HookFacts) -> str:
    return f"It notifies {hook.target}" if hook.target else "It has no target"


def _heard(hook: HookFacts) -> str:
    names = [one.function.name for one in hook.listeners if not isinstance(one.function, Unread)]
    if names:
        return f"Functions that are told: {', '.join(sorted(set(names)))}"
    return "No function that is told was found"


def _change(change: Change) -> list[tuple[str, str]]:
    lines = list[tuple[str, str]]()
    for number, step in enumerate(change.steps, start=1):
        lines += [(line, "") for line in wrapped(f"step {number}", step.what)]
        lines += [(line, "cyan") for line in _indented(step.command)]
    if change.put:
        lines += [(line, "") for line in wrapped("back", "This restores the hook as it is now:")]
        lines += [(line, "cyan") for line in _indented(way_back(change))]
    if change.blocked:
        lines += [(line, "yellow") for line in wrapped("not yet", f"{change.blocked}.")]
    return lines


def _indented(command: str) -> list[str]:
    return [f"{' ' * LABEL}{line}" for line in command.splitlines()]


def _object(found: Finding) -> dict[str, Any]:
    hook, old, change = found.hook, found.old, found.change
    return {
        "group": hook.group,
        "hook": hook.name,
        "kind": found.kind.value,
        "target": hook.target,
        "waiting": list(hook.waiting),
        "stack": hook.stack,
        "unread": list(hook.problems),
        **(
            {
                "old": old.name.value,
                "function": old.function.arn,
                "wrong": old.wrong,
                "told_by": old.why,
            }
            if old
            else {}
        ),
        **(
            {
                "put": dict(change.put),
                "back": dict(change.back),
                "steps": [{"what": one.what, "command": one.command} for one in change.steps],
                "blocked": change.blocked,
            }
            if change
            else {}
        ),
    }
