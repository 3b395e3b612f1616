"""The re-invocation for a request: what it says, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from drainer.codec import COUNT_MAX
from drainer.custom_resource.re_invocation import KEY_CHARACTERS_MAX, Continuation, encode, read
from drainer.errors import MalformedEventError

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/shop/5b918d10-cd98-11ea-90d5-0a9cd"
KEY = f"{STACK}|c3d8e5b7-2a91-4f6d-b0c4-7e1a9f8d6b52"
SECRET = "X-Amz-Signature=0123456789abcdef"
ONE = Continuation(KEY, 3)


@pytest.mark.parametrize("postponed", [True, False])
@pytest.mark.parametrize("hop", [0, 1, 240])
def test_a_re_invocation_comes_back_as_it_was_published(hop: int, postponed: bool) -> None:
    one = Continuation(KEY, hop, postponed=postponed)

    assert read(json.loads(encode(one))) == one


def test_a_re_invocation_says_what_the_queues_filter_asks_for_and_no_more() -> None:
    # Whoever may read the topic must not learn where CloudFormation waits for the answer.
    assert json.loads(encode(ONE)) == {
        "drainer": "re-invocation",
        "version": 2,
        "request": KEY,
        "hop": 3,
    }


@pytest.mark.parametrize("more", [{}, {"version": 1}, {"state": SECRET}, {"postponed": "yes"}])
def test_what_another_release_has_sent_goes_on(more: dict[str, Any]) -> None:
    # A message that is under way while the function is updated is all that goes on at once.
    assert read({**json.loads(encode(ONE)), **more}) == ONE


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"version": 3}, "envelope version 'int', known: ", id="another version"),
        pytest.param({"version": None}, "envelope version", id="no version"),
        pytest.param({"request": ""}, "request is ''", id="no request"),
        pytest.param({"request": 7}, "request is 'int'", id="a request that is none"),
        pytest.param({"request": "stack"}, "request is 'stack'", id="a stack alone"),
        pytest.param({"request": "|id"}, "request is '|id'", id="an id alone"),
        pytest.param({"request": "stack|"}, "request is 'stack|'", id="a stack and no id"),
        pytest.param({"request": "st\u00e4ck|id"}, "request is 'st", id="what is no ASCII"),
        pytest.param(
            {"request": "x" * KEY_CHARACTERS_MAX + "|"}, "request is 'xxx", id="a long request"
        ),
        pytest.param({"hop": None}, "hop is 'NoneType'", id="no hop"),
        pytest.param({"hop": True}, "hop is 'bool'", id="a hop that is a flag"),
        pytest.param({"hop": 1.0}, "hop is 'float'", id="a part of a hop"),
        pytest.param({"hop": -1}, "hop is", id="a hop back"),
        pytest.param({"hop": COUNT_MAX + 1}, "hop is", id="hops without end"),
    ],
)
def test_a_re_invocation_that_nobody_has_published_is_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    # What is refused is not delivered again, and a key that DynamoDB refuses would be, five times.
    body = json.loads(encode(ONE))

    with pytest.raises(MalformedEventError) as refusal:
        read({**body, **changes})

    assert sentence in str(refusal.value)
    assert len(str(refusal.value)) < 200


def test_what_names_the_longest_stack_and_request_is_read_and_nothing_longer() -> None:
    # A name of 512 characters each, which request.py reads, must be re-invoked too.
    longest = {**json.loads(encode(ONE)), "request": "x" * 1_098 + "|y", "hop": 1_000_000_000}

    assert read(longest) == Continuation("x" * 1_098 + "|y", 1_000_000_000)
    for more in ({"request": "x" * 1_099 + "|y"}, {"hop": 1_000_000_001}):
        with pytest.raises(MalformedEventError):
            read({**longest, **more})


def test_a_re_invocation_is_not_postponed_unless_it_says_so() -> None:
    # What has waited for its turn goes before the others.
    assert Continuation(KEY, 1).postponed is False
    assert json.loads(encode(replace(ONE, postponed=True)))["postponed"] is True
