"""
Read one setting; what is wrong about it is a problem, and its default takes its place.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Choice = TypeVar("Choice", bound=StrEnum)


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


def seconds(
    values: Mapping[str, Any],
    name: str,
    *,
    default: int,
    minimum: int,
    maximum: int,
    problems: list[Problem],
) -> int:
    """Return a whole number of seconds or days; a wrong one is a problem, and replaced."""
    if name not in values:
        return default
    text = str(values[name])
    if re.fullmatch(r"[0-9]{1,9}", text) and minimum <= int(text) <= maximum:
        return int(text)
    about = f"is {text[:40]!r}; it must be a whole number from {minimum} to {maximum}"
    problems.append(Problem(name, about))
    return default


def choice(
    values: Mapping[str, Any], name: str, default: Choice, problems: list[Problem]
) -> Choice:
    """Return one of an enumeration's values; a wrong one is a problem, and replaced."""
    if name not in values:
        return default
    choices = [member.value for member in type(default)]
    if values[name] in choices:
        return type(default)(values[name])
    about = f"is {str(values[name])[:40]!r}; it must be one of {', '.join(choices)}"
    problems.append(Problem(name, about))
    return default
