"""
What holds of everything that is read from an event, whatever the event.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from drainer import events
from drainer.envelope import ENVELOPE_BYTES_MAX, encode
from drainer.errors import MalformedEventError
from drainer.model import Drain
from tests.fuzz.mutations import NOW

REFUSAL_CHARACTERS_MAX = 1_000


def judge(event: Any) -> list[Any]:
    """Read an event, and hold what was read against what the rest of the program relies on."""
    received = events.receive(event, now=NOW)
    for one in received:
        content = one.content
        assert isinstance(one.record_id, str)
        if isinstance(content, MalformedEventError):
            assert 0 < len(str(content)) < REFUSAL_CHARACTERS_MAX
        if isinstance(content, Drain):
            assert content.started_at.tzinfo is not None
            # What was read can be sent on, unless it is longer than what we ever write.
            with suppress(MalformedEventError):
                assert len(encode(content)) <= ENVELOPE_BYTES_MAX
    return [one.content for one in received]
