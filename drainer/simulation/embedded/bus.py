"""
The embedded account's event bus: the simulation's events to the targets of the deployed rules.

PutEvents refuses what pretends to come from AWS, on ministack as on AWS; so an event is handed to
the targets of those rules whose pattern ministack says it matches.
"""

from __future__ import annotations

import json
import queue
import threading
from typing import TYPE_CHECKING, Any, Self

from drainer.simulation.services.messaging.event_pattern import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.embedded.compressed_time import EmbeddedTime

# A demo's account tells of some hundreds of changes; more than this means that they are not taken.
WAITING_MAX = 100_000
STOP_SECONDS_MAX = 5.0


class Bus:
    """
    Takes events at once and delivers them from a thread of its own, as a context manager.

    Listeners of the simulated account run with its lock held, and the function that an event
    invokes calls that account: a delivery from here would wait for itself.

    Attributes:
        failures: what went wrong on the way; there should be nothing.
    """

    def __init__(
        self, client: Callable[[str], Any], rule_names: Sequence[str], time: EmbeddedTime
    ) -> None:
        events = client("events")
        self._events, self._queues = events, client("sqs")
        self._rules = [
            (
                events.describe_rule(Name=name)["EventPattern"],
                [target["Arn"] for target in events.list_targets_by_rule(Rule=name)["Targets"]],
            )
            for name in rule_names
        ]
        self._waiting: queue.Queue[tuple[dict[str, Any], bool] | None] = queue.Queue(WAITING_MAX)
        self._thread = threading.Thread(target=self._deliver_all, daemon=True)
        self._time = time
        self.failures: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join(STOP_SECONDS_MAX)

    def listen(self, event: dict[str, Any]) -> None:
        """Take an event of the simulated account."""
        # What a rule takes is there within a second on AWS, however long it takes here.
        is_taken = any(matches(json.loads(pattern), event) for pattern, _ in self._rules)
        if is_taken:
            self._time.hold()
        self._waiting.put_nowait((event, is_taken))

    def deliver(self, event: dict[str, Any]) -> None:
        """Put an event into the queues that the rules send it to, as its JSON."""
        text = json.dumps(event)
        for pattern, targets in self._rules:
            if self._events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]:
                for arn in targets:
                    url = self._queues.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
                    self._queues.send_message(QueueUrl=url, MessageBody=text)

    def _deliver_all(self) -> None:
        # Ends with the item that __exit__ puts in the queue.
        while (one := self._waiting.get()) is not None:
            event, is_held = one
            try:
                self.deliver(event)
            except Exception as error:  # noqa: BLE001 - kept for the demo, which fails by it
                self.failures.append(error)
            finally:
                if is_held:
                    self._time.release()
