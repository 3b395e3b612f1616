"""
What the checker of requests excuses, and what it does not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.checkers.request_judge import Outcome, judge
from drainer.simulation.scenario.stack_operations import Asked, StackOperations
from drainer.simulation.services.cloudformation.custom_resource import Attempt

SENT_AT = datetime(2026, 11, 2, 14, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def operated(answers: list[tuple[float, dict[str, Any]]]) -> StackOperations:
    """
    Return a stack that sent an Update, and what it was answered after how many seconds.
    """
    account = Aws(seed=1, now=SENT_AT)
    stack = StackOperations(account, "stack", lambda _: {}, lambda _: None)
    fleet = account.fleets.create("payments", 0, type="request")
    request = account.stacks.request(
        "Update",
        {"DrainTimeoutSeconds": 900, "OnTimeout": "FAILED"},
        physical_id=fleet.fleet_id,
        stack="stack",
    )
    request.times_out_at = SENT_AT + HOUR
    for seconds, answer in answers:
        request.attempts.append(Attempt(SENT_AT + timedelta(seconds=seconds), b"{}", 200))
        request.answers.append((SENT_AT + timedelta(seconds=seconds), answer))
    if not answers:
        account.advance_to(SENT_AT + HOUR)
    stack.asked.append(Asked(request, fleet, goes=False))
    return stack


def violations(stack: StackOperations, **given: Any) -> list[str]:
    """
    Return the kinds of broken promises.
    """
    outcome: dict[str, Any] = {
        "started_at": SENT_AT,
        "asked": stack.asked,
        "operations": [stack],
        "history": [],
        "stack_statuses": {},
        "statuses": {},
        "dead_letters": [],
        "faults": [],
        "crashes": [],
        "published": {},
        "delay_seconds": 60.0,
        "deleted_at": None,
        "writable": True,
    }
    return [one.rule for one in judge(Outcome(**{**outcome, **given}))]


# A new role's permissions take minutes to spread: who gives up at once fails a stack for nothing,
# and who has looked for five minutes is not to blame (seeds 2807, 2987 and 3108).
@pytest.mark.parametrize(("seconds", "expected"), [(0, ["answer"]), (299, ["answer"]), (300, [])])
def test_what_is_not_authorized_yet_is_to_be_looked_for_again_for_five_minutes(
    seconds: float, expected: list[str]
) -> None:
    answer = {"Status": "FAILED", "Reason": "AccessDeniedException: not authorized yet"}

    assert violations(operated([(seconds, answer)])) == expected


def test_another_reason_is_no_excuse_however_long_it_took() -> None:
    answer = {"Status": "FAILED", "Reason": "the target was not read"}

    assert violations(operated([(600, answer)])) == ["answer"]


# The response URL was in the table that somebody deleted, and is nowhere else (seed 4994).
@pytest.mark.parametrize(
    ("deleted_after", "expected"),
    [(timedelta(minutes=1), []), (-timedelta(minutes=1), ["liveness", "rollback"])],
)
def test_a_stack_that_cannot_go_back_is_excused_only_where_its_request_went_with_the_table(
    deleted_after: timedelta, expected: list[str]
) -> None:
    stack = operated([])

    found = violations(
        stack,
        stack_statuses={"stack": "UPDATE_ROLLBACK_FAILED"},
        deleted_at=SENT_AT + deleted_after,
    )

    assert found == expected


def test_a_table_that_was_deleted_excuses_no_stack_whose_requests_were_answered() -> None:
    stack = operated([(60, {"Status": "SUCCESS", "Reason": ""})])

    found = violations(
        stack, stack_statuses={"stack": "UPDATE_ROLLBACK_FAILED"}, deleted_at=SENT_AT + HOUR
    )

    assert found == ["rollback"]


def test_a_message_that_was_given_up_excuses_a_stack_since_an_alarm_tells_of_it() -> None:
    stack = operated([(60, {"Status": "SUCCESS", "Reason": ""})])

    found = violations(
        stack, stack_statuses={"stack": "UPDATE_ROLLBACK_FAILED"}, dead_letters=["a request"]
    )

    assert found == []
