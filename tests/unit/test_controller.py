"""What a pass does, in which order, and what it leaves when it has no time or no place left."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.drain.actions import NO_TIME, STOPS_MAX
from drainer.drain.admission import Admission
from drainer.drain.model import Hook, Owner
from drainer.drain.record import SETTLE, End, key_of
from drainer.errors import (
    LifecycleActionOverError,
    MisconfiguredError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from drainer.lifecycle.controller import FOUND_MAX, PassReport
from tests.unit.account import (
    HOOK,
    LOOKS,
    NOW,
    OTHER_TOKEN,
    START,
    TOKEN,
    TOPIC_ARN,
    WAIT,
    Account,
    action,
    drain,
    instance_id,
    notification,
    record,
    task,
)
from tests.unit.records import Records

if TYPE_CHECKING:
    from drainer.drain.model import Drain
    from drainer.drain.record import DrainRecord
    from drainer.errors import DrainerError
    from drainer.lifecycle.outcome import HookOutcome

NOT_ACTIVE = LifecycleActionOverError("No active Lifecycle Action found")
THROTTLED = UnavailableError("Rate exceeded")
DENIED = MisconfiguredError("AccessDenied")
REFUSED = RefusedError("Group not found")
KEY = key_of(action())
# What a drain may take where the hook says nothing else: its global timeout less a margin.
LONGEST = timedelta(seconds=172_800 - 180)
STOPPING = replace(
    HOOK, notification_metadata='{"standalone_tasks": "stop", "standalone_grace_seconds": 0}'
)


def only(report: PassReport) -> HookOutcome:
    [outcome] = report.outcomes
    return outcome


def nameless(number: int = 0) -> Drain:
    """What the sweep's chain carries: nobody has told it the token."""
    return drain(number, action=action(number, ""))


# -- the order of calls


def test_a_notification_is_proven_before_anything_is_changed_and_published_last() -> None:
    # A notification that Auto Scaling never sent must change nothing. And what is published before
    # the record is written is published twice where a message comes twice: two chains for ever.
    account = Account()
    account.has(0, "ACTIVE", task())

    account.run(notification())

    assert account.done == ["heartbeat", "set DRAINING", "create hop=1", "publish"]
    [sent] = account.published
    assert (sent.hop, sent.generation, sent.draining_since) == (1, 1, NOW)
    assert sent.sent_at == NOW


def test_a_pass_writes_its_record_before_it_publishes() -> None:
    account = Account()

    account.run(account.follows(0, "DRAINING", task()))

    assert account.done == ["write hop=4", "publish"]
    assert (account.record().hop, account.published[0].hop) == (4, 4)


@pytest.mark.parametrize("there", [(), (record(drain(action=action(0, OTHER_TOKEN))),)])
def test_a_notification_that_auto_scaling_does_not_confirm_changes_nothing(
    there: tuple[DrainRecord, ...],
) -> None:
    # Who makes one up, or has an old one, could else end the drain that is under way.
    account = Account(fails={f"heartbeat {TOKEN}": NOT_ACTIVE})
    account.has(0, "ACTIVE", task())
    account.records.put(*there)
    before = dict(account.records.rows)

    outcome = only(account.run(notification()))

    assert outcome.over
    assert account.done == ["heartbeat"]
    assert account.records.rows == before


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_a_heartbeat_that_fails_proves_nothing_but_ends_no_chain(error: DrainerError) -> None:
    account = Account(fails={"heartbeat": error})
    account.has(0, "ACTIVE", task())

    outcome = only(account.run(notification()))

    assert account.done == ["heartbeat", "publish"]
    assert outcome.published
    assert outcome.errors
    assert (account.published[0].generation, account.records.rows) == (None, {})


def test_draining_is_since_the_end_of_the_call_that_set_it() -> None:
    # Dated back to the pass's beginning, the first listing comes before its time.
    account = Account(call_seconds=2)
    account.has(0, "ACTIVE", task())

    account.run(notification())

    [sent] = account.published
    spent = account.log.index("set DRAINING") + 1
    assert sent.draining_since is not None
    assert sent.draining_since >= NOW + timedelta(seconds=2 * spent)
    assert account.record().drain.draining_since == sent.draining_since


# Somebody else sets it DRAINING while a slow look goes on: dated by the pass's beginning, the first
# listing would come too early to show a task that was placed just before.
def test_what_others_set_draining_is_draining_since_the_look_has_ended() -> None:
    account = Account(call_seconds=2)

    account.run(account.follows(0, "DRAINING", task(), draining_since=None))

    [following] = account.published
    looked = account.log.index("describe") + 1
    assert following.draining_since is not None
    assert following.draining_since >= NOW + timedelta(seconds=2 * looked)


# The same for two searches, which must be further apart than answers may be late.
def test_an_absence_is_dated_by_the_end_of_its_search() -> None:
    account = Account(call_seconds=2, states={instance_id(0): WAIT})
    unfound = drain(container_instance_arn=None, cluster=None, draining_since=None)
    account.records.put(record(unfound))

    account.run(unfound)

    [following] = account.published
    assert following.absent_since is not None
    assert following.absent_since > NOW


def test_a_container_instance_that_refuses_draining_is_not_draining() -> None:
    account = Account(refused_arns={"arn-0"})
    account.has(0, "ACTIVE", task())

    outcome = only(account.run(notification()))

    assert not outcome.drained_now
    assert account.published[0].draining_since is None


