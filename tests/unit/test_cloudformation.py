from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import loaders
from hypothesis import given, settings
from hypothesis import strategies as st

from drainer.config import Config
from drainer.custom_resource.properties import Status, target_of
from drainer.custom_resource.request import Answer, Request, RequestType, is_request, read, response
from drainer.custom_resource.response_url import DOMAINS
from drainer.errors import MalformedEventError, NotForUsError

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = Path(__file__).parents[1] / "events"
CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer")
FLEET = "sfr-73fbd2ce-aa30-494c-8788-1cee4EXAMPLE"
# The end of the second in which the addresses of the payloads were signed.
SIGNED_AT = datetime(2026, 11, 20, 11, 59, 59, tzinfo=UTC)
HOST = "cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com"
# "The total size of the response body can't exceed 4096 bytes."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
RESPONSE_BYTES_MAX = 4_096
# What is signed, and lets whoever has it answer in our place.
SECRET = "X-Amz-Signature=0123456789abcdef"


def payload(kind: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"cloudformation_{kind}.json").read_text())
    if "Records" in event:
        event = json.loads(event["Records"][0]["Sns"]["Message"])
    return event


def body(**changes: Any) -> dict[str, Any]:
    """A request; None takes a field away."""
    made = {**payload("delete"), **changes}
    return {key: value for key, value in made.items() if value is not None}


def request(told_at: datetime | None = None, **changes: Any) -> Request:
    return read(body(**changes), told_at, NOW)


def with_properties(told_at: datetime | None = None, **properties: str) -> Request:
    of = {"Cluster": "payments", "SpotFleet": FLEET, **properties}
    return request(told_at, ResourceProperties=of)


# -- reading


def test_a_create_has_no_physical_id_yet() -> None:
    made = read(payload("create"), None, NOW)

    assert made.request_type == RequestType.CREATE
    assert made.physical_id == ""
    assert made.properties["SpotFleet"] == FLEET


def test_an_update_tells_the_old_physical_id_and_the_new_properties() -> None:
    # What is old is drained on its own Delete, once the update has gone well.
    made = read(payload("update"), None, NOW)

    assert made.request_type == RequestType.UPDATE
    assert made.physical_id == FLEET
    assert made.properties["SpotFleet"] != FLEET
    assert made.old_properties["SpotFleet"] == FLEET


def test_a_delete_is_read_with_all_that_its_answer_needs() -> None:
    event = payload("delete")

    assert read(event, None, NOW) == Request(
        request_type=RequestType.DELETE,
        stack_id=event["StackId"],
        request_id=event["RequestId"],
        logical_id="Drain",
        physical_id=FLEET,
        response_url=event["ResponseURL"],
        properties=event["ResourceProperties"],
        old_properties={},
        started_at=SIGNED_AT,
    )


def test_stack_and_request_id_together_tell_a_request_from_every_other() -> None:
    assert request(StackId="a", RequestId="b").key == "a|b"


@pytest.mark.parametrize(
    ("message", "is_one"),
    [
        (body(), True),
        ({"RequestType": None, "ResponseURL": 7}, True),
        (body(ResponseURL=None), False),
        (body(RequestType=None), False),
        ({}, False),
    ],
    ids=["a request", "a wrong one", "no URL", "no type", "nothing"],
)
def test_a_request_is_known_by_its_type_and_its_url(message: dict[str, Any], is_one: bool) -> None:
    assert is_request(message) == is_one


@pytest.mark.parametrize("kind", ["", "create", "DELETE", "Read", 7, True, ["Delete"], {}], ids=str)
def test_another_type_of_request_is_refused(kind: Any) -> None:
    # What crashes the reader comes back five times, and takes its batch with it each time.
    with pytest.raises(MalformedEventError, match="RequestType is"):
        request(RequestType=kind)


