"""
Say what an operator has to see, and what he has to see if it lasts: the causes of two alarms.

An alarm costs as much for each metric while nothing happens, so that one metric stands for many
causes. The log line of each cause says which one it is, and what harm it does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.request import Request
from drainer.drain.admission import Admission
from drainer.drain.may_leave import Phase
from drainer.drain.model import Drain, Origin
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from drainer.custom_resource.report import Report
    from drainer.lifecycle.controller import PassReport
    from drainer.lifecycle.outcome import HookOutcome

SECONDS_PER_MINUTE = 60

# How long a message may wait in its queue. A notification is delivered at once: it has failed, or
# Lambda was throttled, twice. An envelope waits for the pass interval (300 s at most) and may come
# again after a failed batch (181 s).
LATE_SECONDS, LATE_ENVELOPE_SECONDS = 300, 900


@dataclass(frozen=True, slots=True)
class Attention:
    """One event that an operator has to see: two or three words, and a sentence with its harm."""

    event: str
    reason: str


def of_drain(outcome: HookOutcome, long_drain_minutes: int, now: datetime) -> Iterator[Attention]:
    """Yield what a pass over a drain has to tell; `now` is after whatever it has written."""
    decision, look = outcome.decision, outcome.look
    if outcome.missed_deadline:
        yield Attention(
            "deadline passed",
            f"The hook was answered {outcome.answered} with {outcome.tasks_left} tasks left. They "
            f"are killed with the instance, unless the group retains it",
        )
    if decision.hop_limit:
        yield Attention(
            "hop limit",
            f"Stopped after {outcome.drain.hop} hops, {look.hops_max} are allowed. The wait queue "
            f"does not delay its messages: check DelaySeconds. The sweep goes on",
        )
    goes_on = outcome.answered is None and decision.step != Step.STOP
    if goes_on and _crosses(outcome, long_drain_minutes, now):
        yield Attention(
            "long drain",
            f"The drain has lasted for {age_minutes(outcome)} minutes. Its instance costs money "
            f"until its tasks end or its deadline passes",
        )


def of_request(report: Report) -> Iterator[Attention]:
    """Yield what a pass over a request of CloudFormation has to tell."""
    if is_timed_out(report):
        yield Attention(
            "request timed out",
            "The deadline passed with tasks left. With OnTimeout FAILED the stack operation "
            "fails, with SUCCESS these tasks are killed with their instances",
        )
    if report.unanswered:
        yield Attention(
            "request not answered",
            "CloudFormation rejected the response or no longer waits for it. The stack operation "
            "fails",
        )


def of_late(ages: Sequence[int]) -> Attention:
    """Return what messages that waited too long have to tell, by their ages in seconds."""
    return Attention(
        "late message",
        f"{len(ages)} messages waited up to {max(ages)} s in their queue (failed or throttled "
        f"invocations, or too many messages). Their instances are looked at by sweeps only",
    )


def of_crash(error: Exception) -> Attention:
    """Return what an exception that was not foreseen has to tell."""
    return Attention(
        "crash",
        f"{type(error).__name__} ended a pass. Its messages are delivered again in 3 minutes, and "
        f"after 5 failures they are dead letters",
    )


def of_denial() -> Attention:
    """Return what a denied call about an interruption has to tell."""
    return Attention(
        "interruption denied",
        "A call was denied and is not retried. The targets stay registered, or the container "
        "instance stays ACTIVE, until Spot takes it back",
    )


def impairments(report: PassReport) -> Counter[str]:
    """Count what impairs the drainer if it lasts: no look, failed calls, and lost chains."""
    outcomes = report.outcomes
    return Counter(
        calls_failed=sum(len(one.errors) for one in outcomes),
        unseen=sum(one.decision.phase == Phase.UNSEEN for one in outcomes),
        chains_lost=sum(
            one.admitted.admission == Admission.TAKEOVER and one.drain.origin == Origin.SWEEP
            for one in outcomes
        ),
    )


def late(event: Any, contents: Iterable[object], now: datetime) -> list[int]:
    """
    Return the ages in seconds of the messages that waited too long for this invocation.

    Args:
        event: What Lambda handed over.
        contents: What was read of each of its records, in their order.
        now: The present instant.
    """
    records = event.get("Records") if isinstance(event, dict) else None
    ages = []
    for record, content in zip(
        records if isinstance(records, list) else (), contents, strict=False
    ):
        if not isinstance(content, Drain | Request | Continuation):
            continue
        re_invoked = isinstance(content, Continuation) or getattr(content, "hop", 0) > 0
        age = _age_seconds(record, now)
        if age >= (LATE_ENVELOPE_SECONDS if re_invoked else LATE_SECONDS):
            ages.append(int(age))
    return ages


def is_timed_out(report: Report) -> bool:
    """Whether a request has met its deadline with tasks left."""
    status = report.target_status
    return report.overdue and status is not None and status.done < status.total


def age_minutes(outcome: HookOutcome) -> float:
    """Return how long a drain has lasted."""
    age = outcome.look.now - outcome.drain.started_at
    return round(age.total_seconds() / SECONDS_PER_MINUTE, 1)


def told_until(outcome: HookOutcome) -> datetime | None:
    """
    Return the instant until which earlier passes have told of a drain; None if this one tells not.

    The pass before this one told of what had passed by its report, which came after its write and
    its message. Measured from its look, what happens while a pass is under way would not be told.
    """
    if outcome.admitted.admission == Admission.LOOK:
        return None  # the next pass tells, which writes the record
    drain, record = outcome.drain, outcome.record
    # Where the table cannot be written, the message knows.
    known = (drain.started_at, drain.sent_at, record.written_at if record else None)
    return max(one for one in known if one is not None)


def _crosses(outcome: HookOutcome, minutes: int, now: datetime) -> bool:
    """Whether so many minutes, once more, have passed since the pass before this one."""
    before, since = told_until(outcome), outcome.drain.started_at
    length = timedelta(minutes=minutes)
    return before is not None and (now - since) // length > (before - since) // length


def _age_seconds(record: Any, now: datetime) -> float:
    """Return how long SQS has had a message; 0 where it does not say."""
    attributes = record.get("attributes") if isinstance(record, dict) else None
    sent = attributes.get("SentTimestamp") if isinstance(attributes, dict) else None
    # "the epoch time in milliseconds"
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
    if not isinstance(sent, str) or not sent.isascii() or not sent.isdigit():
        return 0.0
    return now.timestamp() - int(sent[:15]) / 1_000
