"""
Put back what lies in the stack's dead-letter queue, one message at a time.

A message is deleted only after it has been sent on, so that none is lost; one that is sent twice
does no harm.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from drainer import clock
from drainer.cli.account import stack
from drainer.cli.account.reader import Reader, Unread, attempt, failed, is_gone
from drainer.cli.account.session import (
    AWS_ERRORS,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    clients,
    code_of,
    fail,
)
from drainer.cli.dead_letters import DEAD_LETTERS, FUNCTION, OUTPUTS, Fate, Result, Route, route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from drainer.cli.account.options import Options

# What is not done by the end of a run.
STAYING = frozenset({Fate.KEPT, Fate.FAILED, Fate.SENT})
# AWS refuses this message's receipt handle, and takes those of others.
OF_A_HANDLE = frozenset(
    {
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)

# Long enough for thousands of messages before the first that stays comes again.
VISIBILITY_SECONDS = 900
# What a dry run has shown comes again after this time, and would be counted twice.
AGAIN = (
    f"Stopped: the first messages come again after {VISIBILITY_SECONDS // 60} minutes. There may "
    "be more: a run without --dry-run sends them all."
)
# Asking with a wait reaches every server of a queue, so that nothing is found only if it is empty.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
WAIT_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Redrive:
    """
    One run over the dead-letter queue.

    Attributes:
        sqs: boto3's client, or one like it.
        functions: The same for Lambda.
        outputs: The stack's.
        now: The present instant.
        dry_run: Whether to say only what would be done.
        wait_seconds: How long to ask a queue that seems empty.
    """

    sqs: Any
    functions: Any
    outputs: Mapping[str, str]
    now: datetime
    dry_run: bool = False
    wait_seconds: int = WAIT_SECONDS

    def run(self, messages_max: int, tell: Callable[[Result], None]) -> list[Result]:
        """Put back at most so many messages, telling of each; return them all."""
        results: list[Result] = []
        for result in self._empty(messages_max):
            results.append(result)
            tell(result)
        return results

    def _empty(self, messages_max: int) -> Iterator[Result]:
        staying: list[str] = []
        seen = set[str]()
        try:
            for _ in range(messages_max):
                result, receipt_handle = self._next()
                if result is None:
                    break
                if self.dry_run and result.message_id in seen:
                    staying.append(receipt_handle)
                    yield Result("-", Fate.FAILED, "", AGAIN)
                    break
                seen.add(result.message_id)
                if self.dry_run or result.fate in STAYING:
                    staying.append(receipt_handle)
                yield result
                # One target's refusal does not keep the messages of the others. Without a way to
                # read or to delete, each further message would fail or be sent twice.
                if not receipt_handle or result.fate == Fate.SENT:
                    break
        finally:
            self._show_again([handle for handle in staying if handle])

    def _next(self) -> tuple[Result | None, str]:
        try:
            message = self._receive()
        except AWS_ERRORS as error:
            return Result("-", Fate.FAILED, "", f"The queue was not read: {error}"), ""
        if message is None:
            return None, ""
        return self._serve(message), message["ReceiptHandle"]

    def _receive(self) -> dict[str, Any] | None:
        answer = self.sqs.receive_message(
            QueueUrl=self.outputs[DEAD_LETTERS],
            MaxNumberOfMessages=1,
            VisibilityTimeout=VISIBILITY_SECONDS,
            WaitTimeSeconds=self.wait_seconds,
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages[0] if messages else None

    def _serve(self, message: Mapping[str, Any]) -> Result:
        message_id, found = message["MessageId"], route(message["Body"], self.now)
        if self.dry_run or found.fate == Fate.KEPT:
            return Result(message_id, found.fate, found.to, found.what)
        fate, doing = Fate.FAILED, "Not sent"
        try:
            self._send(found)
            fate, doing = Fate.SENT, "Sent, but not deleted, and sent again by the next run"
            url, handle = self.outputs[DEAD_LETTERS], message["ReceiptHandle"]
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
        except AWS_ERRORS as error:
            return Result(message_id, fate, found.to, f"{doing}: {found.what}: {error}")
        return Result(message_id, found.fate, found.to, found.what)

    def _send(self, found: Route) -> None:
        if found.to == FUNCTION:
            self.functions.invoke(
                FunctionName=self.outputs[FUNCTION],
                InvocationType="Event",
                Payload=json.dumps(found.content).encode(),
            )
        elif found.to:
            self.sqs.send_message(QueueUrl=self.outputs[found.to], MessageBody=found.content)

    def _show_again(self, receipt_handles: Sequence[str]) -> None:
        """Make what stays visible at once, for the alarm and for the next run."""
        for handle in receipt_handles:
            try:
                self.sqs.change_message_visibility(
                    QueueUrl=self.outputs[DEAD_LETTERS], ReceiptHandle=handle, VisibilityTimeout=0
                )
            except AWS_ERRORS as error:
                # What is not made visible comes back by itself, when its time is over.
                if code_of(error) not in OF_A_HANDLE:
                    return


def table(results: Sequence[Result], *, dry_run: bool) -> Table:
    """Return what has become of the messages: counts, and each that stays by its id."""
    made = Table("fate", "to", "messages", "what")
    counts = Counter((one.fate, one.to) for one in results if one.fate not in STAYING)
    for (fate, to), count in counts.items():
        told = f"would be {fate}" if dry_run else str(fate)
        made.add_row(told, Result("", fate, to, "").line()["to"], str(count), "")
    for one in results:
        if one.fate in STAYING:
            line = one.line()
            made.add_row(line["fate"], line["to"], one.message_id, one.what)
    return made


def show(
    at: Options,
    messages_max: int,
    *,
    console: Console,
    client: Callable[[str], Any] | None = None,
    wait_seconds: int = WAIT_SECONDS,
) -> int:
    """Redrive a stack and show it; return the exit code. A test gives the clients."""
    client = client or clients(at.region, at.profile)
    found = attempt(stack.described, Reader(client), at.stack)
    if isinstance(found, Unread):
        if not is_gone(found):
            return failed(found)
        return fail(f"stack {at.stack!r} was not found", "use --stack", code=EXIT_USAGE)
    outputs = stack.outputs(found)
    if missing := [name for name in OUTPUTS if name not in outputs]:
        sentence = f"stack {at.stack!r} has no output {missing[0]}"
        return fail(sentence, "use --stack", code=EXIT_USAGE)
    run = Redrive(
        client("sqs"),
        client("lambda"),
        outputs,
        clock.now(),
        dry_run=at.dry_run,
        wait_seconds=wait_seconds,
    )
    results = _run(run, messages_max, as_json=at.as_json)
    if not at.as_json:
        console.print(table(results, dry_run=at.dry_run) if results else "no dead letters")
    if len(results) == messages_max:
        more = f"stopped after {messages_max} messages: there may be more, raise --max"
        if at.as_json:
            print(more, file=sys.stderr)
        else:
            console.print(more)
    return EXIT_FAILED if any(one.fate in STAYING for one in results) else EXIT_OK


def _run(run: Redrive, messages_max: int, *, as_json: bool) -> list[Result]:
    if as_json:
        return run.run(messages_max, lambda one: print(json.dumps(one.line()), flush=True))
    with Console(stderr=True).status("redriving ...") as status:
        count = itertools.count(1)
        return run.run(messages_max, lambda _: status.update(f"redriving ... {next(count)}"))
