"""
Turn what Lambda hands over into drains, one record at a time. A bad one is refused alone.

A message is a reason to look. Only identifiers and a time are taken from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer import codec
from drainer.custom_resource import re_invocation, request
from drainer.drain import envelope
from drainer.drain.model import Drain, LifecycleAction, StoppedTask, Sweep, WakeUp
from drainer.errors import DrainerError, MalformedEventError, NotForUsError
from drainer.fields import ECS_OWN_HOOK, PATTERNS, identifiers, instant, quoted
from drainer.lifecycle import container_instance_events, task_events
from drainer.spot import comeback_events
from drainer.spot import events as spot_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TEST_NOTIFICATION = "autoscaling:TEST_NOTIFICATION"
# What the schedule sends (infra/drainer.yaml).
SWEEP = {codec.KIND_KEY: "sweep"}
EVENT_BRIDGE_DETAIL_TYPE = "EC2 Instance-terminate Lifecycle Action"

# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
HEARTBEAT_TIMEOUT_SECONDS_MAX = 7_200

# The messages that a record can carry, and the results of reading one: a message or an error.
Spotted = spot_events.Interruption | spot_events.TaskInterruption | comeback_events.Comeback
Asked = (
    Drain | WakeUp | StoppedTask | Sweep | Spotted | request.Request | re_invocation.Continuation
)
Content = Asked | DrainerError

# Group, hook, EC2 instance and token: two hooks of a group have an action each.
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Received:
    """
    One record of an invocation, and what it says.

    Attributes:
        record_id: SQS's message id, by which a batch item failure is reported; else a position.
        content: The drain, the request to look, or why there is neither.
    """

    record_id: str
    content: Content


def is_sqs(event: Any) -> bool:
    """Whether the event is a batch from an SQS event source mapping."""
    records = event.get("Records") if isinstance(event, dict) else None
    first = records[0] if isinstance(records, list) and records else None
    return isinstance(first, dict) and first.get("eventSource") == "aws:sqs"


def receive(event: Any, *, now: datetime) -> list[Received]:
    """
    Read every record of an invocation; never raises for what is in one.

    Args:
        event: What Lambda handed over.
        now: The present instant, which no claimed time may lie after.
    """
    received = []
    for record_id, record in _records(event):
        content: Content
        try:
            content = _record(record, now)
        except (MalformedEventError, NotForUsError) as refusal:
            content = refusal
        except RecursionError:
            content = MalformedEventError("The JSON is nested too deeply")
        received.append(Received(record_id, content))
    return received


def _records(event: Any) -> Iterator[tuple[str, Any]]:
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        yield "0", event
        return
    for position, record in enumerate(records):
        record_id = record.get("messageId") if isinstance(record, dict) else None
        yield record_id if isinstance(record_id, str) else str(position), record


def _record(record: Any, now: datetime) -> Asked:
    if not isinstance(record, dict):
        raise MalformedEventError(f"The record is not a JSON object: {quoted(record)}")
    if isinstance(record.get("Sns"), dict):
        return _sns(record["Sns"], now)
    if record.get("eventSource") == "aws:sqs":
        body = _json(record.get("body"))
        # Without raw message delivery, SQS gets SNS's own JSON around the message.
        # https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
        if body.get("Type") == "Notification" and "Message" in body:
            return _sns(body, now)
        return _event(body, now)
    return _event(record, now)


def _event(record: dict[str, Any], now: datetime) -> Asked:
    """Read what comes from EventBridge, with or without a queue in between."""
    if record == SWEEP:
        return Sweep()
    source, detail_type, detail = map(record.get, ("source", "detail-type", "detail"))
    if detail_type == task_events.DETAIL_TYPE and task_events.is_on_instance(detail):
        return task_events.read(source, detail)
    if detail_type in spot_events.DETAIL_TYPES:
        return spot_events.read(record, now)
    if detail_type == container_instance_events.DETAIL_TYPE:
        back = comeback_events.read(detail, now) if source == "aws.ecs" else None
        return back or container_instance_events.read(source, detail)
    if detail_type == EVENT_BRIDGE_DETAIL_TYPE:
        if source != "aws.autoscaling" or not isinstance(detail, dict):
            raise MalformedEventError(f"The event's source is {quoted(source)}")
        return _notification(detail, (record.get("time"),), now, by_event_bridge=True)
    if "detail-type" in record:
        raise NotForUsError(f"The event's type is {quoted(detail_type)}")
    return _message(record, (), now)


def _sns(notification: Mapping[str, Any], now: datetime) -> Asked:
    message = _json(notification.get("Message"))
    return _message(message, (notification.get("Timestamp"),), now)


def _message(body: dict[str, Any], times: tuple[Any, ...], now: datetime) -> Asked:
    if request.is_request(body):
        told_at = next((stamp for stamp in map(instant, times) if stamp), None)
        return request.read(body, told_at, now)
    if body.get(codec.KIND_KEY) == codec.KIND:
        if "request" in body:
            return re_invocation.read(body)
        drain = envelope.decode(body)
        if not drain.action.lifecycle_action_token:
            # A message with a token follows from the notification. One without (the sweep began it)
            # counts only for its deadline, while its record cannot be read.
            drain = replace(
                drain,
                draining_since=None,
                policy=None,
                listed_at=None,
                closed=False,
                missing_since=None,
                settled=False,
                searched_to="",
                search_failed=False,
                standalone_stopped=False,
                last_heartbeat_at=now - timedelta(seconds=HEARTBEAT_TIMEOUT_SECONDS_MAX),
            )
        action = drain.action
        identifiers(
            {
                "EC2InstanceId": action.ec2_instance_id,
                # A drain that the sweep has begun may have no token.
                "LifecycleActionToken": action.lifecycle_action_token or "-",
                "LifecycleHookName": action.lifecycle_hook_name,
                "AutoScalingGroupName": action.auto_scaling_group_name,
            }
        )
        return drain
    if body.get("Event") == TEST_NOTIFICATION:
        group = quoted(body.get("AutoScalingGroupName"))
        raise NotForUsError(f"Test notification of group {group}")
    return _notification(body, (body.get("Time"), *times), now, by_event_bridge=False)


def _notification(
    body: Mapping[str, Any], times: tuple[Any, ...], now: datetime, *, by_event_bridge: bool
) -> Drain:
    transition = body.get("LifecycleTransition")
    if transition == LAUNCHING:
        raise NotForUsError("A launching transition: only terminating ones are drained")
    if transition != TERMINATING:
        keys = ", ".join(sorted(str(key) for key in body)[:10])
        raise MalformedEventError(
            f"Neither a lifecycle notification nor a re-invocation: LifecycleTransition is "
            f"{quoted(transition)}, keys are {quoted(keys)}"
        )
    found = identifiers({name: body.get(name) for name in PATTERNS})
    if found["LifecycleHookName"] == ECS_OWN_HOOK:
        raise NotForUsError(f"Hook {ECS_OWN_HOOK} is ECS's own")
    started_at = _started_at(times, now)
    return Drain(
        action=LifecycleAction(
            auto_scaling_group_name=found["AutoScalingGroupName"],
            lifecycle_hook_name=found["LifecycleHookName"],
            ec2_instance_id=found["EC2InstanceId"],
            lifecycle_action_token=found["LifecycleActionToken"],
        ),
        started_at=started_at,
        last_heartbeat_at=started_at,
        by_event_bridge=by_event_bridge,
    )


def _started_at(times: tuple[Any, ...], now: datetime) -> datetime:
    """
    Return when Auto Scaling began to wait, by the clocks that stamped the notification.

    Two clocks stamp it, Auto Scaling's and SNS's. The later one counts, since a clock that is
    behind would end the drain early; but none counts that is ahead of ours.
    """
    stamps = [stamp for stamp in map(instant, times) if stamp is not None]
    return min(now, max(stamps, default=now))


def _json(text: Any) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (TypeError, ValueError) as error:
        # A text that is no JSON may be cut off, with a token or a signature in it.
        size = len(text) if isinstance(text, str) else type(text).__name__
        raise MalformedEventError(f"Not JSON ({error}), of {size} characters") from error
    if not isinstance(body, dict):
        raise MalformedEventError(f"JSON, but not an object: {type(body).__name__}")
    return body


def collapse(drains: list[Drain]) -> list[Drain]:
    """
    Return one drain for each lifecycle action, the one that has come furthest.

    Duplicates of a message, and the same notification by two channels, are one drain. Without a
    token actions cannot be told apart, and a message can name any hop: only equal hops of one
    generation are duplicates then, and the record says which message is next.
    """
    furthest: dict[object, Drain] = {}
    for drain in drains:
        named = bool(drain.action.lifecycle_action_token)
        key = key_of(drain.action), None if named else (drain.generation, drain.hop)
        if key not in furthest or drain.hop > furthest[key].hop:
            furthest[key] = drain
    return list(furthest.values())


def key_of(action: LifecycleAction) -> Key:
    """Return what two messages about the same lifecycle action have in common."""
    place = (action.auto_scaling_group_name, action.lifecycle_hook_name, action.ec2_instance_id)
    return *place, action.lifecycle_action_token
