"""
HCL as text: literals, objects, lists, and the alignment that `terraform fmt` asks for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INDENT = "  "
# Longer objects and lists take a line for each of what they hold.
INLINE_COLUMNS_MAX = 76
INLINE_FIELDS_MAX = 2
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ASSIGNMENT = re.compile(r'(?P<lead>\s*(?:"[^"]*"|[\w-]+))\s+= (?P<value>.*)')
OPEN, CLOSED = "([{", ")]}"


def literal(value: str | float | bool) -> str:
    """Return a string, a number or a boolean as HCL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{escaped(value)}"'
    return str(value)


def escaped(text: str) -> str:
    """Return a text as it stands between the quotes of a string."""
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("${", "$${")):
        text = text.replace(plain, written)
    return text


def key(name: str) -> str:
    """Return the key of an object: quoted, unless it is an identifier."""
    return name if IDENTIFIER.fullmatch(name) else literal(name)


def indented(text: str) -> str:
    """Return the lines one level further in."""
    return "\n".join(f"{INDENT}{line}" if line else "" for line in text.splitlines())


def assignment(name: str, value: str, comments: Iterable[str] = ()) -> str:
    """Return `name = value` below its comments."""
    return "\n".join([*comments, f"{name} = {value}"])


def block(head: str, body: Sequence[str]) -> str:
    """Return a block with a body of assignments and blocks."""
    return "\n".join([f"{head} {{", *map(indented, body), "}"])


def mapping(fields: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """Return an object of keys, values and the comments above them."""
    written = [f"{key(name)} = {value}" for name, value, _ in fields]
    inline = "{ " + ", ".join(written) + " }"
    if len(fields) <= INLINE_FIELDS_MAX and fits(inline, [above for *_, above in fields]):
        return inline
    lines = (assignment(key(name), value, above) for name, value, above in fields)
    return "\n".join(["{", *map(indented, lines), "}"])


def sequence(items: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a list of values and the comments above them."""
    inline = "[" + ", ".join(value for value, _ in items) + "]"
    if fits(inline, [above for _, above in items]):
        return inline
    lines = ("\n".join([*above, f"{value},"]) for value, above in items)
    return "\n".join(["[", *map(indented, lines), "]"])


def fits(inline: str, comments: Sequence[Sequence[str]]) -> bool:
    """Tell whether what holds no comment may stand on one line."""
    return "\n" not in inline and len(inline) <= INLINE_COLUMNS_MAX and not any(comments)


def aligned(text: str) -> str:
    """
    Return the text with the equals signs of neighbouring lines below each other.

    Neighbours are lines that each hold a whole assignment. A comment, a blank line, or a value that
    goes on in the next line ends their row, as in `terraform fmt`.
    """
    lines = text.splitlines()
    row: list[tuple[int, re.Match[str]]] = []
    for number, line in enumerate([*lines, ""]):
        found = ASSIGNMENT.fullmatch(line)
        if found and is_whole(found["value"]):
            row.append((number, found))
            continue
        width = max((len(one["lead"]) for _, one in row), default=0)
        for place, one in row:
            lines[place] = f"{one['lead']:<{width}} = {one['value']}"
        row = []
    return "\n".join(lines) + "\n"


def is_whole(value: str) -> bool:
    """Tell whether a value closes all brackets that it opens, those in strings left out."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"', "", value)
    return sum(bare.count(one) for one in OPEN) == sum(bare.count(one) for one in CLOSED)
