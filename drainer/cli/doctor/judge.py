"""
Makes the checks of the table, and returns what they say: the stack first, then each group.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread
from drainer.cli.doctor.group_checks import Checked
from drainer.cli.doctor.hook_checks import own_hooks
from drainer.cli.doctor.table import GROUP, HOOK, STACK
from drainer.cli.doctor.verdicts import Finding, Result, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.cli.doctor.facts import Account
    from drainer.cli.doctor.verdicts import Check

# A group without a hook that was not named: only this is said of it.
UNHOOKED = "hook"


def run(account: Account, names: frozenset[str]) -> list[Result]:
    """Return what the named checks find in an account, the stack first."""
    found = chain(_of_stack(account, names), _of_groups(account, names))
    return [*found, *_of_unhooked(account, names)]


def _of_stack(account: Account, names: frozenset[str]) -> Iterator[Result]:
    stack = account.stack
    for check in STACK:
        if check.name not in names:
            continue
        if isinstance(stack, Unread):
            yield Result("stack", check.name, check.looks_at, _unread(stack.why))
        else:
            yield from _results(f"stack {stack.name}", check, check.findings(stack))


def _of_groups(account: Account, names: frozenset[str]) -> Iterator[Result]:
    for group in account.groups:
        checked = Checked(group, account.stack, account.now)
        for check in GROUP:
            if check.name in names:
                yield from _results(group.name, check, check.findings(checked))
        if isinstance(group.hooks, Unread):
            for skipped in HOOK:
                if skipped.name in names:
                    finding = _unread(group.hooks.why)
                    yield Result(group.name, skipped.name, skipped.looks_at, finding)
        for own in own_hooks(group, account.stack):
            for of_hook in HOOK:
                if of_hook.name in names:
                    yield from _results(group.name, of_hook, of_hook.findings(own))


def _of_unhooked(account: Account, names: frozenset[str]) -> Iterator[Result]:
    if UNHOOKED not in names:
        return
    looks_at = "groups with container instances"
    if isinstance(account.unhooked, Unread):
        yield Result("other groups", UNHOOKED, looks_at, _unread(account.unhooked.why))
        return
    for name in account.unhooked:
        sentence = "It has instances in a cluster and no hook: they leave undrained."
        fix = f"drainer doctor {name}"
        yield Result(name, UNHOOKED, looks_at, Finding(Verdict.NOTE, sentence, fix=fix))


def _results(subject: str, check: Check[Any], findings: list[Finding]) -> Iterator[Result]:
    for finding in findings:
        yield Result(subject, check.name, check.looks_at, finding)


def _unread(why: str) -> Finding:
    return Finding(Verdict.NOT_READ, why)
