"""
Read settings by a table of their kinds; a wrong value is a problem, and its default stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

# How much of a wrong value a problem quotes.
QUOTED_CHARACTERS = 40


class Problem(str):
    """
    What is wrong about a setting, as a sentence for an operator.

    Attributes:
        setting: Its name; empty where the whole text is wrong.
        about: What is wrong about it.
    """

    __slots__ = ("about", "setting")

    setting: str
    about: str

    def __new__(cls, setting: str, about: str) -> Self:
        """Make a sentence of both."""
        problem = super().__new__(cls, f"{setting} {about}".strip())
        problem.setting, problem.about = setting, about
        return problem

    @property
    def hides_cluster(self) -> bool:
        """Whether it leaves open which cluster is meant."""
        return self.setting in {"", "cluster"}


@dataclass(frozen=True, slots=True)
class Kind:
    """
    What values a setting may have.

    Attributes:
        parse: Returns what a value means; raises ValueError with the part of it that is wrong.
        must_be: What it may be, in words for an operator.
    """

    parse: Callable[[Any], Any]
    must_be: str


def whole(minimum: int, maximum: int) -> Kind:
    """Return the kind of whole numbers between two bounds, both included."""

    def parse(value: object) -> int:
        text = str(value)  # JSON writes a number, an environment its digits
        if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(text)
        return int(text)

    return Kind(parse, f"a whole number from {minimum} to {maximum}")


def one_of(choices: type[StrEnum]) -> Kind:
    """Return the kind of an enumeration's values."""

    def parse(value: object) -> StrEnum:
        if value not in list(choices):
            raise ValueError(str(value))
        return choices(str(value))

    return Kind(parse, f"one of {', '.join(choices)}")


def matching(pattern: re.Pattern[str], must_be: str) -> Kind:
    """Return the kind of texts that a pattern matches as a whole."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(str(value))
        return value

    return Kind(parse, must_be)


def several(kind: Kind) -> Kind:
    """Return the kind of values with commas between them."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind.parse(part) for one in text.split(",") if (part := one.strip()))

    return Kind(parse, kind.must_be)


def read(
    kinds: Mapping[str, Kind], values: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    """Return those of the settings that are given and right; each wrong one becomes a problem."""
    found = {}
    for name, kind in kinds.items():
        if name in values:
            try:
                found[name] = kind.parse(values[name])
            except ValueError as error:
                wrong = str(error)[:QUOTED_CHARACTERS]
                problems.append(Problem(name, f"is {wrong!r}: it must be {kind.must_be}"))
    return found
