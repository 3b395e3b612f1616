"""
The Lambda entry point: AWS's event in, AWS's answer out, and everything wired together.

It decides nothing; a record that failed is told to SQS by its id, or to Lambda by an exception.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from drainer import attention, clock, events
from drainer.aws import calls
from drainer.aws.auto_scaling import AutoScalingGateway
from drainer.aws.ecs import EcsGateway
from drainer.aws.queue import QueueGateway
from drainer.aws.records import RecordTable
from drainer.aws.topic import OperatorTopicGateway, TopicGateway
from drainer.config import Config
from drainer.dispatch import Controllers, Work, key_of, serve, serve_interruptions
from drainer.drain import record_codec
from drainer.errors import DrainerError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle.controller import Controller
from drainer.lifecycle.reactivation import Reactivation
from drainer.telemetry import Powertools, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from drainer.custom_resource.controller import RequestController, Respond
    from drainer.spot.controller import InterruptionController

    Function = Callable[[Any, Any], dict[str, Any] | None]

MILLISECONDS = 1000


def build(
    environ: Mapping[str, str],
    client: Callable[[str], Any],
    clock: Callable[[], datetime],
    telemetry: Telemetry | None = None,
    respond: Respond | None = None,
    *,
    sleep: Callable[[float], None] | None = None,
) -> Function:
    """
    Return the function on any clients and any clock.

    Args:
        environ: The environment to read the settings from.
        client: Returns boto3's client, or one that behaves like it, for a service's name.
        clock: Returns the present instant; read once for each invocation.
        telemetry: Where to report to; nowhere by default.
        respond: Puts answers to CloudFormation; by HTTP by default.
        sleep: Waits between the tries of a throttled call; without it there is one try.

    Raises:
        MisconfiguredError: A setting is wrong; names it.
    """
    config = Config.from_environment(environ)
    report_to = telemetry or Telemetry()
    report_to.long_drain_minutes = config.long_drain_alarm_minutes
    controllers, interruptions = _compose(config, client, report_to, respond, sleep)

    def function(event: Any, context: Any) -> dict[str, Any] | None:
        def seconds_left() -> float:
            return float(context.get_remaining_time_in_millis()) / MILLISECONDS

        time = InvocationClock(clock(), seconds_left, context.aws_request_id)
        received = events.receive(event, now=time.now())
        contents = [record.content for record in received]
        for record in received:
            if isinstance(record.content, DrainerError):
                report_to.refused(record.record_id, record.content)
        if ages := attention.late(event, contents, time.now()):
            report_to.attended(attention.of_late(ages))
        # An interruption has two minutes, and everything else has longer.
        retries = serve_interruptions(contents, interruptions, report_to, time)
        retries.update(serve(Work.of(contents), controllers, time))
        failed = {
            record.record_id: retries[key]
            for record in received
            if (key := key_of(record.content)) in retries
        }
        if events.is_sqs(event):
            return _partial_response(event, failed)
        if failed:
            # Lambda invokes again, a minute later and then two, and then keeps the event.
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
            raise UnavailableError(". ".join(failed.values()))
        return None

    return function


def _compose(
    config: Config,
    client: Callable[[str], Any],
    telemetry: Telemetry,
    respond: Respond | None,
    sleep: Callable[[float], None] | None,
) -> tuple[Controllers, Callable[[], InterruptionController]]:
    """Return the controllers on their gateways, and what makes the one for interruptions."""
    auto_scaling = AutoScalingGateway(client("autoscaling"))
    ecs = EcsGateway(client("ecs"))
    topic = TopicGateway(client("sns"), config.topic_arn)
    dynamodb = client("dynamodb")  # each pass reads records, so that it is made in time as well
    table, days = config.records_table, config.record_retention_days
    records = RecordTable(lambda _: dynamodb, table, record_codec, days)
    controller = Controller(auto_scaling, ecs, topic, records, config)

    # Most installations never see an interruption of Spot or a request of CloudFormation: what acts
    # on them is imported and made for the first one.
    @cache
    def interruptions() -> InterruptionController:
        from drainer.wiring import interruptions as wiring  # noqa: PLC0415

        return wiring.controller(
            client,
            auto_scaling=auto_scaling,
            ecs=ecs,
            records=records,
            config=config,
            sleep=sleep,
        )

    @cache
    def requests() -> RequestController:
        from drainer.wiring import requests as wiring  # noqa: PLC0415

        return wiring.controller(
            client, dynamodb=dynamodb, ecs=ecs, topic=topic, config=config, respond=respond
        )

    back = Reactivation(auto_scaling, ecs, records, config.clusters)
    queue = QueueGateway(cache(partial(client, "sqs")), config.notice_queue_url)
    waiting = queue.waiting if config.notice_queue_url else int
    by = Controllers(controller, back, requests, telemetry, waiting)
    if config.operator_topic_arn:
        from drainer.operator_messages import OperatorMessages  # noqa: PLC0415 (a start without it is shorter)

        told = OperatorTopicGateway(client("sns"), config.operator_topic_arn)
        by = replace(by, tell=(OperatorMessages(told, auto_scaling, telemetry).tell,))
    if config.traced_drains_percent:
        from drainer.aws.x_ray import XRayGateway  # noqa: PLC0415 (as above)
        from drainer.drain_traces import DrainTraces  # noqa: PLC0415 (as above)

        slow_after = timedelta(minutes=config.long_drain_alarm_minutes)
        x_ray = XRayGateway(cache(partial(client, "xray")))
        traces = DrainTraces(x_ray, telemetry, config.traced_drains_percent, slow_after)
        by = replace(by, tell=(*by.tell, traces.tell))
    return by, interruptions


def _partial_response(event: Any, failed: Mapping[str, str]) -> dict[str, Any]:
    """
    Tell SQS which messages to deliver again. It deletes the others.

    An identifier that is in no message would fail the whole batch, so that a record without an id
    is not reported.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    ids = [record.get("messageId") for record in event["Records"] if isinstance(record, dict)]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed if one in ids]}


@cache
def _production() -> Function:
    """Return the function as Lambda runs it; made once for an execution environment."""
    # Most events of ECS ask for nothing, and nothing is what there is to measure then.
    warnings.filterwarnings("ignore", "No application metrics to publish")
    # "If you don't supply a valid timestamp, Lambda will assign the log the level INFO": a filter
    # above INFO would then drop errors.
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    logger, metrics = Logger(use_rfc3339=True), Metrics()
    function = build(
        os.environ, calls.clients(), clock.now, Powertools(logger, metrics), sleep=clock.sleep
    )
    return logger.inject_lambda_context(metrics.log_metrics(function), log_event=False)


@cache
def _traced() -> Function:
    """Return the same function, which tells X-Ray of itself and of each call."""
    return Tracer().capture_lambda_handler(_production(), capture_response=False)


def lambda_handler(event: Any, context: Any) -> dict[str, Any] | None:
    """Serve one invocation: the function's entry point, by way of `drainer.start`."""
    # X-Ray's library brings asyncio with it and takes a tenth of a start. Few invocations are
    # sampled unless the stack asks for it, and the first of them imports it.
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    sampled = "Sampled=1" in os.environ.get("_X_AMZN_TRACE_ID", "")
    return (_traced if sampled else _production)()(event, context)


# The clients are made in the INIT phase, before the first event waits for them. A wrong setting
# ends INIT with its sentence in the log, and so does each invocation until it is put right.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    _production()
