"""
The list of mutants that no test can detect, each with its reason.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tests.mutation.sites import Mutant

LIST = Path(__file__).with_name("equivalent.toml")
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Equivalent:
    """
    One entry: where, the line before and after, and why nobody can tell the two apart.
    """

    path: str
    where: str
    before: str
    after: str
    reason: str

    @property
    def key(self) -> Key:
        return self.path, self.where, self.before, self.after


def read(text: str) -> list[Equivalent]:
    """
    The entries of a list. Raises ValueError if one lacks its reason, TypeError if a field.
    """
    entries = [Equivalent(**entry) for entry in tomllib.loads(text).get("equivalent", [])]
    for entry in entries:
        if not entry.reason.strip():
            raise ValueError(f"an equivalent mutant needs a reason: {entry.key}")
    return entries


def outdated(
    entries: Sequence[Equivalent],
    mutants: Sequence[Mutant],
    judged: Collection[Key],
    survivors: Collection[Key],
) -> list[str]:
    """
    What the list says that is not so, of the files whose mutants these are.

    A sample says nothing about what is not in it: hence `judged`.
    """
    told = []
    paths, exist = {mutant.path for mutant in mutants}, {mutant.key for mutant in mutants}
    for entry in entries:
        name = f"{entry.path}: {entry.where}: {entry.before} -> {entry.after}"
        if entry.path in paths and entry.key not in exist:
            told.append(f"does not exist any more: {name}")
        elif entry.key in judged and entry.key not in survivors:
            told.append(f"is killed: {name}")
    return told
