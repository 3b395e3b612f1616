"""Whether a target may go, by what its passes have seen, and what is said of what it waits for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.request import Request, RequestType
from drainer.custom_resource.target_status import TargetStatus
from drainer.drain.actions import Outcome
from drainer.drain.look import Look
from drainer.drain.may_leave import Act, Decision, Phase
from drainer.drain.model import InstanceProgress, Owner, Task
from tests.unit.ecs import container_instance

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REQUEST = Request(RequestType.DELETE, "stack", "request", "Drain", "g", "", {}, NOW)


def status(looks: int = 2, **changes: Any) -> TargetStatus:
    return TargetStatus(RequestProgress(REQUEST, looks=looks), **changes)


def outcome(number: int = 0, tasks: int = 0, reason: str = "", **changes: Any) -> Outcome:
    """An instance of which ECS counts three tasks."""
    there = container_instance(running_tasks=2, pending_tasks=1)
    found = [
        Task(f"t{n}", Owner.SERVICE, "service:web", "RUNNING", "RUNNING") for n in range(tasks)
    ]
    look = Look(
        f"i-{number}", InstanceProgress(), NOW, registrations={"arn": there},
        tasks={one.id: one for one in found}, **changes,
    )  # fmt: skip
    return Outcome(look, Decision(Phase.DRAINING, Act.WAIT, reason=reason))


@pytest.mark.parametrize(
    ("looks", "changes", "complete", "as_far_as_known"),
    [
        pytest.param(2, {"total": 1, "done": 1}, True, True, id="all may go"),
        pytest.param(1, {"total": 1, "done": 1}, False, False, id="one look"),
        pytest.param(2, {"total": 2, "done": 1}, False, False, id="one is left"),
        pytest.param(2, {"total": 1, "done": 1, "unsure": "x"}, False, False, id="unsure"),
        pytest.param(2, {"total": 1, "done": 1, "settled": False}, False, True, id="news may come"),
        pytest.param(2, {}, True, False, id="no instance"),
        pytest.param(2, {"gone": True}, True, True, id="no target"),
    ],
)
def test_a_target_may_go_by_more_than_one_look_at_all_of_it(
    looks: int, changes: dict[str, Any], *, complete: bool, as_far_as_known: bool
) -> None:
    # CloudFormation takes the target down at SUCCESS, with whatever runs on it.
    seen = status(looks, **changes)

    assert (seen.complete, seen.as_far_as_known) == (complete, as_far_as_known)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total": 3, "done": 1}, "2 of 3 instances are not drained"),
        ({"total": 3, "unsure": "why"}, "3 of 3 instances are not drained. why"),
        ({}, "No instance is known yet. The next pass looks again"),
        ({"unsure": "why"}, "why"),
    ],
)
def test_what_is_waited_for_is_said(changes: dict[str, Any], said: str) -> None:
    assert status(**changes).remaining() == said


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (outcome(tasks=1, reason="why"), "service RUNNING service:web t0"),
        (outcome(deferred=True, reason="why"), "its tasks are listed in a later pass"),
        (outcome(reason="why"), "why"),
        (outcome(), "3 tasks"),
    ],
)
def test_what_an_instance_waits_for_is_said(one: Outcome, said: str) -> None:
    # Whoever reads the stack's events can do something about a task, and nothing about a count.
    [_, sentence] = status(total=1, outcomes=(one,)).remaining().split(". ")

    assert sentence == f"i-0 is draining: {said}"


def test_ten_are_named_of_instances_and_of_tasks() -> None:
    # An answer has 4,096 bytes: a fleet of a thousand would push out why it waits.
    many = tuple(outcome(number, tasks=11) for number in range(11))

    said = status(total=11, outcomes=many).remaining()

    assert ("i-9 is" in said, "i-10 is" in said) == (True, False)
    assert (said.count(" t9"), said.count(" t10")) == (10, 0)