def test_what_is_drained_is_answered_before_others_get_their_heartbeats() -> None:
    # An instance that may go costs money and holds up its group.
    account = Account()
    busy = account.follows(1, "DRAINING", task(), last_heartbeat_at=NOW - timedelta(minutes=20))

    account.run(busy, account.follows(0))

    assert account.answered == [(instance_id(0), "CONTINUE")]
    assert account.done == [
        "complete", "heartbeat", "write hop=4", "publish", "end: answered CONTINUE",
    ]  # fmt: skip


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_an_answer_that_fails_is_re_invoked_so_that_it_is_given_again(error: DrainerError) -> None:
    account = Account(fails={"complete": error})

    outcome = only(account.run(account.follows()))

    assert (outcome.answered, outcome.published) == (None, True)
    assert account.record().is_open


# The end is written before an answer without a token. Where it stays, the empty instance waits for
# a sweep, and at its deadline a whole drain timeout begins again.
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("error", [ThrottledError("Rate exceeded"), DENIED])
def test_a_refused_answer_without_a_token_is_re_invoked_within_its_deadline(
    error: DrainerError, *, late: bool
) -> None:
    account = Account(fails={"complete": error})
    tasks = [task()] if late else []
    deadline_at = NOW if late else NOW + timedelta(hours=1)
    due = account.follows(
        0, "DRAINING", *tasks, action=action(0, ""), generation=1, deadline_at=deadline_at
    )

    account.run(due)

    [sent] = account.published
    assert account.record().is_open
    account.fails.clear()
    account.run(sent, now=NOW + timedelta(seconds=15))
    assert len(account.answered) == 1


# The action may have ended, and another one begin: its record would be the ended one's.
@pytest.mark.parametrize("error", [THROTTLED, NOT_ACTIVE])
def test_an_answer_of_which_nothing_is_known_leaves_the_end_that_was_written(
    error: DrainerError,
) -> None:
    account = Account(fails={"complete": error})
    due = account.follows(action=action(0, ""), generation=1)

    account.run(due)

    assert account.record().end == End.CONTINUE
    assert account.published == []


# By then another pass may have seen it ACTIVE, and tasks may have been placed.
@pytest.mark.parametrize("wakes", [False, True])
def test_an_empty_instance_whose_record_cannot_be_read_again_is_not_answered_yet(
    *, wakes: bool
) -> None:
    account = Account()
    due = account.follows()
    account.records.unread_again = THROTTLED

    outcome = only(account.run(stopped=["arn-0"]) if wakes else account.run(due))

    assert (account.answered, outcome.answered, outcome.retry_reason) == ([], None, "")
    assert outcome.published is not wakes
    assert account.record().is_open


def test_what_somebody_set_active_is_recorded_and_published_before_it_is_draining_again() -> None:
    # Tasks may have been placed meanwhile, which no listing has. Does the function die in between,
    # the next pass sees DRAINING, and would believe in the listings from before.
    account = Account()

    account.run(account.follows(0, "ACTIVE", task()))

    assert account.done == ["write hop=4", "publish", "set DRAINING"]
    [sent] = account.published
    assert (sent.draining_since, sent.closed, sent.listed_at) == (None, False, None)
    assert account.record().drain.draining_since is None


@pytest.mark.parametrize("what", ["write", "publish"])
def test_what_cannot_say_that_it_was_active_is_not_set_draining_again(what: str) -> None:
    account = Account()
    due = account.follows(0, "ACTIVE", task())
    if what == "write":
        account.records.meanwhile[KEY] = record(drain(hop=4))
    else:
        account.fails["publish"] = THROTTLED

    account.run(due)

    assert "set DRAINING" not in account.log


# Of a write without an answer nothing is known: the sweep may go on from the record of before,
# which believes in its listings.
def test_what_may_not_have_recorded_that_it_was_active_is_not_set_draining_again() -> None:
    account = Account()
    due = account.follows(0, "ACTIVE", task())
    account.records.unmade = THROTTLED

    account.run(due)

    assert len(account.published) == 1
    assert "set DRAINING" not in account.log


# The chain that has no token believes in its listings, and may be about to answer by them.
def test_a_join_does_not_set_draining_what_the_record_has_seen_draining() -> None:
    account = Account()
    account.has(0, "ACTIVE", task())
    of_sweep = record(drain(action=action(0, "")))
    assert of_sweep.drain.draining_since is not None
    account.records.put(of_sweep)

    account.run(notification(at=of_sweep.drain.started_at))

    assert "set DRAINING" not in account.log
    assert account.record().token == TOKEN


# -- the write is the claim of the hop


def test_who_finds_the_hop_taken_is_a_duplicate_and_publishes_nothing() -> None:
    # Both would go on: two chains for ever, and twice the calls.
    account = Account()
    due = account.follows(0, "DRAINING", task())
    account.records.meanwhile[KEY] = record(drain(hop=4))

    outcome = only(account.run(due))

    assert (outcome.duplicate, outcome.published, outcome.retry_reason) == (True, False, "")
    assert account.published == []
    assert account.record().is_open


def test_of_two_that_bring_the_same_notification_one_creates_and_the_other_acknowledges() -> None:
    account = Account()
    account.has(0, "ACTIVE", task())
    account.records.meanwhile[KEY] = record(drain(hop=1))

    outcome = only(account.run(notification()))

    assert (outcome.duplicate, outcome.published, outcome.retry_reason) == (True, False, "")


def test_a_notification_comes_again_where_another_token_was_first() -> None:
    # It is not known which of the two is true: acknowledged, the true one could be lost.
    account = Account()
    account.has(0, "ACTIVE", task())
    account.records.meanwhile[KEY] = record(drain(action=action(0, OTHER_TOKEN)))

    outcome = only(account.run(notification()))

    assert outcome.retry_reason
    assert account.published == []


