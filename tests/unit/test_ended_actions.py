"""What an execution environment remembers of lifecycle actions that have ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.drain.admission import Admission
from drainer.drain.model import LifecycleActionResult
from drainer.drain.record import End
from drainer.errors import (
    LifecycleActionOverError,
    MisconfiguredError,
    RefusedError,
    TableMissingError,
    UnavailableError,
)
from drainer.lifecycle.ended_actions import EndedActions
from tests.unit.account import (
    NOW,
    OTHER_TOKEN,
    START,
    Account,
    action,
    drain,
    instance_id,
    notification,
    task,
)

if TYPE_CHECKING:
    from drainer.drain.model import Drain
    from drainer.errors import DrainerError
    from drainer.lifecycle.controller import Controller
    from drainer.lifecycle.outcome import HookOutcome

NOT_ACTIVE = LifecycleActionOverError("No active Lifecycle Action found")
HOOK_GONE = RefusedError("No Lifecycle Hook found")
DENIED = MisconfiguredError("not authorized to perform dynamodb:UpdateItem")
DELETED = TableMissingError("Requested resource not found")
SOON = NOW + timedelta(seconds=5)


def answered(account: Account, controller: Controller, number: int = 0) -> Drain:
    """Let a drain end by an answer, while the table takes no writes; return its message."""
    message = account.follows(number, "DRAINING", task(number, "STOPPED"), last_heartbeat_at=NOW)
    account.records.unmade = DENIED
    [outcome] = account.run(message, controller=controller).outcomes
    assert outcome.answered == LifecycleActionResult.CONTINUE
    del account.states[instance_id(number)]
    account.log.clear()
    return message


# While the table takes no write, each message of a drain is its next one, so that duplicates
# multiply. Hundreds of them asked Auto Scaling after its end, and were throttled, and asked again:
# its calls are shared by all drains of the account.
@pytest.mark.parametrize("unread", [None, DELETED])
def test_a_message_of_an_action_that_was_answered_asks_nothing(unread: DrainerError | None) -> None:
    account = Account()
    controller = account.controller()
    message = answered(account, controller)
    account.records.down = unread

    for hop in (3, 7):
        duplicate = replace(message, hop=hop, deadline_at=NOW)
        report = account.run(duplicate, controller=controller, now=SOON)
        assert report.outcomes == ()
        assert [one.admission for one in report.not_admitted] == [Admission.ENDED]

    assert account.done == []


# Auto Scaling says it in two ways, of which the second takes two looks: each chain would take them
# again.
@pytest.mark.parametrize("error", [NOT_ACTIVE, HOOK_GONE])
def test_a_message_of_an_action_that_is_over_asks_nothing(error: DrainerError) -> None:
    account = Account(fails={"complete": error})
    controller = account.controller()
    message = drain(deadline_at=NOW, not_waiting_since=START, sent_at=NOW)
    account.records.down = DELETED
    [outcome] = account.run(message, controller=controller).outcomes
    assert outcome.over
    account.log.clear()

    report = account.run(replace(message, hop=9), controller=controller, now=SOON)

    assert [one.admission for one in report.not_admitted] == [Admission.ENDED]
    assert account.done == []


# A heartbeat that is throttled, and an action that is not answered yet, end nothing.
@pytest.mark.parametrize("error", [UnavailableError("Rate exceeded"), HOOK_GONE])
def test_a_message_of_an_action_that_may_still_wait_goes_on(error: DrainerError) -> None:
    account = Account(fails={"complete": error})
    controller = account.controller()
    message = account.follows(0, "DRAINING", task(0, "STOPPED"), last_heartbeat_at=NOW)
    account.run(message, controller=controller)
    account.fails.clear()

    [sent] = account.published
    [outcome] = account.run(sent, controller=controller, now=SOON).outcomes

    assert outcome.answered == LifecycleActionResult.CONTINUE


# An instance of a warm pool leaves again, with another token: it would wait for its hook's timeout.
def test_the_next_action_of_the_same_instance_goes_on() -> None:
    account = Account()
    controller = account.controller()
    answered(account, controller)
    account.has(0, "ACTIVE", task())
    account.records.rows.clear()

    following = notification(action=action(0, OTHER_TOKEN))
    [outcome] = account.run(following, controller=controller, now=SOON).outcomes

    assert outcome.heartbeat
    assert account.published[0].action == action(0, OTHER_TOKEN)


# Without a token nothing tells the action that has ended from the one that waits now.
def test_an_action_without_a_token_is_not_remembered() -> None:
    account = Account()
    controller = account.controller()
    nameless = account.follows(
        0, "DRAINING", task(0, "STOPPED"), action=action(token=""), last_heartbeat_at=NOW
    )
    [outcome] = account.run(nameless, controller=controller).outcomes
    assert outcome.answered == LifecycleActionResult.CONTINUE
    account.follows(0, "DRAINING", task(), action=action(token=""), last_heartbeat_at=NOW)

    [outcome] = account.run(nameless, controller=controller, now=SOON).outcomes

    assert account.published


# Should Auto Scaling know an action later than it tells of it, its notification that comes again is
# what begins the drain.
def test_a_token_that_was_never_confirmed_may_be_tried_again() -> None:
    account = Account(fails={"heartbeat": NOT_ACTIVE})
    account.has(0, "ACTIVE", task())
    controller = account.controller()
    [outcome] = account.run(notification(), controller=controller).outcomes
    assert outcome.over
    account.fails.clear()

    [outcome] = account.run(notification(), controller=controller, now=SOON).outcomes

    assert outcome.heartbeat
    assert account.published


# While its record is open, an instance that comes back stays DRAINING.
def test_the_sweep_ends_the_record_of_an_action_that_was_answered() -> None:
    account = Account()
    controller = account.controller()
    answered(account, controller)
    account.fails["heartbeat"] = account.fails["complete"] = NOT_ACTIVE
    account.records.unmade = None
    assert account.record().is_open

    for minutes in (5, 10):  # two looks agree that it does not wait
        account.run(controller=controller, now=NOW + timedelta(minutes=minutes), sweep=True)

    assert account.record().end == End.OVER


# An execution environment lives for hours, and each scale-in has actions of its own.
def test_the_oldest_are_forgotten() -> None:
    account, ended = Account(), EndedActions(most=2)
    outcomes: list[HookOutcome] = []
    for number in range(3):
        message = account.follows(number, "DRAINING", task(number, "STOPPED"))
        outcomes += account.run(message).outcomes
    ended.add(outcomes)

    marked = ended.applied([one.admitted for one in outcomes])

    assert [one.admission for one in marked] == [Admission.DUE, Admission.ENDED, Admission.ENDED]


# Each of a hundred messages that were held up took two looks, and a message more, to find out that
# its group is gone.
@pytest.mark.parametrize(("seconds", "over"), [(19, False), (20, True)])
def test_looks_of_two_messages_agree_that_an_action_does_not_wait(
    seconds: int, *, over: bool
) -> None:
    account = Account(fails={"complete": HOOK_GONE})
    controller = account.controller()
    account.records.down = DELETED
    message = drain(deadline_at=NOW, sent_at=NOW)
    [first] = account.run(message, controller=controller).outcomes

    at = NOW + timedelta(seconds=seconds)
    [second] = account.run(replace(message, hop=7), controller=controller, now=at).outcomes

    assert (first.over, second.over) == (False, over)
    report = account.run(replace(message, hop=9), controller=controller, now=at)
    assert [one.admission for one in report.not_admitted] == [Admission.ENDED] * over


# One late answer now and another one in an hour are not two looks that agree.
def test_a_look_that_finds_it_waiting_separates_two_that_do_not() -> None:
    account = Account(fails={"complete": HOOK_GONE})
    controller = account.controller()
    account.records.down = DELETED
    message = drain(sent_at=NOW)
    account.run(message, controller=controller)
    account.has(0, "DRAINING", task())
    account.run(replace(message, hop=5), controller=controller, now=NOW + timedelta(seconds=30))
    del account.states[instance_id()]

    later = replace(message, hop=7, deadline_at=NOW)
    [outcome] = account.run(later, controller=controller, now=NOW + timedelta(seconds=60)).outcomes

    assert not outcome.over


# It was seen to wait by another execution environment in between, of which this one hears nothing
# but what the message says: one late answer now and one a minute ago are not two that agree.
def test_a_message_that_says_since_when_it_does_not_wait_knows_better() -> None:
    account = Account(fails={"complete": HOOK_GONE})
    controller = account.controller()
    account.records.down = DELETED
    message = drain(deadline_at=NOW, sent_at=NOW)
    account.run(message, controller=controller)

    later = replace(message, hop=7, not_waiting_since=NOW + timedelta(seconds=55))
    at = NOW + timedelta(seconds=60)
    [outcome] = account.run(later, controller=controller, now=at).outcomes

    assert not outcome.over
