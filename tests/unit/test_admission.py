"""
Which message may go on, for every kind of message and every kind of record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from drainer.drain.admission import Admission, Admitted, admit
from drainer.drain.earlier_looks import UNWATCHED_MAX
from drainer.drain.model import Drain, LifecycleAction, Origin
from drainer.drain.record import SETTLE, DrainRecord, End, Key, key_of, silent_after
from drainer.errors import DrainerError, UnavailableError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
INTERVAL = 15
SILENT = timedelta(seconds=90)
SECOND = timedelta(seconds=1)
BEGAN = NOW - timedelta(hours=1)
TOKEN, OTHER_TOKEN = "465e0162-e6af-4786-b4e8-bb544ae58790", "00000000-e6af-4786-b4e8-bb544ae58790"
GENERATION, HOP = 2, 7
DOWN = UnavailableError("the table is down")

Read = DrainRecord | DrainerError | None


def drain(token: str = TOKEN, **more: Any) -> Drain:
    action = LifecycleAction("web", "drainer", "i-1", token)
    values: dict[str, Any] = {"started_at": BEGAN, "last_heartbeat_at": BEGAN, **more}
    return Drain(action, **values)


def record(token: str = TOKEN, *, age: timedelta = SECOND, **more: Any) -> DrainRecord:
    of_drain = drain(token, hop=HOP, deadline_at=NOW + timedelta(hours=1), **more)
    return DrainRecord(
        key_of(of_drain.action), GENERATION, HOP, "pass", of_drain, written_at=NOW - age
    )


def ended(one: DrainRecord, ago: timedelta) -> DrainRecord:
    return replace(one, end=End.OVER, ended_at=NOW - ago)


def asked(message: Drain, read: Read) -> Admitted:
    return admit(message, read, NOW, INTERVAL)


MESSAGES = [
    drain(token, origin=origin, generation=generation, hop=hop, started_at=BEGAN + later * SECOND)
    for origin, token, generation, hop, later in product(
        Origin,
        ("", TOKEN, OTHER_TOKEN),
        (None, GENERATION - 1, GENERATION, GENERATION + 1),
        (HOP - 1, HOP, HOP + 1),
        (-1, 0, 1),
    )
]
READS: list[Read] = [
    None,
    DOWN,
    *(record(token, age=age) for token in ("", TOKEN) for age in (SECOND, SILENT - SECOND, SILENT)),
    *(
        ended(record(token, age=age), ago)
        for token in ("", TOKEN)
        for age in (SECOND, SILENT)
        for ago in (SETTLE - SECOND, SETTLE)
    ),
]
SPACE = list(product(MESSAGES, READS))


@dataclass(frozen=True)
class Case:
    """What the rules speak of, of one message and what was read for it."""

    found: bool  # by looking, not by a message
    sweep: bool
    down: bool
    there: bool
    open: bool
    settled: bool
    silent: bool
    proven: bool  # the record has a token
    token: bool
    same_token: bool
    named: bool
    same_generation: bool
    due: bool
    begun_before: bool


def case_of(message: Drain, read: Read) -> Case:
    one = read if isinstance(read, DrainRecord) else None
    token = message.action.lifecycle_action_token
    return Case(
        found=message.origin != Origin.CHAIN,
        sweep=message.origin == Origin.SWEEP,
        down=isinstance(read, DrainerError),
        there=one is not None,
        open=one is not None and not one.end,
        settled=one is not None and one.ended_at is not None and one.ended_at <= NOW - SETTLE,
        silent=one is not None and one.written_at <= NOW - SILENT,
        proven=one is not None and bool(one.token),
        token=bool(token),
        same_token=one is not None and token == one.token,
        named=message.generation is not None,
        same_generation=message.generation == GENERATION,
        due=message.hop >= HOP,
        begun_before=message.started_at <= BEGAN,
    )


def expected(case: Case) -> Admission:
    """The rules of the protocol, each by itself: exactly one of them holds for each case."""
    own = (case.token and case.same_token) or (case.same_generation and not case.token)
    other = not own and case.named and not case.same_generation
    mine = not case.found and case.there and own
    unknown = not case.found and case.there and not own and not other
    joins = case.open and not case.proven and case.begun_before
    found = case.found and case.there
    rules = [
        (case.down and not case.found, Admission.UNREAD),
        (case.down and case.found, Admission.DUPLICATE),
        (not case.down and not case.there and case.found and case.sweep, Admission.NEW),
        (not case.down and not case.there and case.found and not case.sweep, Admission.DUPLICATE),
        (not case.down and not case.there and not case.found and case.token, Admission.NEW),
        (not case.down and not case.there and not case.found and not case.token, Admission.OTHER),
        (not case.found and case.there and other, Admission.OTHER),
        (mine and not case.open, Admission.ENDED),
        (mine and case.open and case.due, Admission.DUE),
        (mine and case.open and not case.due and case.silent, Admission.TAKEOVER),
        (mine and case.open and not case.due and not case.silent, Admission.DUPLICATE),
        (unknown and not case.token, Admission.OTHER),
        (unknown and case.token and joins, Admission.JOIN),
        (unknown and case.token and not joins, Admission.NEW),
        (found and not case.open and case.sweep and case.settled, Admission.NEW),
        (found and not case.open and not (case.sweep and case.settled), Admission.ENDED),
        (found and case.open and case.sweep and case.silent, Admission.TAKEOVER),
        (found and case.open and case.sweep and not case.silent, Admission.DUPLICATE),
        (found and case.open and not case.sweep and case.silent and not case.proven,
         Admission.DUPLICATE),
        (found and case.open and not case.sweep and not (case.silent and not case.proven),
         Admission.LOOK),
    ]  # fmt: skip
    (only,) = [admission for holds, admission in rules if holds]
    return only


def test_every_message_is_admitted_by_exactly_one_rule() -> None:
    # Admitted wrongly, two chains stay alive, or none.
    seen = set()
    for message, read in SPACE:
        admission = asked(message, read).admission
        assert admission == expected(case_of(message, read)), (message, read)
        seen.add(admission)

    assert seen == set(Admission)
    assert len(SPACE) > 4_000


def test_what_is_acknowledged_with_a_token_leaves_a_record_behind() -> None:
    # A notification that is acknowledged while nothing is written is an instance that waits for
    # its hook's timeout.
    acknowledged = 0
    for message, read in SPACE:
        admitted = asked(message, read)
        if (
            message.origin == Origin.CHAIN
            and message.action.lifecycle_action_token
            and not admitted.admission.goes_on
        ):
            acknowledged += 1
            assert isinstance(read, DrainRecord)
            # An ended one only if it is of the same action.
            same = message.generation is not None or read.token in {TOKEN, OTHER_TOKEN}
            assert read.is_open or same
    assert acknowledged > 100


def test_what_goes_on_without_the_records_drain_names_no_generation_of_it() -> None:
    # A message that names a generation it has not written would be acknowledged by the next pass.
    found = 0
    for message, read in SPACE:
        admitted = asked(message, read)
        if admitted.admission in (Admission.NEW, Admission.JOIN):
            found += 1
            assert admitted.drain == replace(message, generation=None)
    assert found > 100


def test_the_record_that_was_read_comes_along_for_the_write() -> None:
    for message, read in SPACE:
        assert asked(message, read).record is (read if isinstance(read, DrainRecord) else None)
    assert SPACE


RECORDED = (Admission.DUE, Admission.TAKEOVER, Admission.LOOK)


def test_what_goes_on_from_a_record_has_its_token_generation_and_beginning() -> None:
    # A made-up envelope could else begin long ago, and be answered at once as overdue.
    found = 0
    for message, read in SPACE:
        admitted = asked(message, read)
        if admitted.admission in RECORDED:
            found += 1
            assert isinstance(read, DrainRecord)
            token = read.token or message.action.lifecycle_action_token
            assert admitted.drain.action.lifecycle_action_token == token
            assert admitted.drain.generation == GENERATION
            assert admitted.drain.started_at == BEGAN
            assert admitted.drain.deadline_at == NOW + timedelta(hours=1)
            assert admitted.drain.origin == message.origin
            due = admitted.admission == Admission.DUE
            assert admitted.drain.hop == (message.hop if due else HOP)
    assert found > 100


EVIDENCE: dict[str, Any] = {
    "draining_since": NOW - timedelta(minutes=5),
    "listed_at": NOW - timedelta(minutes=4),
    "closed": True,
    "missing_since": NOW - timedelta(minutes=1),
    "absent_since": NOW - timedelta(minutes=1),
    "not_waiting_since": NOW - timedelta(minutes=1),
    "standalone_stopped": True,
}
FORGOTTEN = {
    "draining_since": None,
    "listed_at": None,
    "closed": False,
    "missing_since": None,
    "absent_since": None,
    "not_waiting_since": None,
    "standalone_stopped": False,
}


def evidence(one: Drain) -> dict[str, object]:
    return {name: getattr(one, name) for name in EVIDENCE}


@pytest.mark.parametrize("origin", [Origin.CHAIN, Origin.SWEEP])
@pytest.mark.parametrize("hop", [HOP - 1, HOP, HOP + 1])
def test_a_silent_record_without_a_token_forgets_what_was_established(
    origin: Origin, hop: int
) -> None:
    # The instance may have been released and leave by another action, with new tasks on it.
    seen = EVIDENCE | {"not_waiting_since": None}
    silent = record("", age=SILENT, unfinished=("a" * 32,), **seen)
    message = drain("", origin=origin, generation=GENERATION, hop=hop, **EVIDENCE)

    admitted = asked(message, silent)

    assert admitted.admission in (Admission.DUE, Admission.TAKEOVER)
    assert evidence(admitted.drain) == FORGOTTEN
    # A task that was seen and not seen STOPPED still counts.
    assert admitted.drain.unfinished == ("a" * 32,)


def test_what_was_seen_not_to_wait_and_is_silent_since_lends_no_deadline() -> None:
    # What waits by now is the next action: answered at the first one's deadline, it is cut short.
    silent = record("", age=SILENT, not_waiting_since=NOW - SILENT)
    message = drain("", generation=GENERATION, hop=HOP)

    assert asked(message, silent).admission == Admission.DUPLICATE
    found = asked(drain("", origin=Origin.SWEEP, generation=GENERATION), silent)
    assert (found.admission, found.drain.deadline_at) == (Admission.NEW, None)


def test_what_the_sweep_takes_for_another_action_begins_now_and_not_with_the_record() -> None:
    # The sweep comes with the record's own drain: its start, and the deadline that goes by it.
    silent = record("", age=SILENT, not_waiting_since=NOW - SILENT, unfinished=("a",))
    found = replace(silent.drain, origin=Origin.SWEEP, generation=GENERATION)

    begun = asked(found, silent)

    assert (begun.admission, begun.drain.started_at) == (Admission.NEW, NOW)
    assert (begun.drain.deadline_at, begun.drain.unfinished) == (None, ("a",))


@pytest.mark.parametrize(
    ("there", "admission"),
    [
        (record("", age=40 * SECOND, heartbeat_timeout_seconds=30), Admission.DUPLICATE),
        (
            ended(record("", age=40 * SECOND, heartbeat_timeout_seconds=30), SECOND),
            Admission.ENDED,
        ),
    ],
)
def test_a_short_heartbeat_timeout_begins_nothing_beside_a_chain_or_an_end(
    there: DrainRecord, admission: Admission
) -> None:
    # A second chain, or a drain that has ended, would have a new deadline in each sweep.
    sweeps = drain("", origin=Origin.SWEEP, generation=GENERATION)

    assert asked(sweeps, there).admission == admission


@pytest.mark.parametrize(
    ("token", "ahead", "admission"),
    [
        # Ten, and one for each of the five seconds since the record was written.
        ("", 15, Admission.DUE),
        ("", 16, Admission.DUPLICATE),
        (TOKEN, 16, Admission.DUE),
    ],
)
def test_a_message_without_a_token_can_be_only_so_far_ahead_as_passes_can_be(
    token: str, ahead: int, admission: Admission
) -> None:
    # Who may write to the queue could name the hop at which the chain stops.
    message = drain(token, generation=GENERATION, hop=HOP + ahead)

    assert asked(message, record(token, age=5 * SECOND)).admission == admission


@pytest.mark.parametrize(
    ("before", "state", "admission"),
    [
        ("ReplacingRootVolume:Wait", "Terminating:Wait", Admission.NEW),
        ("Terminating:Wait", "Terminating:Wait", Admission.ENDED),
        (None, "Terminating:Wait", Admission.ENDED),
        ("Terminating:Wait", None, Admission.ENDED),
    ],
)
def test_the_sweep_begins_at_once_what_waits_in_another_state_than_what_has_ended(
    before: str | None, state: str | None, admission: Admission
) -> None:
    # With a short heartbeat timeout the hook expired while the answer was still taken for old.
    just_ended = ended(record("", waits_in=before), SECOND)

    found = asked(drain("", origin=Origin.SWEEP, waits_in=state), just_ended)

    assert (found.admission, found.drain.waits_in) == (
        admission,
        None if admission == Admission.NEW else state,
    )


def test_what_nobody_has_written_for_three_sweeps_lends_no_deadline() -> None:
    # The table was down for an hour: an action that began meanwhile was answered by the deadline of
    # the one before, with its tasks running.
    known = {"heartbeat_timeout_seconds": 7200}
    longer, shorter = (
        record("", age=UNWATCHED_MAX - less, **known) for less in (0 * SECOND, SECOND)
    )
    message = drain("", generation=GENERATION, hop=HOP)
    sweeps = drain("", origin=Origin.SWEEP, generation=GENERATION)

    admissions = [
        asked(one, read).admission for read in (longer, shorter) for one in (message, sweeps)
    ]

    assert admissions == [Admission.DUPLICATE, Admission.NEW, Admission.DUE, Admission.TAKEOVER]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(SILENT - SECOND, Admission.DUE), (SILENT, Admission.DUPLICATE)],
)
def test_a_late_message_ahead_of_an_unwatched_record_may_be_of_the_action_before(
    sent: timedelta, expected: Admission
) -> None:
    # Writes were denied for half an hour, and an operator had ended the first action: the second
    # one was answered at the deadline of the first, with its tasks running.
    message = drain("", generation=GENERATION, hop=HOP + 1, sent_at=NOW - sent)

    assert asked(message, record("", age=UNWATCHED_MAX)).admission == expected


@pytest.mark.parametrize(
    ("token", "age", "ahead"), [("", SECOND, 0), (TOKEN, SILENT, 0), ("", SILENT, 1)]
)
def test_a_look_that_did_not_see_it_wait_ends_no_chain_that_is_alive(
    token: str, age: timedelta, ahead: int
) -> None:
    # One stale answer of Auto Scaling is enough for such a look.
    seen = record(token, age=age, not_waiting_since=NOW - age)
    message = drain(token, generation=GENERATION, hop=HOP + ahead)

    assert asked(message, seen).admission == Admission.DUE


@pytest.mark.parametrize("age", [SECOND, SILENT])
def test_a_record_with_a_token_keeps_it_over_any_silence(age: timedelta) -> None:
    # Else every lost message would cost a long drain its progress.
    message = drain(generation=GENERATION, hop=HOP)

    assert evidence(asked(message, record(age=age, **EVIDENCE)).drain) == EVIDENCE


def test_a_message_of_the_same_hop_is_not_asked_what_it_has_seen() -> None:
    # While the table answers, whoever may publish cannot make up a look.
    message = drain(generation=GENERATION, hop=HOP, **EVIDENCE)

    assert evidence(asked(message, record()).drain) == FORGOTTEN


def test_a_message_behind_the_record_is_not_either() -> None:
    # It is older: since then the instance may have been set ACTIVE.
    message = drain(generation=GENERATION, hop=HOP - 1, **EVIDENCE)

    assert evidence(asked(message, record(age=SILENT)).drain) == FORGOTTEN


def test_a_message_ahead_with_the_token_has_the_newer_facts_but_no_later_deadline() -> None:
    # Where writes are denied for an hour, a drain would else begin to look again in every pass.
    ahead = drain(
        generation=GENERATION,
        hop=HOP + 1,
        deadline_at=NOW + timedelta(hours=2),
        unfinished=("b" * 32,),
        **EVIDENCE,
    )
    admitted = asked(ahead, record(unfinished=("a" * 32,)))

    assert admitted.admission == Admission.DUE
    assert evidence(admitted.drain) == EVIDENCE
    assert admitted.drain.unfinished == ("b" * 32,)
    assert admitted.drain.deadline_at == NOW + timedelta(hours=1)
    earlier = replace(ahead, deadline_at=NOW + timedelta(minutes=1))
    assert asked(earlier, record()).drain.deadline_at == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("since", "sent_ago", "forgotten"),
    [
        pytest.param(None, 60, True, id="seen ACTIVE since"),
        pytest.param(NOW - timedelta(seconds=31), 60, True, id="DRAINING since later"),
        # The record was written 30 s ago, before the message.
        pytest.param(None, 29, False, id="the message is newer"),
        pytest.param(EVIDENCE["draining_since"], 60, False, id="DRAINING all the time"),
    ],
)
def test_a_late_message_ahead_does_not_hide_what_another_pass_has_written_since(
    since: Any, sent_ago: int, *, forgotten: bool
) -> None:
    # Two chains go on while the table is down. Once it is back, one sees the instance ACTIVE, and
    # the late message of the other would answer by its old listings.
    sent_at = NOW - timedelta(seconds=sent_ago)
    ahead = drain(generation=GENERATION, hop=HOP + 1, sent_at=sent_at, **EVIDENCE)

    admitted = asked(ahead, record(draining_since=since, age=timedelta(seconds=30)))

    expected = {**FORGOTTEN} if forgotten else EVIDENCE
    assert evidence(admitted.drain) == expected


@pytest.mark.parametrize("since", [None, NOW - timedelta(minutes=1)])
def test_a_message_ahead_without_a_token_can_only_delay(since: datetime | None) -> None:
    # A pass that could not write has seen the instance ACTIVE: what the record says is outdated.
    ahead = drain("", generation=GENERATION, hop=HOP + 1, draining_since=since)

    assert evidence(asked(ahead, record("", **EVIDENCE)).drain) == FORGOTTEN
    ahead = replace(ahead, draining_since=EVIDENCE["draining_since"], closed=True)
    assert evidence(asked(ahead, record("", **EVIDENCE)).drain) == EVIDENCE


@pytest.mark.parametrize(
    ("token", "admission"), [("", Admission.JOIN), (OTHER_TOKEN, Admission.NEW)]
)
def test_a_token_that_is_not_the_records_has_to_be_proven_whatever_generation_it_names(
    token: str, admission: Admission
) -> None:
    # A made-up token would end the record that the sweep has made, or exhaust its chain.
    message = drain(generation=GENERATION, hop=HOP)

    assert asked(message, record(token)).admission == admission


def test_without_a_table_the_message_is_the_record() -> None:
    # An outage must delay no drain that knows its token.
    message = drain(generation=GENERATION, hop=3, sent_at=NOW - SILENT + SECOND, **EVIDENCE)

    assert asked(message, DOWN) == Admitted(Admission.UNREAD, message, None, DOWN)


@pytest.mark.parametrize("sent_at", [None, NOW - SILENT])
def test_without_a_table_a_late_message_begins_its_listings_again(
    sent_at: datetime | None,
) -> None:
    # A duplicate from before somebody set the instance ACTIVE would answer by its old listings.
    message = drain(
        generation=GENERATION, hop=3, sent_at=sent_at, unfinished=("a" * 32,), **EVIDENCE
    )

    admitted = asked(message, DOWN)

    assert admitted.admission == Admission.UNREAD
    # Still as DRAINING before: else it would be set so again before any message says that it was
    # ACTIVE, which the pass of another message would not see then.
    # Not that Auto Scaling did not wait: each late duplicate would be passed on for 20 s once more.
    kept = {"draining_since": NOW, "not_waiting_since": EVIDENCE["not_waiting_since"]}
    assert evidence(admitted.drain) == {**FORGOTTEN, **kept}
    assert admitted.drain.unfinished == ("a" * 32,)
    assert asked(replace(message, draining_since=None), DOWN).drain.draining_since is None


@pytest.mark.parametrize(("interval", "seconds"), [(1, 76), (15, 90), (75, 150), (300, 375)])
def test_silence_is_longer_than_a_pass_takes(interval: int, seconds: int) -> None:
    # A record that counts as silent after each pass would forget what every pass established.
    assert silent_after(interval) == timedelta(seconds=seconds)
    assert silent_after(interval) > timedelta(seconds=interval + 30)


def test_a_duplicate_that_is_delivered_again_finds_its_chain_silent() -> None:
    # 180 s after a pass that died, less the 30 s that it may have lived.
    assert silent_after(15) <= timedelta(seconds=180 - 30)


def test_an_action_has_one_record_by_its_instance_group_and_hook() -> None:
    assert key_of(drain().action) == Key("i-1", "web:drainer")
    assert key_of(drain(OTHER_TOKEN).action) == key_of(drain().action)
    assert min([Key("i-2", "a"), Key("i-1", "b"), Key("i-1", "a")]) == Key("i-1", "a")


def test_what_people_are_told_is_bounded() -> None:
    # A write above 1 KB costs twice as much, and above 400 KB fails.
    told = replace(record(), reason="r" * 500, tasks=tuple(f"{n:032x}" for n in range(50)))

    assert (len(told.reason), len(told.tasks)) == (200, 10)


def test_a_record_outlives_its_action_by_the_retention() -> None:
    retention = timedelta(days=90)

    assert record().expires_at(retention) == NOW + timedelta(hours=1) + retention
    assert ended(record(), SECOND).expires_at(retention) == NOW - SECOND + retention
    bare = replace(record(), drain=drain())
    assert bare.expires_at(retention) == NOW - SECOND + retention


def test_the_record_of_an_instance_that_may_come_back_outlives_the_retention() -> None:
    # An instance that rested in its warm pool for longer stayed DRAINING when it came back.
    over, day = ended(record(), SECOND), timedelta(days=1)
    resting = replace(over, followed=True)

    assert resting.expires_at(day) == NOW - SECOND + timedelta(days=3650)
    assert resting.expires_at(4000 * day) == NOW - SECOND + 4000 * day
    assert over.expires_at(day) == NOW - SECOND + day


# The hook has timed out without a heartbeat: what waits by now is another action, which would be
# answered at the deadline of the first.
@pytest.mark.parametrize("hop", [HOP - 1, HOP])
def test_a_message_that_is_later_than_its_hook_waits_is_left_to_the_sweep(hop: int) -> None:
    message = drain("", generation=GENERATION, hop=hop)
    late = record("", age=timedelta(seconds=300), heartbeat_timeout_seconds=300)

    assert asked(message, late).admission == Admission.DUPLICATE
    # One second sooner nothing tells the two apart but the silence.
    before = record("", age=timedelta(seconds=299), heartbeat_timeout_seconds=300)
    assert asked(message, before).admission.goes_on
    # Passes that could not write have kept the hook waiting meanwhile.
    ahead = replace(message, hop=HOP + 1)
    assert asked(ahead, late).admission == Admission.DUE
    # A token says which action is meant.
    named = replace(late, drain=replace(late.drain, action=drain(TOKEN).action))
    assert asked(drain(TOKEN, generation=GENERATION, hop=HOP), named).admission == Admission.DUE


@pytest.mark.parametrize(
    ("message", "there", "admission"),
    [
        pytest.param(
            drain("", origin=Origin.SWEEP),
            record("", age=timedelta(seconds=300), heartbeat_timeout_seconds=300, cluster="a"),
            Admission.NEW,
            id="its hook has timed out",
        ),
        pytest.param(
            drain("", origin=Origin.SWEEP),
            ended(record(cluster="a"), SETTLE),
            Admission.NEW,
            id="it has ended",
        ),
        pytest.param(drain(OTHER_TOKEN), record(cluster="a"), Admission.NEW, id="another action"),
        pytest.param(drain(), record("", cluster="a"), Admission.JOIN, id="its token"),
    ],
)
def test_the_cluster_in_which_the_instance_was_found_outlives_the_record(
    message: Drain, there: DrainRecord, admission: Admission
) -> None:
    # A drain that ends before it finds the instance is followed all the same. Without the cluster
    # nobody would look for what was set DRAINING before: it would stay so, in service, permanently.
    admitted = asked(message, there)

    assert (admitted.admission, admitted.drain.cluster) == (admission, "a")


def test_a_cluster_that_the_message_names_is_the_newer_one() -> None:
    # The instance may have registered elsewhere since the record was written.
    message = drain(OTHER_TOKEN, cluster="b")

    assert asked(message, record(cluster="a")).drain.cluster == "b"
