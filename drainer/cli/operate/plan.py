"""
A plan: what a command is about to do, as values. `perform.py` shows, asks and makes the calls.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.cli.account.screen import counted
from drainer.cli.account.session import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from drainer.cli.operate.facts import SeenTask

# Something was not found, and something could not be read.
EXIT_NOT_FOUND, EXIT_UNREAD = 3, 4

HIDDEN = "***"
# A lifecycle action can be answered by its token.
SECRETS = frozenset({"LifecycleActionToken"})
WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that writes, as boto3 takes it."""

    service: str
    operation: str  # as AWS names it, `CompleteLifecycleAction`
    parameters: Mapping[str, Any]

    @property
    def method(self) -> str:
        """The name of boto3's method."""
        return WORD.sub("_", self.operation).lower()

    def shown(self) -> dict[str, Any]:
        """Return the parameters without secrets."""
        return {name: HIDDEN if name in SECRETS else one for name, one in self.parameters.items()}

    def command(self) -> str:
        """Return the same call as a command of the AWS CLI, without secrets."""
        words = [f"aws {self.service} {_hyphens(self.operation)}"]
        for name, value in self.shown().items():
            if isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{_hyphens(name)}")
            else:
                words.append(f"--{_hyphens(name)} {_argument(value)}")
        return " \\\n  ".join(words)


def _hyphens(name: str) -> str:
    return WORD.sub("-", name).lower()


def _argument(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " ".join(shlex.quote(one) for one in value)
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))


@dataclass(frozen=True, slots=True)
class Item:
    """
    What a call changes: an instance or a task.

    Attributes:
        name: For people.
        done: What is said once it is changed.
        arn: By which an answer names it if it was not changed.
        data: For programs.
    """

    name: str
    done: str
    arn: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """
    A call and what it changes.

    Attributes:
        call: The call.
        items: What it changes; empty for a call that only adds to another one.
        failed: What is said if it was not made.
        after: The ARN of the item that must have been changed before; empty for none.
    """

    call: Call
    items: tuple[Item, ...] = ()
    failed: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What is about to be done.

    Attributes:
        about: What is said first.
        steps: The calls, in order.
        question: What is asked before the first call; empty if no task can be cut.
        expected: What has to be typed to go on; empty for yes or no.
        next_step: What is said last.
    """

    about: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    question: str = ""
    expected: str = ""
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command does not act, what to do, and its exit code."""

    sentence: str
    advice: str = ""
    code: int = EXIT_FAILED


def tasks_in(tasks: Iterable[SeenTask]) -> str:
    """Return tasks by their owners: `4 tasks: 3 service web, 1 job etl`."""
    owners = Counter(one.owner for one in tasks)
    names = ", ".join(f"{count} {owner}" for owner, count in owners.most_common())
    return counted(owners.total(), "task") + (f": {names}" if names else "")
