"""
Write one X-Ray trace for a drain, through all the invocations that serve it.

Lambda gives each invocation a trace of its own, which cannot be changed, and one invocation serves
many drains. So a drain's trace id is made of what each of its passes knows. The first pass that is
traced begins a segment, a pass that finds another phase adds a subsegment, and the last pass
completes the segment.
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from drainer import log_lines
from drainer.attention import told_until
from drainer.drain.actions import CALL_SECONDS, NO_TIME, reasons_of
from drainer.drain.may_leave import Phase
from drainer.drain.record import REASON_CHARACTERS_MAX, key_of
from drainer.errors import UnavailableError
from drainer.lifecycle import record_writes
from drainer.lifecycle.record_writes import Stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.drain.record import Key
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.controller import PassReport
    from drainer.lifecycle.outcome import HookOutcome
    from drainer.telemetry import Telemetry

# One call for each pass: "one batch can have up to 50 number of segments", says the X-Ray daemon.
# https://github.com/aws/aws-xray-daemon/issues/17
DOCUMENTS_MAX = 50

# A call that hangs takes 10 s of a pass, and a crowd has documents in each. So after one that was
# not answered the passes of a minute do without.
RESTS_FOR = timedelta(minutes=1)

# X-Ray takes 64 kB in a document, but only 14 KB (measured) in a trace that goes on for more than
# six minutes. So only changes are written, and the tasks that are left are named once, at the end.
# https://repost.aws/knowledge-center/x-ray-trace-quota-error
# https://community.flexera.com/t5/Flexera-Engineering-Blog/Tips-for-Using-AWS-X-Ray-Traces-for-Long-Running-Requests/ba-p/102430
OF_EACH_PASS = ("hop", "step", "running_tasks", "pending_tasks", "deadline_at")


class XRay(Protocol):
    """Where the documents go."""

    def put(self, documents: Sequence[str]) -> list[str]:
        """Send at most DOCUMENTS_MAX documents; return why some were rejected."""


class Ids(NamedTuple):
    """The ids of a trace and its segment, and 0 to 99: below the percentage it is sampled."""

    trace: str
    segment: str
    rank: int


def ids_of(key: Key, began_at: datetime) -> Ids:
    """
    Return the ids of the trace of the drain that has this record and began then.

    X-Ray takes ids that name an instant of the last 7 days, and no drain takes more than 48 hours.
    https://github.com/DataDog/dd-trace-java/issues/3861
    """
    seconds = int(began_at.timestamp())
    digest = sha256(f"{key.instance} {key.subject} {seconds}".encode()).hexdigest()
    return Ids(f"1-{seconds:08x}-{digest[:24]}", digest[24:40], int(digest[40:], 16) % 100)


def documents_of(
    outcome: HookOutcome, percent: int, slow_after: timedelta, now: datetime, request_id: str
) -> list[dict[str, Any]]:
    """
    Return what a pass adds to a drain's trace; nothing for most passes.

    Args:
        outcome: What the pass did about the drain.
        percent: How many of a hundred drains are traced from their beginning.
        slow_after: From this age on each drain is. One that misses its deadline is at its end.
        now: The present instant, after the pass.
        request_id: The invocation's.
    """
    drain, look, decision = outcome.drain, outcome.look, outcome.decision
    began_at = drain.started_at
    ids, slow_at = ids_of(key_of(drain.action), began_at), began_at + slow_after
    is_sampled = ids.rank < percent
    if outcome.duplicate or not (is_sampled or now >= slow_at or outcome.missed_deadline):
        return []
    line = log_lines.drain_line(outcome)
    facts = {name: line[name] for name in OF_EACH_PASS}
    facts |= {"reason": decision.reason[:REASON_CHARACTERS_MAX], "request_id": request_id}
    names = {**log_lines.names(drain.action), "cluster": drain.cluster or "unknown"}
    segment = {
        "name": "drain",
        "id": ids.segment,
        "trace_id": ids.trace,
        "start_time": began_at.timestamp(),
        "annotations": names,
    }
    if outcome.ended:
        # Neither a look alone nor a token that is refused at once is the end of a drain.
        if outcome.answered is None and record_writes.end(outcome, Stamp("", now)) is None:
            return []
        end = f"answered {outcome.answered}" if outcome.answered else "over"
        turn = min(max(drain.draining_since or now, began_at), now)
        done = {
            "end_time": now.timestamp(),
            "fault": outcome.missed_deadline,
            "annotations": {**names, "end": end, "tasks_left": outcome.tasks_left},
            "metadata": {"drainer": {**facts, "remaining": line["remaining"]}},
            "subsegments": [
                _part(ids, phase, start, end)
                for phase, start, end in (
                    (Phase.ACTIVE, began_at, turn),
                    (Phase.DRAINING, turn, now),
                )
                if start < end
            ],
        }
        return [{**segment, **done}]
    before = told_until(outcome)
    if before is None:
        return []  # the next pass tells, which writes the record
    begins = look.drain.hop == 0 if is_sampled else before < slow_at
    if not begins and (outcome.record is None or outcome.record.phase == decision.phase):
        return []
    found = {
        **_part(ids, decision.phase, look.now, now, number=look.drain.hop),
        "trace_id": ids.trace,
        "parent_id": ids.segment,
        "type": "subsegment",
        "error": bool(outcome.errors),
        "metadata": {"drainer": facts},
    }
    return [{**segment, "in_progress": True}, found] if begins else [found]


def _part(
    ids: Ids, phase: str, start: datetime, end: datetime, number: int | None = None
) -> dict[str, Any]:
    """Return a subsegment; written again, it is the same one."""
    name = sha256(f"{ids.trace} {phase} {number}".encode()).hexdigest()[:16]
    times = {"start_time": start.timestamp(), "end_time": end.timestamp()}
    return {"name": str(phase), "id": name, **times}


class DrainTraces:
    """Sends what passes add to the traces of drains."""

    def __init__(
        self, x_ray: XRay, telemetry: Telemetry, percent: int, slow_after: timedelta
    ) -> None:
        self._x_ray = x_ray
        self._telemetry = telemetry
        self._chosen = percent, slow_after
        self._failed_at: datetime | None = None

    def tell(self, report: PassReport, time: InvocationClock) -> None:
        """Send the documents of a pass if there is time; what fails is logged, and not repeated."""
        for reason in reasons_of(partial(self._put, report, time)):
            self._telemetry.untraced(f"The trace of a drain was not written: {reason}")

    def _put(self, report: PassReport, time: InvocationClock) -> set[str]:
        now = time.now()
        found = [
            document
            for outcome in report.outcomes
            for document in documents_of(outcome, *self._chosen, now, time.request_id)
        ]
        if not found:
            return set()
        if time.seconds_left() < 2 * CALL_SECONDS:
            return {NO_TIME}
        if self._failed_at is not None and abs(now - self._failed_at) < RESTS_FOR:
            return {"X-Ray has not answered a moment ago"}
        # Of a crowd the ends first: each of them says all that is known.
        found.sort(key=lambda one: "subsegments" not in one)
        try:
            refused = set(self._x_ray.put([json.dumps(one) for one in found[:DOCUMENTS_MAX]]))
        except UnavailableError:
            self._failed_at = time.now()
            raise
        if len(found) > DOCUMENTS_MAX:
            refused.add(f"{len(found) - DOCUMENTS_MAX} documents of one pass were too many")
        return refused
