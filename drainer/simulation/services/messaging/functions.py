"""A Lambda function and the two ways in: asynchronous invocation and event source mapping."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.production import FailedInvocationError
from drainer.simulation.services.messaging.call_time import CallTime, KilledError, scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.messaging.queues import Queue, QueueMessage

    Handler = Callable[[Any, Any], dict[str, Any] | None]

# "If the function returns an error, Lambda attempts to run it two more times by default, with a
# one-minute wait between the first two attempts, and two minutes between the second and third
# attempts." https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
RETRY_AFTER_SECONDS = (60.0, 120.0)
ERRORS_KEPT_MAX = 1_000


@dataclass(slots=True)
class Context:
    """
    What a handler is told about its invocation.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    function_name: str
    invoked_function_arn: str
    aws_request_id: str
    memory_limit_in_mb: int
    clock: Callable[[], datetime]
    ends_at: datetime
    call_time: CallTime | None = None

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
        # Asked of more often than any other: four times for each call.
        seconds = (self.ends_at - self.clock()).total_seconds()
        if self.call_time is not None:
            seconds -= self.call_time.spent
        return int(seconds * 1000) if seconds > 0 else 0


class Function:
    """
    A function; its code runs at one instant, and its invocation ends later.

    An invocation takes `duration_seconds` and what its calls took.

    Attributes:
        call_time: what its calls take; nothing by default.
        latest_seconds: what the latest invocation took.
        again: each is asked after an asynchronous invocation that succeeded, and says after how
            many seconds the event comes once more; None for not.
        handler: the code; a test may put another in its place.
        invocations: how often it has been invoked.
        errors: what it raised, the latest last.
        batches: how many records each invocation had.
        faults: called before each invocation with the event; one that raises fails it.
    """

    def __init__(
        self,
        account: Account,
        name: str,
        handler: Handler,
        *,
        timeout_seconds: float = 60.0,
        duration_seconds: float = 0.0,
        memory_mb: int = 512,
        dead_letters: Queue | None = None,
        call_time: CallTime | None = None,
    ) -> None:
        self._account = account
        self.name = name
        self.arn = account.arn("lambda", f"function:{name}")
        self.handler = handler
        self.timeout_seconds = timeout_seconds
        self.duration_seconds = duration_seconds
        self.call_time = call_time or CallTime(scripted({}), lambda: False)
        account.spent = lambda: self.call_time.spent
        self.latest_seconds = duration_seconds
        self.again: list[Callable[[], float | None]] = []
        self._memory_mb = memory_mb
        self._dead_letters = dead_letters
        self.invocations = 0
        self.errors: deque[Exception] = deque(maxlen=ERRORS_KEPT_MAX)
        self.batches: list[int] = []
        self.faults: list[Callable[[dict[str, Any]], None]] = []

    def invoke(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Run the code once; whatever it raises is the invocation's error."""
        self.invocations += 1
        self.batches.append(len(event.get("Records", [None])))
        account = self._account
        context = Context(
            self.name,
            self.arn,
            account.uuid(),
            self._memory_mb,
            account.clock,
            account.now + timedelta(seconds=self.timeout_seconds),
            self.call_time,
        )
        try:
            with self.call_time.invocation(self.timeout_seconds):
                return self._run(event, context)
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            account.record("invoked", function=self.name, records=self.batches[-1])

    def _run(self, event: dict[str, Any], context: Context) -> dict[str, Any] | None:
        try:
            for fault in self.faults:
                fault(event)
            return self.handler(event, context)
        except KilledError:
            raise FailedInvocationError from None
        finally:
            seconds = self.duration_seconds + self.call_time.spent
            self.latest_seconds = min(seconds, self.timeout_seconds)

    def invoke_asynchronously(self, event: dict[str, Any], attempt: int = 0) -> None:
        """
        Run the code, again after an error, and bury the event after the last one.

        "Even if your function doesn't return an error, it's possible for it to receive the same
        event from Lambda multiple times because the queue itself is eventually consistent."
        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        """
        try:
            self.invoke(event)
        except Exception:  # noqa: BLE001 - Lambda retries whatever the error is
            if attempt < len(RETRY_AFTER_SECONDS):
                self._account.after(
                    self.latest_seconds + RETRY_AFTER_SECONDS[attempt],
                    lambda: self.invoke_asynchronously(event, attempt + 1),
                )
                return
            self._account.record("dead_letter", function=self.name)
            if self._dead_letters is not None:
                self._dead_letters.send(repr(event))
        else:
            for again in self.again:
                seconds = again()
                if seconds is not None:
                    self._account.after(seconds, lambda: self.invoke_asynchronously(event))


@dataclass(slots=True, eq=False)
class EventSourceMapping:
    """
    Lambda's pollers of one queue.

    Attributes:
        batch_size: the most messages of an invocation.
        window_seconds: how long a batch that is not full waits for more.
        concurrency_max: the most invocations at a time.
        takes: says how many of the messages that are there one poll receives.
    """

    account: Account
    queue: Queue
    function: Function
    batch_size: int = 10
    window_seconds: float = 0.0
    concurrency_max: int = 2
    takes: Callable[[int], int] = lambda available: available
    running: int = 0
    _woken: bool = False
    _window_ends_at: datetime | None = field(default=None)

    def __post_init__(self) -> None:
        """
        Refuse what Lambda refuses, then listen to the queue.

        "When you set BatchSize to a value greater than 10, you must set
        MaximumBatchingWindowInSeconds to at least 1."
        https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
        """
        if self.batch_size > 10 and self.window_seconds < 1:
            message = "a batch of more than 10 needs a window of at least one second"
            raise ValueError(message)
        if self.queue.visibility_timeout_seconds < self.function.timeout_seconds:
            message = "the visibility timeout is shorter than the function's timeout"
            raise ValueError(message)
        self.queue.on_available.append(self._wake)

    def _wake(self) -> None:
        # Once for all the messages of an instant, so that they may share a batch.
        if not self._woken:
            self._woken = True
            self.account.after(0, self._poll)

    def _poll(self) -> None:
        self._woken = False
        while self.queue.available and self.running < self.concurrency_max:
            if not self._window_is_over():
                return
            self._window_ends_at = None
            self._take(self.takes(min(self.queue.available, self.batch_size)))

    @property
    def has_room(self) -> bool:
        """Whether there is something to receive, and an invocation may begin."""
        return self.queue.available > 0 and self.running < self.concurrency_max

    def poll_beside(self) -> None:
        """Let another poller invoke the function while an invocation is under way."""
        if self.has_room:
            self._take(self.batch_size)

    def _take(self, messages_max: int) -> None:
        messages = self.queue.receive(messages_max)
        if messages:
            self._invoke(messages)

    def _window_is_over(self) -> bool:
        if self.window_seconds == 0 or self.queue.available >= self.batch_size:
            return True
        if self._window_ends_at is None:
            self._window_ends_at = self.account.now + timedelta(seconds=self.window_seconds)
            self.account.at(self._window_ends_at, self._wake)
        return self.account.now >= self._window_ends_at

    def _invoke(self, messages: list[QueueMessage]) -> None:
        self.running += 1
        event = {"Records": [message.record(self.queue) for message in messages]}
        try:
            served = _served(messages, self.function.invoke(event))
        except Exception:  # noqa: BLE001 - whatever the error is, the whole batch has failed
            served = []
        self.account.after(self.function.latest_seconds, lambda: self._end(served))

    def _end(self, served: list[QueueMessage]) -> None:
        self.queue.delete(served)
        self.running -= 1
        self._wake()


def _served(messages: list[QueueMessage], answer: Any) -> list[QueueMessage]:
    """
    Return the messages to delete, by the function's answer.

    Lambda takes an identifier it does not know for the failure of the whole batch.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    failures = (answer or {}).get("batchItemFailures") or []
    failed = {failure.get("itemIdentifier") for failure in failures}
    if failed - {message.message_id for message in messages}:
        return []
    return [message for message in messages if message.message_id not in failed]
