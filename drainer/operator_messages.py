"""
Tell operators of a drain: once when it nears its deadline, and once when that has passed, be its
instance terminated or retained.

An alarm's text is fixed and names no instance. A message that is not delivered is not repeated:
the alarm and the log tell of the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from drainer.attention import told_until
from drainer.drain.actions import CALL_SECONDS, NO_TIME, reasons_of
from drainer.drain.model import LifecycleActionResult
from drainer.errors import DrainerError
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from drainer.invocation import InvocationClock
    from drainer.lifecycle.controller import PassReport
    from drainer.lifecycle.outcome import HookOutcome
    from drainer.telemetry import Telemetry

# How long before its deadline a drain is told of: time to act on it, but not more than a quarter
# of the time that it was given.
NEAR = timedelta(minutes=15)

# One PublishBatch for each pass. When hundreds of drains near their deadlines together, ten have a
# message, and the last one says how many others there are.
MESSAGES_MAX = 10
TASKS_NAMED_MAX = 5
TEXT_CHARACTERS_MAX = 200
ABANDON = LifecycleActionResult.ABANDON


class RetainingGroups(Protocol):
    """Which groups retain instances."""

    def retaining(self, auto_scaling_group_names: Sequence[str]) -> set[str]:
        """Return the groups that retain what is answered ABANDON; may raise a DrainerError."""


class OperatorTopic(Protocol):
    """Where the messages go."""

    def publish(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> dict[int, str]:
        """Publish at most MESSAGES_MAX messages; return refusals by position."""


@dataclass(frozen=True, slots=True)
class OperatorMessage:
    """
    What is told of one drain.

    Attributes:
        event: Its name for programs.
        headline: A sentence without a full stop that begins with the EC2 instance's id.
        lines: What is known, a line each.
        commands: What to do: a purpose, and the command.
        drain: The group, the hook and the EC2 instance.
    """

    event: str
    headline: str
    lines: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    drain: tuple[str, str, str]

    @property
    def subject(self) -> str:
        """Return the subject of an e-mail: ASCII, on one line, of less than 100 characters."""
        # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
        return f"drainer: {self.headline}".encode("ascii", "replace").decode()[:99]

    def texts(self) -> dict[str, str]:
        """
        Return its texts by the protocol of a subscription.

        Amazon Q Developer in chat applications subscribes by `https`, and shows nothing but its
        own schema.
        https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
        """
        steps = [f"{purpose}: {command}" for purpose, command in self.commands]
        text = "\n".join([f"{self.headline}.", *self.lines, "", *steps])
        group, hook, ec2_instance_id = self.drain
        chat = {
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": self.headline,
                "description": "\n".join(self.lines),
                "nextSteps": steps,
                "keywords": ["drainer", group],
            },
            "metadata": {
                "threadId": f"{group}|{hook}|{ec2_instance_id}",
                "eventType": self.event,
                "summary": self.headline,
            },
        }
        return {"default": text, "email": text, "https": json.dumps(chat, ensure_ascii=False)}


def of_pass(
    report: PassReport, now: datetime, retaining: Collection[str] = frozenset()
) -> list[OperatorMessage]:
    """Return MESSAGES_MAX messages at most; `retaining` are groups that retain on ABANDON."""
    found = [message for one in report.outcomes if (message := _of(one, now, retaining))]
    told = found[:MESSAGES_MAX]
    if len(found) > MESSAGES_MAX:
        others = len(found) - MESSAGES_MAX
        more = f"{others} other drains of the same pass have no message of their own."
        told[-1] = replace(told[-1], lines=(*told[-1].lines, more))
    return told


def abandoned(report: PassReport) -> set[str]:
    """Return the groups of instances that were answered ABANDON, as only deadlines are."""
    return {_group(one) for one in report.outcomes if one.answered == ABANDON}


def _group(outcome: HookOutcome) -> str:
    return outcome.drain.action.auto_scaling_group_name


def _of(outcome: HookOutcome, now: datetime, retaining: Collection[str]) -> OperatorMessage | None:
    if outcome.missed_deadline:
        # ABANDON retains the instance where the group's instance lifecycle policy says so.
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
        retains = outcome.answered == ABANDON and _group(outcome) in retaining
        return _missed(outcome, retains=retains)
    goes_on = outcome.decision.step != Step.STOP and (outcome.look.proven or outcome.heartbeat)
    return _near(outcome, now) if goes_on and _nears(outcome, now) else None


def _nears(outcome: HookOutcome, now: datetime) -> bool:
    """
    Whether the time before its deadline has begun since the pass before this one.

    The pass after this one begins where this one's message was sent, or, if that failed, where its
    record was written. What has done neither is a duplicate, or its message comes again: another
    pass tells.
    """
    before, until = told_until(outcome), outcome.published_at
    if until is None and outcome.recorded and not outcome.duplicate:
        until = now
    began_at, ends_at = outcome.drain.started_at, outcome.look.deadline_at
    near_at = ends_at - min(NEAR, (ends_at - began_at) / 4)
    return before is not None and until is not None and before < near_at <= until < ends_at


def _near(outcome: HookOutcome, now: datetime) -> OperatorMessage:
    look, policy = outcome.look, outcome.drain.policy
    ends_at = look.deadline_at
    minutes = round((ends_at - now).total_seconds() / 60)
    result = policy.deadline_result if policy else look.deadline_result
    return _message(
        outcome,
        "drain-nears-deadline",
        "nears its deadline",
        f"Deadline: {ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, in {minutes} minutes. The hook "
        f"is answered {result} then, and tasks that are left are killed with the instance, unless "
        f"the group retains it.",
        f"It waits for: {_plain(outcome.decision.reason)}",
    )


def _missed(outcome: HookOutcome, *, retains: bool) -> OperatorMessage:
    says = f"The hook was answered {outcome.answered} with {outcome.tasks_left} tasks left. "
    event, happens = "drain-missed-deadline", "has missed its deadline"
    if not retains:
        says += "They are killed with the instance, unless the group retains it."
        return _message(outcome, event, happens, says)
    event, happens = "instance-retained", f"{happens} and is retained"
    says += "The group retains the instance: they go on, and it is billed until somebody frees it."
    made = _message(outcome, event, happens, says)
    free = "Let it go", f"drainer retained free {outcome.drain.action.ec2_instance_id}"
    return replace(made, commands=(*made.commands, free))


def _message(outcome: HookOutcome, event: str, happens: str, *lines: str) -> OperatorMessage:
    action, look = outcome.drain.action, outcome.look
    group, instance = _plain(action.auto_scaling_group_name), action.ec2_instance_id
    cluster = _plain((outcome.drain.cluster or "").rpartition("/")[2]) or "unknown"
    tasks = [_plain(str(task)) for task in look.remaining[:TASKS_NAMED_MAX]]
    named = [f"Tasks: {', '.join(tasks)}"] if tasks else []
    return OperatorMessage(
        event=event,
        headline=f"{instance} {happens}",
        lines=(f"Group {group}, cluster {cluster}.", *lines, *named),
        commands=(("See why", f"drainer explain {instance}"),),
        drain=(group, _plain(action.lifecycle_hook_name), instance),
    )


def _plain(text: str) -> str:
    """Return a text that came from elsewhere, on one line, bounded, without mentions in chat."""
    kept = "".join(one for one in text if one.isprintable() and one not in "`<>@")
    return kept[:TEXT_CHARACTERS_MAX]


class OperatorMessages:
    """Publishes what operators are told of after a pass."""

    def __init__(self, topic: OperatorTopic, groups: RetainingGroups, telemetry: Telemetry) -> None:
        self._topic = topic
        self._groups = groups
        self._telemetry = telemetry

    def tell(self, report: PassReport, time: InvocationClock) -> None:
        """Publish the messages of a pass, if there is time for it; what fails is reported."""
        for reason in reasons_of(partial(self._publish, report, time)):
            self._telemetry.failed(f"A message to operators was not published: {reason}")

    def _publish(self, report: PassReport, time: InvocationClock) -> set[str]:
        retaining = self._retaining(sorted(abandoned(report)), time)
        found = of_pass(report, time.now(), retaining)
        if not found:
            return set()
        if time.seconds_left() < 2 * CALL_SECONDS:
            return {NO_TIME}
        return set(self._topic.publish([(one.subject, one.texts()) for one in found]).values())

    def _retaining(self, groups: Sequence[str], time: InvocationClock) -> set[str]:
        """Return which groups retain; if that is not read, the message leaves it open."""
        if not groups or time.seconds_left() < 3 * CALL_SECONDS:
            return set()
        try:
            return self._groups.retaining(groups)
        except DrainerError as error:
            self._telemetry.failed(f"Whether groups retain instances was not read: {error}")
            return set()
