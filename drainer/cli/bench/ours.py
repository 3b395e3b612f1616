"""
The drainer as infra/drainer.yaml ships it, in a scene.
"""

from __future__ import annotations

import math
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools import Logger, Metrics

from drainer import handler
from drainer.aws.calls import CLIENT_CONFIG
from drainer.cli.bench.drains import CLUSTER
from drainer.cli.bench.outcome import Bill
from drainer.cli.bench.prices import Item
from drainer.cli.bench.retries import Retries
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.shipped import shipped_stack
from drainer.simulation.services.messaging.call_time import CallTime, scripted
from drainer.telemetry import Powertools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.cli.bench.drains import Scene
    from drainer.simulation.scenario.installation import Installation

# What an invocation is billed for: its own work, and what its calls take one after the other.
# Assumed: a warm environment that begins, reads its event and ends; and calls on connections that
# are there. DynamoDB answers in "single-digit milliseconds".
# https://aws.amazon.com/dynamodb/features/
BASE_SECONDS = 0.02
CALL_SECONDS = {"*": 0.03, "BatchGetItem": 0.008, "UpdateItem": 0.008, "Query": 0.008}
# Lambda's own lines about an invocation in JSON: start, report and the runtime's end. Assumed.
PLATFORM_LOG_BYTES = 1_000
# What an event takes through EventBridge and SQS: "typically about half a second".
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-what-is.html
EVENT_SECONDS = (0.3, 1.5)
# SQS hands out and deletes at most ten messages in a request.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
MESSAGES_OF_REQUEST = 10
SWEEP_SECONDS = 300.0
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sources:
    """What wakes the drainer beside its own chain of messages."""

    fast_path: bool = True
    sweep: bool = True


@dataclass(frozen=True, slots=True)
class Shipped:
    """What infra/drainer.yaml says, with its defaults."""

    memory_gigabytes: float
    traced: bool
    alarms: int  # by the metrics that they read
    queues: int  # that Lambda polls


def shipped() -> Shipped:
    """Read the template."""
    stack = shipped_stack("123456789012", "us-east-1")
    function = dict(stack.resources("AWS::Lambda::Function"))["Function"]
    alarms = sum(metrics_read(alarm) for _, alarm in stack.resources("AWS::CloudWatch::Alarm"))
    traced = function.get("TracingConfig", {}).get("Mode") == "Active"
    queues = sum(1 for _ in stack.resources("AWS::Lambda::EventSourceMapping"))
    return Shipped(int(function["MemorySize"]) / 1_024, traced, alarms, queues)


def metrics_read(alarm: Mapping[str, Any]) -> int:
    """Return how many metrics an alarm reads: its price is for each of them."""
    return sum("MetricStat" in one for one in alarm.get("Metrics", ())) or 1


class Deployed:
    """The drainer in a scene; `drain` lets the instances leave."""

    def __init__(self, scene: Scene, sources: Sources) -> None:
        self.scene = scene
        account = scene.account
        self.call_time = CallTime(scripted(CALL_SECONDS), lambda: False)
        self.retries = Retries(
            lambda *call: self.call_time.perform(account.call, *call),
            self._wait,
            scene.random,
            CLIENT_CONFIG.retries["total_max_attempts"],
        )
        self.installed: Installation = install(
            account,
            build=self._build,
            environ={"DRAINER_CLUSTERS": CLUSTER},
            settings=Settings(
                function_duration_seconds=BASE_SECONDS,
                fast_path=sources.fast_path,
                sweep_interval_seconds=SWEEP_SECONDS if sources.sweep else None,
            ),
            client=lambda service: QuickClient(service, self.retries),
            call_time=self.call_time,
        )
        function = self.installed.function
        self._run, function.handler = function.handler, self._invoke
        self.installed.rule.faults.append(lambda _: (scene.random.uniform(*EVENT_SECONDS),))
        for subscription in self.installed.topic.subscriptions:
            if subscription.endpoint is self.installed.notification_queue:
                subscription.channel.faults.append(lambda _: (scene.late(),))

    def bill(self) -> Bill:
        """Say what is billed for what has happened so far."""
        template, meter = shipped(), self.scene.meter
        invocations = len(meter.invocations)
        gigabyte_seconds = template.memory_gigabytes * sum(s for _, s in meter.invocations)
        requests = sum(math.ceil(one / MESSAGES_OF_REQUEST) for one in meter.batches)
        log_bytes = meter.log_bytes + invocations * PLATFORM_LOG_BYTES
        return Bill(
            {
                Item.LAMBDA_ARM: gigabyte_seconds,
                Item.LAMBDA_REQUESTS: invocations,
                Item.SQS: sum(meter.batches) + 2 * requests,
                Item.SNS: meter.published,
                Item.DYNAMODB_WRITES: meter.write_units,
                Item.DYNAMODB_READS: meter.read_units,
                Item.XRAY: meter.traces() if template.traced else 0.0,
                Item.LOGS: log_bytes / GIGABYTE,
            },
            gigabyte_seconds,
        )

    def _build(self, environ: Any, client: Any, clock: Any, /) -> Any:
        """Make the function as Lambda runs it, its log and its metrics to the meter."""
        # A logger is known by its service's name: two runs must not share one.
        logger = Logger(
            service=f"drainer-{id(self)}",
            stream=cast("Any", self.scene.meter),
            use_rfc3339=True,
        )
        metrics = Metrics(service="drainer", namespace="Drainer")
        function = handler.build(
            environ, client, clock, Powertools(logger, metrics), sleep=self._wait
        )
        return logger.inject_lambda_context(metrics.log_metrics(function), log_event=False)

    def _invoke(self, event: Any, context: Any) -> Any:
        began_at = self.scene.account.now
        try:
            with redirect_stdout(cast("Any", self.scene.meter)), warnings.catch_warnings():
                # As in drainer/handler.py: most sweeps have nothing to measure.
                warnings.filterwarnings("ignore", "No application metrics to publish")
                return self._run(event, context)
        finally:
            self.scene.meter.invoked(began_at, BASE_SECONDS + self.call_time.spent)
            self.scene.meter.batches.append(len(event.get("Records", ())))

    def _wait(self, seconds: float) -> None:
        self.call_time.spent += seconds


def run(scene: Scene, sources: Sources) -> tuple[Bill, int]:
    """Drain a scene."""
    deployed = Deployed(scene, sources)
    # Heartbeats come as infra/attach.yaml has them.
    scene.hook(deployed.installed.topic.arn, heartbeat_seconds=1_800, default_result="CONTINUE")
    scene.leave()
    bill = deployed.bill()
    return bill, deployed.retries.reached