def test_a_record_that_was_deleted_meanwhile_has_its_message_delivered_again() -> None:
    account = Account()
    due = account.follows(0, "DRAINING", task())
    account.records.meanwhile[KEY] = None

    outcome = only(account.run(due))

    assert (bool(outcome.retry_reason), outcome.published) == (True, False)


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_a_write_of_which_nothing_is_known_delays_no_drain(
    *, made: bool, error: DrainerError
) -> None:
    # The message carries what the record would. Stopped here, a table that is down for an hour
    # stops every heartbeat.
    account = Account()
    due = account.follows(0, "DRAINING", task())
    account.records.unanswered = error if made else None
    account.records.unmade = None if made else error

    outcome = only(account.run(due))

    assert (outcome.published, outcome.recorded, outcome.retry_reason) == (True, False, "")
    assert outcome.errors
    assert account.record().hop == (4 if made else 3)


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("before", ["none", "ended", "open"])
def test_a_first_write_of_which_nothing_is_known_loses_no_chain(*, made: bool, before: str) -> None:
    # The message must not name a generation that may never have been written: the next pass would
    # take it for one of another action, and acknowledge it.
    account = Account()
    account.has(0, "ACTIVE", task())
    other = record(drain(action=action(0, OTHER_TOKEN)), written_at=NOW - timedelta(hours=1))
    if before != "none":
        ended = replace(other, end=End.OVER, ended_at=NOW - timedelta(hours=1))
        account.records.put(other if before == "open" else ended)
    account.records.unanswered = THROTTLED if made else None
    account.records.unmade = None if made else THROTTLED
    account.run(notification())
    account.records.unanswered = account.records.unmade = None
    account.has(0, "DRAINING", task())
    [sent] = account.published

    outcome = only(account.run(sent, now=NOW + timedelta(seconds=15)))

    assert outcome.published
    assert (account.record().token, account.record().hop) == (TOKEN, 2)
    assert account.record().generation == (1 if before == "none" else 2)


@pytest.mark.parametrize("refusal", [THROTTLED, DENIED, "one"])
def test_a_publication_that_fails_has_its_message_delivered_again(refusal: object) -> None:
    # Acknowledged, the chain would be lost until the next sweep.
    account = Account()
    due = [account.follows(number, "DRAINING", task(number)) for number in range(2)]
    if refusal == "one":
        account.unpublished = {0}
    elif isinstance(refusal, (UnavailableError, MisconfiguredError)):
        account.fails["publish"] = refusal

    report = account.run(*due)

    assert [bool(one.retry_reason) for one in report.outcomes] == [True, refusal != "one"]
    assert [one.published for one in report.outcomes] == [False, refusal == "one"]


def test_a_chain_that_died_before_it_published_goes_on_when_its_message_comes_again() -> None:
    # 180 s later the message finds its own write, and the record silent.
    account = Account(fails={"publish": THROTTLED})
    due = account.follows(0, "DRAINING", task())
    account.run(due)
    account.fails.clear()

    account.run(due, now=NOW + timedelta(seconds=30))
    assert account.published == []
    outcome = only(account.run(due, now=NOW + timedelta(seconds=180)))

    assert outcome.admitted is not None
    assert outcome.admitted.admission == Admission.TAKEOVER
    assert [one.hop for one in account.published] == [5]


def test_an_envelope_that_is_too_long_is_delivered_again_and_costs_no_other() -> None:
    account = Account()
    due = [account.follows(number, "DRAINING", task(number)) for number in range(2)]
    long = tuple("x" * 512 for _ in range(60))
    account.records.down = THROTTLED  # else the record's copy counts, which is not longer than this

    report = account.run(replace(due[0], unfinished=long), due[1])

    assert [bool(outcome.retry_reason) for outcome in report.outcomes] == [True, False]
    assert [one.action.ec2_instance_id for one in account.published] == [instance_id(1)]


def test_what_is_published_late_in_a_pass_is_not_sent_at_its_beginning() -> None:
    # The duplicate that comes past the queue that delays is told by how soon after it was sent it
    # comes: dated back to the beginning of a pass that took ten seconds, it would be re-invoked
    # without delay.
    account = Account(call_seconds=2)
    account.has(0, "ACTIVE", task())

    account.run(notification())

    [sent] = account.published
    before = account.log.index("publish")
    assert sent.sent_at is not None
    assert sent.sent_at >= NOW + timedelta(seconds=2 * before)


def test_what_comes_before_its_delay_acts_and_neither_claims_its_hop_nor_is_re_invoked() -> None:
    # The subscription without delay gets a duplicate while its filter is not in force; its twin,
    # which was delayed, has to find the hop free.
    account = Account()
    due = account.follows(0, "ACTIVE", task(), draining_since=None)

    outcome = only(account.run(replace(due, sent_at=NOW - timedelta(seconds=1))))

    assert outcome.drained_now
    assert (account.published, outcome.retry_reason, account.record().hop) == ([], "", 3)


def test_a_chain_of_more_hops_than_can_be_ends_and_leaves_its_drain_to_the_sweep() -> None:
    # Something publishes without delay: each pass would cost money, without an end. But the drain
    # has not ended: the sweep answers it at its deadline.
    account = Account()
    due = account.follows(0, "DRAINING", task(), hop=100_000)

    outcome = only(account.run(due))

    assert outcome.decision.hop_limit
    assert (account.published, account.record().is_open) == ([], True)


# -- messages that are not admitted