@pytest.mark.parametrize(
    "value",
    [None, "", 7, ["x"], "x" * 513, "é" * 512, "x\ny", "x\ud800"],
    ids=lambda value: ascii(value)[:9],
)
@pytest.mark.parametrize("key", ["StackId", "RequestId", "LogicalResourceId"])
def test_without_what_its_answer_must_repeat_a_request_is_refused(key: str, value: Any) -> None:
    with pytest.raises(MalformedEventError, match=f"{key} is .*cannot be answered"):
        request(**{key: value})


@pytest.mark.parametrize("value", ["", 7, ["x"], "x" * 513], ids=lambda value: str(value)[:9])
def test_what_cannot_be_a_type_of_resource_is_refused(value: Any) -> None:
    with pytest.raises(MalformedEventError, match="ResourceType is"):
        request(ResourceType=value)


def test_a_resource_may_have_another_name_than_ours() -> None:
    # Whoever writes the template says what stands behind the colons, or nothing at all.
    assert request(ResourceType="Custom::Drain").resource_type == "Custom::Drain"
    assert request(ResourceType=None).resource_type == "Custom::ECSDrain"


@pytest.mark.parametrize(
    "value",
    # JSON may hold half a surrogate pair, which can be neither encoded nor hashed.
    [7, ["x"], {}, "x" * 1025, "é" * 513, "x\ud800"],
    ids=lambda value: ascii(value)[:9],
)
def test_what_cannot_be_a_physical_id_is_refused(value: Any) -> None:
    with pytest.raises(MalformedEventError, match=r"PhysicalResourceId (is|has)"):
        request(PhysicalResourceId=value)


def test_a_physical_id_may_have_a_kilobyte() -> None:
    # Not every one is ours: a Create that timed out has one that CloudFormation made up.
    assert request(PhysicalResourceId="é" * 512).physical_id == "é" * 512


@pytest.mark.parametrize("properties", [None, "x", [], 7])
def test_properties_that_are_none_are_as_good_as_empty(properties: Any) -> None:
    # So that a Delete is answered all the same.
    made = request(ResourceProperties=properties, OldResourceProperties=properties)

    assert (made.properties, made.old_properties) == ({}, {})


