"""
Each fault is found by its check, and by no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drainer.cli.doctor import table
from drainer.cli.doctor.verdicts import Verdict
from tests.doctor.faults import FAULTS
from tests.doctor.healthy import FAULTS as FAULTY
from tests.doctor.healthy import Healthy
from tests.doctor.names import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("plant", "checks"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_a_fault_is_found_by_its_check_alone(
    plant: Callable[[Healthy], None], checks: set[str]
) -> None:
    # What is not found here is found by an instance that leaves undrained.
    account = Healthy()
    plant(account)

    results = account.results(GROUP)

    faulty = [one for one in results if one.finding.verdict in FAULTY]
    assert {one.check for one in faulty} == checks
    assert [one for one in results if one.finding.verdict == Verdict.NOT_READ] == []
    # A finding without an effect or a fix leaves its reader with a worry and no next step.
    assert [one for one in faulty if not (one.finding.effect and one.finding.fix)] == []


def test_each_check_has_a_fault_that_it_finds() -> None:
    # A check that no fault turns red may be looking at nothing.
    found = set().union(*(checks for _, _, checks in FAULTS))

    assert len(FAULTS) >= 16
    assert found == set(table.NAMES)