@pytest.mark.parametrize(
    ("changes", "admission"),
    [
        pytest.param({"hop": 2}, Admission.DUPLICATE, id="a hop that was written already"),
        pytest.param(
            {"generation": 2, "action": action(0, OTHER_TOKEN)},
            Admission.OTHER,
            id="of another generation",
        ),
        pytest.param({"generation": None, "action": action(0, "")}, Admission.OTHER, id="of none"),
    ],
)
def test_a_message_that_is_not_admitted_asks_for_nothing(
    changes: dict[str, object], admission: Admission
) -> None:
    account = Account()
    due = account.follows(0, "ACTIVE", task())

    report = account.run(replace(due, **changes))  # type: ignore[arg-type]

    assert report.outcomes == ()
    assert [one.admission for one in report.not_admitted] == [admission]
    assert account.done == []


def test_the_message_of_a_drain_that_has_ended_is_acknowledged() -> None:
    account = Account()
    due = account.follows(0, "ACTIVE", task())
    account.records.put(replace(record(due), end=End.CONTINUE, ended_at=NOW))

    report = account.run(due)

    assert [one.admission for one in report.not_admitted] == [Admission.ENDED]
    assert account.done == []


# -- how drains end


def test_the_record_of_what_was_answered_has_ended_and_says_how() -> None:
    # The same instance's next action would inherit its deadline: cut 600 s in.
    account = Account()

    account.run(account.follows())

    ended = account.record()
    assert (ended.end, ended.ended_at, ended.followed) == (End.CONTINUE, NOW, True)
    assert account.done == ["complete", "end: answered CONTINUE"]


def test_a_drain_that_somebody_else_has_ended_has_ended() -> None:
    # An ABANDON by hand is not seen by us, but the next pass sees that the instance has gone on.
    account = Account()
    due = account.follows()
    account.states[instance_id(0)] = "Terminating:Proceed"

    account.run(due)

    assert (account.record().end, account.record().followed) == (End.OVER, True)


@pytest.mark.parametrize("what", ["heartbeat", "complete"])
def test_a_drain_that_is_not_active_any_more_is_over(what: str) -> None:
    account = Account(fails={what: NOT_ACTIVE})
    tasks = [task()] if what == "heartbeat" else []

    account.run(account.follows(0, "DRAINING", *tasks, last_heartbeat_at=NOW - timedelta(hours=1)))

    assert account.record().end == End.OVER
    assert account.published == []


@pytest.mark.parametrize(
    ("there", "message"),
    [
        pytest.param(
            record(drain(action=action(0, OTHER_TOKEN))),
            drain(generation=None),
            id="another action's",
        ),
        pytest.param(record(nameless()), notification(at=START), id="a sweep's"),
        pytest.param(record(drain(9)), drain(generation=None), id="another instance's"),
        pytest.param(
            record(drain(generation=2, action=action(0, OTHER_TOKEN))),
            drain(generation=1),
            id="a later generation's",
        ),
    ],
)
def test_what_is_over_ends_no_record_but_its_own(there: DrainRecord, message: Drain) -> None:
    # Who has an old message, or makes one up, could else end the drain that is under way; and what
    # has ended may be set ACTIVE.
    account = Account(fails={"heartbeat": NOT_ACTIVE, "complete": NOT_ACTIVE})
    account.has(0)
    account.records.put(there)
    account.states[instance_id(0)] = "Terminating:Proceed"

    account.run(message)
    account.states[instance_id(0)] = WAIT
    account.run(message)

    assert list(account.records.rows.values()) == [there]
    assert account.records.made == []


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_looks_that_see_no_wait_end_no_drain_that_auto_scaling_still_knows(token: str) -> None:
    # Auto Scaling's listing may be late, however often it is asked; a heartbeat is not.
    account = Account()
    due = account.follows(
        0, "DRAINING", task(), action=action(0, token), not_waiting_since=NOW - timedelta(minutes=1)
    )
    account.states[instance_id(0)] = "InService"

    outcome = only(account.run(due))

    assert (outcome.heartbeat, outcome.published) == (True, True)
    assert account.record().is_open


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_looks_that_see_no_wait_and_a_heartbeat_that_is_refused_end_it(token: str) -> None:
    account = Account(fails={"heartbeat": NOT_ACTIVE})
    due = account.follows(
        0, "DRAINING", task(), action=action(0, token),
        not_waiting_since=NOW - timedelta(minutes=1),
        last_heartbeat_at=START - timedelta(hours=1),
    )  # fmt: skip
    account.states[instance_id(0)] = "Terminating:Retained"

    account.run(due)

    # It may come back into service: written down as never drained, it would stay DRAINING. Without
    # a token and a heartbeat nothing was set DRAINING for it.
    assert (account.record().end, account.record().followed) == (End.OVER, bool(token))


def test_one_look_that_sees_no_wait_costs_the_chain_nothing() -> None:
    account = Account()
    due = account.follows(0, "DRAINING", task())
    account.states[instance_id(0)] = "InService"

    outcome = only(account.run(due))

    assert (outcome.published, "heartbeat" in account.log) == (True, False)
    assert account.published[0].not_waiting_since == NOW


def test_an_end_that_cannot_be_written_costs_the_answer_nothing_and_no_other_its_end() -> None:
    account = Account()
    due = [account.follows(number) for number in range(2)]
    account.records.unmade_of[KEY] = DENIED

    report = account.run(*due)

    assert [outcome.answered for outcome in report.outcomes] == ["CONTINUE", "CONTINUE"]
    assert [account.record(number).is_open for number in range(2)] == [True, False]
    assert [bool(outcome.errors) for outcome in report.outcomes] == [True, False]
    assert [outcome.retry_reason for outcome in report.outcomes] == ["", ""]


