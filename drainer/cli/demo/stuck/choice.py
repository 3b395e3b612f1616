"""
Which causes are planted, and by what the instance is drained: what `--scenario stuck-CAUSE` names.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from drainer.cli.demo.stuck.planted import draining
from drainer.cli.demo.stuck.plants import EVERY, OURS, TOGETHER
from drainer.cli.explain.causes import Cause

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.demo.stuck.planted import Account

PREFIX, AND, THREE = "stuck-", "+", "three"
RANDOM_CAUSES = 3


@dataclass(frozen=True)
class Choice:
    """
    What is planted.

    Attributes:
        causes: what holds the instance.
        managed: whether ECS managed draining drains it, and the drainer's stack is absent.
    """

    causes: tuple[Cause, ...]
    managed: bool = False

    @property
    def drainer(self) -> str:
        """The drainer of the instance, in words."""
        if self.managed:
            return "ECS managed instance draining, and the drainer's stack is absent"
        return "the drainer, with its stack"

    def account(self, now: datetime, began: datetime | None = None) -> Account:
        """Return the account as of an instant; `began` is when the drain began."""
        account = draining(ours=not self.managed, now=now, began=began)
        for cause in self.causes:
            EVERY[cause](account)
        return account


def chosen(name: str, *, managed: bool, seed: int) -> Choice:
    """
    Return what a scenario's name plants.

    Args:
        name: `stuck-` with one cause, with several and `+` between them, or with `three`.
        managed: whether ECS managed draining drains.
        seed: decides which three.

    Raises:
        ValueError: it names none, or what cannot be together; the message says what to do.
    """
    words = name.removeprefix(PREFIX).split(AND)
    if words == [THREE]:
        causes = Random(seed).sample(sorted(TOGETHER), RANDOM_CAUSES)  # noqa: S311 (no secret)
        return Choice(tuple(causes), managed)
    if unknown := [one for one in words if one not in EVERY]:
        known = ", ".join(sorted(EVERY))
        raise ValueError(f"{unknown[0]} is no cause that can be planted: {THREE}, {known}")
    found = tuple(dict.fromkeys(Cause(one) for one in words))
    if len(found) > 1 and (alone := [one for one in found if one not in TOGETHER]):
        raise ValueError(f"{alone[0]} is planted alone: leave out the others")
    if managed and found[0] in OURS:
        raise ValueError(f"{found[0]} is a cause of the drainer's own: leave out --managed")
    return Choice(found, managed)
