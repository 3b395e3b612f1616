"""
What a pass over a request does before it looks, and with how little time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drainer.config import Config
from drainer.custom_resource.belief import Belief
from drainer.custom_resource.controller import RequestController
from drainer.custom_resource.progress import Continuation, RequestProgress
from drainer.custom_resource.reactivation import Restored
from drainer.custom_resource.report import Step
from drainer.custom_resource.request import RESOURCE_TYPE, Request, RequestType
from drainer.custom_resource.stack import Row, Stack
from drainer.custom_resource.store import Memory
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = "stack|request"
REQUEST = Request(
    request_type=RequestType.CREATE,
    stack_id="stack",
    request_id="request",
    logical_id="Drain",
    physical_id="",
    response_url="http://localhost:1/",
    properties={"Cluster": "payments", "SpotFleet": "sfr-1"},
    started_at=NOW,
)

CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer", verify_stacks=True)
CREATING = Stack(
    "UPDATE_IN_PROGRESS", NOW, (Row("Drain", "", RESOURCE_TYPE, "CREATE_IN_PROGRESS", NOW),)
)
AT_REST = Stack("UPDATE_COMPLETE", NOW, CREATING.rows)


class Durable(Memory):
    """A book that counts as one that outlasts the process."""

    durable = True


@dataclass
class Others:
    """Everything that a pass has to do with, as simple as it can be."""

    looks: list[Stack | Exception] = field(default_factory=list)
    restored: list[tuple[str, ...] | Exception] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def stack(self, _: str) -> Stack:
        said = self.looks.pop(0) if self.looks else CREATING
        if isinstance(said, Exception):
            raise said
        return said

    def physical_id(self, *_: Any, **__: Any) -> str:
        return "sfr-1"

    def restore(self, progress: RequestProgress, *_: Any) -> Restored:
        said = self.restored.pop(0) if self.restored else ()
        if isinstance(said, Exception):
            raise said
        return Restored(progress, said)

    def publish(self, messages: list[str]) -> dict[int, str]:
        self.published += messages
        return {}

    def respond(self, _: str, body: bytes) -> None:
        self.answers.append(json.loads(body))


def requests(others: Others) -> RequestController:
    anything: Any = others
    return RequestController(
        fleet=anything,
        keeper=anything,
        belief=Belief(anything, CONFIG, durable=True),
        book=Durable(),
        topic=anything,
        respond=others.respond,
        config=CONFIG,
    )


def passes(others: Others, *at_seconds: float) -> list[Step]:
    """Make a pass at each of these seconds after the request; return what each came to."""
    runner = requests(others)
    steps = []
    for hop, seconds in enumerate(at_seconds):
        asked = Continuation(KEY, hop) if hop else REQUEST
        at = NOW + timedelta(seconds=seconds)
        steps.append(runner.run_pass(asked, clock(at)).step)
    return steps


def clock(now: datetime, seconds_left: float = 30.0) -> InvocationClock:
    return InvocationClock(now, lambda: seconds_left)


def test_answers_that_know_of_no_work_are_not_believed_before_they_are_minutes_apart() -> None:
    # CloudFormation waited its whole hour because two answers 60 ms apart were out of date.
    others = Others([AT_REST, AT_REST, AT_REST, CREATING])

    assert passes(others, 0, 15, 119, 121) == [Step.GOES_ROUND] * 3 + [Step.ANSWERED]
    assert len(others.answers) == 1


def test_a_request_that_minutes_of_answers_do_not_know_is_dropped_unanswered() -> None:
    # Whoever may publish to the topic could else have any fleet drained.
    others = Others([AT_REST] * 3)

    assert passes(others, 0, 60, 120) == [Step.GOES_ROUND, Step.GOES_ROUND, Step.REFUSED]
    assert others.answers == []


@pytest.mark.parametrize("error", [UnavailableError("throttled"), MisconfiguredError("denied")])
def test_a_read_that_fails_is_no_doubt(error: Exception) -> None:
    # While IAM spreads every read is denied, for minutes.
    others = Others([error, error, error, AT_REST, AT_REST, CREATING])

    assert passes(others, 0, 60, 130, 140, 200, 255)[-1] == Step.ANSWERED


def test_a_look_that_confirms_ends_a_doubt() -> None:
    # Two answers that are out of date, with a true one in between, are two beginnings.
    others = Others([AT_REST, CREATING, AT_REST, CREATING])
    waiting: list[Any] = [UnavailableError("throttled"), ()]
    others.restored = waiting

    assert passes(others, 0, 60, 130, 140)[-1] == Step.ANSWERED


def test_a_pass_without_time_goes_round_and_comes_first_then() -> None:
    # A batch whose lifecycle actions take all the time would starve it for its whole hour.
    others = Others()
    runner = requests(others)

    report = runner.run_pass(REQUEST, clock(NOW, 10.0))
    [text] = others.published
    again = runner.run_pass(Continuation(KEY, 1), clock(NOW + timedelta(seconds=15)))

    assert (report.step, again.step) == (Step.GOES_ROUND, Step.ANSWERED)
    assert json.loads(text)["postponed"] is True


def test_a_re_invocation_that_is_far_ahead_of_its_chain_is_nobodys() -> None:
    # Whoever may publish could else leave every true message behind, and only the sweep would help.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))
    later = NOW + timedelta(seconds=15)

    forged = runner.run_pass(Continuation(KEY, 1_000), clock(later))
    true = runner.run_pass(Continuation(KEY, 1), clock(later))

    assert (forged.step, true.step) == (Step.COPY, Step.ANSWERED)


def test_what_is_no_answer_to_anything_is_written_down_as_the_end() -> None:
    # The response URL must not stay in the book longer than it is of use.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))

    late = runner.run_pass(Continuation(KEY, 1), clock(NOW + timedelta(hours=1)))
    later = runner.run_pass(Continuation(KEY, 2), clock(NOW + timedelta(hours=2)))

    assert (late.step, late.unanswered) == (Step.OVER, True)
    assert (later.step, later.unanswered) == (Step.OVER, False)
    assert runner.lost(NOW + timedelta(hours=3)) == []
