"""
Reads of the drainer's stack: 9 reads, one more for each record.

The stack may be absent: a drain by ECS or by hand has none, and is explained without.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.aws.records import RecordTable
from drainer.cli.explain.drainers import DrainState, Stack
from drainer.drain import record_codec
from drainer.drain.record import DrainRecord, interval_of
from drainer.errors import DrainerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from drainer.cli.explain.reads import Reads

# The logical ids in infra/drainer.yaml.
TABLE, FUNCTION, SWEEP, DEAD_LETTERS = "Records", "Function", "Sweep", "DeadLetterQueue"
RECORD = "the drainer's record"
TOPIC, ALARM_TYPE = "Topic", "AWS::CloudWatch::Alarm"
# How far back failures of the function count, and sweeps are searched.
FAILURES_LAST = timedelta(minutes=15)
SWEEPS_LAST = timedelta(hours=1)
# "If the stack doesn't exist, a ValidationError is returned."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
NO_STACK = ("ValidationError",)


@dataclass(frozen=True, slots=True)
class Resources:
    """What is deployed: physical names by logical id, alarms, and the stack's parameters."""

    stack: str
    names: Mapping[str, str]
    alarms: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)

    def number(self, parameter: str, otherwise: int) -> int:
        """Return a parameter's number."""
        value = self.parameters.get(parameter, "")
        return int(value) if value.isdigit() else otherwise


def read_resources(reads: Reads, stack: str) -> Resources | None:
    """Return what a stack has: 2 reads; None where it does not exist or was not read."""
    answer = reads.ask("cloudformation", "describe_stacks", absent=NO_STACK, StackName=stack)
    if answer is None:
        return None
    if not answer.get("Stacks"):
        reads.missed(f'stack "{stack}"', "not found: no records, the rest is complete")
        return None
    found = reads.ask("cloudformation", "describe_stack_resources", StackName=stack)
    if found is None:
        return None
    resources = found["StackResources"]
    given = answer["Stacks"][0].get("Parameters", ())
    return Resources(
        stack,
        {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in resources},
        tuple(one["PhysicalResourceId"] for one in resources if one["ResourceType"] == ALARM_TYPE),
        {one["ParameterKey"]: one.get("ParameterValue", "") for one in given},
    )


def read_stack(reads: Reads, resources: Resources, now: datetime, *, deep: bool = True) -> Stack:
    """
    Return how the drainer itself is: 6 reads, or 3 that are not deep.

    Args:
        reads: Makes and counts the calls.
        resources: What the stack has.
        now: The present instant.
        deep: Whether to read as well what may be disabled.
    """
    names = resources.names
    errors, throttles, sweep = _metrics(reads, resources, now)
    return Stack(
        name=resources.stack,
        topic_arn=names.get(TOPIC, ""),
        function=names.get(FUNCTION, ""),
        dead_letters=_dead_letters(reads, names.get(DEAD_LETTERS, "")),
        disabled=_disabled(reads, names) if deep else None,
        errors=errors,
        throttles=throttles,
        last_sweep=sweep,
        sweep_minutes=resources.number("SweepIntervalMinutes", 5),
        alarms=_alarms(reads, resources.alarms),
    )


def _dead_letters(reads: Reads, url: str) -> int | None:
    name = "ApproximateNumberOfMessages"
    answer = reads.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=[name])
    return None if answer is None else int(answer.get("Attributes", {}).get(name, 0))


def _alarms(reads: Reads, names: tuple[str, ...]) -> tuple[str, ...] | None:
    if not names:
        return ()
    answer = reads.ask("cloudwatch", "describe_alarms", AlarmNames=list(names), StateValue="ALARM")
    if answer is None:
        return None
    return tuple(one["AlarmName"] for one in answer["MetricAlarms"])


