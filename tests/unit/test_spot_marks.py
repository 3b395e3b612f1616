"""Which container instances get a mark for their return, and what one that is refused costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.model import ContainerInstance
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.spot.events import Interruption
from drainer.spot.marks import SpotMarks
from drainer.spot.patience import Patience
from drainer.spot.report import InterruptionReport

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DENIED = MisconfiguredError("too many attributes")


@dataclass
class Attributes:
    """ECS, which fails for some container instances."""

    fails: dict[str, DrainerError] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)

    def put_attributes(self, _: str, values: Sequence[tuple[str, str, str]]) -> None:
        arns = [arn for arn, _, _ in values]
        self.calls.append(arns)
        for arn in arns:
            if arn in self.fails:
                raise self.fails[arn]


def mark(
    ecs: Attributes, count: int = 1, action: str = "stop", **instance: Any
) -> list[InterruptionReport]:
    """Mark what is found of so many interrupted instances, and of one that nobody seeks."""
    reports = {
        f"i-{n}": InterruptionReport(Interruption(f"i-{n}", action, NOW)) for n in range(count)
    }
    values = {"status": "ACTIVE", "agent_connected": True, "running_tasks": 1, **instance}
    found = [ContainerInstance(one, one, pending_tasks=0, **values) for one in [*reports, "i-x"]]
    aws: Any = ecs
    marks = SpotMarks(aws, Patience(InvocationClock(NOW, lambda: 30.0)))
    marks.record("shop", found, reports)
    marks.finish()
    return [*reports.values()]


@pytest.mark.parametrize(
    ("action", "status", "interrupted", "marked"),
    [
        ("stop", "ACTIVE", "", True),
        ("recommend", "ACTIVE", "", True),
        ("terminate", "ACTIVE", "", False),
        # Somebody else has set it DRAINING, and it stays so.
        ("stop", "DRAINING", "", False),
        ("recommend", "DRAINING", "", False),
        # Or the drainer has, by a recommendation.
        ("stop", "DRAINING", "recommend/1", True),
        ("recommend", "DRAINING", "recommend/1", False),
        ("terminate", "DRAINING", "recommend/1", False),
    ],
)
def test_what_the_drainer_sets_draining_and_may_return_is_marked(
    action: str, status: str, interrupted: str, marked: bool
) -> None:
    # Marked though it was somebody else's, it is set ACTIVE against their will.
    ecs = Attributes()
    mark(ecs, action=action, status=status, interrupted=interrupted)

    assert ecs.calls == ([["i-0"]] if marked else [])


def test_marks_are_put_by_tens() -> None:
    ecs = Attributes()
    mark(ecs, 12)

    assert [len(call) for call in ecs.calls] == [10, 2]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_that_is_refused_keeps_no_other_without_its_mark(count: int) -> None:
    ecs = Attributes({"i-0": DENIED})
    first, *others = mark(ecs, count)

    assert first.errors == (f"The attribute for its return was not written: {DENIED}",)
    assert ecs.calls[-count:] == [[f"i-{n}"] for n in range(count)]
    assert not any(one.errors for one in others)


def test_a_throttle_is_not_argued_with_and_told_to_each() -> None:
    ecs = Attributes({"i-0": UnavailableError("Rate exceeded")})
    reports = mark(ecs, 2)

    assert len(ecs.calls) == 2
    assert all(one.errors for one in reports)
