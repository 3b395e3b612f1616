"""A way from one place to another that may lose, delay or double what it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.account import Account

Item = TypeVar("Item")


class Channel(Generic[Item]):
    """
    Carries each item to one receiver.

    Attributes:
        faults: each is asked about each item and returns the delays, in seconds, of the duplicates
            that arrive: `(0,)` is a faithful channel, `()` loses it, `(0, 40)` brings it again.
    """

    def __init__(self, account: Account, deliver: Callable[[Item], None]) -> None:
        self._account = account
        self._deliver = deliver
        self.faults: list[Callable[[Item], Sequence[float]]] = []

    def send(self, item: Item) -> None:
        """Let an item arrive, once and now unless a fault says otherwise."""
        delays = [0.0]
        for fault in self.faults:
            delays = [delay + more for delay in delays for more in fault(item)]
        for delay in delays:
            self._account.after(delay, lambda: self._deliver(item))
