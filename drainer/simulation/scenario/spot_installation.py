"""
What infra/spot.yaml puts beside the drainer: rules, a queue, and the way to the function.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.simulation.scenario.shipped import spot_patterns
from drainer.simulation.services.messaging.channel import Channel
from drainer.simulation.services.messaging.event_pattern import matches
from drainer.simulation.services.messaging.functions import EventSourceMapping
from drainer.simulation.services.messaging.queues import Queue

if TYPE_CHECKING:
    from drainer.simulation.aws import Aws
    from drainer.simulation.services.messaging.functions import Function

RULES = ("Interruptions", "RebalanceRecommendations", "FargateSpot")


@dataclass(frozen=True, slots=True)
class SpotSettings:
    """The template's numbers."""

    rules: tuple[str, ...] = RULES
    batch_size: int = 100
    window_seconds: float = 1.0
    visibility_seconds: float = 32.0
    receive_count_max: int = 3
    concurrency_max: int = 50


@dataclass(frozen=True, slots=True)
class SpotInstallation:
    """What has been installed; faults go into the rules, by their logical names."""

    rules: dict[str, Channel[dict[str, Any]]]
    queue: Queue
    dead_letters: Queue
    mapping: EventSourceMapping


def install_spot(
    account: Aws,
    function: Function,
    settings: SpotSettings,
    maps: type[EventSourceMapping] = EventSourceMapping,
) -> SpotInstallation:
    """Wire the rules of infra/spot.yaml, by its own patterns, so far as they are wanted."""
    dead_letters = Queue(account, "drainer-spot-dead-letters")
    queue = Queue(
        account,
        "drainer-spot",
        visibility_timeout_seconds=settings.visibility_seconds,
        receive_count_max=settings.receive_count_max,
        dead_letters=dead_letters,
    )
    rules: dict[str, Channel[dict[str, Any]]] = {}
    for name, pattern in spot_patterns().items():
        if name in settings.rules:
            # EventBridge puts an event's JSON into a queue as it is.
            rules[name] = Channel(account, lambda event: _put(queue, event))
            account.on_event.append(
                lambda event, pattern=pattern, rule=rules[name]: (  # type: ignore[misc]
                    rule.send(event) if matches(pattern, event) else None
                )
            )
    mapping = maps(
        account,
        queue,
        function,
        settings.batch_size,
        settings.window_seconds,
        settings.concurrency_max,
    )
    return SpotInstallation(rules, queue, dead_letters, mapping)


def _put(queue: Queue, event: dict[str, Any]) -> None:
    queue.send(json.dumps(event))
