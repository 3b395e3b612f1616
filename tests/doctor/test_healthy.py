"""
On a healthy account `drainer doctor` finds nothing, and it only ever reads.
"""

from __future__ import annotations

import pytest

from drainer.cli.doctor import table
from drainer.cli.doctor.verdicts import Verdict
from tests.doctor.border import Border, WriteError
from tests.doctor.healthy import Healthy
from tests.doctor.names import GROUP
from tests.loops import some


def test_nothing_is_found_on_a_healthy_stack() -> None:
    # A check that cries on every stack is skipped by everyone, with what it would have found.
    results = Healthy().results()

    assert [one for one in results if one.finding.verdict != Verdict.OK] == []
    assert {one.check for one in results} == set(table.NAMES)


def test_a_group_that_is_named_is_checked_alike() -> None:
    assert Healthy().results(GROUP) == Healthy().results()


def test_the_fake_refuses_a_write() -> None:
    # Else the tests of this folder would not prove that the command only reads.
    with pytest.raises(WriteError):
        Border().client("sqs").purge_queue(QueueUrl="https://example.com/1/queue")


def test_each_check_says_what_it_looks_at_and_when_it_is_fine() -> None:
    for check in some(table.EVERY):
        assert check.looks_at
        assert check.fine.endswith(".")
    assert len(set(table.NAMES)) == len(table.NAMES)