def test_an_end_that_was_not_written_is_written_by_the_sweep() -> None:
    # Open for ever, the record would be resumed by every sweep, and the instance's next action
    # would be taken for this one.
    account = Account()
    account.records.unmade = THROTTLED
    account.run(account.follows())
    account.records.unmade = None
    account.fails["heartbeat"] = account.fails["complete"] = NOT_ACTIVE

    account.run(sweep=True, now=NOW + timedelta(minutes=5))

    assert account.record().end == End.OVER


def test_the_record_of_what_is_answered_unseen_at_its_deadline_has_ended() -> None:
    account = Account(fails={"states": THROTTLED})

    account.run(account.follows(0, "DRAINING", task(), deadline_at=NOW))

    assert account.answered
    assert account.record().end == End.CONTINUE


@pytest.mark.parametrize(("seconds_left", "written"), [(7.25, False), (100.0, True)])
def test_no_end_is_begun_that_could_outlast_the_invocation(
    seconds_left: float, *, written: bool
) -> None:
    account = Account(seconds_left=seconds_left, call_seconds=1.1, fails={"states": THROTTLED})

    outcome = only(account.run(account.follows(0, "DRAINING", task(), deadline_at=NOW)))

    assert outcome.answered
    assert (not account.record().is_open, not outcome.errors) == (written, written)
    assert outcome.retry_reason == ""


@pytest.mark.parametrize("drained", [True, False])
def test_a_group_or_hook_that_is_no_more_ends_the_drain_once_two_looks_agree(
    *, drained: bool
) -> None:
    # Auto Scaling refuses every heartbeat and answer then, for as long as the table lasts.
    account = Account(fails={"heartbeat": REFUSED, "complete": REFUSED})
    tasks = [] if drained else [task()]
    due = account.follows(0, "DRAINING", *tasks, not_waiting_since=NOW - timedelta(minutes=1))
    account.hooks = ()

    account.run(due)

    assert account.record().end == End.OVER


# -- a table that does not answer


def test_without_the_table_a_token_goes_on_and_answers_and_nothing_is_written() -> None:
    # An outage of the table, or a stack that lost it, must delay no drain.
    account = Account()
    sent_at = NOW - timedelta(seconds=15)
    drained = account.follows(0, sent_at=sent_at)
    busy = account.follows(1, "DRAINING", task(), sent_at=sent_at)
    account.records.down = THROTTLED

    report = account.run(drained, busy)

    assert account.answered == [(instance_id(0), "CONTINUE")]
    assert [one.hop for one in account.published] == [4]
    assert account.records.writes == []
    assert [outcome.retry_reason for outcome in report.outcomes] == ["", ""]


def test_without_the_table_a_notification_is_proven_drained_and_passed_on() -> None:
    account = Account()
    account.has(0, "ACTIVE", task())
    account.records.down = DENIED

    account.run(notification())

    assert account.done == ["heartbeat", "set DRAINING", "publish"]
    [sent] = account.published
    assert (sent.generation, sent.draining_since) == (None, NOW)


@pytest.mark.parametrize(
    ("seconds", "goes_on"),
    [pytest.param(1, True, id="before"), pytest.param(0, False, id="at the deadline")],
)
def test_without_the_table_and_a_token_it_is_kept_waiting_until_its_deadline_and_not_answered(
    seconds: int, *, goes_on: bool
) -> None:
    # The action that waits now may be another one than that of the message.
    account = Account()
    due = account.follows(
        action=action(0, ""),
        last_heartbeat_at=NOW - timedelta(hours=1),
        deadline_at=NOW + timedelta(seconds=seconds),
    )
    account.records.down = THROTTLED

    outcome = only(account.run(due))

    assert account.answered == []
    assert (outcome.heartbeat, outcome.published) == (goes_on, goes_on)
    assert outcome.retry_reason == ""


def test_one_record_that_cannot_be_read_costs_no_other_its_own() -> None:
    account = Account()
    due = [account.follows(number, "DRAINING", task(number)) for number in range(2)]
    account.records.unread[KEY] = DENIED

    report = account.run(*due)

    assert [outcome.published for outcome in report.outcomes] == [True, True]
    assert [one.record.key for one in account.records.made] == [key_of(action(1))]


def test_a_table_that_is_down_is_asked_once_and_not_for_each_of_a_hundred() -> None:
    # Each write that times out takes seconds, of which the publications need some.
    account = Account()
    due = [account.follows(number, "DRAINING", task(number)) for number in range(30)]
    account.records.unmade = THROTTLED

    report = account.run(*due)

    assert len(account.records.writes) == 1
    assert all(outcome.published for outcome in report.outcomes)


def test_when_the_table_is_back_the_message_that_is_ahead_counts() -> None:
    # The record still says what was before the outage.
    account = Account()
    due = account.follows(0, "DRAINING", task())
    ahead = replace(due, hop=20, last_heartbeat_at=NOW - timedelta(seconds=5))

    account.run(ahead)

    assert (account.record().hop, account.published[0].hop) == (21, 21)
    assert account.record().drain.last_heartbeat_at == ahead.last_heartbeat_at


# -- wake-ups


def test_a_wake_up_answers_what_is_drained_and_ends_its_record() -> None:
    account = Account()
    account.follows()

    outcome = only(account.run(stopped=["arn-0"]))

    assert outcome.answered
    assert account.record().end == End.CONTINUE
    assert account.tokens == [TOKEN]