# -- where the answer goes


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/arn%3Aaws/x?{SECRET}",
        f"https://{HOST.replace('.us-east-1', '')}/x?{SECRET}",
        f"https://{HOST.replace('s3.', 's3-')}/x?{SECRET}",
        f"https://{HOST}.cn/x?{SECRET}",
        f"http://localhost:4566/x?{SECRET}",
        f"http://127.0.0.1:4566/x?{SECRET}",
        f"https://localhost:4566/x?{SECRET}",
    ],
)
def test_an_answer_goes_to_s3_or_stays_on_this_machine(url: str) -> None:
    assert request(ResponseURL=url).response_url == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"http://{HOST}/x?{SECRET}", id="not encrypted"),
        pytest.param(f"https://example.com/x?{SECRET}", id="another's host"),
        pytest.param(f"https://bucket.s3.amazonaws.com/x?{SECRET}", id="another's bucket"),
        pytest.param(f"https://ec2-1-2-3-4.compute-1.amazonaws.com/x?{SECRET}", id="an instance"),
        pytest.param(f"https://example.com\\@{HOST}/x?{SECRET}", id="a backslash and a user"),
        pytest.param(f"https://example.com\\.{HOST}/x?{SECRET}", id="a backslash"),
        pytest.param(f"https://{HOST}/x\\y?{SECRET}", id="a backslash later on"),
        pytest.param(f"https://{HOST}:444/x?{SECRET}", id="another port"),
        pytest.param(f"https://{HOST}\n/x?{SECRET}", id="two lines"),
        pytest.param(f"https://{HOST}/é?{SECRET}", id="not ASCII"),
        pytest.param(f" https://{HOST}/x?{SECRET}", id="a blank before"),
        pytest.param(f"http://localhost/x?{SECRET}", id="this machine without a port"),
        pytest.param(f"http://localhost:4566@example.com/x?{SECRET}", id="this machine as a user"),
        pytest.param(f"https://{HOST}.example.com/x?{SECRET}", id="another's domain"),
        pytest.param(f"https://example.com/{HOST}?{SECRET}", id="in the path"),
        pytest.param(f"https://example.com?{SECRET}&{HOST}", id="in the query"),
        pytest.param(f"https://example.com#{SECRET}.{HOST}", id="in the fragment"),
        pytest.param(f"https://{HOST}@example.com/x?{SECRET}", id="for a user's name"),
        pytest.param(f"https://example.com;{HOST.replace('.', '_')}/x?{SECRET}", id="no domain"),
        pytest.param(f"https://notamazonaws.com/x?{SECRET}", id="a domain that ends alike"),
        pytest.param(f"https://amazonaws.com.evil/x?{SECRET}", id="a domain that begins alike"),
        pytest.param(f"http://169.254.169.254/x?{SECRET}", id="the metadata service"),
        pytest.param(f"http://127.0.0.2/x?{SECRET}", id="another address of this machine"),
        pytest.param(f"http://10.0.0.1/x?{SECRET}", id="the own network"),
        pytest.param(f"ftp://127.0.0.1/x?{SECRET}", id="another protocol"),
        pytest.param(f"file:///etc/passwd?{SECRET}", id="a file"),
        pytest.param(f"//{HOST}/x?{SECRET}", id="no protocol"),
        pytest.param(f"https:///x?{SECRET}", id="no host"),
        pytest.param(f"https://[{HOST}/x?{SECRET}", id="no URL"),
        pytest.param(f"https://{HOST}/{'x' * 8192}?{SECRET}", id="too long"),
        pytest.param("", id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param([f"https://{HOST}/x?{SECRET}"], id="a list"),
    ],
)
def test_an_answer_goes_nowhere_else_and_the_refusal_does_not_quote_where(url: Any) -> None:
    # Whoever may publish could else have us write to wherever the function can reach.
    with pytest.raises(MalformedEventError, match="ResponseURL") as refusal:
        request(ResponseURL=url)

    told = [refusal.value, refusal.value.__cause__, refusal.value.__context__]
    assert SECRET not in repr(told)


def test_an_answer_goes_to_the_s3_of_every_partition() -> None:
    # In the European sovereign cloud and in the secret Regions each stack waited its hour.
    partitions = loaders.Loader().load_data("partitions")["partitions"]
    suffixes = {one["outputs"]["dnsSuffix"] for one in partitions}
    urls = [f"https://{HOST.replace('amazonaws.com', one)}/x?{SECRET}" for one in suffixes]

    assert suffixes == set(DOMAINS)
    assert [request(ResponseURL=url).response_url for url in urls] == urls
    for one in suffixes:
        with pytest.raises(MalformedEventError):
            request(ResponseURL=f"https://{HOST.replace('.amazonaws.com', one)}/x?{SECRET}")
        with pytest.raises(MalformedEventError):
            request(ResponseURL=f"https://{HOST.replace('amazonaws.com', one)}.evil/x?{SECRET}")


def test_a_request_that_is_printed_does_not_show_where_its_answer_goes() -> None:
    made = request(ResponseURL=f"https://{HOST}/x?{SECRET}")

    assert SECRET not in f"{made!r} {made}"


# -- time


@pytest.mark.parametrize(
    ("told_at", "started_at"),
    [
        pytest.param(None, SIGNED_AT, id="not known"),
        pytest.param(NOW - timedelta(seconds=90), NOW - timedelta(seconds=90), id="a while ago"),
        pytest.param(NOW + timedelta(days=1), NOW, id="in the future"),
    ],
)
def test_cloudformation_waits_since_it_published_and_never_since_the_future(
    told_at: datetime | None, started_at: datetime
) -> None:
    # A clock ahead of ours would put the answer after the timeout.
    assert with_properties(told_at).started_at == started_at


