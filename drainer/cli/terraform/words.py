"""
Names and sentences of a template as they read in a module.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What a template says of itself and of the other templates.
PHRASES = {
    "drainer.yaml": "module drainer",
    "attach.yaml": "module attach",
    "spot.yaml": "module spot",
    "the drainer's stack": "module drainer",
    "after this stack exists": "after this module is applied",
    "is deployed": "is used",
    "CloudFormation would reject the stack because of the property": (
        "Lambda would reject the setting"
    ),
    "two stacks in one account": "two drainers in one account",
    "stack shows ALARM": "module shows ALARM",
    "stack, the role of every attached hook": "module, the role of every attached hook",
}
# `make log` and `make redrive` find their queues and logs by a stack, which a module does not have.
LOG_GROUP, DEAD_LETTERS = "${LogGroup}", "${DeadLetterQueue}"
COMMANDS = {
    r"`make log STACK=\$\{AWS::StackName\} FIND=([^`]*)`": (
        rf"`aws logs filter-log-events --log-group-name {LOG_GROUP} --filter-pattern \1`"
    ),
    r"`make redrive STACK=\$\{AWS::StackName\}`": (
        f"`aws sqs receive-message --queue-url {DEAD_LETTERS} --max-number-of-messages 10`"
    ),
}
# A module's output is given to another module by the user.
IMPORTED = re.compile(r", imported by \w+\.yaml")
HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
WORD = re.compile(r"\b[A-Z][A-Za-z0-9]*\b")


def snake(name: str) -> str:
    """Return a name in camel case as Terraform writes names."""
    return HUMPS.sub("_", name).lower()


def spoken(text: str, names: Iterable[str]) -> str:
    """Return a sentence with the template's names and phrases as the module has them."""
    text = IMPORTED.sub("", text)
    for phrase, instead in PHRASES.items():
        text = text.replace(phrase, instead)
    # A name of one word ("Topic", "Cluster") may be a word of the sentence, and stays.
    known = {name for name in names if "_" in snake(name)}
    return WORD.sub(lambda found: snake(found[0]) if found[0] in known else found[0], text)


def commanded(text: str) -> str:
    """Return the text of an alarm with commands that need no stack."""
    for command, instead in COMMANDS.items():
        text = re.sub(command, instead, text)
    return text


def comment(lines: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return comment lines of a template as those of a module."""
    return [f"# {spoken(line, names)}".rstrip() for line in lines]
