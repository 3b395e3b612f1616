"""
Invocations that run at the same time: what one does is between two calls of another.

The account's clock stands still while a function runs, so that invocations come one after the
other. A rival is run to its end just before a call of an invocation that is under way: it has the
same messages twice, or others of the same drains, and the calls of both interleave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.scenario.installation import SWEEP

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.services.messaging.functions import EventSourceMapping

# How often SQS hands the same message to two pollers at once. No figure is published; "at least
# once", and several pollers, are the rule.
# https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
SHARES = (0.0, 0.0, 0.1, 0.5)
# How often two pollers share what is there, in accounts where that happens at all.
PART_PROBABILITY = 0.5
# How often another poller's invocation comes before the next call, where there is something for it.
BESIDE_PROBABILITY = 0.3
# The same for a sweep, which needs no message.
SWEEP_PROBABILITY = 0.005


@dataclass(eq=False)
class Rivals:
    """
    What runs beside the invocation that is under way.

    Attributes:
        share: how often a message is handed out twice; in accounts with 0 there are no rivals.
    """

    faults: Faults
    random: Random
    share: float = 0.0
    _mappings: tuple[EventSourceMapping, ...] = ()
    _sweep: Callable[[], None] = field(default=lambda: None)
    _running: bool = False

    def install(self, installed: Installation) -> None:
        """Let the installation's messages be handed out twice, and its batches in parts."""
        self.share = self.random.choice(SHARES) if self.faults.going_on else 0.0
        if not self.share:
            return
        self._mappings = (installed.envelopes, installed.notifications)
        self._sweep = partial(installed.function.invoke_asynchronously, dict(SWEEP))
        for mapping in self._mappings:
            mapping.takes = self._part
        for subscription in installed.topic.subscriptions[:2]:
            subscription.channel.faults.append(lambda _: (0.0, 0.0) if self._twice() else (0.0,))

    def _strikes(self, probability: float) -> bool:
        return self.faults.going_on and self.random.random() < probability

    def _twice(self) -> bool:
        twice = self._strikes(self.share)
        if twice:
            self.faults.strike("message handed out twice at once")
        return twice

    def _part(self, available: int) -> int:
        if available < 2 or not self._strikes(PART_PROBABILITY):
            return available
        return self.random.randint(1, available - 1)

    def before_a_call(self) -> None:
        """Run another invocation to its end, now and then."""
        if self._running or not self.share:
            return
        for mapping in self._mappings:
            if mapping.has_room and self._strikes(BESIDE_PROBABILITY):
                self._beside(mapping.poll_beside)
        if self._strikes(SWEEP_PROBABILITY * self.share):
            self._beside(self._sweep)

    def _beside(self, run: Callable[[], None]) -> None:
        self.faults.strike("invocation beside another")
        self._running = True
        calls_left = self.faults.calls_left
        try:
            run()
        finally:
            self._running = False
            self.faults.calls_left = calls_left

    @property
    def running(self) -> bool:
        """Whether the invocation that runs is a rival of another."""
        return self._running