@pytest.mark.parametrize(
    ("stamp", "started_at"),
    [
        pytest.param("20261120T112959Z", NOW - timedelta(minutes=30), id="half an hour ago"),
        pytest.param("20261120T130000Z", NOW, id="in the future"),
        pytest.param("yesterday", NOW, id="no time"),
        pytest.param("", NOW, id="nothing"),
    ],
)
def test_a_request_that_came_directly_is_as_old_as_its_address(
    stamp: str, started_at: datetime
) -> None:
    # Lambda keeps an event for six hours; a deadline counted from now would come after the hour.
    url = f"https://{HOST}/x?X-Amz-Date={stamp}&{SECRET}"

    assert request(ResponseURL=url).started_at == started_at


def test_an_address_that_says_nothing_of_its_time_was_signed_now() -> None:
    assert request(ResponseURL=f"https://{HOST}/x?{SECRET}").started_at == NOW


def test_a_request_that_lay_about_for_an_hour_is_not_for_us() -> None:
    with pytest.raises(NotForUsError, match="no longer waits"):
        request(ResponseURL=f"https://{HOST}/x?X-Amz-Date=20261120T105959Z&{SECRET}")


@pytest.mark.parametrize(
    ("service_timeout", "age_seconds"), [("3600", 3600), (None, 3601), ("60", 60), ("60", 7000)]
)
def test_a_request_older_than_its_timeout_is_not_for_us(
    service_timeout: str | None, age_seconds: int
) -> None:
    # From a dead-letter queue comes what was given up days ago: it must not drain a fleet now.
    named = {"ServiceTimeout": service_timeout} if service_timeout else {}

    with pytest.raises(NotForUsError, match="no longer waits"):
        with_properties(NOW - timedelta(seconds=age_seconds), **named)

    just_in_time = with_properties(NOW - timedelta(seconds=59), **named)
    assert just_in_time.timeout_at > NOW


@pytest.mark.parametrize(
    ("service_timeout", "drain_timeout", "deadline_seconds", "timeout_seconds"),
    [
        # The hour that CloudFormation grants where nothing is said, less seven minutes.
        (None, None, 3180, 3600),
        ("3600", "3600", 3180, 3600),
        ("3600", "3181", 3180, 3600),
        ("3600", "3180", 3180, 3600),
        ("3600", "3179", 3179, 3600),
        ("3600", "600", 600, 3600),
        ("3600", "1", 1, 3600),
        # Where seven minutes are more than a third of the time, a third is kept.
        ("1800", None, 1380, 1800),
        ("1260", None, 840, 1260),
        ("1200", None, 800, 1200),
        ("600", None, 400, 600),
        ("600", "300", 300, 600),
        ("300", "3600", 200, 300),
        ("3", None, 2, 3),
        ("1", "1", 2 / 3, 1),
        # A wrong one counts for none.
        ("0", None, 3180, 3600),
        ("7200", None, 3180, 3600),
        ("1h", None, 3180, 3600),
    ],
)
def test_the_deadline_is_the_drains_own_or_leaves_time_for_the_answer(
    service_timeout: str | None,
    drain_timeout: str | None,
    deadline_seconds: float,
    timeout_seconds: int,
) -> None:
    named = {"ServiceTimeout": service_timeout, "DrainTimeoutSeconds": drain_timeout}
    told_at = NOW - timedelta(milliseconds=500)
    made = with_properties(told_at, **{name: text for name, text in named.items() if text})
    target, _ = target_of(made.properties, CONFIG)

    assert made.timeout_at - told_at == timedelta(seconds=timeout_seconds)
    assert made.deadline_at(target) - told_at == timedelta(seconds=deadline_seconds)
    assert made.deadline_at(target) < made.timeout_at


def test_what_guards_nothing_has_all_the_time_that_there_is() -> None:
    made = request(ResourceProperties={"ServiceTimeout": "600", "DrainTimeoutSeconds": "1"})

    assert made.deadline_at(None) == SIGNED_AT + timedelta(seconds=400)


