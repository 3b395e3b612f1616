"""
The drainer, installed in a simulated account as infra/drainer.yaml installs it in a real one.

The function's code is production's, handed in by the caller; nothing of it is replaced.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from drainer.simulation.protocol.client import InProcessClient
from drainer.simulation.scenario.spot_installation import (
    RULES,
    SpotInstallation,
    SpotSettings,
    install_spot,
)
from drainer.simulation.services.messaging.call_time import CallTime, scripted
from drainer.simulation.services.messaging.channel import Channel
from drainer.simulation.services.messaging.delivery import OR, SnsApi, Terms, Topic
from drainer.simulation.services.messaging.functions import EventSourceMapping, Function
from drainer.simulation.services.messaging.queues import Queue, QueueMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.production import Answering
    from drainer.simulation.services.dynamodb.former_table import FormerTable
    from drainer.simulation.services.messaging.functions import Handler

NOTIFICATIONS = {"LifecycleTransition": ["autoscaling:EC2_INSTANCE_TERMINATING"]}
ENVELOPES: Terms = {"drainer": ["re-invocation"]}
NOT_QUIET: Terms = {**ENVELOPES, "quiet": [{"exists": False}]}
QUIET: Terms = {**ENVELOPES, "quiet": [True]}
REQUESTS = {"RequestType": ["Create", "Update", "Delete"]}
# What the rule of the fast path matches, and what the schedule hands to the function.
CONTAINER_INSTANCE_CHANGE = "ECS Container Instance State Change"
TASK_CHANGE = "ECS Task State Change"
SWEEP = {"drainer": "sweep"}
# How long a notification takes at most that nothing holds up; AWS says no figure.
NOTIFICATION_SECONDS_MAX = 20.0


class Build(Protocol):
    """What makes the function: `drainer.handler.build`."""

    def __call__(
        self,
        environ: Mapping[str, str],
        client: Callable[[str], Any],
        clock: Callable[[], datetime],
        /,
    ) -> Callable[[Any, Any], dict[str, Any] | None]:
        """Make the function on clients and a clock."""


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The template's numbers, by its own names, with its own defaults; and what is AWS's to choose.

    Attributes:
        call_seconds: what the function's calls take, by operation; `*` for all others.
        filters_late_seconds: for how long the topic's filter policies do not apply yet.
    """

    pass_interval_seconds: int = 15
    quiet_seconds: int = 75
    notification_batch_size: int = 10
    batch_window_seconds: float = 0.0
    wait_batch_size: int = 100
    wait_window_seconds: float = 1.0
    notification_visibility_seconds: float = 180.0
    wait_visibility_seconds: float = 181.0
    wake_up_batch_size: int = 10
    wake_up_window_seconds: float = 0.0
    wake_up_visibility_seconds: float = 181.0
    receive_count_max: int = 5
    concurrency_max: int = 2
    function_timeout_seconds: float = 30.0
    function_duration_seconds: float = 0.0
    topic_name: str = "drainer"
    fast_path: bool = False
    sweep_interval_seconds: float | None = None
    spot: bool = False
    spot_rules: tuple[str, ...] = RULES
    custom_resources: bool = False
    call_seconds: Mapping[str, float] = field(default_factory=dict)
    filters_late_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Installation:
    """What has been installed, for tests to look at and faults to be put into."""

    topic: Topic
    notification_queue: Queue
    wait_queue: Queue
    quiet_queue: Queue
    dead_notifications: Queue
    wait_dead_letters: Queue
    notifications: EventSourceMapping
    envelopes: EventSourceMapping
    function: Function
    rule: Channel[dict[str, Any]]
    schedule: Channel[dict[str, Any]]
    spot_rules: dict[str, Channel[dict[str, Any]]]
    records: str
    requests_table: FormerTable | None = None
    spot: SpotInstallation | None = None

    @property
    def dead_letters(self) -> list[str]:
        """The bodies of all messages that have been given up."""
        spot = (self.spot.dead_letters,) if self.spot else ()
        queues = (self.dead_notifications, self.wait_dead_letters, *spot)
        return [message.body for queue in queues for message in queue.messages]

    def is_followed(self, token: str) -> bool:
        """Whether a message is on its way that has the token of a lifecycle action."""
        return any(token in message.body for message in self.waiting)

    @property
    def waiting(self) -> list[QueueMessage]:
        """The envelopes that wait for the next pass of their drains."""
        return [*self.wait_queue.messages, *self.quiet_queue.messages]


