"""
The protocol of the drain's record in small bounds; `make model` goes further.
"""

from __future__ import annotations

import pytest

from tests.model.configurations import CONFIGURATIONS, DEEP, SMALL, VARIANTS
from tests.model.explore import check
from tests.model.protocol import Model


# A message that comes twice, a pass that dies and a table that is down must neither lose a drain
# nor leave two chains for it.
@pytest.mark.parametrize("name", SMALL)
def test_the_protocol_holds_in_small_bounds(name: str) -> None:
    verdict = SMALL[name].check()

    assert (verdict.broken, verdict.trace) == ("", ())
    assert verdict.states > 50  # it has gone somewhere


# A rule whose loss nobody sees is either not needed or not checked.
@pytest.mark.parametrize(
    "name",
    ["no-takeover", "no-pass-id", "any-hop", "looks-end", "looks-count-late", "fails-unread"],
)
def test_each_rule_that_is_taken_away_does_harm(name: str) -> None:
    verdict = VARIANTS[name].check(name)

    assert verdict.broken.startswith(VARIANTS[name].breaks)


# What shows only where a walk is long must still name a walk that there is.
def test_each_rule_has_its_bounds() -> None:
    assert {one.bounds for one in VARIANTS.values()} <= {*CONFIGURATIONS, *DEEP}


# The shortest way to a harm is what a person reads: it must lead from the beginning to its end.
def test_a_counterexample_is_told_step_by_step() -> None:
    def make() -> Model:
        return Model(sweeps=False, crash=1, variant="no-takeover")

    verdict = check(make)

    assert verdict.broken.startswith("STUCK")
    assert verdict.trace[0].endswith("is delivered")
    assert any("dies before" in step for step in verdict.trace)
