"""
What passes over a request do with its record, with doubts, and with how little time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.custom_resource import record as request_codec
from drainer.custom_resource.answers import Answers
from drainer.custom_resource.belief import Belief
from drainer.custom_resource.controller import ANSWERING_SECONDS, GIVEN_UP, RequestController
from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.re_invocation import Continuation, furthest
from drainer.custom_resource.reactivation import Restored
from drainer.custom_resource.record import PASS_SECONDS_MAX, RequestRecord, key_of
from drainer.custom_resource.recorder import SWEPT_MAX, RequestRecorder
from drainer.custom_resource.report import Pass, Report, Step
from drainer.custom_resource.request import RESOURCE_TYPE, Request, RequestType
from drainer.custom_resource.stack import Row, Stack
from drainer.custom_resource.target_status import TargetStatus
from drainer.drain.actions import UNIT_SECONDS
from drainer.drain.record import End, Key
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from tests.unit.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = "stack|request"
REQUEST = Request(
    request_type=RequestType.CREATE,
    stack_id="stack",
    request_id="request",
    logical_id="Drain",
    physical_id="",
    response_url="http://localhost:1/",
    properties={"Cluster": "payments", "SpotFleet": "sfr-1"},
    started_at=NOW,
)

CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer", verify_stacks=True)
CREATING = Stack(
    "UPDATE_IN_PROGRESS", NOW, (Row("Drain", "", RESOURCE_TYPE, "CREATE_IN_PROGRESS", NOW),)
)
AT_REST = Stack("UPDATE_COMPLETE", NOW, CREATING.rows)


@dataclass
class RequestsInMemory(Records):
    """
    The records of requests, and what only the release before this one has written.
    """

    former: dict[Key, RequestRecord] = field(default_factory=dict)

    def read(self, keys: Iterable[Key]) -> dict[Key, Any]:
        return {key: one or self.former.get(key) for key, one in super().read(keys).items()}

    def former_keys(self) -> list[Key]:
        return [*self.former]


@dataclass
class Others:
    """
    Everything that a pass has to do with, as simple as it can be.

    Attributes:
        deaf: Why the next answers are not taken.
        unpublished: Why the topic does not take a message, by its place.
    """

    looks: list[Stack | Exception] = field(default_factory=list)
    restored: list[tuple[str, ...] | Restored | Exception] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    deaf: list[Exception] = field(default_factory=list)
    unpublished: dict[int, str] = field(default_factory=dict)
    records: RequestsInMemory = field(default_factory=lambda: RequestsInMemory(codec=request_codec))

    def stack(self, _: str) -> Stack:
        said = self.looks.pop(0) if self.looks else CREATING
        if isinstance(said, Exception):
            raise said
        return said

    def physical_id(self, *_: Any, **__: Any) -> str:
        return "sfr-1"

    def restore(self, progress: RequestProgress, *_: Any) -> Restored:
        said = self.restored.pop(0) if self.restored else ()
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Restored) else Restored(progress, said)

    def publish(self, messages: list[str]) -> dict[int, str]:
        self.published += [] if self.unpublished else messages
        return self.unpublished

    def drain(self, progress: RequestProgress, *_: Any) -> TargetStatus:
        return TargetStatus(progress, total=2, done=1)

    def respond(self, _: str, body: bytes) -> None:
        if self.deaf:
            raise self.deaf.pop(0)
        self.answers.append(json.loads(body))

    @property
    def record(self) -> RequestRecord:
        found: RequestRecord = self.records.rows[key_of(KEY)]
        return found


def requests(others: Others) -> RequestController:
    anything: Any = others
    belief = Belief(anything, CONFIG)
    return RequestController(
        answers=Answers(anything, anything, belief, CONFIG),
        belief=belief,
        recorder=RequestRecorder(others.records, CONFIG),
        topic=anything,
        respond=others.respond,
        config=CONFIG,
    )


def passes(others: Others, *at_seconds: float) -> list[Step]:
    """Make a pass at each of these seconds after the request; return what each came to."""
    runner = requests(others)
    steps = []
    for hop, seconds in enumerate(at_seconds):
        asked = Continuation(KEY, hop) if hop else REQUEST
        at = NOW + timedelta(seconds=seconds)
        steps.append(runner.run_pass(asked, clock(at)).step)
    return steps


def clock(now: datetime, seconds_left: float = 30.0) -> InvocationClock:
    return InvocationClock(now, lambda: seconds_left)


def test_answers_that_know_of_no_work_are_not_believed_before_they_are_minutes_apart() -> None:
    # CloudFormation waited its whole hour because two answers 60 ms apart were out of date.
    others = Others([AT_REST, AT_REST, AT_REST, CREATING])

    assert passes(others, 0, 15, 119, 121) == [Step.RE_INVOKE] * 3 + [Step.ANSWERED]
    assert len(others.answers) == 1


def test_a_request_that_minutes_of_answers_do_not_know_is_dropped_unanswered() -> None:
    # Whoever may publish to the topic could else have any fleet drained.
    others = Others([AT_REST] * 3)

    assert passes(others, 0, 60, 120) == [Step.RE_INVOKE, Step.RE_INVOKE, Step.REFUSED]
    assert others.answers == []


@pytest.mark.parametrize("error", [UnavailableError("throttled"), MisconfiguredError("denied")])
def test_a_read_that_fails_is_no_doubt(error: Exception) -> None:
    # While IAM spreads every read is denied, for minutes.
    others = Others([error, error, error, AT_REST, AT_REST, CREATING])

    assert passes(others, 0, 60, 130, 140, 200, 255)[-1] == Step.ANSWERED


def test_a_look_that_confirms_ends_a_doubt() -> None:
    # Two answers that are out of date, with a true one in between, are two beginnings.
    others = Others([AT_REST, CREATING, AT_REST, CREATING])
    waiting: list[Any] = [UnavailableError("throttled"), ()]
    others.restored = waiting

    assert passes(others, 0, 60, 130, 140)[-1] == Step.ANSWERED


def test_a_pass_without_time_is_re_invoked_and_comes_first_then() -> None:
    # A batch whose lifecycle actions take all the time would starve it for its whole hour.
    others = Others()
    runner = requests(others)

    report = runner.run_pass(REQUEST, clock(NOW, 10.0))
    [text] = others.published
    again = runner.run_pass(Continuation(KEY, 1), clock(NOW + timedelta(seconds=15)))

    assert (report.step, again.step) == (Step.RE_INVOKE, Step.ANSWERED)
    assert json.loads(text)["postponed"] is True


def test_a_re_invocation_that_is_far_ahead_of_its_chain_is_nobodys() -> None:
    # Whoever may publish could else leave every true message behind, and only the sweep would help.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))
    later = NOW + timedelta(seconds=15)

    forged = runner.run_pass(Continuation(KEY, 1_000), clock(later))
    true = runner.run_pass(Continuation(KEY, 1), clock(later))

    assert (forged.step, true.step) == (Step.DUPLICATE, Step.ANSWERED)


def test_what_is_no_answer_to_anything_is_written_down_as_the_end() -> None:
    # The response URL must not stay in the table longer than it is of use.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))

    late = runner.run_pass(Continuation(KEY, 1), clock(NOW + timedelta(hours=1)))
    later = runner.run_pass(Continuation(KEY, 2), clock(NOW + timedelta(hours=2)))

    assert (late.step, late.unanswered) == (Step.OVER, True)
    assert (later.step, later.unanswered) == (Step.OVER, False)
    assert (others.record.end, others.record.progress) == (End.OVER, None)
    assert runner.recorder.lost(NOW + timedelta(hours=3)) == []


# -- the record


def said(others: Others) -> list[str]:
    """What was written, in words."""
    return [f"{one.record.phase} {one.record.hop} {one.record.end}" for one in others.records.made]


def test_what_is_going_to_be_answered_is_written_before_it_is() -> None:
    # Two passes that decide differently must not both answer.
    others = Others(restored=[UnavailableError("throttled")])

    assert passes(others, 0, 15) == [Step.RE_INVOKE, Step.ANSWERED]

    assert said(others) == ["re-invoke 1 ", "answered 2 ", "answered 2 answered SUCCESS"]
    assert (others.record.progress, others.record.reason) == (None, others.answers[0]["Reason"])


def test_of_two_passes_of_one_hop_one_answers() -> None:
    # SNS delivers a message twice at once, to two containers.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))
    theirs = replace(others.record, hop=2, pass_id="theirs")
    others.records.meanwhile[key_of(KEY)] = theirs

    report = runner.run_pass(Continuation(KEY, 1), clock(NOW + timedelta(seconds=15)))

    assert (report.step, others.answers) == (Step.DUPLICATE, [])
    assert others.record == theirs


def test_of_two_first_passes_one_goes_on() -> None:
    # The request itself comes twice: two chains would ask the account twice as much for an hour.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))
    theirs = others.records.rows.pop(key_of(KEY))
    others.records.meanwhile[key_of(KEY)] = theirs

    report = runner.run_pass(REQUEST, clock(NOW))

    assert (report.step, len(others.published), others.answers) == (Step.DUPLICATE, 1, [])


@pytest.mark.parametrize("committed", [True, False])
def test_a_write_whose_answer_is_lost_publishes_and_answers_nothing(committed: bool) -> None:
    # The decision may be in the table or not: the next pass must find one, and give that.
    others = Others()
    error = UnavailableError("the answer is lost")
    others.records.unanswered, others.records.unmade = (error, None) if committed else (None, error)

    lost = requests(others).run_pass(REQUEST, clock(NOW))
    others.records.unanswered = others.records.unmade = None
    again = requests(others).run_pass(REQUEST, clock(NOW + timedelta(seconds=180)))

    assert (lost.step, lost.reason) == (Step.RETRY, "the answer is lost")
    assert (again.step, len(others.answers), others.published) == (Step.ANSWERED, 1, [])


def test_an_answer_that_was_not_taken_is_given_again_as_it_was_decided() -> None:
    # FAILED at the deadline must not become SUCCESS because the next pass looks once more.
    others = Others(deaf=[UnavailableError("503")], restored=[(), UnavailableError("a look more")])

    steps = passes(others, 0, 15)

    assert steps == [Step.RE_INVOKE, Step.ANSWERED]
    assert (len(others.restored), len(others.answers)) == (1, 1)
    assert said(others)[-1] == "answered 2 answered SUCCESS"


def test_an_answer_that_is_refused_for_good_ends_the_request() -> None:
    # Without an end the sweep would put it again and again.
    others = Others(deaf=[MisconfiguredError("403")])

    report = requests(others).run_pass(REQUEST, clock(NOW))

    assert (report.step, report.unanswered) == (Step.REFUSED, True)
    assert (others.record.end, others.record.progress) == (End.OVER, None)


@pytest.mark.parametrize("what", ["down", "unread"])
def test_a_record_that_cannot_be_read_is_no_new_request(what: str) -> None:
    # Begun again, it would be answered differently; its message comes again instead.
    others = Others()
    runner = requests(others)
    runner.run_pass(REQUEST, clock(NOW, 10.0))
    error = UnavailableError("throttled")
    others.records.down = error if what == "down" else None
    others.records.unread = {} if what == "down" else {key_of(KEY): error}

    report = runner.run_pass(REQUEST, clock(NOW + timedelta(seconds=180)))

    assert (report.step, report.reason, others.answers) == (Step.RETRY, "throttled", [])


# -- a chain that is lost


def swept(others: Others, seconds: float) -> list[Continuation]:
    return requests(others).recorder.lost(NOW + timedelta(seconds=seconds))


def test_a_sweep_takes_over_what_is_silent_and_nothing_that_is_not() -> None:
    # Two chains of one request would ask the account twice as much for an hour.
    others = Others(restored=[UnavailableError("throttled")])
    passes(others, 0)

    assert [swept(others, seconds) for seconds in (0, 89, 90)] == [[], [], [Continuation(KEY, 1)]]


def test_a_message_that_comes_again_takes_over_a_chain_that_is_silent() -> None:
    # The pass that wrote died before it published: the message of before is all that is left.
    others = Others(restored=[UnavailableError("throttled")])
    passes(others, 0)

    early, late = (
        requests(others).run_pass(REQUEST, clock(NOW + timedelta(seconds=seconds)))
        for seconds in (60, 180)
    )

    assert (early.step, late.step, others.record.hop) == (Step.DUPLICATE, Step.ANSWERED, 2)


def test_past_the_deadline_a_sweep_waits_no_longer_than_an_invocation_may_take() -> None:
    # The margin before CloudFormation's timeout has room for one sweep, and not for two.
    others = Others(restored=[UnavailableError("throttled")])
    passes(others, 0)
    late = replace(others.record, deadline_at=NOW + timedelta(seconds=1))
    others.records.put(late)

    assert swept(others, PASS_SECONDS_MAX - 1) == []
    assert swept(others, PASS_SECONDS_MAX) == [Continuation(KEY, 1)]


def test_a_sweep_takes_the_most_urgent_and_no_more_than_it_can_serve() -> None:
    others = Others(restored=[UnavailableError("throttled")])
    passes(others, 0)
    for number in range(SWEPT_MAX + 3):
        at = NOW + timedelta(minutes=30, seconds=-number)
        one = replace(others.record, key=key_of(f"stack|{number}"), deadline_at=at)
        others.records.put(one)

    found = swept(others, 600)

    assert SWEPT_MAX == 20
    first = [f"stack|{number}" for number in range(SWEPT_MAX + 2, 2, -1)]
    assert [one.key for one in found] == first


def test_one_record_that_cannot_be_read_hides_no_other_from_the_sweep() -> None:
    others = Others(restored=[UnavailableError("throttled")])
    passes(others, 0)
    odd = replace(others.record, key=key_of("stack|odd"))
    others.records.put(odd)
    others.records.unread[odd.key] = MisconfiguredError("odd")

    assert swept(others, 600) == [Continuation(KEY, 1)]


# -- a request that the release before this one has begun


def updated(**changes: Any) -> Others:
    """What it wrote before its fourth pass had published."""
    began = RequestRecord(
        key=key_of(KEY),
        generation=0,
        hop=4,
        pass_id="",
        written_at=NOW + timedelta(seconds=45),
        began_at=NOW,
        deadline_at=NOW + timedelta(minutes=50),
        progress=RequestProgress(REQUEST, looks=3),
    )
    others = Others()
    others.records.former[began.key] = replace(began, **changes)
    return others


def served(others: Others, one: Any, seconds: float) -> Report:
    return requests(others).run_pass(one, clock(NOW + timedelta(seconds=seconds)))


def test_a_request_of_the_release_before_goes_on_in_the_table_of_records() -> None:
    # The stack is updated while another waits: its request would be answered by nobody.
    others = updated()

    report = served(others, Continuation(KEY, 4), 60)
    again = served(others, Continuation(KEY, 4), 61)

    assert (report.step, len(others.answers)) == (Step.ANSWERED, 1)
    assert (others.record.generation, others.record.hop) == (1, 5)
    assert others.record.end == End.SUCCESS
    assert again.step == Step.OVER


@pytest.mark.parametrize("hop", [0, 3])
def test_its_duplicates_wait_until_it_is_silent(hop: int) -> None:
    # A pass of the release before may still be at work for half a minute.
    one = Continuation(KEY, hop) if hop else REQUEST

    assert served(updated(), one, 100).step == Step.DUPLICATE
    assert served(updated(), one, 135).step == Step.ANSWERED


def test_what_the_release_before_has_answered_is_not_answered_again() -> None:
    others = updated(progress=None, end=End.OVER, ended_at=NOW)

    report = served(others, REQUEST, 300)

    assert report.step == Step.OVER


def test_the_sweep_finds_the_lost_ones_of_the_release_before_until_they_have_a_record() -> None:
    others = updated()
    recorder = requests(others).recorder
    at = NOW + timedelta(seconds=300)

    assert recorder.lost(NOW + timedelta(seconds=100), former=True) == []
    assert (recorder.lost(at), recorder.lost(at, former=True)) == ([], [Continuation(KEY, 4)])
    served(others, Continuation(KEY, 4), 300)
    assert recorder.lost(NOW + timedelta(seconds=900), former=True) == []


# -- a pass and its time


@pytest.mark.parametrize(("seconds", "begun"), [(16.0, True), (15.9, False)])
def test_a_pass_is_begun_that_has_time_to_act_and_to_answer(seconds: float, *, begun: bool) -> None:
    # Cut while it answers, its record says that it was answered, and CloudFormation waits.
    assert ANSWERING_SECONDS + UNIT_SECONDS == 16.0
    others = Others()

    report = requests(others).run_pass(REQUEST, clock(NOW, seconds))

    assert report.step == (Step.ANSWERED if begun else Step.RE_INVOKE)
    assert bool(others.answers) is begun
    assert bool(others.published) is not begun
    assert ("No time was left" in report.reason) is not begun
    assert (report.request, report.hop) == (REQUEST, 0)


SLOW, DENIED = UnavailableError("throttled"), MisconfiguredError("denied")


@pytest.mark.parametrize(
    ("error", "service_timeout", "seconds", "step"),
    [
        pytest.param(SLOW, "3600", 3_179, Step.RE_INVOKE, id="before its deadline"),
        pytest.param(SLOW, "3600", 3_180, Step.ANSWERED, id="at its deadline"),
        pytest.param(SLOW, "60", 33, Step.RE_INVOKE, id="the next pass can answer"),
        pytest.param(SLOW, "60", 34, Step.ANSWERED, id="the next pass would be too late"),
        pytest.param(SLOW, "3600", 300, Step.RE_INVOKE, id="a throttle is not missing"),
        pytest.param(DENIED, "3600", 299, Step.RE_INVOKE, id="missing for minutes"),
        pytest.param(DENIED, "3600", 300, Step.ANSWERED, id="missing for long"),
        pytest.param(SLOW, "3600", 3_599, Step.ANSWERED, id="CloudFormation still waits"),
        pytest.param(SLOW, "3600", 3_600, Step.OVER, id="it no longer waits"),
    ],
)
def test_a_request_is_answered_before_cloudformation_gives_up_and_not_long_before(
    error: Exception, service_timeout: str, seconds: float, step: Step
) -> None:
    # Too late, the stack fails by itself after an hour; too early, it fails over a slow start.
    others = Others(restored=[SLOW, error])
    runner = requests(others)
    asked = replace(REQUEST, properties={**REQUEST.properties, "ServiceTimeout": service_timeout})
    runner.run_pass(asked, clock(NOW))

    report = runner.run_pass(Continuation(KEY, 1), clock(NOW + timedelta(seconds=seconds)))

    assert report.step == step
    assert report.overdue is (step == Step.ANSWERED)
    assert [one["Status"] for one in others.answers] == ["FAILED"] * (step == Step.ANSWERED)
    assert report.unanswered is (step == Step.OVER)
    assert (report.reason == GIVEN_UP) is (step == Step.OVER)
    if step == Step.ANSWERED:
        assert others.record.end == End.FAILED


def test_what_is_doubted_is_not_answered_at_its_deadline_either() -> None:
    # Whoever may publish could else have a request of another stack FAILED.
    others = Others([CREATING, AT_REST], restored=[SLOW])

    assert passes(others, 0, 3_180) == [Step.RE_INVOKE] * 2
    assert others.answers == []
    assert "no operation in progress" in others.record.reason


def test_what_is_dropped_unanswered_says_why_in_its_record() -> None:
    # Whoever looks why a stack waits finds nothing else.
    others = Others([AT_REST] * 2)
    passes(others, 0, 120)

    assert (others.record.end, others.record.progress) == (End.OVER, None)
    assert "no operation in progress" in others.record.reason


def test_what_a_pass_waits_for_is_in_its_record() -> None:
    row = replace(CREATING.rows[0], physical_id="sfr-1", status="DELETE_IN_PROGRESS")
    others = Others([Stack("DELETE_IN_PROGRESS", NOW, (row,))])
    asked = replace(REQUEST, request_type=RequestType.DELETE, physical_id="sfr-1")

    report = requests(others).run_pass(asked, clock(NOW))

    assert report.step == Step.RE_INVOKE
    assert report.reason == others.record.reason == "1 of 2 instances are not drained"
    assert report.overdue is False
    assert json.loads(others.published[0]).get("postponed") is None


def test_a_re_invocation_that_was_not_published_is_delivered_again() -> None:
    # The chain would be lost, and the sweep takes minutes to find it.
    others = Others(restored=[SLOW], unpublished={0: "throttled"})

    report = requests(others).run_pass(REQUEST, clock(NOW))

    assert report.step == Step.RETRY
    assert report.reason == "The re-invocation was not published: throttled"


@pytest.mark.parametrize(
    ("error", "step", "said", "failed"),
    [
        (SLOW, Step.RE_INVOKE, "", "The response was not accepted: throttled"),
        (DENIED, Step.REFUSED, "The response was refused: denied", ""),
    ],
)
def test_an_answer_that_was_not_taken_is_said(
    error: Exception, step: Step, said: str, failed: str
) -> None:
    # CloudFormation waits an hour, and only the log can say for what.
    others = Others(deaf=[error])

    report = requests(others).run_pass(REQUEST, clock(NOW))

    assert (report.step, report.reason, "".join(report.errors)) == (step, said, failed)
    assert report.unanswered is (step == Step.REFUSED)
    assert report.overdue is False
    # It had time: what had none goes first.
    assert not any("postponed" in text for text in others.published)


def test_a_look_that_failed_is_said() -> None:
    # A denied read is the operator's to fix, and told nowhere else before the deadline.
    report = requests(Others(restored=[DENIED])).run_pass(REQUEST, clock(NOW))

    assert report.errors == ("The stack or the target was not read: denied",)


def test_what_is_looked_at_for_long_is_not_missing() -> None:
    # A search of hundreds of clusters takes several passes: the Create would fail over it.
    going_on = Restored(RequestProgress(REQUEST), complete=False)

    assert passes(Others(restored=[SLOW, going_on]), 0, 300) == [Step.RE_INVOKE] * 2


def test_a_re_invocation_of_what_nobody_has_asked_begins_nothing() -> None:
    # Whoever may publish could else have the function look for what is not there.
    report = requests(others := Others()).run_pass(Continuation(KEY, 1), clock(NOW))

    assert (report.step, others.records.writes) == (Step.REFUSED, [])
    assert report.reason == "a re-invocation for a request of which there is no record"


def test_of_two_passes_of_one_hop_one_is_re_invoked() -> None:
    # Two chains of one request would ask the account twice as much for an hour.
    others = Others(restored=[SLOW, SLOW])
    passes(others, 0)
    others.records.meanwhile[key_of(KEY)] = replace(others.record, hop=2, pass_id="theirs")

    report = requests(others).run_pass(Continuation(KEY, 1), clock(NOW + timedelta(seconds=15)))

    assert (report.step, len(others.published)) == (Step.DUPLICATE, 1)


def test_a_pass_that_came_second_has_answered_nothing() -> None:
    # Counted as answered, two answers would be told of one request.
    others = Others(restored=[SLOW])
    passes(others, 0)
    others.records.meanwhile[key_of(KEY)] = replace(others.record, hop=2, pass_id="theirs")

    report = requests(others).run_pass(Continuation(KEY, 1), clock(NOW + timedelta(seconds=15)))

    assert (report.step, report.answer, others.answers) == (Step.DUPLICATE, None, [])


def test_what_has_ended_says_how() -> None:
    others = Others()
    passes(others, 0)

    report = requests(others).run_pass(REQUEST, clock(NOW + timedelta(seconds=180)))

    assert (report.step, report.reason) == (Step.OVER, "answered SUCCESS")
    assert len(others.records.writes) == 2


@pytest.mark.parametrize("hops", [(0, 1), (1, 0), (1, 2), (2, 1), (2, 2)])
def test_of_several_messages_the_one_that_has_come_furthest_is_served(
    hops: tuple[int, ...],
) -> None:
    # The others would be duplicates, each with a read of its own.
    asked = [Continuation(KEY, hop) if hop else REQUEST for hop in hops]
    other = Continuation("stack|other", 1)

    assert furthest([asked[0], other, asked[1]]) == [max(asked, key=furthest_hop), other]


def test_the_request_itself_goes_before_a_re_invocation_without_a_hop() -> None:
    # Without a record the re-invocation is refused, and the request would never begin.
    assert furthest([REQUEST, Continuation(KEY, 0)]) == [REQUEST]


def furthest_hop(one: Request | Continuation) -> int:
    return one.hop if isinstance(one, Continuation) else 0


# -- what is written


@pytest.mark.parametrize("error", [SLOW, None])
def test_an_end_that_was_not_written_is_said(error: Exception | None) -> None:
    # The response URL would stay in the table, and the sweep put it again.
    others = Others(restored=[SLOW])
    passes(others, 0)
    runner, record = requests(others), others.record
    others.records.unmade = error  # type: ignore[assignment]
    report = Report(KEY, 1, step=Step.OVER, reason="why")
    this = Pass(record, report, NOW, clock(NOW + timedelta(seconds=9)))

    assert runner.recorder.end(record, End.OVER, this) is (error is None)

    wrong = ("The end of the request was not written: throttled",)
    assert report.errors == (wrong if error else ())
    if error is None:
        written = others.record
        assert (written.phase, written.reason, written.end) == ("over", "why", End.OVER)
        assert written.ended_at == written.written_at == NOW + timedelta(seconds=9)
        assert written.pass_id != record.pass_id
