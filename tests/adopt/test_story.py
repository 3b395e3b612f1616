"""
Hooks are changed while instances wait at them; `make adopt-seeds` runs twenty times as many seeds.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.adopt.story import Outcome, Story
from tests.loops import some

SEEDS = 10


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [Story(seed).run() for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def counts(outcomes: list[Outcome]) -> Counter[str]:
    return sum((one.counts for one in outcomes), Counter[str]())


def test_the_drainer_releases_none_early_and_leaves_none_stuck(outcomes: list[Outcome]) -> None:
    # A change that cuts tasks or leaves instances waiting is worse than the old drainer.
    assert [one.wrong for one in some(outcomes)] == [[]] * SEEDS
    assert sum(one.faults.total() for one in outcomes) > 100


def test_drains_under_way_end_with_the_old_function_or_with_the_drainer(
    counts: Counter[str],
) -> None:
    # Else the seeds would show nothing about drains that are under way.
    before = {name for name in counts if name.startswith("begun before the change")}

    assert "begun before the change, ended by the old function, early" in before
    assert "begun before the change, ended by the drainer, drained" in before
    assert not any("ended by the drainer, early" in name for name in counts)


def test_an_instance_that_leaves_after_the_change_is_the_drainers(counts: Counter[str]) -> None:
    # Between the change of a hook and that of a rule for all groups, both are told.
    after = {name: n for name, n in counts.items() if name.startswith("begun after the change")}
    ours = after.pop("begun after the change, ended by the drainer, drained")

    assert ours > 5 * sum(after.values())
