"""
What holds of everything that is read from an event, whatever the event.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import astuple
from typing import Any

from drainer import events
from drainer.codec import COUNT_MAX
from drainer.config import Config
from drainer.custom_resource import progress
from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.properties import target_of
from drainer.custom_resource.re_invocation import KEY_CHARACTERS_MAX, Continuation
from drainer.custom_resource.record import key_of
from drainer.custom_resource.request import Request
from drainer.drain.envelope import ENVELOPE_BYTES_MAX, encode
from drainer.drain.model import Drain
from drainer.errors import DrainerError, MalformedEventError
from tests.fuzz.mutations import NOW

REFUSAL_CHARACTERS_MAX = 1_000
PHYSICAL_ID_BYTES_MAX = 1_024
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
KEY_BYTES_MAX = 1_024
CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer")
# Whoever has it may answer CloudFormation in our place.
SECRET = "X-Amz-Signature"


def judge(event: Any) -> list[Any]:
    """Read an event, and hold what was read against what the rest of the program relies on."""
    received = events.receive(event, now=NOW)
    for one in received:
        content = one.content
        assert isinstance(one.record_id, str)
        if isinstance(content, MalformedEventError):
            assert 0 < len(str(content)) < REFUSAL_CHARACTERS_MAX
        if isinstance(content, DrainerError):
            assert SECRET not in str(content)
        if isinstance(content, Drain):
            assert content.started_at.tzinfo is not None
            # What was read can be sent on, unless it is longer than what we ever write.
            with suppress(MalformedEventError):
                assert len(encode(content)) <= ENVELOPE_BYTES_MAX
        if isinstance(content, Request):
            judge_request(content)
        if isinstance(content, Continuation):
            judge_continuation(content)
    return [one.content for one in received]


def judge_request(request: Request) -> None:
    """Hold a request against what is relied on: its times, its ids, and what is said of it."""
    target, problems = target_of(request.properties, CONFIG)
    assert target is not None or problems
    assert all(problems)
    ids = [request.refused_id, *([target.physical_id] if target else [])]
    # Half a surrogate pair has no bytes, but some in JSON.
    assert all(0 < len(one.encode(errors="replace")) <= PHYSICAL_ID_BYTES_MAX for one in ids)
    assert request.started_at <= NOW < request.timeout_at
    assert request.deadline_at(target) < request.timeout_at
    assert request.response_url not in repr(request)
    with suppress(MalformedEventError):
        written = progress.encode(RequestProgress(request))
        # What was read is read the same from the book, be a property no number.
        assert progress.encode(progress.decode(written)) == written


def judge_continuation(continuation: Continuation) -> None:
    """Hold a re-invocation against what is relied on: it is for the request that it names."""
    assert 0 <= continuation.hop <= COUNT_MAX
    assert 0 < len(continuation.key) <= KEY_CHARACTERS_MAX
    # What DynamoDB refuses as a key would spoil what is read together with it.
    assert all(
        0 < len(part.encode()) <= KEY_BYTES_MAX for part in astuple(key_of(continuation.key))
    )