@pytest.mark.parametrize("status", ["ACTIVE", "DRAINING"])
@pytest.mark.parametrize("since", [START, None])
def test_a_wake_up_does_nothing_else(status: str, since: object) -> None:
    # It would fork the chain whose event it is, or keep waiting what no chain looks after.
    account = Account(hooks=(STOPPING,))
    jobs = [task(1, owner=Owner.STANDALONE)]
    account.follows(
        0, status, *jobs, draining_since=since, last_heartbeat_at=NOW - timedelta(hours=1)
    )
    before = account.record()

    account.run(stopped=["arn-0"])

    assert account.done == []
    assert account.record() == before


def test_a_wake_up_without_a_record_is_about_nothing_of_ours() -> None:
    account = Account()
    account.has(0, "DRAINING", task())

    assert account.run(stopped=["arn-0"]).outcomes == ()
    assert account.done == []


def test_a_wake_up_that_sees_no_wait_ends_nothing() -> None:
    account = Account()
    account.follows()
    account.states[instance_id(0)] = "Terminating:Proceed"

    account.run(stopped=["arn-0"])

    assert account.record().is_open


# -- what the sweep finds


def test_a_pass_that_is_no_sweep_asks_for_nothing_but_what_it_was_told_of() -> None:
    # Each batch of messages would list the account's groups: its other drains would be throttled.
    account = Account()
    account.has(0, "ACTIVE", task())

    assert account.run().outcomes == ()
    assert account.done == []


def test_the_sweep_creates_its_record_before_it_keeps_the_hook_waiting() -> None:
    # Who dies in between must not leave a hook that waits, and nobody who counts its time: each
    # sweep would begin another drain with another deadline.
    account = Account()
    account.has(0, "ACTIVE", task())

    outcome = only(account.run(sweep=True))

    assert account.done == ["create hop=0", "heartbeat", "set DRAINING", "write hop=1", "publish"]
    assert outcome.published
    assert account.record().drain.deadline_at == NOW + LONGEST


def test_what_a_slow_sweep_finds_does_not_begin_after_its_first_heartbeat() -> None:
    # The record tells by that heartbeat that Auto Scaling has confirmed the action: else an
    # instance that comes back would stay DRAINING.
    account = Account(call_seconds=2)
    account.has(0, "ACTIVE", task())

    account.run(sweep=True)

    assert "set DRAINING" in account.done
    assert account.record().may_have_drained


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_nothing_heartbeats_of_which_there_is_no_record(error: DrainerError) -> None:
    # Nobody would remember its deadline: it was kept waiting for 48 hours.
    account = Account()
    account.has(0, "DRAINING", task())
    account.records.unmade = error

    outcome = only(account.run(sweep=True))

    assert account.done == ["create hop=0"]
    assert outcome.errors


def test_the_sweep_leaves_alone_what_a_notification_has_begun_meanwhile() -> None:
    account = Account()
    account.has(0, "ACTIVE", task())
    account.records.meanwhile[KEY] = record(drain(hop=1))

    outcome = only(account.run(sweep=True))

    assert outcome.duplicate
    assert account.done == ["create hop=0"]
    assert account.record().token == TOKEN


def test_what_the_sweep_finds_in_no_cluster_has_a_deadline_too() -> None:
    account = Account(states={instance_id(0): WAIT})

    account.run(sweep=True)

    assert account.done[0] == "create hop=0"
    assert account.record().drain.deadline_at == NOW + LONGEST


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_a_sweep_without_the_table_does_nothing_and_says_so(error: DrainerError) -> None:
    # What waits could not be told from what has a record and a chain.
    account = Account()
    account.has(0, "ACTIVE", task())
    account.records.down = error

    report = account.run(sweep=True)

    assert (report.outcomes, account.done, len(report.problems)) == ((), [], 1)


def test_the_sweep_takes_over_a_lost_chain_with_its_token_and_within_its_deadline() -> None:
    account = Account()
    lost = drain(deadline_at=START + timedelta(minutes=50), last_heartbeat_at=START)
    account.has(0, "DRAINING", task())
    account.records.put(record(lost))
    later = NOW + timedelta(minutes=30)

    outcome = only(account.run(sweep=True, now=later))

    assert (outcome.heartbeat, outcome.drain.deadline_at) == (True, lost.deadline_at)
    assert account.done == ["heartbeat", "write hop=4", "publish"]
    assert account.tokens == [TOKEN]


def test_the_sweep_leaves_alone_a_chain_that_is_alive() -> None:
    # Two chains for one action double the calls for the rest of the drain.
    account = Account()
    account.follows(0, "DRAINING", task())

    assert account.run(sweep=True).outcomes == ()
    assert account.done == []


def test_the_sweep_leaves_alone_what_a_message_in_the_same_batch_is_about() -> None:
    account = Account()
    account.has(0, "DRAINING", task())
    silent = record(written_at=NOW - timedelta(hours=1))
    account.records.put(silent)

    report = account.run(drain(hop=2), sweep=True)

    assert len(report.outcomes) == 1
    assert len(account.published) == 1


@pytest.mark.parametrize(("ago", "found"), [(SETTLE - timedelta(seconds=1), False), (SETTLE, True)])
def test_what_waits_right_after_a_drain_has_ended_is_that_drains(
    ago: timedelta, *, found: bool
) -> None:
    # Auto Scaling's listing may name an action that has just been answered: a drain without a token
    # would be begun for it. Once the end has settled, it is another action.
    account = Account()
    account.has(0, "DRAINING", task())
    account.records.put(record(drain(), end=End.CONTINUE, ended_at=NOW - ago))

    account.run(sweep=True)

    assert (account.record().generation, account.record().is_open) == (2 if found else 1, found)


