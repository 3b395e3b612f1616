"""
Counts what a drain takes of an account: calls, messages, invocations, units, bytes.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.services.dynamodb.item_expressions import size
from drainer.simulation.services.quotas import ECS_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Call

READ, MODIFY = "cluster resource read", "cluster resource modify"
# "One write request unit represents one write per second for an item up to 1 KB", and a strongly
# consistent read of up to 4 KB is one read unit.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
WRITE_UNIT_BYTES, READ_UNIT_BYTES = 1_024, 4_096
# "The X-Ray sampling rate is 1 request per second and 5 percent of additional requests."
# https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
SAMPLED_SHARE = 0.05
# What makes metrics of a line of the log.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
EMBEDDED = '{"_aws":'


class Meter:
    """
    Counts; install it with `account.interceptors.append(meter)`, before the quotas.

    Attributes:
        ecs: calls of ECS by bucket, throttled ones included.
        by_second: the same, by bucket and second.
        others: calls of other services, by service.
        published: messages published to topics, by the function and by Auto Scaling.
        write_units: of DynamoDB.
        read_units: of DynamoDB.
        answered_at: when each EC2 instance's lifecycle action was answered.
        invocations: when each began, and for how many seconds it was billed.
        batches: how many messages of queues each had.
        log_bytes: what went into the log.
        metrics: the names of the custom metrics in it.
    """

    def __init__(self, account: Aws) -> None:
        self._account = account
        self._tokens: dict[str, str] = {}
        account.on_notification.append(self._notified)
        self.begin()

    def begin(self) -> None:
        """Count from here on, and forget what was counted before."""
        self.ecs: Counter[str] = Counter()
        self.by_second: dict[str, Counter[int]] = {READ: Counter(), MODIFY: Counter()}
        self.others: Counter[str] = Counter()
        self.published = 0
        self.write_units = 0.0
        self.read_units = 0.0
        self.answered_at: dict[str, datetime] = {}
        self.invocations: list[tuple[datetime, float]] = []
        self.batches: list[int] = []
        self.log_bytes = 0
        self.metrics: set[str] = set()
        self._began_at = self._account.now

    def __call__(self, call: Call) -> None:
        """Count a call; its time is that of the invocation which makes it."""
        if call.service == "ecs":
            bucket = ECS_BUCKETS.get(call.operation, "other")
            self.ecs[bucket] += 1
            if bucket in self.by_second:
                self.by_second[bucket][self._second()] += 1
            return
        self.others[call.service] += 1
        if call.service == "sns":
            self.published += len(call.parameters.get("PublishBatchRequestEntries") or [None])
        elif call.service == "dynamodb":
            self._units(call)
        elif call.operation == "CompleteLifecycleAction":
            token = call.parameters.get("LifecycleActionToken", "")
            instance = call.parameters.get("InstanceId") or self._tokens.get(token, "")
            self.answered_at[instance] = self.now

    @property
    def now(self) -> datetime:
        """The present, as the invocation that runs has it."""
        return self._account.now + timedelta(seconds=self._account.spent())

    def invoked(self, began_at: datetime, seconds: float) -> None:
        """Count an invocation that has ended."""
        self.invocations.append((began_at, seconds))

    def write(self, text: str) -> int:
        """Count what is logged: this is the stream of the loggers."""
        self.log_bytes += len(text)
        if EMBEDDED in text:
            [sent] = json.loads(text)["_aws"]["CloudWatchMetrics"]
            self.metrics.update(metric["Name"] for metric in sent["Metrics"])
        return len(text)

    def flush(self) -> None:
        """Do nothing: a stream has to have it."""

    def worst_second(self, bucket: str) -> int:
        """Return the most calls of a bucket in one second."""
        return max(self.by_second[bucket].values(), default=0)

    def concurrency(self) -> int:
        """Return the most invocations at a time."""
        ends: list[datetime] = []
        most = 0
        for began_at, seconds in sorted(self.invocations):
            while ends and ends[0] <= began_at:
                heapq.heappop(ends)
            heapq.heappush(ends, began_at + timedelta(seconds=seconds))
            most = max(most, len(ends))
        return most

    def traces(self) -> float:
        """Return how many invocations active tracing samples."""
        seconds = Counter(int(began_at.timestamp()) for began_at, _ in self.invocations)
        return sum(1 + SAMPLED_SHARE * (count - 1) for count in seconds.values())

    def _second(self) -> int:
        return int((self.now - self._began_at).total_seconds())

    def _notified(self, notification: Any) -> None:
        self.published += 1
        message: Mapping[str, str] = notification.message
        if "LifecycleActionToken" in message:
            self._tokens[message["LifecycleActionToken"]] = message["EC2InstanceId"]

    def _units(self, call: Call) -> None:
        parameters, tables = call.parameters, self._account.record_tables.tables
        if call.operation == "BatchGetItem":
            for name, asked in parameters["RequestItems"].items():
                rows = tables[name].rows
                for key in asked["Keys"]:
                    row = rows.get(tables[name].key_of(key))
                    read = size(row.item) if row else 1
                    self.read_units += math.ceil(read / READ_UNIT_BYTES)
        elif call.operation == "UpdateItem" and parameters["TableName"] in tables:
            table = tables[parameters["TableName"]]
            row = table.rows.get(table.key_of(parameters["Key"]))
            # "DynamoDB considers the size of the item as it appears before and after the update."
            # Before is near enough, and after is what a first write brings.
            # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
            written = size(row.item if row else parameters["ExpressionAttributeValues"])
            self.write_units += math.ceil(written / WRITE_UNIT_BYTES)
            # The sparse index takes two more writes: an item's coming and its going.
            self.write_units += 2 * (row is None)
        else:
            # A query that finds nothing costs half a unit; these find few and small items.
            self.read_units += 0.5