def _disabled(reads: Reads, names: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return what of the drainer is switched off; None where none of it was read."""
    function = names.get(FUNCTION, "")
    mappings = reads.ask("lambda", "list_event_source_mappings", FunctionName=function)
    concurrency = reads.ask("lambda", "get_function_concurrency", FunctionName=function)
    rule = reads.ask("events", "describe_rule", Name=names.get(SWEEP, ""))
    if mappings is None and concurrency is None and rule is None:
        return None
    found = [
        f"event source mapping of {one.get('EventSourceArn', '').rpartition(':')[2]} is disabled"
        for one in (mappings or {}).get("EventSourceMappings", ())
        if one.get("State") in {"Disabled", "Disabling"}
    ]
    if (concurrency or {}).get("ReservedConcurrentExecutions") == 0:
        found.append("the function's reserved concurrency is 0")
    if (rule or {}).get("State") == "DISABLED":
        found.append("the rule of the sweep is disabled")
    return tuple(found)


def _metrics(
    reads: Reads, resources: Resources, now: datetime
) -> tuple[int | None, int | None, datetime | None]:
    """Return the failed and the throttled invocations, and when the sweep last came: 1 read."""
    function = {"Name": "FunctionName", "Value": resources.names.get(FUNCTION, "")}
    rule = {"Name": "RuleName", "Value": resources.names.get(SWEEP, "").rpartition("/")[2]}
    answer = reads.ask(
        "cloudwatch",
        "get_metric_data",
        StartTime=now - SWEEPS_LAST,
        EndTime=now,
        ScanBy="TimestampDescending",
        MetricDataQueries=[
            _query("errors", "AWS/Lambda", "Errors", function),
            _query("throttles", "AWS/Lambda", "Throttles", function),
            _query("sweeps", "AWS/Events", "Invocations", rule),
        ],
    )
    if answer is None:
        return None, None, None
    found = {one["Id"]: one for one in answer["MetricDataResults"]}
    sweeps = [at for at, value in _points(found, "sweeps") if value]
    return (
        _sum(found, "errors", now - FAILURES_LAST),
        _sum(found, "throttles", now - FAILURES_LAST),
        max(sweeps, default=None),
    )


def _query(name: str, namespace: str, metric: str, dimension: Mapping[str, str]) -> dict[str, Any]:
    of = {"Namespace": namespace, "MetricName": metric, "Dimensions": [dimension]}
    return {"Id": name, "MetricStat": {"Metric": of, "Period": 60, "Stat": "Sum"}}


def _points(found: Mapping[str, Any], name: str) -> Iterable[tuple[datetime, float]]:
    one = found.get(name, {})
    return zip(one.get("Timestamps", ()), one.get("Values", ()), strict=False)


def _sum(found: Mapping[str, Any], name: str, since: datetime) -> int:
    return int(sum(value for at, value in _points(found, name) if at >= since))


def records_of(
    reads: Reads, resources: Resources, instances: Iterable[str]
) -> dict[str, DrainRecord]:
    """Return the newest record of each instance that has one: 1 read each."""
    table: RecordTable[DrainRecord] = RecordTable(
        reads.reader.client, resources.names.get(TABLE, ""), record_codec
    )
    found: dict[str, DrainRecord] = {}
    for instance, records in table.of_instance(instances).items():
        for one in _newest(reads, records):
            found[instance] = one
    return found


def open_records(reads: Reads, resources: Resources) -> dict[str, DrainRecord]:
    """Return the open record of each instance: 1 read, and 1 for each 100 of them."""
    table: RecordTable[DrainRecord] = RecordTable(
        reads.reader.client, resources.names.get(TABLE, ""), record_codec
    )
    try:
        keys = table.open_keys()
    except DrainerError as error:
        reads.missed("Query", str(error))
        return {}
    found = {}
    for start in range(0, len(keys), 100):
        for key, record in table.read(keys[start : start + 100]).items():
            if isinstance(record, DrainerError):
                reads.missed("BatchGetItem", str(record))
            elif record is not None:
                found[key.instance] = record
    return found


def _newest(
    reads: Reads, records: Iterable[DrainRecord | DrainerError | None]
) -> list[DrainRecord]:
    read = []
    for one in records:
        if isinstance(one, DrainerError):
            reads.missed(RECORD, str(one))
        elif one is not None:
            read.append(one)
    return sorted(read, key=lambda one: (one.is_open, one.drain.started_at))[-1:]


def drain_state(record: DrainRecord, resources: Resources, now: datetime) -> DrainState:
    """Return what a record says to a person."""
    interval = resources.number("PassIntervalSeconds", 15)
    seconds = interval_of(record.drain, interval)
    policy = record.drain.policy
    return DrainState(
        hook=record.key.subject.partition(":")[2],
        began_at=record.drain.started_at,
        written_at=record.written_at,
        deadline_at=record.drain.deadline_at,
        deadline_result=str(policy.deadline_result) if policy else "CONTINUE",
        draining_since=record.drain.draining_since or record.drain.started_at,
        last_heartbeat_at=record.drain.last_heartbeat_at,
        hop=record.hop,
        phase=record.phase,
        reason=record.reason,
        silent=record.is_silent(now, interval),
        ended=str(record.end),
        running=record.running,
        pending=record.pending,
        next_look_at=record.written_at + timedelta(seconds=seconds),
    )
