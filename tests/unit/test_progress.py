from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drainer.codec import COUNT_MAX
from drainer.custom_resource.progress import (
    INSTANTS,
    MEMBERS_MAX,
    STATE_BYTES_MAX,
    UNFINISHED_MAX,
    Member,
    RequestProgress,
    decode,
    encode,
)
from drainer.custom_resource.properties import INSTANCES_MAX, Status
from drainer.custom_resource.request import Answer, Request, RequestType
from drainer.errors import MalformedEventError

NOW = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
SECRET = "X-Amz-Signature=0123456789abcdef"
BUCKET = "https://cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/shop/5b918d10-cd98-11ea-90d5-0a9cd"
REQUEST = Request(
    request_type=RequestType.DELETE,
    stack_id=STACK,
    request_id="c3d8e5b7-2a91-4f6d-b0c4-7e1a9f8d6b52",
    logical_id="Drain",
    physical_id="sfr-73fbd2ce-aa30-494c-8788-1cee4EXAMPLE",
    # As long as those that carry a role's session token.
    response_url=f"{BUCKET}/{'x' * 1_500}?{SECRET}",
    properties={"Cluster": "payments", "SpotFleet": "sfr-1"},
    old_properties={"Cluster": "payments"},
    started_at=NOW,
)
INSTANCE = "i-0123456789abcdef0"


TASK_ID = "0123456789abcdef0123456789abcdef"
# What tasks are called in accounts that keep to the older format.
LONG_TASK_ID = "465e0162-e6af-4786-b4e8-bb544ae58790"


def crowd(count: int, task_id: str = TASK_ID) -> RequestProgress:
    """A progress in the middle of its way, with all that can be noted of each instance."""
    since = NOW + timedelta(seconds=3_000)
    member = Member(
        draining_since=since,
        unfinished=(task_id,) * UNFINISHED_MAX,
        listed_at=since + timedelta(seconds=20),
        closed=True,
        searched_at=since,
        absent_since=since,
        settled=True,
        stopped=True,
    )
    history = {f"i-{number:017x}": member for number in range(count)}
    # A template's own words are kept as long as the request is.
    properties = {**REQUEST.properties, "Cluster": "x" * 30_000}
    return RequestProgress(replace(REQUEST, properties=properties), history, looks=200)


# -- there and back