# -- answering

TOLD = Answer(Status.SUCCESS, FLEET, "SpotFleet is drained")


def answered(made: Request, answer: Answer) -> dict[str, Any]:
    text = response(made, answer)
    assert len(text) <= RESPONSE_BYTES_MAX
    told: dict[str, Any] = json.loads(text)
    return told


def test_an_answer_repeats_what_tells_the_request_exactly() -> None:
    event = payload("delete")

    assert answered(read(event, None, NOW), TOLD) == {
        "Status": "SUCCESS",
        "PhysicalResourceId": FLEET,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Reason": "SpotFleet is drained",
    }


def test_a_reason_is_cut_where_the_rest_leaves_too_little_room() -> None:
    # A body that is too long is no answer: CloudFormation would wait for its hour.
    reason = "x" * 10_000

    told = answered(request(), replace(TOLD, reason=reason))

    assert told["Reason"].endswith("x...")
    assert len(response(request(), replace(TOLD, reason=reason))) == RESPONSE_BYTES_MAX


def test_a_reason_that_just_fits_is_told_in_full() -> None:
    room = RESPONSE_BYTES_MAX - len(response(request(), replace(TOLD, reason="")))

    for length in (room - 1, room):
        reason = "x" * length
        assert answered(request(), replace(TOLD, reason=reason))["Reason"] == reason
    longer = answered(request(), replace(TOLD, reason="x" * (room + 1)))
    assert longer["Reason"] == "x" * (room - 3) + "..."


# What may be in one: also what JSON needs six bytes for, and twelve, and half a surrogate pair.
ANY_TEXT = st.one_of(
    st.text(st.characters(), max_size=2_000),
    st.text(st.sampled_from('x"\\\n\x00\x7f'), max_size=6_000),
    st.text(st.sampled_from("xé🦀\ud800"), max_size=6_000),
    st.integers(0, 40_000).map(lambda length: "🦀" * length),
)


@given(ANY_TEXT)
@settings(max_examples=300)
def test_whatever_the_reason_the_answer_is_short_enough(reason: str) -> None:
    made = request(
        StackId="s" * 512, RequestId="r" * 512, LogicalResourceId="l" * 512, PhysicalResourceId="p"
    )
    told = answered(made, Answer(Status.FAILED, "p" * 1_000, reason))

    cut = told["Reason"]
    assert (told["StackId"], told["RequestId"]) == ("s" * 512, "r" * 512)
    assert cut == reason or (cut.endswith("...") and reason.startswith(cut[:-3]))


@pytest.mark.parametrize("status", Status)
def test_status_is_a_word_of_cloudformations(status: Status) -> None:
    assert answered(request(), replace(TOLD, status=status))["Status"] in {"SUCCESS", "FAILED"}


def test_a_refused_create_gets_an_id_whose_delete_drains_nothing() -> None:
    # CloudFormation rolls a failed Create back by a Delete with the id that it was answered.
    refused = read(payload("create"), None, NOW)
    again = read(payload("create"), None, NOW)
    another = read({**payload("create"), "RequestId": "another"}, None, NOW)

    assert refused.refused_id == again.refused_id != another.refused_id
    assert not refused.stays_refused
    assert request(PhysicalResourceId=refused.refused_id).stays_refused


def test_a_refused_update_keeps_the_id_so_that_nothing_is_replaced() -> None:
    # Another id would have CloudFormation delete, and us drain, what the stack goes on with.
    refused = read(payload("update"), None, NOW)

    assert refused.refused_id == refused.physical_id == FLEET
    assert not refused.stays_refused


def test_a_long_reason_in_another_script_is_not_cut_to_nothing() -> None:
    # JSON needs six bytes for each of these letters; it was cut by as many letters as bytes.
    told = answered(request(), replace(TOLD, reason="задача " * 200))

    assert len(told["Reason"]) > 400