def install(
    account: Aws,
    *,
    build: Build,
    environ: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    client: Callable[[str], Any] | None = None,
    call_time: CallTime | None = None,
) -> Installation:
    """
    Install the drainer.

    Args:
        account: where.
        build: makes the function; with `custom_resources` it is given `respond` as well.
        environ: settings of the function beside those that follow from the installation.
        settings: the template's numbers.
        client: makes its clients; by default the account's own, on the function's time.
        call_time: what its calls take; clients that are given have to ask it themselves.
    """
    settings = settings or Settings()
    topic = SnsApi(account).create_topic_named(settings.topic_name)
    topic.filters_apply_at = account.now + timedelta(seconds=settings.filters_late_seconds)
    # By the names that a deployed stack gives to its tables.
    records = account.record_tables.create(f"{settings.topic_name}-Records").name
    table, make = None, build
    if settings.custom_resources:
        table = account.tables.create(f"{settings.topic_name}-RequestsTable")
        make = partial(cast("Answering", build), respond=account.stacks.respond)
    environment = {**_environment(topic, records, table, settings), **(environ or {})}
    time = call_time or CallTime(scripted(settings.call_seconds), lambda: False)
    made = make(environment, client or _timed(account, time), account.clock)
    function = _function(account, made, settings, time)
    receives, seconds = settings.receive_count_max, settings.notification_visibility_seconds
    notification_queue, dead_notifications = _queue(account, "notifications", receives, seconds)
    wanted = NOTIFICATIONS if table is None else {OR: [NOTIFICATIONS, REQUESTS]}
    topic.subscribe(notification_queue, wanted)
    wait_queue, quiet_queue, wait_dead_letters = _wait_queues(account, topic, settings)
    wake_up_queue = _wake_up_queue(account, settings)
    rule, schedule = _event_bridge(account, wake_up_queue, function, settings)
    spot = None
    if settings.spot:
        spot = install_spot(account, function, SpotSettings(settings.spot_rules))

    def mapped(queue: Queue, size: int, seconds: float) -> EventSourceMapping:
        return EventSourceMapping(account, queue, function, size, seconds, settings.concurrency_max)

    size, seconds = settings.notification_batch_size, settings.batch_window_seconds
    notifications = mapped(notification_queue, size, seconds)
    envelopes = mapped(wait_queue, settings.wait_batch_size, settings.wait_window_seconds)
    mapped(quiet_queue, settings.wait_batch_size, settings.wait_window_seconds)
    mapped(wake_up_queue, settings.wake_up_batch_size, settings.wake_up_window_seconds)
    return Installation(
        topic,
        notification_queue,
        wait_queue,
        quiet_queue,
        dead_notifications,
        wait_dead_letters,
        notifications,
        envelopes,
        function,
        rule,
        schedule,
        spot.rules if spot else {},
        records,
        table,
        spot,
    )


def _function(account: Aws, made: Handler, settings: Settings, call_time: CallTime) -> Function:
    return Function(
        account,
        "drainer",
        made,
        timeout_seconds=settings.function_timeout_seconds,
        duration_seconds=settings.function_duration_seconds,
        call_time=call_time,
    )


def _timed(account: Aws, call_time: CallTime) -> Callable[[str], Any]:
    """Return what makes clients whose calls take of the function's time."""
    perform = partial(call_time.perform, account.call)
    return lambda service: InProcessClient(service, perform, account.region)


