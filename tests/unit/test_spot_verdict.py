"""The demo of Spot says no where the two minutes were not used."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drainer.cli.demo.spot_verdict import problems
from drainer.simulation.embedded.spot_watch import GroupSnapshot, SpotSnapshot

WARNED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP = GroupSnapshot(
    name="web",
    balancer="application",
    leaving=(),
    staying=4,
    sent=400,
    served=400,
    under_way=0,
    unserved=0,
    cut=(),
    needless=(),
)
SNAPSHOT = SpotSnapshot(
    subject="0123456789abcdef",
    warned_at=WARNED_AT,
    now=WARNED_AT + timedelta(seconds=200),
    status="STOPPED",
    drained_after=None,
    deregistered_after=1.0,
    gone=True,
    groups=(GROUP,),
    tasks=(("service:web", "0123456789abcdef", "STOPPED"),),
    reads=("DescribeServices",),
)


def test_a_task_that_went_without_harm_is_no_problem() -> None:
    assert problems(SNAPSHOT, by_instance=False) == []


# Each of these is what the demo exists to find; one that passes unseen makes it a show.
@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (
            replace(SNAPSHOT, groups=(replace(GROUP, cut=("ended",), needless=("sent",)),)),
            "were cut",
        ),
        (replace(SNAPSHOT, groups=(replace(GROUP, unserved=3),)), "found no target"),
        (replace(SNAPSHOT, groups=(replace(GROUP, under_way=2),)), "not yet"),
        (replace(SNAPSHOT, groups=(replace(GROUP, served=0),)), "0 requests served"),
        (replace(SNAPSHOT, deregistered_after=None), "not taken out"),
        (replace(SNAPSHOT, gone=False), "not taken back"),
        (replace(SNAPSHOT, reads=("ListClusters",) * 4), "4 reads"),
    ],
)
def test_each_harm_has_its_sentence(snapshot: SpotSnapshot, words: str) -> None:
    (found,) = problems(snapshot, by_instance=False)

    assert words in found


def test_an_instance_has_to_be_drained_and_its_lifecycle_action_to_begin() -> None:
    found = problems(SNAPSHOT, by_instance=True)

    assert len(found) == 2