def test_no_sweep_sees_more_through_than_it_can() -> None:
    # What is silent comes before what is new: its hook has waited longest.
    account = Account()
    lost = {instance_id(number) for number in range(FOUND_MAX, FOUND_MAX + 5)}
    for number in range(FOUND_MAX + 5):
        account.states[instance_id(number)] = WAIT
        if instance_id(number) in lost:
            silent = record(nameless(number), written_at=START - timedelta(hours=1))
            account.records.put(silent)

    report = account.run(sweep=True)

    seen = {outcome.drain.action.ec2_instance_id for outcome in report.outcomes}
    assert (len(report.outcomes), lost <= seen) == (FOUND_MAX, True)


# -- what a notification adds to a sweep's record


def test_a_notification_gives_its_token_to_the_sweeps_record_and_its_chain_goes_on() -> None:
    account = Account()
    due = account.follows(0, "DRAINING", task(), action=action(0, ""))

    account.run(due, notification(at=START))

    assert [one.hop for one in account.published] == [4]
    assert (account.record().token, account.record().hop) == (TOKEN, 4)


def test_a_notification_takes_the_place_of_a_sweeps_chain_that_is_lost() -> None:
    account = Account()
    account.has(0, "DRAINING", task())
    account.records.put(record(nameless(), written_at=NOW - timedelta(minutes=5)))

    account.run(notification(at=START))

    [sent] = account.published
    assert (sent.hop, sent.action.lifecycle_action_token) == (4, TOKEN)
    assert (account.record().hop, account.record().token) == (4, TOKEN)


@pytest.mark.parametrize("made", [True, False])
def test_a_token_of_which_nobody_knows_whether_it_was_written_is_not_lost(*, made: bool) -> None:
    # Acknowledged, nobody has the token any more: the drain would go on as one that believes
    # nothing it has seen before a silence.
    account = Account()
    account.follows(0, "DRAINING", task(), action=action(0, ""))
    account.records.unanswered = THROTTLED if made else None
    account.records.unmade = None if made else THROTTLED
    report = account.run(notification(at=START))
    account.records.unanswered = account.records.unmade = None

    for sent in account.published:
        account.run(sent, now=NOW + timedelta(seconds=15))

    assert account.record().token == TOKEN
    assert not only(report).retry_reason


def test_an_action_that_auto_scaling_confirms_replaces_the_record_of_the_one_before() -> None:
    account = Account()
    before = drain(action=action(0, OTHER_TOKEN))
    account.has(0, "ACTIVE", task())
    account.records.put(record(before))

    account.run(notification())
    report = account.run(before)

    replaced = account.record()
    assert (replaced.generation, replaced.token) == (2, TOKEN)
    assert replaced.previous is not None
    assert replaced.previous.began_at == START
    # Its chain ends by itself.
    assert [one.admission for one in report.not_admitted] == [Admission.OTHER]


# -- two hooks


def test_a_hook_learns_from_the_other_that_the_instance_was_active_again() -> None:
    # Tasks may have been placed then that no listing of this drain has.
    other = Hook("backup", 1800, 172_800, TOPIC_ARN, None)
    account = Account(hooks=(HOOK, other))
    due = account.follows(0, "DRAINING", closed=True)
    beside = drain(action=action(0, OTHER_TOKEN, "backup"), draining_since=NOW)
    account.records.put(record(beside))

    outcome = only(account.run(due))

    assert outcome.answered is None
    assert (outcome.drain.draining_since, outcome.drain.closed) == (NOW, False)


# All hooks hold an instance at once: it is in its wait state until the last is answered.
@pytest.mark.parametrize(
    ("began", "found"),
    [
        pytest.param(timedelta(0), False, id="the other's action lasts since before the end"),
        pytest.param(timedelta(minutes=50), True, id="it began after the end, as this one has"),
    ],
)
def test_an_answered_hooks_record_is_kept_while_another_hook_holds_the_instance(
    began: timedelta, *, found: bool
) -> None:
    # Each sweep took the wait for a new action: a heartbeat for nothing, and a record that says
    # "over" in the place of "answered CONTINUE".
    account = Account(hooks=(HOOK, Hook("backup", 1800, 172_800, TOPIC_ARN, None)))
    later = START + timedelta(hours=1)
    account.has(0, "DRAINING", task())
    account.records.put(
        record(drain(), end=End.CONTINUE, ended_at=START + timedelta(minutes=40)),
        record(
            drain(action=action(0, OTHER_TOKEN, "backup"), started_at=START + began),
            written_at=later,
        ),
    )

    account.run(sweep=True, now=later)

    assert (account.record().generation, account.record().end) == (
        (2, End.OPEN) if found else (1, End.CONTINUE)
    )
    assert ("heartbeat" in account.log) == found


# -- time


@pytest.mark.parametrize(("call_seconds", "published"), [(0.7, 10), (1.0, 10), (1.5, 8)])
def test_early_heartbeats_stop_where_no_time_is_left_for_the_re_invocation(
    call_seconds: float, published: int
) -> None:
    # The invocation is killed in its middle: nothing of the batch is published, and each message is
    # delivered again after three minutes, whatever was done. So is what is given back to SQS, at
    # the same place of the same batch: its hook ran out before it ever got a heartbeat.
    account = Account(call_seconds=call_seconds, seconds_left=22)
    long_ago = NOW - timedelta(hours=1)
    due = [
        account.follows(number, "DRAINING", task(number), last_heartbeat_at=long_ago)
        for number in range(10)
    ]

    report = account.run(*due)

    kept = [outcome for outcome in report.outcomes if outcome.heartbeat]
    assert account.late == []
    assert 0 < len(kept) < 10
    assert len(account.published) == published
    assert all(outcome.published != bool(outcome.retry_reason) for outcome in report.outcomes)
    # What got no heartbeat does not say that it got one.
    assert all(
        (sent.last_heartbeat_at == NOW) == (sent.action.ec2_instance_id in ids(kept))
        for sent in account.published
    )