def _environment(
    topic: Topic, records: str, table: FormerTable | None, settings: Settings
) -> dict[str, str]:
    environment = {
        "DRAINER_TOPIC_ARN": topic.arn,
        "DRAINER_RECORDS_TABLE": records,
        "DRAINER_PASS_INTERVAL_SECONDS": str(settings.pass_interval_seconds),
        "DRAINER_USE_FAST_PATH": str(settings.fast_path).lower(),
    }
    if table is not None:
        environment |= {"DRAINER_REQUESTS_TABLE": table.name, "DRAINER_VERIFY_STACKS": "true"}
    return environment


def _event_bridge(
    account: Aws, wake_up_queue: Queue, function: Function, settings: Settings
) -> tuple[Channel[dict[str, Any]], Channel[dict[str, Any]]]:
    """Wire the rule of the fast path and the schedule of the sweep, so far as they are wanted."""
    # EventBridge puts an event's JSON into a queue as it is, and invokes functions asynchronously.
    rule: Channel[dict[str, Any]] = Channel(account, lambda event: _put(wake_up_queue, event))
    schedule: Channel[dict[str, Any]] = Channel(account, function.invoke_asynchronously)
    if settings.fast_path:
        account.on_event.append(lambda event: _match(event, rule))
    if settings.sweep_interval_seconds is not None:
        _tick(account, schedule, settings.sweep_interval_seconds)
    return rule, schedule


def _wake_up_queue(account: Aws, settings: Settings) -> Queue:
    # No dead letters: five minutes later an event is of no use.
    seconds = settings.wake_up_visibility_seconds
    return Queue(account, "drainer-wake-ups", visibility_timeout_seconds=seconds)


def _wait_queues(account: Aws, topic: Topic, settings: Settings) -> tuple[Queue, Queue, Queue]:
    """Create the two queues that delay envelopes, and the one for their dead letters."""
    receives, seconds = settings.receive_count_max, settings.wait_visibility_seconds
    wait_queue, dead_letters = _queue(account, "wait", receives, seconds)
    wait_queue.delay_seconds = settings.pass_interval_seconds
    quiet_queue = Queue(
        account,
        "drainer-quiet",
        delay_seconds=settings.quiet_seconds,
        visibility_timeout_seconds=seconds,
        receive_count_max=receives,
        dead_letters=dead_letters,
    )
    topic.subscribe(wait_queue, NOT_QUIET if settings.fast_path else ENVELOPES)
    if settings.fast_path:
        topic.subscribe(quiet_queue, QUIET)
    return wait_queue, quiet_queue, dead_letters


def _queue(
    account: Aws, name: str, receive_count_max: int, visibility_seconds: float
) -> tuple[Queue, Queue]:
    """Create a queue and the one for its dead letters."""
    dead_letters = Queue(account, f"drainer-{name}-dead-letters")
    queue = Queue(
        account,
        f"drainer-{name}",
        visibility_timeout_seconds=visibility_seconds,
        receive_count_max=receive_count_max,
        dead_letters=dead_letters,
    )
    return queue, dead_letters


def _match(event: dict[str, Any], rule: Channel[dict[str, Any]]) -> None:
    detail = event["detail"]
    if event["detail-type"] == CONTAINER_INSTANCE_CHANGE:
        matches = detail.get("status") == "DRAINING"
    else:
        stopped = event["detail-type"] == TASK_CHANGE and detail.get("lastStatus") == "STOPPED"
        matches = stopped and detail.get("containerInstanceArn") is not None
    if matches:
        rule.send(event)


def _tick(account: Aws, schedule: Channel[dict[str, Any]], seconds: float) -> None:
    def tick() -> None:
        schedule.send(dict(SWEEP))
        account.after(seconds, tick)

    account.after(seconds, tick)


def _put(queue: Queue, event: dict[str, Any]) -> None:
    queue.send(json.dumps(event))
