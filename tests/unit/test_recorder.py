"""Which write each drain makes of its record, and what comes of it, by tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.admission import Admission, Admitted
from drainer.drain.conditional_write import Demand
from drainer.drain.earlier_looks import extended
from drainer.drain.may_leave import Phase
from drainer.drain.model import (
    LifecycleActionResult,
    Origin,
    Place,
)
from drainer.drain.record import DrainRecord, End, key_of
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle.look import HookLook, Waiting
from drainer.lifecycle.open_drains import OpenDrains
from drainer.lifecycle.outcome import HookOutcome
from drainer.lifecycle.recorder import NO_TIME_TO_WRITE, Recorder
from drainer.lifecycle.rules import HookDecision, Step
from tests.unit.account import (
    NOW,
    OTHER_TOKEN,
    START,
    TOKEN,
    action,
    drain,
    instance_id,
    notification,
    record,
    task,
)
from tests.unit.ecs import container_instance
from tests.unit.records import Records

if TYPE_CHECKING:
    from drainer.drain.model import Drain
    from drainer.errors import DrainerError

KEY = key_of(action())
THROTTLED = UnavailableError("Rate exceeded")
DENIED = MisconfiguredError("AccessDenied")
SECOND = timedelta(seconds=1)
SILENT = timedelta(seconds=90)
NAMELESS = action(0, "")
# What each admission has read: the sweep's own record lacks its token.
OWN = record(drain(generation=2))
SWEPT = record(drain(generation=2, action=NAMELESS, deadline_at=NOW + 500 * SECOND))
LOST = replace(SWEPT, written_at=NOW - SILENT)
OTHERS = record(drain(generation=2, action=action(0, OTHER_TOKEN)))
OVER = replace(OTHERS, end=End.CONTINUE, ended_at=NOW - timedelta(hours=1))


def outcome(
    admission: Admission = Admission.DUE,
    there: DrainRecord | None = OWN,
    of: Drain | None = None,
    step: Step = Step.RE_INVOKE,
    **changes: Any,
) -> HookOutcome:
    """What a pass has come to before it writes; by default it has sent a heartbeat."""
    if of is None:
        of = there.drain if there and admission not in BRINGS else notification(at=START)
    if there and admission not in BRINGS:
        of = replace(of, generation=there.generation)
    tasks = (task(1), task(2))
    instance = container_instance(
        "arn-0", instance_id(), running_tasks=2, pending_tasks=1, cluster="payments"
    )
    look = HookLook(
        ec2_instance_id=instance_id(),
        drain=of,
        now=NOW,
        waiting=Waiting.YES,
        registrations={"arn-0": instance},
        tasks={one.id: one for one in tasks},
        described=True,
        settled=True,
        pass_interval_seconds=15,
        deadline_result=LifecycleActionResult.CONTINUE,
    )
    decision = HookDecision(
        Phase.DRAINING, reason="2 tasks of service:web", step=step, republish=True
    )
    known = HookOutcome(
        look=look,
        decision=decision,
        heartbeat=True,
        admitted=Admitted(admission, of, there),
    )
    for name, value in changes.items():
        setattr(known, name, value)
    return known


# What goes by its message, and not by the record that was read.
BRINGS = frozenset({Admission.NEW, Admission.JOIN, Admission.UNREAD})


def recorder(records: Records, seconds_left: float = 100.0) -> Recorder:
    return Recorder(records, InvocationClock(NOW, lambda: seconds_left), 15)


def table(*there: DrainRecord | None) -> Records:
    records = Records()
    records.put(*(one for one in there if one))
    return records


# -- claims


@pytest.mark.parametrize(
    ("admission", "there", "demand", "generation", "hop"),
    [
        pytest.param(Admission.NEW, None, Demand.ABSENT, 1, 1, id="the first of its instance"),
        pytest.param(Admission.NEW, OVER, Demand.REPLACES, 3, 1, id="after another that has ended"),
        pytest.param(Admission.NEW, OTHERS, Demand.REPLACES, 3, 1, id="instead of an open one"),
        pytest.param(Admission.DUE, OWN, Demand.FOLLOWS, 2, 4, id="due"),
        pytest.param(Admission.TAKEOVER, OWN, Demand.FOLLOWS, 2, 4, id="takeover"),
        pytest.param(Admission.JOIN, SWEPT, Demand.JOINS, 2, 3, id="join"),
        pytest.param(Admission.JOIN, LOST, Demand.JOINS, 2, 4, id="join of a lost chain"),
    ],
)
def test_each_admission_makes_its_write(
    admission: Admission, there: DrainRecord | None, demand: Demand, generation: int, hop: int
) -> None:
    records = table(there)

    recorder(records).claim([outcome(admission, there)])

    [write] = records.made
    stored = records.rows[KEY]
    assert write.condition.demand == demand
    assert (stored.generation, stored.hop, stored.token) == (generation, hop, TOKEN)


@pytest.mark.parametrize(
    ("admission", "there", "changes"),
    [
        pytest.param(Admission.UNREAD, None, {}, id="the table was not read"),
        pytest.param(Admission.NEW, None, {"heartbeat": False}, id="nothing proves its token"),
        pytest.param(Admission.NEW, OTHERS, {"heartbeat": False}, id="nor that it is another's"),
    ],
)
def test_what_is_re_invoked_without_a_write(
    admission: Admission, there: DrainRecord | None, changes: dict[str, Any]
) -> None:
    # A notification that Auto Scaling has not confirmed must not stand in the table as a true one;
    # but nor may a throttled heartbeat end its chain.
    records = table(there)
    one = outcome(admission, there, **changes)

    assert recorder(records).claim([one]) == [one]
    assert records.writes == []
    assert (one.generation, one.hop, one.retry_reason) == (None, None, "")


def test_a_takeover_goes_on_from_the_records_hop_and_a_message_ahead_from_its_own() -> None:
    # A hop that goes down would admit messages that were served already.
    for admission, hop, expected in ((Admission.TAKEOVER, 3, 4), (Admission.DUE, 9, 10)):
        records = table(OWN)
        one = outcome(admission, OWN, replace(OWN.drain, hop=hop))

        recorder(records).claim([one])

        assert (records.rows[KEY].hop, one.hop, one.following().hop) == (expected,) * 3


@pytest.mark.parametrize(
    ("admission", "read", "meanwhile", "duplicate"),
    [
        pytest.param(Admission.DUE, OWN, replace(OWN, hop=4), True, id="the hop was taken"),
        pytest.param(Admission.DUE, OWN, replace(OWN, generation=3), True, id="another action's"),
        pytest.param(
            Admission.DUE, OWN, replace(OWN, end=End.OVER, ended_at=NOW), True, id="it has ended"
        ),
        pytest.param(Admission.DUE, OWN, None, False, id="it was deleted"),
        pytest.param(Admission.NEW, None, OWN, True, id="the same token was first"),
        pytest.param(Admission.NEW, None, OTHERS, False, id="another token was first"),
        pytest.param(
            Admission.NEW, OVER, replace(OWN, generation=3), True, id="the same one replaced it"
        ),
        pytest.param(
            Admission.NEW, OVER, replace(SWEPT, generation=3), False, id="the sweep replaced it"
        ),
        pytest.param(Admission.JOIN, SWEPT, OTHERS, False, id="another token has joined"),
        pytest.param(
            Admission.JOIN, LOST, replace(SWEPT, hop=4), False, id="its chain was not lost"
        ),
    ],
)
def test_who_is_refused_is_a_duplicate_or_comes_again_and_publishes_nothing(
    admission: Admission,
    read: DrainRecord | None,
    meanwhile: DrainRecord | None,
    *,
    duplicate: bool,
) -> None:
    # A duplicate that goes on makes a second chain; a true message that is taken for one is lost.
    records = table(read)
    records.meanwhile[KEY] = meanwhile
    one = outcome(admission, read)

    assert recorder(records).claim([one]) == []
    assert (one.duplicate, bool(one.retry_reason), one.recorded) == (
        duplicate,
        not duplicate,
        False,
    )
    assert records.rows.get(KEY) == meanwhile


def test_a_write_that_the_sdk_repeats_is_not_refused_by_itself() -> None:
    # The first answer was lost: taken for a duplicate, the chain would end here.
    records = table(OWN)
    records.meanwhile[KEY] = replace(OWN, hop=4, pass_id="pass-0")
    one = outcome()

    assert recorder(records).claim([one]) == [one]
    assert (one.recorded, one.duplicate) == (True, False)


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize(
    ("admission", "there", "generation", "hop"),
    [
        pytest.param(Admission.DUE, OWN, 2, 4, id="due"),
        # The message names no generation that perhaps is not there.
        pytest.param(Admission.NEW, None, None, 1, id="new"),
        pytest.param(Admission.NEW, OTHERS, None, 1, id="another action's record"),
        pytest.param(Admission.JOIN, SWEPT, None, 1, id="join"),
        pytest.param(Admission.JOIN, LOST, None, 1, id="join of a lost chain"),
    ],
)
def test_a_write_of_which_nothing_is_known_is_published_as_if_it_may_not_be_made(
    admission: Admission, there: DrainRecord | None, generation: int | None, hop: int, *, made: bool
) -> None:
    records = table(there)
    records.unanswered = THROTTLED if made else None
    records.unmade = None if made else THROTTLED
    one = outcome(admission, there)

    assert recorder(records).claim([one]) == [one]
    assert (one.recorded, one.duplicate, one.retry_reason) == (False, False, "")
    assert (one.following().generation, one.following().hop) == (generation, hop)
    assert one.errors == ("The drain's record was not written: Rate exceeded",)


def test_a_join_that_the_sdk_repeats_is_not_refused_by_itself() -> None:
    # It leaves the id of the pass that is there, so that it is known by its token.
    records = table(SWEPT)
    records.meanwhile[KEY] = OWN
    one = outcome(Admission.JOIN, SWEPT)

    assert recorder(records).claim([one]) == []
    assert (one.recorded, one.retry_reason) == (True, "")


@pytest.mark.parametrize("made", [True, False])
def test_a_takeover_of_which_nothing_is_known_publishes_nothing(*, made: bool) -> None:
    # The record stays silent: each sweep would begin one more chain while nobody can write.
    records = table(OWN)
    records.unanswered = THROTTLED if made else None
    records.unmade = None if made else THROTTLED
    one = outcome(Admission.TAKEOVER, OWN)

    assert recorder(records).claim([one]) == []
    assert (one.duplicate, one.retry_reason) == (False, "The drain was not taken over")


@pytest.mark.parametrize(
    ("error", "asked"),
    [pytest.param(THROTTLED, 1, id="down"), pytest.param(DENIED, 3, id="denied")],
)
def test_one_write_without_an_answer_lets_the_rest_of_the_pass_skip_the_table(
    error: DrainerError, asked: int
) -> None:
    # Ninety-nine more that time out would take the time that publications need. What is denied is
    # denied at once, and perhaps for one record alone.
    records = table(OWN)
    records.unmade = error
    three = [outcome(), outcome(), outcome()]
    one_pass = recorder(records)

    assert one_pass.claim(three[:2]) == three[:2]
    one_pass.end([replace(three[2], answered=LifecycleActionResult.CONTINUE)])
    assert len(records.writes) == asked


@pytest.mark.parametrize(
    "admission", [Admission.DUE, Admission.NEW, Admission.JOIN, Admission.UNREAD]
)
def test_no_claim_is_begun_without_the_time_for_it(admission: Admission) -> None:
    there = {Admission.DUE: OWN, Admission.JOIN: SWEPT}.get(admission)
    records = table(there)
    one = outcome(admission, there)

    assert recorder(records, 3.9).claim([one]) == []
    assert (one.retry_reason, one.duplicate, records.writes) == (NO_TIME_TO_WRITE, False, [])


def test_time_that_runs_out_right_before_the_write_has_the_message_delivered_again() -> None:
    # Acknowledged and not published, it would be lost until the next sweep.
    seconds = iter([100.0, 100.0, 4.0, *[3.9] * 9])
    one = outcome()
    clock = InvocationClock(NOW, lambda: next(seconds))

    assert Recorder(table(OWN), clock, 15).claim([one]) == []
    assert one.retry_reason == NO_TIME_TO_WRITE


def test_claims_leave_the_time_to_publish_them() -> None:
    # What is claimed and not published waits three minutes for its message to come again.
    left = [20.0]
    records = table(*(record(drain(number)) for number in range(10)))
    records.call = lambda _: left.append(left[-1] - 3)
    ten = [outcome(there=record(drain(number))) for number in range(10)]

    claimed = Recorder(records, InvocationClock(NOW, lambda: left[-1]), 15).claim(ten)

    assert (len(claimed), left[-1]) == (5, 5.0)
    assert [bool(one.retry_reason) for one in ten] == [False] * 5 + [True] * 5


# -- the join of a token


def test_a_join_whose_chain_is_alive_leaves_all_else_to_it() -> None:
    # Both would go on for ever.
    records = table(SWEPT)
    one = outcome(Admission.JOIN, SWEPT)

    assert recorder(records).claim([one]) == []
    assert (one.duplicate, one.retry_reason) == (True, "")
    stored = records.rows[KEY]
    assert (stored.hop, stored.written_at, stored.token) == (3, SWEPT.written_at, TOKEN)


def test_a_join_of_a_lost_chain_goes_on_in_its_place() -> None:
    records = table(LOST)
    one = outcome(Admission.JOIN, LOST)

    assert recorder(records).claim([one]) == [one]
    assert (one.following().hop, one.following().generation, one.duplicate) == (4, 2, False)
    assert (records.rows[KEY].hop, records.rows[KEY].written_at) == (4, NOW)


@pytest.mark.parametrize("there", [SWEPT, LOST])
def test_a_token_that_auto_scaling_has_not_confirmed_joins_nothing(there: DrainRecord) -> None:
    # A token that was made up would be sent with every answer, and refused.
    records = table(there)
    one = outcome(Admission.JOIN, there, heartbeat=False)

    assert recorder(records).claim([one]) == [one]
    assert (one.retry_reason, one.duplicate, records.writes) == ("", False, [])
    assert one.following().generation is None


@pytest.mark.parametrize("there", [SWEPT, LOST])
@pytest.mark.parametrize(("seconds", "lowered"), [(-1, True), (1, False), (None, False)])
def test_a_join_can_only_lower_the_deadline(
    there: DrainRecord, seconds: int | None, *, lowered: bool
) -> None:
    # The sweep counted from when it found the instance, the notification from when it began.
    own = there.drain.deadline_at
    assert own is not None
    deadline_at = None if seconds is None else own + seconds * SECOND
    records = table(there)
    message = notification(at=START, deadline_at=deadline_at)

    recorder(records).claim([outcome(Admission.JOIN, there, message)])

    assert records.rows[KEY].drain.deadline_at == (deadline_at if lowered else own)


# -- what the sweep creates


@pytest.mark.parametrize(
    ("there", "demand", "generation"),
    [
        pytest.param(None, Demand.ABSENT, 1, id="none"),
        pytest.param(OVER, Demand.SUCCEEDS, 3, id="ended"),
    ],
)
def test_what_the_sweep_finds_is_created_and_due(
    there: DrainRecord | None, demand: Demand, generation: int
) -> None:
    records = table(there)
    one = outcome(Admission.NEW, there, found())

    recorder(records).create([one])

    [write] = records.made
    assert write.condition.demand == demand
    assert one.admitted is not None
    assert (one.admitted.admission, one.admitted.record) == (Admission.DUE, write.record)
    stored = records.rows[KEY]
    assert (stored.generation, stored.hop, stored.token) == (generation, 0, "")
    assert stored.drain.deadline_at == NOW + timedelta(hours=1)
    assert (stored.previous is None) == (there is None)

    assert recorder(records).claim([one]) == [one]
    assert (records.rows[KEY].hop, records.rows[KEY].generation) == (1, generation)


def test_what_the_sweep_creates_names_all_registrations_that_its_look_has_found() -> None:
    # The next write failed, and the next pass found a connected agent: an earlier registration, on
    # which four tasks ran, was in no look any more.
    records, one = table(), outcome(Admission.NEW, None, found())
    old = container_instance("arn-old", instance_id(), agent_connected=False, cluster="search")
    one.look.registrations["arn-old"] = replace(old, running_tasks=4)

    recorder(records).create([one])

    assert records.rows[KEY].drain.others == (Place("search", "arn-old"),)


@pytest.mark.parametrize("meanwhile", [None, replace(SWEPT, hop=SWEPT.hop + 1), OWN])
def test_what_the_sweep_takes_for_another_action_is_overtaken_unless_something_came_to_it(
    meanwhile: DrainRecord | None,
) -> None:
    # A token that joined in between was erased, and its chain told that it is another action's.
    records = table(SWEPT)
    if meanwhile is not None:
        records.meanwhile[KEY] = meanwhile
    one = outcome(Admission.NEW, SWEPT, found())

    recorder(records).create([one])

    assert one.duplicate == (meanwhile is not None)
    assert records.rows[KEY].generation == SWEPT.generation + (meanwhile is None)


def found() -> Drain:
    deadline_at = NOW + timedelta(hours=1)
    return replace(notification(), action=NAMELESS, origin=Origin.SWEEP, deadline_at=deadline_at)


@pytest.mark.parametrize("meanwhile", [OWN, SWEPT, OVER])
def test_what_somebody_has_begun_meanwhile_is_not_created(meanwhile: DrainRecord) -> None:
    # Two drains of one action, with two deadlines.
    records = table()
    records.meanwhile[KEY] = meanwhile
    one = outcome(Admission.NEW, None, found())

    recorder(records).create([one])

    assert (one.duplicate, one.retry_reason) == (True, "")
    assert records.rows[KEY] == meanwhile


@pytest.mark.parametrize(
    ("records", "seconds_left"),
    [
        pytest.param(Records(unmade=THROTTLED), 100, id="not made"),
        pytest.param(Records(unanswered=THROTTLED), 100, id="made, as nobody knows"),
        pytest.param(Records(down=DENIED), 100, id="denied"),
        pytest.param(Records(), 3.9, id="no time"),
    ],
)
def test_what_cannot_be_created_is_not_begun(records: Records, seconds_left: float) -> None:
    # A heartbeat that no record bounds: each sweep would begin another deadline, for 48 hours.
    one = outcome(Admission.NEW, None, found())

    recorder(records, seconds_left).create([one])

    assert one.retry_reason == "The drain's record was not created"
    assert one.admitted is not None
    assert one.admitted.admission == Admission.NEW


# -- what is about to be answered


def meanwhile(there: DrainRecord) -> Records:
    """A table in which another pass has written the record since it was read."""
    return table(replace(there, hop=there.hop + 1, pass_id="another"))


# The operator was told that the tasks have until the new deadline. What is drained may go.
@pytest.mark.parametrize(("late", "step"), [(True, Step.RE_INVOKE), (False, Step.COMPLETE)])
def test_a_deadline_that_is_extended_before_the_answer_has_not_passed(
    step: Step, *, late: bool
) -> None:
    read = record(drain(generation=2, deadline_at=NOW if late else NOW + SECOND))
    one = outcome(there=read, step=Step.COMPLETE)
    now = replace(read, drain=extended(read.drain, NOW + 60 * SECOND))

    recorder(table(now)).drop_outdated([one])

    assert (one.decision.step, one.duplicate) == (step, False)


# What others have seen since may be an instance that was ACTIVE, with tasks that no look knows.
@pytest.mark.parametrize("admission", [Admission.DUE, Admission.TAKEOVER, Admission.LOOK])
def test_what_others_have_written_since_is_not_answered(admission: Admission) -> None:
    unchanged, changed = outcome(admission), outcome(admission)

    recorder(table(OWN)).drop_outdated([unchanged])
    recorder(meanwhile(OWN)).drop_outdated([changed])

    assert (unchanged.duplicate, changed.duplicate) == (False, True)


# A slow wake-up whose second reading is throttled would answer by what it had read before the
# instance was ACTIVE again. A table that is down from the beginning holds nothing up: it was not
# read at all then. At its deadline a drain is answered, whatever is known.
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("what", ["throttled", "gone", "time", "down"])
def test_what_cannot_be_read_again_is_answered_by_the_next_pass(what: str, *, late: bool) -> None:
    records, one = table(None if what == "gone" else OWN), outcome(step=Step.COMPLETE)
    one_pass = recorder(records, 7.9 if what == "time" else 100.0)
    if what == "throttled":
        records.unread[KEY] = THROTTLED
    if what == "down":
        records.unmade = THROTTLED
        one_pass.end([outcome(answered=LifecycleActionResult.CONTINUE)])
    if late:
        of = replace(one.drain, deadline_at=NOW)
        one.look = replace(one.look, drain=of)

    one_pass.drop_outdated([one])

    assert one.decision.step == (Step.COMPLETE if late else Step.RE_INVOKE)
    assert one.decision.republish
    assert not one.duplicate


# Ended, it would be found by a sweep minutes later, and wait for another drain timeout. What others
# have written since stays theirs.
@pytest.mark.parametrize(
    ("meanwhile", "reopened"),
    [({}, True), ({"hop": OWN.hop + 1}, False), ({"generation": 3}, False)],
)
def test_an_end_is_taken_back_whose_answer_was_refused(
    meanwhile: dict[str, Any], *, reopened: bool
) -> None:
    records, one = table(SWEPT), outcome(there=SWEPT)
    one_pass = recorder(records)
    one_pass.end_first(one, LifecycleActionResult.CONTINUE)
    ended = replace(records.rows[KEY], **meanwhile)
    records.put(ended)

    one_pass.reopen(one)

    after = records.rows[KEY]
    assert after == (replace(SWEPT, pass_id=after.pass_id) if reopened else ended)


def test_what_has_a_token_was_not_ended_before_its_answer_and_is_not_reopened() -> None:
    records = table(OWN)

    recorder(records).reopen(outcome())

    assert records.writes == []


# A notification that is late for its deadline would be acknowledged, and its token lost, because
# the chain of another action, or of the sweep, has made a pass.
@pytest.mark.parametrize(("admission", "there"), [(Admission.NEW, OTHERS), (Admission.JOIN, SWEPT)])
def test_what_does_not_go_by_the_record_is_answered_whoever_writes_it(
    admission: Admission, there: DrainRecord
) -> None:
    one = outcome(admission, there)

    recorder(meanwhile(there)).drop_outdated([one])

    assert not one.duplicate


# Should the pass die between the end and the answer, what has a token would find its drain ended.
def test_what_has_got_its_token_meanwhile_is_not_ended_before_its_answer() -> None:
    nameless, joined = table(SWEPT), table(replace(SWEPT, drain=drain(generation=2)))

    assert recorder(nameless).end_first(outcome(there=SWEPT), LifecycleActionResult.CONTINUE)
    assert not recorder(joined).end_first(outcome(there=SWEPT), LifecycleActionResult.CONTINUE)
    # Where there is no record, none could lend its deadline, and the answer need not wait.
    new = outcome(Admission.NEW, there=None, of=drain(action=NAMELESS))
    assert recorder(Records()).end_first(new, LifecycleActionResult.CONTINUE)
    assert (nameless.rows[KEY].end, joined.rows[KEY].end) == (End.CONTINUE, End.OPEN)


# -- ends

ANSWERED: dict[str, Any] = {"answered": LifecycleActionResult.CONTINUE}
ABANDONED: dict[str, Any] = {"answered": LifecycleActionResult.ABANDON}
NOT_ACTIVE: dict[str, Any] = {"over": True}
LOOKED: dict[str, Any] = {"step": Step.STOP}


@pytest.mark.parametrize(
    ("admission", "there", "how", "end"),
    [
        (Admission.DUE, OWN, ANSWERED, End.CONTINUE),
        (Admission.DUE, OWN, ABANDONED, End.ABANDON),
        (Admission.DUE, OWN, NOT_ACTIVE, End.OVER),
        (Admission.DUE, OWN, LOOKED, End.OVER),
        (Admission.DUE, SWEPT, ANSWERED, End.CONTINUE),
        (Admission.DUE, SWEPT, NOT_ACTIVE, End.OVER),
        (Admission.TAKEOVER, LOST, ANSWERED, End.CONTINUE),
        (Admission.TAKEOVER, LOST, NOT_ACTIVE, End.OVER),
        (Admission.LOOK, OWN, ANSWERED, End.CONTINUE),
        (Admission.LOOK, OWN, NOT_ACTIVE, End.OVER),
        # The chain asks Auto Scaling; a look alone ends nothing.
        (Admission.LOOK, OWN, LOOKED, End.OPEN),
        (Admission.JOIN, SWEPT, ANSWERED, End.CONTINUE),
        # A refused token says nothing about the record: its action may be the one that waits.
        (Admission.JOIN, SWEPT, NOT_ACTIVE, End.OPEN),
        (Admission.JOIN, SWEPT, LOOKED, End.OPEN),
        (Admission.NEW, OTHERS, ANSWERED, End.OPEN),
        (Admission.NEW, OTHERS, NOT_ACTIVE, End.OPEN),
        (Admission.NEW, None, ANSWERED, End.CONTINUE),
        (Admission.NEW, None, NOT_ACTIVE, None),
        (Admission.NEW, None, LOOKED, None),
        (Admission.UNREAD, None, ANSWERED, None),
        (Admission.UNREAD, None, NOT_ACTIVE, None),
    ],
)
def test_each_end_of_each_admission(
    admission: Admission, there: DrainRecord | None, how: dict[str, Any], end: End | None
) -> None:
    records = table(there)

    recorder(records).end([outcome(admission, there, **how)])

    stored = records.rows.get(KEY)
    assert (stored.end if stored else None) == end
    if stored and end:
        assert (stored.ended_at, stored.hop) == (NOW, there.hop if there else 1)
        assert stored.token == (there.token if there else TOKEN)


@pytest.mark.parametrize(
    ("how", "there", "end"),
    [
        pytest.param(ANSWERED, replace(OWN, hop=9), End.CONTINUE, id="the hop does not matter"),
        pytest.param(ANSWERED, replace(OWN, end=End.OVER, ended_at=START), End.CONTINUE, id="over"),
        pytest.param(ANSWERED, replace(OWN, generation=3), End.OPEN, id="a later action's"),
        pytest.param(NOT_ACTIVE, replace(OWN, hop=9), End.OVER, id="not active, at another hop"),
        pytest.param(NOT_ACTIVE, replace(OWN, generation=3), End.OPEN, id="not active, a later's"),
        pytest.param(
            NOT_ACTIVE, replace(OWN, end=End.ABANDON, ended_at=START), End.ABANDON,
            id="the answer was another pass's",
        ),
    ],
)  # fmt: skip
def test_an_end_is_written_whatever_others_write_meanwhile_and_over_no_others(
    how: dict[str, Any], there: DrainRecord, end: End
) -> None:
    # The second answer hears "not active": it must not overwrite how the drain has truly ended.
    records = table(OWN)
    records.meanwhile[KEY] = there

    recorder(records).end([outcome(**how)])

    assert records.rows[KEY].end == end


@pytest.mark.parametrize(
    ("token", "answered", "heartbeat_at", "followed"),
    [
        pytest.param(TOKEN, False, START - SECOND, True, id="a token"),
        pytest.param("", True, START - SECOND, True, id="an answer that was accepted"),
        pytest.param("", False, START, True, id="a heartbeat that was accepted"),
        pytest.param("", False, START - SECOND, False, id="nothing: it was somebody else's hook"),
    ],
)
def test_only_what_may_have_been_drained_is_followed(
    token: str, heartbeat_at: Any, *, answered: bool, followed: bool
) -> None:
    # What is followed may be set ACTIVE: somebody else may have set DRAINING what we have not.
    there = record(drain(action=action(0, token), last_heartbeat_at=heartbeat_at))
    records = table(there)
    how = ANSWERED if answered else NOT_ACTIVE

    recorder(records).end([outcome(there=there, heartbeat=False, **how)])

    assert records.rows[KEY].followed == followed


def test_what_is_open_is_not_followed() -> None:
    records = table(OWN)

    recorder(records).claim([outcome()])

    assert not records.rows[KEY].followed


@pytest.mark.parametrize(
    ("records", "seconds_left", "error"),
    [
        (Records(unmade=THROTTLED), 100, "The drain's record was not written: Rate exceeded"),
        (Records(unmade=DENIED), 100, "The drain's record was not written: AccessDenied"),
        (Records(), 3.9, "The drain's record was not written: no time was left"),
    ],
)
def test_an_end_that_is_not_written_is_told(
    records: Records, seconds_left: float, error: str
) -> None:
    records.put(OWN)
    one = outcome(**ANSWERED)

    recorder(records, seconds_left).end([one])

    assert (one.errors, one.retry_reason) == ((error,), "")


# -- what people read


def test_a_record_tells_what_the_look_has_seen() -> None:
    records = table(OWN)

    recorder(records).claim([outcome()])

    stored = records.rows[KEY]
    assert (stored.phase, stored.reason) == (Phase.DRAINING, "2 tasks of service:web")
    assert (stored.running, stored.pending, len(stored.tasks)) == (2, 1, 2)
    assert (stored.written_at, stored.drain.last_heartbeat_at) == (NOW, NOW)
    assert stored.pass_id != OWN.pass_id


def test_a_record_that_replaces_another_says_how_that_one_ended_and_not_its_token() -> None:
    records = table(OVER)

    recorder(records).claim([outcome(Admission.NEW, OVER)])

    previous = records.rows[KEY].previous
    assert previous is not None
    assert (previous.began_at, previous.end, previous.ended_at) == (
        START,
        End.CONTINUE,
        OVER.ended_at,
    )
    assert previous.token_checksum not in ("", OTHER_TOKEN)


# -- reads


def test_messages_are_admitted_in_their_order_and_read_in_one_call() -> None:
    called: list[str] = []
    records = Records(call=called.append)
    records.put(record(drain(1)), record(drain(2), end=End.OVER, ended_at=NOW))
    records.unread[key_of(action(3))] = DENIED

    admitted = recorder(records).admit(
        [drain(2), notification(0), drain(3), drain(1), drain(1, hop=1)]
    )

    assert [one.admission for one in admitted] == [
        Admission.ENDED, Admission.NEW, Admission.UNREAD, Admission.DUE, Admission.DUPLICATE,
    ]  # fmt: skip
    assert called == ["read"]


def test_nothing_to_admit_asks_for_nothing() -> None:
    called: list[str] = []
    one_pass = recorder(Records(call=called.append))

    assert (
        one_pass.admit([]),
        one_pass.stopped([], OpenDrains()),
        one_pass.draining_again([]),
    ) == ([], [], {})
    assert called == []


@pytest.mark.parametrize(
    ("unread", "calls"), [(1, ["read", "query", "read"]), (2, ["read"])], ids=["one", "each"]
)
def test_a_table_that_answers_no_read_is_not_asked_for_what_is_open(
    unread: int, calls: list[str]
) -> None:
    # Each call that hangs would take ten seconds of the time for heartbeats.
    called: list[str] = []
    records = Records(
        call=called.append, unread={key_of(action(n)): THROTTLED for n in range(unread)}
    )
    one_pass = recorder(records)

    one_pass.admit([drain(0), drain(1)])
    one_pass.stopped(["arn-0"], OpenDrains())

    assert called == calls


def test_the_sweep_resumes_what_is_silent_the_nearest_deadline_first() -> None:
    # Within its time it comes through some only: what is cut off first comes first.
    ago = {"written_at": NOW - SILENT}
    late = record(drain(0, deadline_at=NOW + timedelta(hours=2)), **ago)
    soon = record(drain(1, deadline_at=NOW + timedelta(hours=1)), **ago)
    alive = record(drain(2), written_at=NOW - SILENT + SECOND)
    ended = record(drain(3), end=End.OVER, ended_at=NOW, **ago)
    unread = record(drain(4), **ago)
    records = table(late, soon, alive, ended, unread)
    records.unread[unread.key] = DENIED

    silent = recorder(records).silent()

    assert [(one.record, one.admission) for one in silent] == [
        (soon, Admission.TAKEOVER), (late, Admission.TAKEOVER),
    ]  # fmt: skip
    assert {one.drain.origin for one in silent} == {Origin.SWEEP}
    assert {one.drain.generation for one in silent} == {1}


def test_a_record_that_somebody_has_to_correct_is_said_and_a_throttle_is_not() -> None:
    # No sweep resumes its drain while it cannot be read. What is throttled the next one reads.
    silent, denied, throttled = (record(drain(n), written_at=NOW - SILENT) for n in range(3))
    records = table(silent, denied, throttled)
    records.unread = {denied.key: DENIED, throttled.key: THROTTLED}
    one_pass = recorder(records)

    assert [one.record for one in one_pass.silent()] == [silent]
    assert one_pass.problems == [f"A record was not read: {DENIED}"]


def test_an_index_that_cannot_be_read_is_said() -> None:
    one_pass = recorder(Records(unindexed=DENIED))

    assert one_pass.silent() == []
    assert one_pass.problems == [f"Open records could not be listed: {DENIED}"]


@pytest.mark.parametrize(
    ("since", "arn", "ago", "expected"),
    [
        pytest.param(START, "arn-0", 15 * SECOND, START, id="it has seen it DRAINING"),
        pytest.param(START, "arn-0", SILENT, START, id="long ago"),
        # It has seen it ACTIVE, and perhaps set it DRAINING since.
        pytest.param(None, "arn-0", 15 * SECOND, NOW - 15 * SECOND, id="it has seen it ACTIVE"),
        pytest.param(None, "arn-0", SILENT, None, id="it has not looked for long"),
        pytest.param(None, None, 15 * SECOND, None, id="it has not found it"),
    ],
)
def test_a_second_hook_says_since_when_its_instance_has_been_draining(
    since: Any, arn: str | None, ago: timedelta, expected: Any
) -> None:
    # Tasks may have been placed before that, which no earlier listing has.
    beside = action(0, OTHER_TOKEN, "second")
    of = drain(action=beside, draining_since=since, container_instance_arn=arn)
    records = table(OWN, record(of, written_at=NOW - ago))

    again = recorder(records).draining_again([key_of(beside)])

    assert again == ({key_of(beside): expected} if expected else {})


@pytest.mark.parametrize("what", ["ended", "unread", "none"])
def test_a_second_hook_whose_drain_has_ended_or_is_not_read_says_nothing(what: str) -> None:
    beside = action(0, OTHER_TOKEN, "second")
    of = record(drain(action=beside))
    records = table(None if what == "none" else of)
    if what == "ended":
        records.put(replace(of, end=End.CONTINUE, ended_at=NOW))
    if what == "unread":
        records.unread[of.key] = DENIED

    assert recorder(records).draining_again([of.key]) == {}


# -- before an answer


def test_of_two_answers_for_one_key_each_is_compared_with_the_record() -> None:
    # The first would be given by what was seen before somebody set the instance ACTIVE.
    records = table(replace(OWN, hop=OWN.hop + 1))
    two = [outcome(there=OWN), outcome(there=replace(OWN, hop=OWN.hop + 1))]

    recorder(records).drop_outdated(two)

    assert [one.duplicate for one in two] == [True, False]


@pytest.mark.parametrize("how", [ANSWERED, NOT_ACTIVE])
def test_an_end_that_was_written_before_the_answer_is_not_written_again(
    how: dict[str, Any],
) -> None:
    # Each answer without a token would cost a write more, which is refused.
    records = table(SWEPT)
    one_pass, one = recorder(records), outcome(there=SWEPT, step=Step.COMPLETE)
    assert one_pass.end_first(one, LifecycleActionResult.CONTINUE)
    for name, value in how.items():
        setattr(one, name, value)

    one_pass.end([one])

    assert len(records.writes) == 1
    assert records.rows[KEY].end == End.CONTINUE
