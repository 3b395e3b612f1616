"""
What a seed lets go wrong: on the way of messages, in the function, and in the APIs it calls.

Faults begin with the run and cease at one instant. What production must bear is bounded here, and
each bound says why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.faults.past import Past
from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX
from drainer.simulation.services.messaging.call_time import KilledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.faults.intensity import Intensity, Window
    from drainer.simulation.records import Notification
    from drainer.simulation.scenario.trace import Trace
    from drainer.simulation.services.messaging.channel import Channel

READS = frozenset(
    {
        "DescribeAutoScalingInstances",
        "DescribeLifecycleHooks",
        "ListClusters",
        "ListContainerInstances",
        "DescribeContainerInstances",
        "ListTasks",
        "DescribeTasks",
    }
)
# How old an answer may be: no older than any answer of ECS is. Two looks in a row must not rest
# upon one past, so an answer is also no older than a pass interval.
STALE_SECONDS_MAX = ANSWER_LAG_SECONDS_MAX
# Where a call's answer has the things asked about, and their names.
DESCRIBED = {
    "DescribeContainerInstances": ("containerInstances", "containerInstanceArn"),
    "DescribeTasks": ("tasks", "taskArn"),
    "UpdateContainerInstancesState": ("containerInstances", "containerInstanceArn"),
}
# What is there and was not found at one instant is found again for so long: an answer that is wrong
# twice in a row, minutes apart, is no eventual consistency.
SEEN_SECONDS = 1_200.0
# "hours": a message that is older than most drains take.
DELAY_SECONDS_MAX = 3 * 3_600.0
# "up to 15 minutes" https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html
FILTERS_LATE_SECONDS_MAX = 900.0
# For so long after calls went wrong there may be duplicates whose chain has no record.
AFTER_A_WINDOW_SECONDS = 600.0
FILTERS_LATE_PROBABILITY = 0.15
ERRORS = {
    "throttled": {
        "autoscaling": "Throttling",
        "cloudformation": "Throttling",
        "dynamodb": "ThrottlingException",
        "ec2": "RequestLimitExceeded",
        "ecs": "ThrottlingException",
        "sns": "Throttled",
    },
    "failing": {
        "autoscaling": "InternalFailure",
        "cloudformation": "InternalFailure",
        "dynamodb": "InternalServerError",
        "ec2": "InternalError",
        "ecs": "ServerException",
        "sns": "InternalError",
    },
    "denied": {
        "autoscaling": "AccessDenied",
        "cloudformation": "AccessDenied",
        "dynamodb": "AccessDeniedException",
        "ec2": "UnauthorizedOperation",
        "ecs": "AccessDeniedException",
        "sns": "AuthorizationError",
    },
}
STATUSES = {"throttled": 400, "failing": 500, "denied": 403}


@dataclass(eq=False)
class Faults:
    """
    The faults of one seed.

    Attributes:
        stale_seconds: how old an answer may be.
        ceased_at: when the last of them begins to be no more.
        injected: how often each kind struck.
        displaced: instances whose notification was lost, late or wrongly stamped.
        blind_at: when a read of Auto Scaling has failed last, also for its quota.
        calls_left: after how many calls the invocation is killed; None for not.
    """

    account: Aws
    random: Random
    trace: Trace
    went_astray: Callable[[str], None]
    intensity: Intensity
    ceased_at: datetime
    stale_seconds: float = STALE_SECONDS_MAX
    windows: list[Window] = field(default_factory=list)
    silences: list[tuple[datetime, datetime]] = field(default_factory=list)
    unheard: list[tuple[datetime, datetime]] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    displaced: set[str] = field(default_factory=set)
    blind_at: datetime | None = None
    calls_left: int | None = None
    _missed_at: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    _past: Past | None = None

    @property
    def going_on(self) -> bool:
        """Whether faults have not ceased."""
        return self.account.now < self.ceased_at

    def strike(self, kind: str, about: str = "") -> None:
        """Count a fault and tell of it."""
        self.injected[kind] += 1
        self.trace.say("FAULT", f"{kind} {about}")

    # The way of messages

    def disturb(self, name: str, channel: Channel[Any]) -> None:
        """Let a channel lose, double, delay and reorder what it carries."""

        def fault(item: object) -> Sequence[float]:
            delays = self._delays(name)
            if not delays or min(delays) > 0:
                message = getattr(item, "message", "")
                self.went_astray(message)
                if name == "notification":
                    self._displace(message)
            return delays

        channel.faults.append(fault)

    def disturb_stamps(self, listeners: list[Callable[[Notification], None]]) -> None:
        """Let the clock that stamps a notification be wrong by hours, now and then."""
        listen = listeners.pop()

        def stamped(notification: Notification) -> None:
            if self.going_on and self.random.random() < self.intensity.message:
                hours = self.random.choice([-5.0, -1.0, -0.05, 0.05, 2.0])
                self.strike("message stamped by a wrong clock", f"{hours:+} h")
                at = self.account.now + timedelta(hours=hours)
                message = {**notification.message, "Time": at.isoformat()}
                if "EC2InstanceId" in message:
                    self.displaced.add(message["EC2InstanceId"])
                notification = replace(notification, message=message)
            listen(notification)

        listeners.append(stamped)

    def lose_notifications(self, from_seconds: float, to_seconds: float) -> None:
        """Lose every notification in a while to come, of which faults go on until the end."""
        begins, ends = (self.account.now + timedelta(seconds=s) for s in (from_seconds, to_seconds))
        self.unheard.append((begins, ends))
        self.ceased_at = max(self.ceased_at, ends)

    def _delays(self, name: str) -> tuple[float, ...]:
        now, random = self.account.now, self.random
        if name == "notification" and any(begins <= now < ends for begins, ends in self.unheard):
            self.strike("all notifications lost")
            return ()
        for begins_at, ends_at in self.silences:
            if begins_at <= now < ends_at:
                self.strike("channel silent", name)
                held = (ends_at - now).total_seconds() + random.uniform(0, 30)
                return () if random.random() < 0.5 else (held,)
        if not self.going_on or random.random() >= self.intensity.message:
            return (0.0,)
        kind = random.choice(["lost", "doubled", "late", "reordered", "doubled late"])
        self.strike(f"message {kind}", name)
        late = 2.0 ** random.uniform(0, 13.4)
        return {
            "lost": (),
            "doubled": (0.0, random.uniform(0, 60)),
            "late": (min(late, DELAY_SECONDS_MAX),),
            "reordered": (random.uniform(0, 30),),
            "doubled late": (0.0, random.uniform(0, 30), late),
        }[kind]

    def _displace(self, message: str) -> None:
        for ec2_instance_id in self.account.auto_scaling.instances:
            if ec2_instance_id in message:
                self.displaced.add(ec2_instance_id)

    # The function

    def invocation_begins(self) -> None:
        """Decide whether the invocation that begins will be killed, and before which call."""
        self.calls_left = None
        if self.going_on and self.random.random() < self.intensity.invocation:
            self.calls_left = self.random.randint(0, 12)

    def result_is_lost(self) -> bool:
        """Decide whether a finished invocation is taken for a failed one."""
        lost = self.going_on and self.random.random() < self.intensity.invocation
        if lost:
            self.strike("invocation's result lost")
        return lost

    def goes_wrong(self) -> bool:
        """Whether calls of some operation go wrong at present, or did a moment ago."""
        now, since = self.account.now, timedelta(seconds=AFTER_A_WINDOW_SECONDS)
        if self.blind_at is not None and now < self.blind_at + since:
            return True
        return any(one.begins_at <= now < one.ends_at + since for one in self.windows)

    def filters_late_seconds(self) -> float:
        """Decide for how long the topic's filter policies are not in effect yet."""
        if not self.going_on or self.random.random() >= FILTERS_LATE_PROBABILITY:
            return 0.0
        seconds = self.random.uniform(0, FILTERS_LATE_SECONDS_MAX)
        self.strike("filter policies late", f"{seconds:.0f} s")
        return seconds

    # The APIs

    def before_call(self, service: str, operation: str) -> str:
        """
        Decide how a call goes wrong: return the kind, empty for not at all.

        Raises:
            KilledError: the function ends before the call.
            ApiError: the call is refused.
        """
        if not self.going_on:
            return ""
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                self.strike("function killed between two calls", f"before {operation}")
                raise KilledError
        kind = self._kind(operation)
        if kind in ERRORS:
            self.strike(f"call {kind}", operation)
            raise ApiError(ERRORS[kind][service], f"injected: {kind}", STATUSES[kind])
        return kind

    def stale(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """Return an answer from the past; None where there is none to be had."""
        past = self._past
        if past is None or not past.knows(operation):
            return None
        age = (self.account.now - past.at).total_seconds()
        if age >= self.stale_seconds:
            return None
        self.strike("call answered stale", f"{operation}, {age:.0f} s old")
        return past.answer(operation, parameters)

    def with_failures(self, operation: str, answer: dict[str, Any], kind: str) -> dict[str, Any]:
        """Move what is missing at this instant to the failures; another thing too, by kind."""
        if kind != "failures" and not self._missed_at:
            return answer
        rows, name = DESCRIBED.get(operation, ("", ""))
        present = [row[name] for row in answer.get(rows, ())]
        if kind == "failures" and present:
            self.may_miss(self.random.choice(present))
        gone = {arn for arn in present if self.misses(arn)}
        if not gone:
            return answer
        self.strike("call answered with failures", operation)
        failures = [{"arn": arn, "reason": "MISSING"} for arn in sorted(gone)]
        kept = [row for row in answer[rows] if row[name] not in gone]
        return {**answer, rows: kept, "failures": [*answer.get("failures", ()), *failures]}

    def may_miss(self, arn: str, where: str = "") -> None:
        """
        Let a thing be missing at this instant, unless it was at another not long ago.

        Args:
            arn: the thing.
            where: which call's answers lack it; empty for those about it.
        """
        now = self.account.now
        at, _ = self._missed_at.setdefault(arn, (now, where))
        if now - at > timedelta(seconds=SEEN_SECONDS):
            self._missed_at[arn] = now, where

    def misses(self, arn: str, where: str = "") -> bool:
        """Whether a thing is missing at this instant."""
        return self._missed_at.get(arn) == (self.account.now, where)

    def _kind(self, operation: str) -> str:
        now, random = self.account.now, self.random
        for window in self.windows:
            inside = window.begins_at <= now < window.ends_at and operation in window.operations
            if inside and random.random() < window.probability:
                return window.kind
        if random.random() < self.intensity.background:
            return random.choice(["throttled", "failing", "performed, answer lost", "failures"])
        return ""

    def remember(self) -> None:
        """Keep the present as the past that stale answers come from."""
        self._past = Past(self.account)