def test_whose_hook_runs_out_first_gets_its_heartbeat_first() -> None:
    # In the order of the batch, the last ones would be without a heartbeat at every slow pass.
    account = Account(call_seconds=1.5, seconds_left=22)
    due = [
        account.follows(
            number, "DRAINING", task(number), last_heartbeat_at=NOW - timedelta(minutes=20 + number)
        )
        for number in range(10)
    ]

    report = account.run(*due)

    assert ids([one for one in report.outcomes if one.heartbeat]) == {instance_id(9)}


def ids(outcomes: list[HookOutcome]) -> set[str]:
    return {outcome.drain.action.ec2_instance_id for outcome in outcomes}


def test_what_has_no_time_to_be_acted_upon_is_re_invoked() -> None:
    account = Account(seconds_left=4.9)

    outcome = only(account.run(account.follows()))

    assert (outcome.retry_reason, outcome.answered, outcome.published) == ("", None, True)
    assert account.done == ["write hop=4", "publish"]


def test_what_has_no_time_at_all_is_delivered_again_and_what_is_retried_is_said() -> None:
    account = Account(seconds_left=0.9)

    outcome = only(account.run(account.follows()))

    assert (outcome.retry_reason, outcome.answered) == (NO_TIME, None)
    assert account.done == []


@pytest.mark.parametrize("call_seconds", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("what", ["notification", "due", "drained", "again", "sweep", "two"])
def test_nothing_is_begun_that_could_outlast_the_invocation(what: str, call_seconds: float) -> None:
    # Killed in its middle, a pass has perhaps answered, but nobody writes it down; and a hop that
    # was claimed and not published waits for its message to come again, 180 s later.
    for quarters in range(1, 120):
        account = Account(call_seconds=call_seconds, seconds_left=quarters / 4)
        long_ago = NOW - timedelta(hours=1)
        messages, sweep = [notification()], what == "sweep"
        if what in ("notification", "sweep"):
            account.has(0, "ACTIVE", task())
        elif what in ("again", "two"):
            messages = [account.follows(0, "ACTIVE", task(), last_heartbeat_at=long_ago)]
        else:
            tasks = [task()] if what == "due" else []
            messages = [account.follows(0, "DRAINING", *tasks, last_heartbeat_at=long_ago)]
        if what == "two":
            account.has(1, "ACTIVE", task(1))
            messages.append(notification(1))

        account.run(*([] if sweep else messages), sweep=sweep)

        assert [one for one in account.late if one not in LOOKS] == [], account.log


def test_stops_leave_time_for_the_re_invocation() -> None:
    # A hundred standalone tasks that are stopped one by one use up the invocation.
    account = Account(hooks=(STOPPING,), call_seconds=1, seconds_left=25)
    jobs = [task(number, owner=Owner.STANDALONE) for number in range(50)]
    due = account.follows(0, "DRAINING", *jobs, unfinished=tuple(one.id for one in jobs))

    outcome = only(account.run(due))

    assert 0 < account.log.count("stop") < STOPS_MAX
    assert outcome.published
    assert not outcome.stopped
    assert not account.published[0].standalone_stopped
    assert account.late == []


def test_one_pass_stops_no_more_tasks_than_it_may_and_the_next_stops_the_others() -> None:
    account = Account(hooks=(STOPPING,))
    jobs = [task(number, owner=Owner.STANDALONE) for number in range(STOPS_MAX + 5)]
    due = account.follows(0, "DRAINING", *jobs, unfinished=tuple(one.id for one in jobs))

    account.run(due)

    assert account.log.count("stop") == STOPS_MAX
    assert not account.published[0].standalone_stopped


@pytest.mark.parametrize("put", ["taken", "denied"])
@pytest.mark.parametrize("clusters", [1, 60])
def test_ends_are_never_written_past_the_invocations_time(clusters: int, put: str) -> None:
    # Sixty instances are clear at once; each answer, and each write, takes 0.3 s. Killed while it
    # tidies up, the function reports nothing, and all sixty messages are delivered again.
    account = Account(call_seconds=0.3, seconds_left=30)
    account.records.unmade = DENIED if put == "denied" else None
    due = [account.follows(n, cluster=f"cluster-{n % clusters}") for n in range(60)]

    account.run(*due)

    assert account.answered
    assert account.late == []


@pytest.mark.parametrize("error", [None, DENIED, THROTTLED])
def test_a_pass_of_a_hundred_with_slow_writes_never_runs_past_its_time(
    error: DrainerError | None,
) -> None:
    account = Account(call_seconds=0.3, seconds_left=30)
    account.records.unmade = error
    for number in range(100):
        account.has(number, "ACTIVE", task(number))

    report = account.run(*(notification(number) for number in range(100)))

    assert account.late == []
    assert all(bool(outcome.retry_reason) != outcome.published for outcome in report.outcomes)


def test_the_records_of_a_batch_are_read_together() -> None:
    account = Account(records=Records())
    due = [account.follows(number, "DRAINING", task(number)) for number in range(20)]

    account.run(*due)

    assert account.log.count("read") == 1
