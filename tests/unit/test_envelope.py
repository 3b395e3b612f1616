"""
Three versions of one envelope: what each says, what it leaves out and what it may not say.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drainer.drain import envelope
from drainer.drain.envelope import ENVELOPE_BYTES_MAX, STRING_CHARACTERS_MAX
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    UNFINISHED_MAX,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Place,
    Policy,
    StandaloneTasks,
)
from drainer.errors import MalformedEventError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BARE = Drain(
    LifecycleAction(
        auto_scaling_group_name="payments-asg",
        lifecycle_hook_name="drainer",
        ec2_instance_id="i-0123456789abcdef0",
        lifecycle_action_token="465e0162-e6af-4786-b4e8-bb544ae58790",
    ),
    started_at=NOON,
    last_heartbeat_at=NOON,
)
CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/payments"
TYPICAL = replace(
    BARE,
    hop=12,
    deadline_at=NOON + timedelta(hours=2),
    heartbeat_timeout_seconds=1_800,
    policy=Policy(None, 7_200, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300),
    cluster=CLUSTER,
    container_instance_arn=f"arn:aws:ecs:eu-west-1:123456789012:container-instance/{'a' * 32}",
    draining_since=NOON + timedelta(seconds=1),
    unfinished=("b" * 32, "c" * 32),
    closed=True,
    settled=True,
    sent_at=NOON + timedelta(seconds=90),
    generation=1,
    waits_in="Terminating:Wait",
)


def written(drain: Drain) -> dict[str, Any]:
    """An envelope's JSON."""
    body: dict[str, Any] = json.loads(envelope.encode(drain))
    return body


def version_2(drain: Drain) -> dict[str, Any]:
    """An envelope as the version before has written it: with every field but the newer ones."""
    plain = {
        name: value.timestamp() if isinstance(value, datetime) else value
        for name, value in asdict(drain).items()
        if name not in envelope.NEW_IN_3
    }
    body: dict[str, Any] = json.loads(
        json.dumps({"drainer": "re-invocation", "version": 2, **plain})
    )
    return body


# The record holds it as well, and every write of a record above 1 KB costs twice as much.
def test_a_typical_envelope_is_well_below_a_kilobyte() -> None:
    assert len(envelope.encode(TYPICAL)) < 900
    assert len(envelope.encode(BARE)) < 320


def test_the_longest_envelope_is_written_and_no_longer_one() -> None:
    # SNS refuses ten messages together above 262,144 bytes: none of the ten drains would go on.
    room = ENVELOPE_BYTES_MAX - len(envelope.encode(replace(BARE, cluster="")))
    longest = replace(BARE, cluster="a" * room)

    assert 10 * len(envelope.encode(longest)) == 10 * ENVELOPE_BYTES_MAX <= 262_144
    with pytest.raises(MalformedEventError, match="the limit is"):
        envelope.encode(replace(BARE, cluster="a" * (room + 1)))


def test_what_has_its_default_value_is_left_out_and_filled_in_again() -> None:
    # What is filled in wrongly is believed by every later pass.
    assert set(written(BARE)) == {"drainer", "version", "action", "started_at", "last_heartbeat_at"}
    assert envelope.decode(written(BARE)) == BARE
    assert envelope.decode(written(TYPICAL)) == TYPICAL


@pytest.mark.parametrize("name", ["action", "started_at", "last_heartbeat_at"])
def test_what_has_no_default_is_never_filled_in(name: str) -> None:
    # An invented beginning is a deadline that nobody set. An operator reads which one is missing.
    body = written(TYPICAL)
    del body[name]

    with pytest.raises(MalformedEventError, match=f"^envelope: KeyError: '{name}'$"):
        envelope.decode(body)


@pytest.mark.parametrize("name", sorted({one.name for one in fields(Drain)} - envelope.NEW_IN_3))
def test_version_2_must_have_every_field_that_it_always_wrote(name: str) -> None:
    # In version 2 a missing field was cut off; to fill in its default would make up what was seen.
    body = version_2(TYPICAL)
    del body[name]

    with pytest.raises(MalformedEventError, match=name):
        envelope.decode(body)


def test_version_2_is_read_and_follows_no_record() -> None:
    # A chain that is under way during the update would else wait for the sweep.
    assert envelope.decode(version_2(TYPICAL)) == replace(TYPICAL, generation=None, waits_in=None)


def test_version_2_cannot_name_a_generation() -> None:
    # Only what has read a record knows one.
    with pytest.raises(MalformedEventError, match="generation"):
        envelope.decode({**version_2(TYPICAL), "generation": 1})


def test_an_envelope_of_version_2_that_is_on_its_way_during_an_update_has_no_extension() -> None:
    # Refused, each drain under way would wait for a sweep.
    body = {name: one for name, one in version_2(BARE).items() if name != "extended_to"}

    assert envelope.decode(body).extended_to is None


def test_the_registrations_in_an_envelope_of_version_2_are_read() -> None:
    # A drain of an instance with two registrations would lose one of them during the update.
    body = {**version_2(TYPICAL), "others": ["search arn-2"]}

    assert envelope.decode(body).others == (Place("search", "arn-2"),)


def test_lists_that_are_too_long_are_cut() -> None:
    # Who may write to the queue could have thousands of tasks asked for in each pass.
    ids = [f"{number:032x}" for number in range(UNFINISHED_MAX + 1)]
    places = [["search", f"arn-{number}"] for number in range(REGISTRATIONS_MAX + 1)]

    read = envelope.decode({**written(TYPICAL), "unfinished": ids, "others": places})

    assert read.unfinished == tuple(ids[:-1])
    assert [one.container_instance_arn for one in read.others] == [one[1] for one in places[:-1]]


@pytest.mark.parametrize("cluster", ["a" * (STRING_CHARACTERS_MAX + 1), ["a"], {}, 1])
def test_what_is_no_string_or_too_long_is_refused(cluster: Any) -> None:
    # It would be sent to ECS as it is, and logged in each pass.
    with pytest.raises(MalformedEventError, match="not a string, or too long"):
        envelope.decode({**written(TYPICAL), "cluster": cluster})


def test_the_longest_string_is_read() -> None:
    longest = "a" * STRING_CHARACTERS_MAX

    assert envelope.decode({**written(TYPICAL), "cluster": longest}).cluster == longest


def test_an_unknown_field_of_an_older_version_is_refused() -> None:
    # What an older version wrote is known; more than that was written by somebody else.
    with pytest.raises(MalformedEventError, match="verdict"):
        envelope.decode({**version_2(TYPICAL), "verdict": "drained"})


@pytest.mark.parametrize("value", ["drained", 10**300, ["a"] * 100_000, None])
def test_an_unknown_field_of_this_version_is_left_out(value: Any) -> None:
    # A function that was rolled back refused what the later one had sent: its drains were lost.
    assert envelope.decode({**written(TYPICAL), "verdict": value}) == TYPICAL


@pytest.mark.parametrize("generation", [-1, 1.5, True, "1", 10**12])
def test_a_generation_is_a_count(generation: Any) -> None:
    with pytest.raises(MalformedEventError, match="not a count"):
        envelope.decode({**written(TYPICAL), "generation": generation})


@pytest.mark.parametrize("version", [0, 4, "3", None, [3], {}])
def test_no_other_version_is_read(version: Any) -> None:
    with pytest.raises(MalformedEventError, match="known: 1, 2, 3"):
        envelope.decode({**written(BARE), "version": version})
