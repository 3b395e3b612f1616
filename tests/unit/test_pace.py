"""When a drain is quiet, so that its next pass comes later, and what ends that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.admission import Admission
from drainer.drain.model import Origin, Owner, Place, StandaloneTasks
from drainer.drain.record import QUIET_SECONDS, SILENT_BEYOND_THE_INTERVAL
from drainer.errors import UnavailableError
from tests.unit.account import HOOK, NOW, START, Account, action, record, task

if TYPE_CHECKING:
    from drainer.drain.model import Drain

RUNNING, LEAVING = task(1), task(1, "DEACTIVATING")
STOPPING = replace(
    HOOK, notification_metadata='{"standalone_tasks": "stop", "standalone_grace_seconds": 900}'
)
JOB = task(1, owner=Owner.STANDALONE)


def known(account: Account, *tasks: Any, **changes: Any) -> Drain:
    """A drain of which all tasks are known, and its record that knows them too."""
    ids = tuple(one.id for one in tasks)
    return account.follows(0, "DRAINING", *tasks, **{"unfinished": ids, **changes})


def following(account: Account, message: Drain) -> Drain:
    account.run(message)
    [sent] = account.published
    return sent


@pytest.mark.parametrize("at_first", [RUNNING, LEAVING])
@pytest.mark.parametrize("heartbeat_timeout_seconds", [600, 7_200])
def test_a_drain_whose_tasks_are_known_and_none_of_which_has_ended_is_quiet(
    at_first: Any, heartbeat_timeout_seconds: int
) -> None:
    hook = replace(HOOK, heartbeat_timeout_seconds=heartbeat_timeout_seconds)
    account = Account(fast_path=True, hooks=(hook,))

    assert following(account, known(account, at_first, task(2))).quiet
    assert account.record().drain.quiet


@pytest.mark.parametrize(
    ("together", "minutes", "quiet"),
    [(19, 1, True), (20, 1, False), (20, 14, False), (20, 15, True)],
)
def test_a_crowd_is_quiet_only_once_it_lasts_longer_than_services_take(
    together: int, minutes: int, *, quiet: bool
) -> None:
    # The listing before the answer of each took so many reads of ECS that the last of 300 instances
    # was answered after 25 s, and of 1,000 after 42 s.
    account = Account(fast_path=True)
    since = NOW - timedelta(minutes=minutes)
    messages = [
        account.follows(number, "DRAINING", task(number), unfinished=(task(number).id,),
                        draining_since=since)
        for number in range(together)
    ]  # fmt: skip

    account.run(*messages)

    assert [one.quiet for one in account.published] == [quiet] * together


def test_it_is_so_from_the_pass_on_that_closes_the_set() -> None:
    account = Account(fast_path=True)
    listed_at = NOW - timedelta(seconds=30)

    assert following(account, known(account, RUNNING, closed=False, listed_at=listed_at)).quiet


@pytest.mark.parametrize(
    ("of", "changes"),
    [
        # The next pass would come too late to see what no event tells of.
        pytest.param({"fast_path": False}, {}, id="no events"),
        pytest.param({}, {"closed": False, "listed_at": None}, id="tasks that are not known yet"),
        pytest.param({"tasks": [RUNNING, task(2, "STOPPED")]}, {}, id="a task that has ended"),
        pytest.param({"connected": False}, {"searched_at": START}, id="no agent"),
        # It would be answered, or its tasks stopped, a minute late.
        pytest.param({}, {"deadline_at": NOW + timedelta(seconds=89)}, id="the deadline"),
        pytest.param({"hooks": (STOPPING,), "tasks": [JOB]}, {}, id="tasks to be stopped"),
        # A pass that fails must leave time for the next.
        pytest.param(
            {"hooks": (replace(HOOK, heartbeat_timeout_seconds=599),)}, {}, id="a short timeout"
        ),
        pytest.param(
            {"hooks": (replace(HOOK, heartbeat_timeout_seconds=600),)},
            {"last_heartbeat_at": NOW - timedelta(seconds=230)},
            id="a heartbeat that is due before",
        ),
        # What was not described may be there in the next pass, and there are five minutes for it.
        pytest.param({}, {"others": (Place("payments", "arn-old"),)}, id="a registration unseen"),
        # Only the record tells of its action, or nothing does.
        pytest.param({}, {"action": action(0, "")}, id="no token"),
    ],
)
def test_it_is_not_where_a_pass_may_find_what_no_event_tells(
    of: dict[str, Any], changes: dict[str, Any]
) -> None:
    of = dict(of)
    tasks, connected = of.pop("tasks", [RUNNING]), of.pop("connected", True)
    account = Account(**{"fast_path": True, **of})
    message = known(account, *tasks, **changes)
    account.instances["arn-0"] = replace(account.instances["arn-0"], agent_connected=connected)

    assert not following(account, message).quiet


def test_nor_is_one_that_waits_for_tasks_of_an_earlier_registration() -> None:
    # It is waited for no longer than minutes, and what is read next may release the instance.
    account = Account(fast_path=True)
    since = NOW - timedelta(minutes=1)
    message = known(account, others=(Place("payments", "arn-old"),), draining_since=since)
    old = replace(account.instances["arn-0"], arn="arn-old", agent_connected=False)
    account.instances["arn-old"] = old
    account.running["arn-old"] = [LEAVING]

    assert not following(account, message).quiet


def test_nor_is_one_whose_record_was_not_read_or_whose_calls_fail() -> None:
    unread = Account(fast_path=True)
    message = known(unread, RUNNING)
    unread.records.down = UnavailableError("the table is down")
    failing = Account(fast_path=True, fails={"heartbeat": UnavailableError("Rate exceeded")})
    due = known(failing, RUNNING, quiet=True, last_heartbeat_at=NOW - timedelta(minutes=20))

    assert not following(unread, message).quiet
    assert not following(failing, due).quiet


def test_a_quiet_drains_heartbeat_is_sent_before_the_half_of_its_timeout_is_over() -> None:
    # With the shorter interval it would be sent up to a minute after that.
    half = timedelta(seconds=HOOK.heartbeat_timeout_seconds / 2)
    for early, sent in ((QUIET_SECONDS - 1, True), (QUIET_SECONDS + 1, False)):
        account = Account(fast_path=True)
        at = NOW - half + timedelta(seconds=early)
        account.run(known(account, RUNNING, quiet=True, last_heartbeat_at=at))

        assert ("heartbeat" in account.done) is sent


def test_a_quiet_record_is_silent_that_much_later() -> None:
    # Taken for lost while its message waits, it would go on twice.
    quiet = record(known(Account(), RUNNING, quiet=True), written_at=START)
    until = timedelta(seconds=QUIET_SECONDS) + SILENT_BEYOND_THE_INTERVAL

    assert not quiet.is_silent(START + until - timedelta(seconds=1), 15)
    assert quiet.is_silent(START + until, 15)


# -- an event that one of its tasks is STOPPED


@pytest.mark.parametrize("last_seen", [LEAVING, RUNNING])
def test_what_an_event_cannot_answer_yet_is_looked_at_again_soon(last_seen: Any) -> None:
    # ECS's answer may be older than its event: the instance would wait for more than a minute.
    account = Account(fast_path=True)
    known(account, last_seen, quiet=True)
    before = account.record()

    account.run(stopped=["arn-0"])

    [sent] = account.published
    assert (sent.hop, sent.generation, sent.quiet) == (before.hop, before.generation, False)
    assert (sent.origin, sent.sent_at) == (Origin.CHAIN, NOW)
    assert account.record() == before


def test_a_hurried_message_brings_no_proof_and_a_quiet_one_is_not_believed_unread() -> None:
    # One of the two comes after passes of the other, which may have seen the instance ACTIVE: tasks
    # placed since are in no listing that it knows of.
    account = Account(fast_path=True)
    waiting = known(account, LEAVING, quiet=True)
    account.run(stopped=["arn-0"])
    [hurried] = account.published
    assert not hurried.closed
    account.running["arn-0"] = [task(1, "STOPPED")]
    account.records.down = UnavailableError("the table is down")

    for message in (hurried, replace(waiting, sent_at=NOW - timedelta(seconds=75))):
        [outcome] = account.run(message).outcomes
        assert not outcome.answered


def test_before_the_answer_what_is_stopped_is_listed_once_more() -> None:
    # Nothing looked for more than a minute. Somebody has set the instance ACTIVE and DRAINING, and
    # a task that was placed meanwhile still serves: it is in no count and in no earlier listing.
    account = Account(fast_path=True)
    message = known(account, task(1, "STOPPED"), quiet=True)
    account.running["arn-0"].append(task(2, "DEACTIVATING"))

    account.run(message)

    assert account.answered == []
    assert account.record().drain.unfinished == (task(2).id,)
    assert [one for one in account.log if one.startswith("list")] == ["list STOPPED"]
    account.running["arn-0"][1] = task(2, "STOPPED")
    account.run(stopped=["arn-0"])
    assert len(account.answered) == 1


def test_so_it_is_where_a_later_pass_finds_the_last_task_stopped() -> None:
    # Between two quiet looks the instance was ACTIVE, and got a task that is stopping by now. What
    # ends the quiet is another task, so that no pass answers yet.
    account = Account(fast_path=True)
    message = known(account, task(1), task(3), quiet=True)
    account.has(0, "DRAINING", task(1), task(2, "DEACTIVATING"), task(3, "STOPPED"))
    first = replace(message, sent_at=NOW - timedelta(seconds=75))
    account.records.put(record(first, written_at=NOW - timedelta(seconds=75)))
    account.run(first)
    [following_one] = account.published
    account.has(0, "DRAINING", task(1, "STOPPED"), task(2, "DEACTIVATING"), task(3, "STOPPED"))

    account.run(following_one, now=NOW + timedelta(seconds=15))

    assert account.answered == []
    assert account.record().drain.unfinished == (task(2).id,)


def test_so_it_is_for_an_event_that_comes_soon_after_a_quiet_look() -> None:
    # The look before was 45 s ago, and nobody looks again for half a minute: long enough for an
    # operator to have set the instance ACTIVE and DRAINING.
    account = Account(fast_path=True)
    message = known(account, task(1), quiet=True, listed_at=START)
    account.records.put(record(message, written_at=NOW - timedelta(seconds=45)))
    account.has(0, "DRAINING", task(1, "STOPPED"), task(2, "DEACTIVATING"))

    account.run(stopped=["arn-0"])

    assert account.answered == []
    assert "list STOPPED" in account.log


@pytest.mark.parametrize(
    ("seconds", "status", "lists"),
    [
        # The record was written 15 s before.
        pytest.param(45, "DRAINING", False, id="watched"),
        pytest.param(46, "DRAINING", True, id="its chain was lost for a time"),
        pytest.param(15, None, True, id="its last look failed"),
    ],
)
def test_so_it_is_after_any_time_in_which_nobody_looked(
    seconds: int, status: str | None, lists: bool
) -> None:
    account = Account(fast_path=False)
    message = known(account, task(1), listed_at=START)
    now = NOW
    if status is None:
        account.fails = {"describe": UnavailableError("Rate exceeded")}
        account.run(message, now=now)
        [message] = account.published
        account.fails = {}
    account.has(0, "DRAINING", task(1, "STOPPED"))
    now += timedelta(seconds=seconds)

    account.run(message, now=now)

    assert ("list STOPPED" in account.log) is lists
    assert len(account.answered) == 1


def test_a_task_that_is_counted_and_not_known_is_listed_too() -> None:
    # Placed while the instance was ACTIVE, a standalone task is not told to stop. Unknown, it would
    # be neither named nor stopped where that is wanted, until the deadline.
    account = Account(fast_path=True)
    message = known(account, task(1, "STOPPED"), quiet=True)
    account.has(0, "DRAINING", task(1, "STOPPED"), task(2, owner=Owner.STANDALONE))

    account.run(message)

    assert account.record().drain.unfinished == (task(2).id,)
    assert account.answered == []


def test_of_two_messages_of_a_hop_the_first_goes_on() -> None:
    # Else one chain would become two with each event.
    account = Account(fast_path=True)
    waiting = known(account, LEAVING, quiet=True)
    account.run(stopped=["arn-0"])
    [hurried] = account.published

    account.run(hurried, now=NOW + timedelta(seconds=15))
    report = account.run(waiting, now=NOW + timedelta(seconds=60))

    assert len(account.published) == 2
    assert [one.admission for one in report.not_admitted] == [Admission.DUPLICATE]


@pytest.mark.parametrize(
    ("tasks", "quiet"),
    [
        pytest.param([LEAVING], False, id="its message comes soon"),
        pytest.param([task(1, "STOPPED")], True, id="it is answered"),
    ],
)
def test_nothing_is_published_again_that_need_not_be(tasks: list[Any], quiet: bool) -> None:
    account = Account(fast_path=True)
    known(account, *tasks, quiet=quiet)

    account.run(stopped=["arn-0"])

    assert account.published == []


def test_an_event_whose_message_is_not_taken_changes_nothing() -> None:
    # The message that is on its way comes a minute later.
    account = Account(fast_path=True, unpublished={0})
    known(account, LEAVING, quiet=True)
    before = account.record()

    [outcome] = account.run(stopped=["arn-0"]).outcomes

    assert outcome.errors
    assert not outcome.retry_reason
    assert account.record() == before


def test_standalone_tasks_that_are_waited_for_do_not_keep_a_drain_from_being_quiet() -> None:
    account = Account(fast_path=True)
    message = known(account, JOB)

    assert following(account, message).quiet
    policy = account.record().drain.policy
    assert policy is not None
    assert policy.standalone_tasks == StandaloneTasks.WAIT
