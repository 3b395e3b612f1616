"""
Fields of every length: what cannot be is refused in one short line, and nothing is called for it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain.model import REGISTRATIONS_MAX, UNFINISHED_MAX
from tests.security.forgeries import enveloped, notification

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.conftest import World

FAR_TOO_LONG = 100_000
REFUSAL_CHARACTERS_MAX = 1_000
# How many characters each identifier may have, and what it begins with.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html
IDENTIFIERS = {
    "EC2InstanceId": ("ec2_instance_id", "i-", 19),
    "LifecycleActionToken": ("lifecycle_action_token", "", 36),
    "LifecycleHookName": ("lifecycle_hook_name", "", 255),
    "AutoScalingGroupName": ("auto_scaling_group_name", "", 255),
}
STRING_MAX = 700


def of_length(start: str, length: int) -> str:
    return start + "a" * (length - len(start))


def say(world: World, message: Any) -> None:
    # Past the topic, so that a filter or a limit of SNS's refuses nothing before we do.
    world.installed.notification_queue.send(json.dumps(message))
    world.run(1)


@pytest.fixture
def quiet(make_world: Callable[..., World]) -> World:
    world = make_world()
    world.group()
    return world


def test_identifiers_of_any_possible_length_are_looked_up(quiet: World) -> None:
    # A limit of ours that is narrower than AWS's would leave some instances undrained for ever.
    for name, (_, start, longest) in IDENTIFIERS.items():
        for length in (len(start) + 1, longest):
            message = notification(**{name: of_length(start, length)})(quiet, "i-0")
            say(quiet, message)

    assert quiet.reports.refusals == []
    assert quiet.reports.crashes == []
    assert quiet.calls("DescribeAutoScalingInstances") == 2 * len(IDENTIFIERS)


@pytest.mark.parametrize("kind", ["notification", "envelope"])
@pytest.mark.parametrize("name", IDENTIFIERS)
def test_identifiers_that_are_too_long_are_refused_shortly(
    quiet: World, name: str, kind: str
) -> None:
    # What is as long as a message would be sent on, or stand in the log as a whole.
    field, start, longest = IDENTIFIERS[name]
    for length in (longest + 1, FAR_TOO_LONG):
        value = of_length(start, length)
        message = (
            notification()(quiet, "i-0") if kind == "notification" else enveloped()(quiet, "i-0")
        )
        (message if kind == "notification" else message["action"])[
            name if kind == "notification" else field
        ] = value
        say(quiet, message)

    assert len(quiet.reports.refusals) == 2
    assert max(map(len, quiet.reports.refusals)) < REFUSAL_CHARACTERS_MAX
    assert list(quiet.account.calls) == []


@pytest.mark.parametrize("value", ["", None, 7, True, ["i-0"], {"a": 1}, "\x00", "a\nb"])
@pytest.mark.parametrize("name", IDENTIFIERS)
def test_identifiers_that_cannot_be_are_refused(quiet: World, name: str, value: Any) -> None:
    say(quiet, notification(**{name: value})(quiet, "i-0"))

    assert len(quiet.reports.refusals) == 1
    assert list(quiet.account.calls) == []


ENVELOPE_FIELDS = [
    ("cluster",),
    ("container_instance_arn",),
    ("unfinished", 0),
    ("policy", "cluster"),
    ("origin",),
    ("policy", "deadline_result"),
    ("policy", "standalone_tasks"),
    ("started_at",),
    ("hop",),
    ("deadline_at",),
    ("heartbeat_timeout_seconds",),
    ("policy", "drain_timeout_seconds"),
    ("closed",),
    ("version",),
    ("others", 0),
    ("listed_at",),
    ("missing_since",),
    ("settled",),
    ("searched_to",),
    ("search_failed",),
    ("searched_at",),
    ("not_waiting_since",),
    ("sent_at",),
]


def put(message: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
    if message.get("policy") is None:
        message["policy"] = {
            "cluster": None,
            "drain_timeout_seconds": 1,
            "deadline_result": "CONTINUE",
            "standalone_tasks": "wait",
            "standalone_grace_seconds": 0,
        }
    message["unfinished"], message["others"] = ["0" * 32], [["payments", "arn"]]
    inner: Any = message
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value


@pytest.mark.parametrize(
    "value",
    ["a" * (STRING_MAX + 1), "a" * FAR_TOO_LONG, 10**300, -1, ["a"] * FAR_TOO_LONG],
    ids=[
        "one character too many",
        "100,000 characters",
        "a huge number",
        "below zero",
        "a long list",
    ],
)
@pytest.mark.parametrize("place", ENVELOPE_FIELDS, ids=lambda place: ".".join(map(str, place)))
def test_envelopes_with_a_field_that_cannot_be_are_refused_shortly(
    quiet: World, place: tuple[Any, ...], value: Any
) -> None:
    message = enveloped()(quiet, "i-0")
    put(message, place, value)

    say(quiet, message)

    assert len(quiet.reports.refusals) == 1
    assert len(quiet.reports.refusals[0]) < REFUSAL_CHARACTERS_MAX
    assert list(quiet.account.calls) == []


def test_an_envelope_with_the_longest_of_all_that_may_be_is_re_invoked(quiet: World) -> None:
    # The longest names that AWS allows must not make a re-invocation that cannot be read.
    message = enveloped(auto_scaling_group_name="g" * 255, lifecycle_hook_name="h" * 255)(
        quiet, "i-" + "0" * 17
    )
    put(message, ("container_instance_arn",), "a" * STRING_MAX)
    message["unfinished"] = ["0" * 32] * UNFINISHED_MAX
    message["others"] = [["c" * 255, "o" * STRING_MAX]] * REGISTRATIONS_MAX
    message["cluster"] = "c" * 255

    say(quiet, message)
    quiet.run(40)

    assert quiet.reports.refusals == []
    # That nothing waits is believed by two looks that are 20 s apart: the third, at 32 s.
    assert quiet.calls("PublishBatch") == 2
    assert quiet.installed.dead_letters == []
