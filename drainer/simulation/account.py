"""
The account: its clock, its timetable, its record of calls and facts, and the way in.

It knows no service: they know it, and `aws.py` puts them together.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from botocore import xform_name

from drainer.simulation.records import ApiError, Call, Fact, Notification, NotReachedError

if TYPE_CHECKING:
    from collections.abc import Callable

# A run of 1,000 drains over two hours takes about a million events; ten times that is a loop.
EVENTS_MAX = 10_000_000
# Enough for the timeline of a large run, small enough to stay within a laptop's memory.
RECORDS_MAX = 500_000
# What facts of a kind are asked for by, again and again: to walk through them was a tenth of a run.
FOUND_BY = {"container_instance": ("ec2_instance_id", "container_instance_arn")}
# A method's name for an operation's; asked of each call.
_method_name = cache(xform_name)


class Performs(Protocol):
    """Whatever performs AWS operations: `Account.call`."""

    def __call__(
        self, service: str, operation: str, parameters: dict[str, Any], /
    ) -> dict[str, Any]:
        """Perform one operation."""


class Account:
    """
    One AWS account in one Region, in virtual time, as its services see it.

    Attributes:
        now: the present instant, aware and in UTC.
        interceptors: asked before each operation; may raise `ApiError` (quotas, faults).
        calls: the operations called, with their outcome; the oldest fall out.
        history: what happened; the oldest fall out.
        on_notification: told of each message that Auto Scaling publishes. One that raises
            `ApiError` rejects it.
        on_event: told of each EventBridge event.
        spent: says how many seconds the invocation that runs has taken, for the clock stands still.
    """

    def __init__(
        self,
        *,
        now: datetime,
        region: str = "us-east-1",
        account_id: str = "123456789012",
        seed: int = 0,
    ) -> None:
        if now.tzinfo is None:
            message = "the account's time must be aware"
            raise ValueError(message)
        self.now = now.astimezone(UTC)
        self.region = region
        self.account_id = account_id
        self.random = Random(seed)
        self.interceptors: list[Callable[[Call], None]] = []
        self.calls: deque[Call] = deque(maxlen=RECORDS_MAX)
        self.history: deque[Fact] = deque()
        # The same facts by their kinds, and by a kind and one value, so that those who ask for some
        # do not walk through all.
        self._facts: defaultdict[tuple[str, ...], deque[Fact]] = defaultdict(deque)
        self.on_notification: list[Callable[[Notification], None]] = []
        self.on_event: list[Callable[[dict[str, Any]], None]] = []
        self.spent: Callable[[], float] = lambda: 0.0
        self._timetable: list[tuple[datetime, int, Callable[[], None]]] = []
        self._entries = 0
        self._events_run = 0
        self._running = False
        # What performs the operations of each service, one method for each.
        self.apis: dict[str, object] = {}

    # Time

    def clock(self) -> datetime:
        """Read the account's time; production code takes this as its clock."""
        return self.now

    def at(self, when: datetime, do: Callable[[], None]) -> None:
        """
        Plan `do` in the timetable; calls planned for one instant run in the order of planning.
        """
        self._entries += 1
        heapq.heappush(self._timetable, (max(when, self.now), self._entries, do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Enter `do` in the timetable, so many seconds from now."""
        # Most is planned for this very instant.
        self.at(self.now + timedelta(seconds=seconds) if seconds else self.now, do)

    def next_event_at(self) -> datetime | None:
        """Say when the next call of the timetable is due."""
        return self._timetable[0][0] if self._timetable else None

    def advance_to(self, when: datetime) -> None:
        """Run what is due until `when`, in order; an instant that has passed changes nothing."""
        if self._running:
            message = "time cannot be advanced from within an event"
            raise AssertionError(message)
        self._running = True
        try:
            while self._timetable and self._timetable[0][0] <= when:
                self._events_run += 1
                if self._events_run > EVENTS_MAX:
                    message = f"more than {EVENTS_MAX} events: the simulated account loops"
                    raise AssertionError(message)
                due_at, _, do = heapq.heappop(self._timetable)
                self.now = max(self.now, due_at)
                do()
            self.now = max(self.now, when)
        finally:
            self._running = False

    def run_for(self, seconds: float) -> None:
        """Advance by so many seconds."""
        self.advance_to(self.now + timedelta(seconds=seconds))

    def run_until(self, done: Callable[[], bool], limit: timedelta) -> None:
        """
        Advance from event to event until `done` answers yes.

        Raises:
            NotReachedError: the limit passed, or nothing is left to happen.
        """
        end_at = self.now + limit
        while not done():
            due_at = self.next_event_at()
            if due_at is None or due_at > end_at:
                message = f"still waiting at {self.now.isoformat()}, limit {limit}"
                raise NotReachedError(message)
            self.advance_to(due_at)

    # The way in

    def call(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Perform an AWS operation, by its API name, on AWS-shaped parameters.

        Raises:
            ApiError: the operation was refused.
        """
        record = Call(service, operation, parameters, self.now)
        self.calls.append(record)
        try:
            for intercept in self.interceptors:
                intercept(record)
            answer = self._find(service, operation)(parameters)
        except ApiError as error:
            record.error = error.code
            raise
        if not self._running:
            # Consequences without delay (a scheduler's move, a publication) are part of the call.
            self.advance_to(self.now)
        return answer

    def _find(self, service: str, operation: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        perform = getattr(self.apis.get(service), _method_name(operation), None)
        if perform is None:
            message = f"the simulated account does not know {service}:{operation}"
            raise ApiError("InvalidAction", message)
        return perform  # type: ignore[no-any-return]

    # The record

    def record(self, kind: str, **about: Any) -> None:
        """Add a fact to the history."""
        if len(self.history) == RECORDS_MAX:
            oldest = self.history.popleft()
            for key in _keys(oldest):
                self._facts[key].popleft()
        fact = Fact(self.now, kind, about)
        self.history.append(fact)
        for key in _keys(fact):
            self._facts[key].append(fact)

    def facts(self, kind: str, **about: Any) -> list[Fact]:
        """Return the facts of one kind whose values agree with those given."""
        known_by = next((name for name in FOUND_BY.get(kind, ()) if name in about), None)
        return [
            fact
            for fact in self._facts[(kind, known_by, about[known_by]) if known_by else (kind,)]
            if all(fact.about.get(name) == value for name, value in about.items())
        ]

    def emit(
        self, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]
    ) -> None:
        """Hand an EventBridge event to those who listen."""
        event = {
            "version": "0",
            "id": self.uuid(),
            "detail-type": detail_type,
            "source": source,
            "account": self.account_id,
            "time": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.region,
            "resources": resources,
            "detail": detail,
        }
        for listen in self.on_event:
            listen(event)

    # Names

    def hexadecimal(self, digits: int) -> str:
        """Make a new identifier of so many hexadecimal digits, the same for the same seed."""
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        """Make a new UUID, the same for the same seed."""
        text = f"{self.random.getrandbits(128):032x}"
        # "4" is the version, and one of 8, 9, a and b the variant.
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def arn(self, service: str, resource: str) -> str:
        """Make the ARN of a resource of this account and Region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"


def _keys(fact: Fact) -> list[tuple[str, ...]]:
    """Return what a fact is found by."""
    names = FOUND_BY.get(fact.kind, ())
    return [(fact.kind,), *((fact.kind, name, fact.about[name]) for name in names)]
