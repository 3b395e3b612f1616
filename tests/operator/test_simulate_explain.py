"""
`make simulate-explain`: `drainer explain` is judged by the truth of simulated accounts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from botocore.validate import ParamValidator

from drainer.cli.explain.causes import Cause
from drainer.cli.simulate.causes import run as running
from drainer.cli.simulate.causes.run import run_seed, score_of
from drainer.cli.simulate.causes.score import (
    ERROR_MEDIAN_MAX,
    PRECISION_MIN,
    RECALL_MIN,
    Look,
    Score,
)
from drainer.cli.simulate.causes.story import EVERY, Story
from drainer.cli.simulate.causes.truth import Named
from drainer.handler import build
from drainer.simulation.protocol.client import service_model
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Mapping

# Few enough for each run of the tests; `make simulate-explain` takes 200.
SEEDS = range(40)
LOOKS_MIN = 50


def test_explain_says_what_the_simulation_knows() -> None:
    # A cause that is not so sends somebody to repair what is not broken, at three in the morning.
    score = score_of([run_seed(seed, build) for seed in SEEDS])

    assert score.looks >= LOOKS_MIN
    assert score.precision >= PRECISION_MIN, score.mistakes
    assert score.recall >= RECALL_MIN, score.mistakes
    assert score.error_median <= ERROR_MEDIAN_MAX
    assert len({*score.found}) >= 12


def test_a_seed_is_played_again() -> None:
    first, second = (run_seed(7, build) for _ in range(2))

    assert first.looks == second.looks
    assert first.looks != []


def test_each_plant_is_drawn() -> None:
    # One that no seed draws is judged by none.
    drawn = {plant for seed in range(200) for plant in plants_of(seed)}

    assert drawn == set(EVERY)


def plants_of(seed: int) -> list[str]:
    """Return what a seed plants, as its account is built."""
    return Story(seed, build).plants


def test_answers_are_those_of_awss_models() -> None:
    # explain would be judged by answers that it can never get.
    answered: set[str] = set()

    def judge(service: str, operation: str, answer: Mapping[str, Any]) -> None:
        shape = service_model(service).operation_model(operation).output_shape
        report = ParamValidator().validate(answer, shape)
        assert not report.has_errors(), f"{operation}: {report.generate_report()}"
        answered.add(f"{service}:{operation}")

    for seed in some(range(4)):
        run_seed(seed, build, judge)

    assert {
        "ecs:DescribeServices",
        "cloudwatch:GetMetricData",
        "sqs:GetQueueAttributes",
    } <= answered


# -- the score


TRUE = Named(Cause.ZONE, "web")
WRONG = Named(Cause.NO_CPU, "web")


def look(found: set[Named], true: set[Named], error: float | None = 0.1) -> Look:
    return Look("here", frozenset(found), frozenset(true), error)


def scored(*looks: Look) -> Score:
    score = Score()
    for one in looks:
        score.add(one)
    return score


def test_what_was_missed_and_what_was_wrong_is_counted() -> None:
    score = scored(look({TRUE}, {TRUE}), look({WRONG}, {TRUE}), look({TRUE, WRONG}, {TRUE}))

    assert (score.found.total(), score.missed.total(), score.wrong.total()) == (2, 1, 2)
    assert score.precision == 0.5
    assert score.recall == pytest.approx(2 / 3)
    assert score.mistakes == [
        "here: said no-cpu web, missed zone web",
        "here: said no-cpu web, missed -",
    ]
    assert not score.passed
    assert any(line.startswith("zone ") and "0.667" in line for line in score.lines())


@pytest.mark.parametrize(
    ("looks", "passed"),
    [
        ([look({TRUE}, {TRUE})], True),
        ([look({TRUE}, {TRUE}, 0.2)], True),
        ([look({TRUE}, {TRUE}, 0.21)], False),
        ([look({TRUE}, {TRUE}, math.inf)], False),
        ([look({TRUE}, {TRUE}, None)], False),
        ([], False),
        ([*(look({TRUE}, {TRUE}) for _ in range(49)), look({WRONG}, {TRUE})], True),
        ([*(look({TRUE}, {TRUE}) for _ in range(48)), look({WRONG}, {TRUE})], False),
    ],
)
def test_only_what_was_promised_passes(looks: list[Look], *, passed: bool) -> None:
    # A score of nothing that passes would hide that nothing was looked at.
    assert scored(*looks).passed is passed


def test_the_service_that_is_named_counts() -> None:
    # The right cause of the wrong service sends somebody to the wrong team.
    other = Named(Cause.ZONE, "api")

    assert scored(look({other}, {TRUE})).found.total() == 0


def test_a_drain_whose_end_is_not_known_has_no_small_error() -> None:
    assert running.UNTIL.total_seconds() > 2 * 7_200