TEXTS = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.builds(
    Request,
    request_type=st.sampled_from(RequestType),
    stack_id=TEXTS,
    request_id=TEXTS,
    logical_id=TEXTS,
    physical_id=TEXTS,
    response_url=TEXTS.map(lambda text: f"{BUCKET}/{quote(text)}"),
    properties=st.dictionaries(TEXTS, JSON, max_size=5),
    old_properties=st.dictionaries(TEXTS, JSON, max_size=2),
    resource_type=TEXTS,
    started_at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
HISTORY = st.dictionaries(
    st.from_regex(r"i-[0-9a-f]{1,17}", fullmatch=True),
    st.builds(
        Member,
        draining_since=st.none() | st.integers(1, 3_600),
        unfinished=st.lists(
            st.text("0123456789abcdef", min_size=1, max_size=32), max_size=UNFINISHED_MAX
        ).map(tuple),
        listed_at=st.none() | st.integers(1, 3_600),
        closed=st.booleans(),
        searched_at=st.none() | st.integers(1, 3_600),
        absent_since=st.none() | st.integers(1, 3_600),
        settled=st.booleans(),
        cluster=st.sampled_from(["", "payments"]),
        stopped=st.booleans(),
        done=st.booleans(),
    ),
    max_size=5,
)
ANSWERS = st.builds(Answer, st.sampled_from(Status), TEXTS, TEXTS)


def with_instants(member: Member, *instants: datetime | None) -> Member:
    """The note with these instants, in the order of INSTANTS; with none, without any."""
    named: dict[str, Any] = dict(zip_longest(INSTANTS, instants))
    return replace(member, **named)


@st.composite
def requests(draw: st.DrawFn, fraction: float = 0.0) -> RequestProgress:
    """Any progress; its instances are DRAINING since some seconds, or a part of one more."""
    request, history = draw(REQUESTS), draw(HISTORY)

    def instant(seconds: Any) -> datetime | None:
        return (
            None if seconds is None else request.started_at + timedelta(seconds=seconds + fraction)
        )

    timed = {
        name: with_instants(member, *(instant(getattr(member, one)) for one in INSTANTS))
        for name, member in history.items()
    }
    times = st.none() | st.just(request.started_at + timedelta(seconds=7.5))
    return RequestProgress(
        request,
        timed,
        looks=draw(st.integers(0, 1_000)),
        looked_at=draw(times),
        grown_at=draw(times),
        believed=draw(st.booleans()),
        answer=draw(st.none() | ANSWERS),
    )


@given(requests(fraction=0.25))
@settings(max_examples=300)
def test_an_errand_comes_back_as_it_went_and_no_drain_begins_earlier(
    progress: RequestProgress,
) -> None:
    # Rounded down, a grace period would be over, or a second listing be made, before its time.
    back = decode(encode(progress))

    assert replace(back, history={}) == replace(progress, history={})
    assert list(back.history) == list(progress.history)
    for name, member in progress.history.items():
        came = back.history[name]
        assert with_instants(came) == with_instants(member)
        for instant in INSTANTS:
            before, after = getattr(member, instant), getattr(came, instant)
            assert (before is None) == (after is None)
            if before and after:
                assert timedelta(0) <= after - before <= timedelta(seconds=1)


def test_what_nobody_has_looked_at_has_no_notes() -> None:
    assert decode(encode(RequestProgress(REQUEST))) == RequestProgress(REQUEST)


def test_an_answer_once_decided_goes_along() -> None:
    # A pass that cannot give it must not have the next one decide again.
    decided = RequestProgress(REQUEST, looks=3, answer=Answer(Status.FAILED, "sfr-1", "too late"))

    assert decode(encode(decided)).answer == decided.answer


def test_a_progress_that_is_printed_does_not_show_where_the_answer_goes() -> None:
    assert SECRET not in f"{decode(encode(RequestProgress(REQUEST)))!r}"


# -- sizes


def test_a_thousand_instances_fit_with_all_that_is_known_of_them() -> None:
    # A fleet of a thousand that does not fit is not drained at all.
    progress = crowd(INSTANCES_MAX)
    text = encode(progress)

    assert len(text) <= STATE_BYTES_MAX
    assert {member.unfinished for member in decode(text).history.values()} == {
        (TASK_ID,) * UNFINISHED_MAX
    }


def test_every_note_that_is_kept_fits_with_all_that_is_known_of_its_instance() -> None:
    # A fleet of a thousand all of whose instances were replaced while it drained: without the notes
    # the tasks of each instance are listed from the beginning, at each pass.
    progress = crowd(MEMBERS_MAX, LONG_TASK_ID)

    assert len(decode(encode(progress)).history) == MEMBERS_MAX


def test_an_item_has_room_for_the_longest_progress_and_what_surrounds_it() -> None:
    # "The maximum item size in DynamoDB is 400 KB": a write that is refused for its length is
    # refused each time, and CloudFormation waits for its hour.
    around = {"instance": "x" * 512, "subject": "x" * 512, "reason": "x" * 200, "more": "x" * 1_000}

    assert STATE_BYTES_MAX + len(json.dumps(around)) <= 400 * 1_024


def test_an_errand_that_is_too_long_all_the_same_is_refused() -> None:
    long = replace(REQUEST, properties={"Cluster": "x" * STATE_BYTES_MAX})

    with pytest.raises(
        MalformedEventError, match=r"The progress has \d+ bytes, the limit is 380000"
    ):
        encode(RequestProgress(long))


# -- what we have not written

# Of one instance of which nothing is known.
ROW: list[Any] = [0, *[None for _ in INSTANTS], "", 0, 0]
PLAIN: dict[str, Any] = json.loads(
    encode(
        RequestProgress(
            REQUEST, {INSTANCE: Member(draining_since=NOW, unfinished=("0a",))}, looks=1
        )
    )
)


# The longest that there are: 255 characters after the account's prefix.
LONG_CLUSTER = f"arn:aws:ecs:us-east-1:123456789012:cluster/{'x' * 255}"


def test_a_thousand_instances_in_a_cluster_of_a_long_name_do_not_end_a_chain() -> None:
    # Written with each note, the name made a progress that could not be sent: the request was
    # refused, at every sweep again, and CloudFormation waited for its hour.
    member = Member(
        draining_since=NOW, cluster=LONG_CLUSTER, searched_to=LONG_CLUSTER, settled=True
    )
    progress = RequestProgress(
        REQUEST, {f"i-{number:017x}": member for number in range(1_000)}, looks=1
    )

    assert decode(encode(progress)) == progress


def test_what_has_no_room_is_looked_at_again_and_the_request_is_kept() -> None:
    # A note without its cluster, kept as `done`, would let the instance go unseen.
    history = {
        f"i-{number:017x}": Member(
            draining_since=NOW,
            cluster=f"{LONG_CLUSTER[:-6]}{number:06}",
            settled=True,
            done=True,
        )
        for number in range(1_800)
    }

    read_again = decode(encode(RequestProgress(REQUEST, history, looks=1)))

    assert read_again == RequestProgress(REQUEST, looks=1)


def changed(**changes: Any) -> dict[str, Any]:
    return {**PLAIN, **changes}


def requested(**changes: Any) -> dict[str, Any]:
    request = {**PLAIN["request"], **changes}
    return changed(request={key: value for key, value in request.items() if value is not ...})


def noted(row: Any, name: str = INSTANCE) -> dict[str, Any]:
    return changed(notes={name: row})


def row(**changes: Any) -> list[Any]:
    names = ("flags", *INSTANTS, "unfinished", "cluster", "searched_to")
    return [changes.get(name, plain) for name, plain in zip(names, ROW, strict=True)]


def test_the_plain_one_is_read() -> None:
    assert decode(json.dumps(PLAIN)).request == REQUEST
    assert decode(json.dumps(noted(row(flags=1)))).history == {INSTANCE: Member(closed=True)}


FORGED: dict[str, Any] = {
    "a list": [],
    "nothing": {},
    "a number": 7,
    "no request": {key: value for key, value in PLAIN.items() if key != "request"},
    "a request that is none": changed(request=7),
    "a request of pairs": changed(request=[["a", "b"]]),
    "another type of request": requested(request_type="Read"),
    "a type that is none": requested(request_type=[SECRET]),
    "no stack": requested(stack_id=...),
    "a stack that is none": requested(stack_id=7),
    "a type of resource that is none": requested(resource_type=7),
    "no URL": requested(response_url=...),
    "a URL that is a list": requested(response_url=[SECRET]),
    "a URL that is a map": requested(response_url={SECRET: 1}),
    "a field too many": requested(colour="red"),
    "properties that are a list": requested(properties=[SECRET]),
    "no old properties": requested(old_properties=...),
    "old properties that are a list": requested(old_properties=[SECRET]),
    "no beginning": requested(started_at=...),
    "a beginning that is a text": requested(started_at="2026-11-20"),
    "a beginning in no time": requested(started_at=float("nan")),
    "a beginning beyond all": requested(started_at=1e300),
    "a beginning before all": requested(started_at=-1),
}
# What is wrong elsewhere was written by another version of the program.
ELSEWHERE: dict[str, Any] = {
    "no notes": {key: value for key, value in PLAIN.items() if key != "notes"},
    "notes that are a list": changed(notes=[1]),
    "notes that are a number": changed(notes=7),
    "more notes than we write": changed(
        notes={f"i-{number:x}": ROW for number in range(MEMBERS_MAX + 1)}
    ),
    "looks below none": changed(looks=-1),
    "looks that are a flag": changed(looks=True),
    "looks that are no number": changed(looks="3"),
    "looks without end": changed(looks=COUNT_MAX + 1),
    "growth that is a text": changed(grown_at="now"),
    "a look that is a text": changed(looked_at="now"),
    "growth in no time": changed(grown_at=float("nan")),
    "belief that is a number": changed(believed=1),
    "belief that is a text": changed(believed="false"),
    "an answer that is none": changed(answer=7),
    "an answer without a reason": changed(answer={"status": "SUCCESS", "physical_id": "x"}),
    "an answer of another status": changed(
        answer={"status": "DONE", "physical_id": "x", "reason": ""}
    ),
    "an answer of no text": changed(answer={"status": "SUCCESS", "physical_id": 7, "reason": ""}),
    "a reason of no text": changed(
        answer={"status": "SUCCESS", "physical_id": "x", "reason": [SECRET]}
    ),
    "a note that is none": noted(7),
    "a note that is empty": noted([]),
    "a note too short": noted(ROW[:-1]),
    "a note too long": noted([*ROW, ""]),
    "a note of the version before": noted([*ROW[:-2], "", ""]),
    "a note of the version before that": noted([0, None, ""]),
    "a note of no instance": noted(ROW, "web-1"),
    "flags below none": noted(row(flags=-1)),
    "flags that are none": noted(row(flags="listed")),
    "a drain that began earlier": noted(row(draining_since=-5)),
    "a drain that began never": noted(row(draining_since=COUNT_MAX + 1)),
    "a drain that began at a text": noted(row(draining_since=SECRET)),
    "a listing before all": noted(row(listed_at=-5)),
    "a search that is a flag": noted(row(searched_at=True)),
    "an absence before all": noted(row(absent_since=-5)),
    "an absence that is a text": noted(row(absent_since="now")),
    "tasks that are none": noted(row(unfinished=7)),
    "tasks that are a list": noted(row(unfinished=["0a"])),
    "a task that is long": noted(row(unfinished="x" * 65)),
    "more tasks than we write": noted(row(unfinished=",".join("abc"[: UNFINISHED_MAX + 1]))),
    "a cluster that is none": noted(row(cluster=7)),
    "a cluster before the first": noted(row(cluster=-1)),
    "a search to no cluster": noted(row(searched_to=1)),
    "a cluster of no name": changed(clusters=["", "a b"]),
    "a cluster that is a number": changed(clusters=["", 7]),
    "no clusters": {key: value for key, value in PLAIN.items() if key != "clusters"},
}


# What is said of one: which kind of error it is, and nothing that is in it.
FORGERY = "^(progress: [A-Za-z]+Error|ResponseURL is a [a-z]+ of no use)$"


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_state_is_refused_and_no_secret_is_quoted(name: str) -> None:
    # What is refused is said in the log, where more people read than may answer CloudFormation.
    with pytest.raises(MalformedEventError, match=FORGERY) as refusal:
        decode(json.dumps(FORGED[name]))

    assert len(str(refusal.value)) < 100
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_notes_that_are_not_ours_are_forgotten_and_the_request_is_not(name: str) -> None:
    # A progress of an hour outlives a new version of the function: to look again loses nothing.
    assert decode(json.dumps(ELSEWHERE[name])) == RequestProgress(REQUEST)


@pytest.mark.parametrize(
    "url", [f"https://example.com/?{SECRET}", f"http://169.254.169.254/?{SECRET}", ""]
)
def test_a_state_whose_answer_would_go_elsewhere_is_refused(url: str) -> None:
    # Whoever may write to the table could have the answer sent to a place of their own.
    with pytest.raises(MalformedEventError, match="ResponseURL does not lead") as refusal:
        decode(json.dumps(requested(response_url=url)))

    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", "nul", SECRET, '{"request": "' + SECRET])
def test_a_state_that_is_no_json_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(MalformedEventError, match="progress: JSONDecodeError") as refusal:
        decode(text)

    assert SECRET not in str(refusal.value)


def test_what_is_re_invoked_again_and_again_stays_the_same() -> None:
    # A second more with each pass puts off the end of a grace period, with short passes for ever.
    progress = RequestProgress(
        REQUEST, {INSTANCE: Member(draining_since=NOW + timedelta(seconds=1.25))}
    )
    once = encode(progress)

    assert encode(decode(once)) == once
