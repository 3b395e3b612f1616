"""
A Lambda function whose code sleeps while it is paid for, behind a topic.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.bench.ours import BASE_SECONDS, CALL_SECONDS, GIGABYTE
from drainer.cli.bench.outcome import Bill
from drainer.cli.bench.prices import Item
from drainer.cli.bench.retries import Retries
from drainer.cli.bench.threads import EndedError, VirtualThreads
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.services.messaging.functions import RETRY_AFTER_SECONDS, Context, Function

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from drainer.cli.bench.drains import Result, Scene
    from drainer.cli.bench.meter import Meter
    from drainer.simulation.aws import Aws
    from drainer.simulation.services.messaging.functions import Handler

# "By default, Lambda provides your account with a total concurrency limit of 1,000 concurrent
# executions across all functions in an AWS Region."
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
CONCURRENCY_MAX = 1_000
# "For throttling errors (429) and system errors (500-series), Lambda returns the event to the queue
# and attempts to run the function again ... The retry interval increases exponentially from 1
# second after the first attempt to a maximum of 5 minutes."
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
THROTTLED_SECONDS = (1.0, 300.0)
# "If your function is invoked approximately 16 times in the same chain of requests, Lambda
# automatically stops the next invocation in that chain".
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
CHAIN_MAX = 16


# START, END and REPORT as text, about one invocation. Assumed.
PLATFORM_LOG_BYTES = 350
# Lambda's default, which neither of the two changes.
MEMORY_GIGABYTES = 0.125


class TimedOutError(BaseException):
    """Lambda ends the invocation; no code of the function catches this."""


class SleepingFunction(Function):
    """
    A function that a topic invokes, with one environment for each invocation that runs.

    Args:
        account: where.
        name: what it is called.
        make: makes the code, on what makes its clients and on what it sleeps with.
        meter: is told of its invocations.
        random: chooses how long boto3 backs off.
        timeout_seconds: when Lambda ends it.
        loops: whether Lambda lets chains of invocations go on, as RecursiveLoop: Allow says.

    Attributes:
        retries: what boto3 does for the code.
        failed: invocations that raised or timed out.
        dropped: chains that Lambda's detection of loops ended.
    """

    def __init__(
        self,
        account: Aws,
        name: str,
        make: Callable[[Callable[[str], Any], Callable[[float], None]], Handler],
        *,
        meter: Meter,
        random: Random,
        timeout_seconds: float,
        loops: bool = True,
    ) -> None:
        super().__init__(account, name, lambda *_: None, timeout_seconds=timeout_seconds)
        self.retries = Retries(self._perform, self.pause, random)
        self.handler = make(lambda service: QuickClient(service, self.retries), self.pause)
        self._threads = VirtualThreads(account)
        self._meter = meter
        self._running = 0
        # Each invocation has a thread, and its own end.
        self._own = threading.local()
        self._loops = loops
        self._chains: Counter[str] = Counter()
        self.failed = 0
        self.dropped = 0

    def invoke_asynchronously(self, event: dict[str, Any], attempt: int = 0) -> None:
        """Run the code in a thread of its own."""
        self._chains[chain := _chain_of(event)] += 1
        if not self._loops and self._chains[chain] > CHAIN_MAX:
            self.dropped += 1
            return
        self._try(event, attempt, THROTTLED_SECONDS[0])

    def _perform(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.pause(CALL_SECONDS["*"])
        return self._account.call(service, operation, parameters)

    def _try(self, event: dict[str, Any], attempt: int, wait_seconds: float) -> None:
        if self._running < CONCURRENCY_MAX:
            self._threads.start(lambda: self._invoke(event, attempt))
            return
        longer = min(2 * wait_seconds, THROTTLED_SECONDS[1])
        self._account.after(wait_seconds, lambda: self._try(event, attempt, longer))

    def pause(self, seconds: float) -> None:
        """Let time pass for the invocation that runs; Lambda ends one that is over its time."""
        left = (self._own.ends_at - self._account.now).total_seconds()
        self._threads.pause(max(0.0, min(seconds, left)))
        if seconds >= left:
            raise TimedOutError

    def end(self) -> None:
        """End what still runs."""
        self._threads.end()

    def _invoke(self, event: dict[str, Any], attempt: int) -> None:
        account, began_at = self._account, self._account.now
        ends_at = self._own.ends_at = began_at + timedelta(seconds=self.timeout_seconds)
        self._running += 1
        self.invocations += 1
        context = Context(self.name, self.arn, account.uuid(), 128, account.clock, ends_at)
        failed = True
        try:
            self.pause(BASE_SECONDS)
            self.handler(event, context)
            failed = False
        except (Exception, TimedOutError) as error:  # noqa: BLE001 - Lambda retries whatever it is
            self.errors.append(error if isinstance(error, Exception) else TimeoutError())
        except EndedError:
            failed = False
            raise
        finally:
            self._running -= 1
            self._meter.invoked(began_at, (account.now - began_at).total_seconds())
        self._after(event, attempt, failed=failed)

    def _after(self, event: dict[str, Any], attempt: int, *, failed: bool) -> None:
        if not failed:
            return
        self.failed += 1
        if attempt < len(RETRY_AFTER_SECONDS):
            # A retry is the same request, not a further one of its chain.
            self._account.after(
                RETRY_AFTER_SECONDS[attempt],
                lambda: self._try(event, attempt + 1, THROTTLED_SECONDS[0]),
            )


def _chain_of(event: dict[str, Any]) -> str:
    message = json.loads(event["Records"][0]["Sns"]["Message"])
    return str(message.get("LifecycleActionToken", ""))


def drain(
    scene: Scene, function: SleepingFunction, *, heartbeat_seconds: int, default_result: Result
) -> tuple[Bill, int]:
    """Drain a scene with a function behind a topic; say what is billed, and what it met."""
    topic = scene.sns.create_topic_named(function.name)
    topic.subscribe(function).channel.faults.append(lambda _: (scene.late(),))
    scene.hook(topic.arn, heartbeat_seconds=heartbeat_seconds, default_result=default_result)
    scene.leave()
    function.end()
    meter = scene.meter
    gigabyte_seconds = MEMORY_GIGABYTES * sum(seconds for _, seconds in meter.invocations)
    invocations = len(meter.invocations)
    bill = Bill(
        {
            Item.LAMBDA_X86: gigabyte_seconds,
            Item.LAMBDA_REQUESTS: invocations,
            Item.SNS: meter.published,
            Item.LOGS: (meter.log_bytes + invocations * PLATFORM_LOG_BYTES) / GIGABYTE,
        },
        gigabyte_seconds,
    )
    return bill, function.retries.reached
