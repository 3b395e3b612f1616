"""
True events, and seeded mutations of them: what the function may be handed, and what it may not.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drainer.custom_resource import progress, re_invocation
from drainer.custom_resource import request as cloudformation
from drainer.custom_resource.progress import Member, RequestProgress
from drainer.custom_resource.properties import Status
from drainer.custom_resource.re_invocation import Continuation
from drainer.drain import envelope
from drainer.drain.model import (
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Origin,
    Place,
    Policy,
    StandaloneTasks,
)

if TYPE_CHECKING:
    from random import Random

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = Path(__file__).parents[1] / "events"
ACTION = LifecycleAction(
    "example-asg", "dev-drain", "i-05629ab7d9287e205", "465e0162-e6af-4786-b4e8-bb544ae58790"
)
FULL = Drain(
    ACTION,
    started_at=NOW,
    last_heartbeat_at=NOW + timedelta(seconds=30),
    hop=7,
    origin=Origin.CHAIN,
    deadline_at=NOW + timedelta(hours=1),
    heartbeat_timeout_seconds=1800,
    policy=Policy("payments", 3600, LifecycleActionResult.ABANDON, StandaloneTasks.STOP, 60),
    cluster="payments",
    container_instance_arn="arn:aws:ecs:us-east-1:123456789012:container-instance/payments/"
    + "0" * 32,
    draining_since=NOW,
    unfinished=("1" * 32, "2" * 32),
    listed_at=NOW,
    others=(Place("search", "arn:other"),),
    searched_at=NOW,
    sent_at=NOW,
)
BARE = Drain(
    LifecycleAction("example-asg", "dev-drain", "i-05629ab7d9287e205", ""),
    started_at=NOW,
    last_heartbeat_at=NOW,
    hop=1,
)

DELETION = json.loads((EVENTS / "cloudformation_delete.json").read_text())
REQUEST = cloudformation.read(DELETION, None, NOW)
UNDER_WAY = RequestProgress(
    REQUEST,
    history={
        ACTION.ec2_instance_id: Member(
            draining_since=NOW, unfinished=("1" * 32,), listed_at=NOW, closed=True
        ),
        "i-0123456789abcdef0": Member(searched_at=NOW, settled=True, done=True),
    },
    looks=2,
)
DECIDED = RequestProgress(
    REQUEST, looks=3, answer=cloudformation.Answer(Status.FAILED, REQUEST.physical_id, "too late")
)

# What a value may be replaced by: every kind of JSON, and each kind's extremes.
STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    0.5,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    10**18,
    -(10**18),
    10**400,
    "",
    " ",
    "0",
    "null",
    "i-0",
    "\x00",
    "\ud800",
    "\u202e",
    "🦀" * 50,
    "a" * 10_000,
    "${jndi:ldap://x}",
    "%s%n",
    "' or 1=1",
    "i-0] or ec2InstanceId in [i-1",
    "../../x",
    "{}",
    "[]",
    '{"drainer": "sweep"}',
    "autoscaling:EC2_INSTANCE_TERMINATING",
    "9999-12-31T23:59:59.999999+23:59",
    "0001-01-01T00:00:00-23:59",
    "2024-03-23T03:26:43",
    "2024-02-30T00:00:00Z",
    [],
    {},
    [None],
    [[]],
    {"a": {}},
    {"": None},
)
KEYS = ("", "Sns", "Records", "body", "detail", "action", "Message", "eventSource", "drainer", "x")
NESTED_MAX = 3_000
STEPS_MAX = 5
PARSED_KEPT_MAX = 256


def with_state(carried: RequestProgress) -> str:
    """Return a re-invocation with a progress in it, as releases without a record sent it."""
    message = json.loads(re_invocation.encode(Continuation(REQUEST.key, 4)))
    return json.dumps({**message, "state": progress.encode(carried)})


def seeds() -> list[Any]:
    """Return true events of every kind and by every channel."""
    found = [json.loads(path.read_text()) for path in sorted(EVENTS.glob("*.json"))]
    terminating = json.loads((EVENTS / "sns_terminating.json").read_text())
    notification = terminating["Records"][0]["Sns"]["Message"]
    own = (
        envelope.encode(FULL),
        envelope.encode(BARE),
        re_invocation.encode(Continuation(REQUEST.key, 3)),
        with_state(UNDER_WAY),
        with_state(DECIDED),
        re_invocation.encode(Continuation(REQUEST.key, 4, postponed=True)),
    )
    for message in (notification, json.dumps(DELETION), *own):
        sns = {"Type": "Notification", "Message": message, "Timestamp": "2024-03-23T03:26:44Z"}
        found.append({"Records": [{"EventSource": "aws:sns", "Sns": sns}]})
        found.append(by_sqs(json.dumps(sns)))
        found.append(by_sqs(message))
        found.append(json.loads(message))
    wake_up = json.loads((EVENTS / "eventbridge_container_instance_draining.json").read_text())
    return [*found, by_sqs(json.dumps(wake_up), notification), {"drainer": "sweep"}]


def by_sqs(*bodies: str) -> dict[str, Any]:
    """Return a batch of SQS's."""
    return {
        "Records": [
            {"eventSource": "aws:sqs", "messageId": f"m{number}", "body": body}
            for number, body in enumerate(bodies)
        ]
    }


def mutated(event: Any, random: Random) -> Any:
    """Return an event with one to five things changed; it shares the rest with the given one."""
    for _ in range(random.randint(1, STEPS_MAX)):
        event = _step(event, random)
    return event


def _step(value: Any, random: Random) -> Any:
    """Change something at this place, or go deeper, also into JSON within a string."""
    deeper = random.random() < 0.85
    if deeper and isinstance(value, dict) and value:
        key = random.choice(list(value))
        return {**value, key: _step(value[key], random)}
    if deeper and isinstance(value, list) and value:
        position = random.randrange(len(value))
        return [*value[:position], _step(value[position], random), *value[position + 1 :]]
    if deeper and isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.dumps(_step(_parsed(value), random))
        except (ValueError, RecursionError):
            return _text(value, random)
    return _changed(value, random)


# The true events' own texts come by the ten thousand, and nothing here changes what is parsed.
_parsed = lru_cache(PARSED_KEPT_MAX)(json.loads)


def _changed(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.6:
        key = random.choice(list(value))
        others = {name: item for name, item in value.items() if name != key}
        moved = random.choice(["gone", "renamed", "beside"])
        if moved == "gone":
            return others
        if moved == "renamed":
            return {**others, random.choice(KEYS): value[key]}
        return {**value, random.choice(KEYS): random.choice(STRANGE)}
    if isinstance(value, list) and value and random.random() < 0.6:
        return random.choice([value * random.randint(2, 4), value[1:], [*value, value[0]]])
    if isinstance(value, str) and random.random() < 0.4:
        return _text(value, random)
    if random.random() < 0.02:
        return _nested(random)
    return random.choice(STRANGE)


def _text(value: str, random: Random) -> str:
    place = random.randint(0, len(value))
    inserted = random.choice(
        ["", '"', "\\", "}", "\x00", "é", "\ud800", "[" * NESTED_MAX, "9" * 500]
    )
    end = place if random.random() < 0.3 else random.randint(place, len(value))
    return value[:place] + inserted + ("" if random.random() < 0.3 else value[end:])


def _nested(random: Random) -> Any:
    value: Any = random.choice(STRANGE)
    for _ in range(random.randint(1, 90)):
        value = random.choice([[value], {random.choice(KEYS): value}])
    return value
