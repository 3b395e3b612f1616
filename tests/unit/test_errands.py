"""
What a pass over a request does before it looks, and with how little time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drainer.book import Memory
from drainer.cloudformation import Request, RequestType
from drainer.config import Config
from drainer.errand import Continuation
from drainer.errands import Errands
from drainer.request_report import Step

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


class Durable(Memory):
    """A book that counts as one that outlasts the process."""

    durable = True


@dataclass
class Others:
    """Everything that a pass has to do with, as simple as it can be."""

    at_work: list[bool] = field(default_factory=lambda: [True])
    published: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def stack_at_work(self, _: str) -> bool:
        return self.at_work.pop(0)

    def restore(self, *_: Any) -> tuple[str, ...]:
        return ()

    def publish(self, messages: list[str]) -> dict[int, str]:
        self.published += messages
        return {}

    def respond(self, _: str, body: bytes) -> None:
        self.answers.append(json.loads(body))


def errands(others: Others) -> Errands:
    anything: Any = others
    return Errands(
        fleet=anything,
        keeper=anything,
        targets=anything,
        book=Durable(),
        topic=anything,
        respond=others.respond,
        config=Config("arn:aws:sns:us-east-1:123456789012:drainer", verify_stacks=True),
    )


@pytest.mark.parametrize(
    ("said", "step"),
    [([True], Step.ANSWERED), ([False, True], Step.ANSWERED), ([False, False], Step.REFUSED)],
)
def test_one_answer_that_knows_of_no_work_is_asked_for_again(said: list[bool], step: Step) -> None:
    # CloudFormation would wait its whole hour because one of its answers was out of date.
    others = Others(list(said))

    report = errands(others).run_pass(REQUEST, NOW, lambda: 30.0)

    assert report.step == step
    assert len(others.answers) == (step == Step.ANSWERED)


def test_a_pass_without_time_goes_round_and_comes_first_then() -> None:
    # A batch whose lifecycle actions take all the time would starve it for its whole hour.
    others = Others()
    runner = errands(others)

    report = runner.run_pass(REQUEST, NOW, lambda: 10.0)
    [text] = others.published
    again = runner.run_pass(Continuation(KEY, 1), NOW + timedelta(seconds=15), lambda: 30.0)

    assert (report.step, again.step) == (Step.GOES_ROUND, Step.ANSWERED)
    assert json.loads(text)["postponed"] is True


def test_a_re_invocation_that_is_far_ahead_of_its_chain_is_nobodys() -> None:
    # Whoever may publish could else leave every true message behind, and only the sweep would help.
    others = Others()
    runner = errands(others)
    runner.run_pass(REQUEST, NOW, lambda: 10.0)
    later = NOW + timedelta(seconds=15)

    forged = runner.run_pass(Continuation(KEY, 1_000), later, lambda: 30.0)
    true = runner.run_pass(Continuation(KEY, 1), later, lambda: 30.0)

    assert (forged.step, true.step) == (Step.COPY, Step.ANSWERED)


def test_what_is_no_answer_to_anything_is_written_down_as_the_end() -> None:
    # The response URL must not stay in the book longer than it is of use.
    others = Others()
    runner = errands(others)
    runner.run_pass(REQUEST, NOW, lambda: 10.0)

    late = runner.run_pass(Continuation(KEY, 1), NOW + timedelta(hours=1), lambda: 30.0)
    later = runner.run_pass(Continuation(KEY, 2), NOW + timedelta(hours=2), lambda: 30.0)

    assert (late.step, late.unanswered) == (Step.OVER, True)
    assert (later.step, later.unanswered) == (Step.OVER, False)
    assert runner.lost(NOW + timedelta(hours=3)) == []
