"""
The settings: the function's from its environment, a drain's from its hook's metadata.

Environment and metadata come in as values; this file reads neither. An error names the wrong
setting.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.drain.model import (
    DRAIN_TIMEOUT_SECONDS_MAX,
    InterruptedTargets,
    LifecycleActionResult,
    Policy,
    StandaloneTasks,
)
from drainer.errors import MisconfiguredError
from drainer.settings import Problem, matching, one_of, read, several, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

# As long as the hook allows, as ECS managed instance draining: a shorter deadline kills what still
# runs, and is for the user to set. The hook's own limit, less a margin, still bounds it.
DRAIN_TIMEOUT_SECONDS_DEFAULT = DRAIN_TIMEOUT_SECONDS_MAX
STANDALONE_GRACE_SECONDS_DEFAULT = 300
PASS_INTERVAL_SECONDS_DEFAULT = 15
# SQS would delay by up to 15 minutes, but an instance should not wait longer than a sweep for a
# look. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
PASS_INTERVAL_SECONDS_MAX = 300
RECORD_RETENTION_DAYS_DEFAULT = 90
RECORD_RETENTION_DAYS_MAX = 365
LONG_DRAIN_ALARM_MINUTES_DEFAULT = 60
# 48 hours, which no drain exceeds.
LONG_DRAIN_ALARM_MINUTES_MAX = 2_880

# "Up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens are allowed."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
CLUSTER = re.compile(r"(arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/)?[A-Za-z0-9_-]{1,255}")
TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")

# "Names must be between 3 and 255 characters long, and can contain only ... a-z, A-Z, 0-9, _
# (underscore), - (dash), . (dot)"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")

# What Ref gives for a queue, in any partition and on an emulator.
QUEUE_URL = re.compile(r"[!-~]{1,1000}")


class Switch(StrEnum):
    """Yes or no, as an environment spells it."""

    TRUE = "true"
    FALSE = "false"


PREFIX = "DRAINER_"

# A drain's settings, which a hook's metadata may give, and the function's, which give the defaults.
_OF_BOTH = {
    "drain_timeout_seconds": whole(1, DRAIN_TIMEOUT_SECONDS_MAX),
    "deadline_result": one_of(LifecycleActionResult),
    "standalone_tasks": one_of(StandaloneTasks),
    "standalone_grace_seconds": whole(0, DRAIN_TIMEOUT_SECONDS_MAX),
}
_CLUSTER = matching(CLUSTER, "a cluster's name or ARN")
_TABLE = matching(TABLE, "a DynamoDB table's name")
METADATA = {"cluster": _CLUSTER, **_OF_BOTH}
ENVIRONMENT = {
    "topic_arn": matching(TOPIC_ARN, "the ARN of an SNS topic"),
    "clusters": several(_CLUSTER),
    **_OF_BOTH,
    "pass_interval_seconds": whole(1, PASS_INTERVAL_SECONDS_MAX),
    "interrupted_targets": one_of(InterruptedTargets),
    "requests_table": _TABLE,
    "records_table": _TABLE,
    "record_retention_days": whole(1, RECORD_RETENTION_DAYS_MAX),
    "long_drain_alarm_minutes": whole(1, LONG_DRAIN_ALARM_MINUTES_MAX),
    "operator_topic_arn": matching(TOPIC_ARN, "the ARN of an SNS topic"),
    "traced_drains_percent": whole(0, 100),
    "notice_queue_url": matching(QUEUE_URL, "the URL of an SQS queue"),
    "verify_stacks": one_of(Switch),
    "use_fast_path": one_of(Switch),
}


@dataclass(frozen=True, slots=True)
class Config:
    """
    The function's settings.

    Attributes:
        topic_arn: Where re-invocations are published, and nowhere else.
        clusters: Names or ARNs of clusters to search where a hook's metadata names none.
        drain_timeout_seconds: How long a drain may take where its hook says nothing.
        deadline_result: The answer at the deadline where its hook says nothing.
        standalone_tasks: The policy for standalone tasks where its hook says nothing.
        standalone_grace_seconds: Their grace period where its hook says nothing.
        pass_interval_seconds: The delay of the wait queue: the time between two passes.
        interrupted_targets: What to do about the targets of what Spot takes back.
        requests_table: The DynamoDB table in which the release before this one wrote requests of
            CloudFormation; empty for none.
        records_table: The DynamoDB table that holds the records of drains and of requests.
        record_retention_days: How long a record is kept after its drain's end.
        long_drain_alarm_minutes: Of what age, and of each multiple of it, a drain is told.
        operator_topic_arn: Where operators are told of single drains; empty for nowhere.
        traced_drains_percent: Of how many of a hundred drains X-Ray gets a trace; unless 0, also of
            each that is long or misses its deadline.
        notice_queue_url: The queue of notifications; empty where no sweep looks at it.
        verify_stacks: Whether CloudFormation is asked if it waits before a request is believed.
        use_fast_path: Whether ECS's events of stopped tasks reach the function.
    """

    topic_arn: str
    clusters: tuple[str, ...] = ()
    drain_timeout_seconds: int = DRAIN_TIMEOUT_SECONDS_DEFAULT
    deadline_result: LifecycleActionResult = LifecycleActionResult.CONTINUE
    standalone_tasks: StandaloneTasks = StandaloneTasks.WAIT
    standalone_grace_seconds: int = STANDALONE_GRACE_SECONDS_DEFAULT
    pass_interval_seconds: int = PASS_INTERVAL_SECONDS_DEFAULT
    interrupted_targets: InterruptedTargets = InterruptedTargets.DEREGISTER
    requests_table: str = ""
    records_table: str = ""
    record_retention_days: int = RECORD_RETENTION_DAYS_DEFAULT
    long_drain_alarm_minutes: int = LONG_DRAIN_ALARM_MINUTES_DEFAULT
    operator_topic_arn: str = ""
    traced_drains_percent: int = 0
    notice_queue_url: str = ""
    verify_stacks: bool = False
    use_fast_path: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """
        Read the settings.

        Raises:
            MisconfiguredError: Names each variable that is wrong, its value and what it may be.
        """
        given = {name: environment.get(PREFIX + name.upper(), "").strip() for name in ENVIRONMENT}
        # A template's condition leaves an empty value, not a missing one. The topic must be named.
        values = {name: text for name, text in given.items() if text or name == "topic_arn"}
        problems: list[Problem] = []
        settings = read(ENVIRONMENT, values, problems)
        if problems:
            raise MisconfiguredError("The function's environment: " + ". ".join(problems))
        for name in ("verify_stacks", "use_fast_path"):
            settings[name] = settings.get(name) == Switch.TRUE
        return cls(**settings)

    def policy(self, metadata: str | None) -> tuple[Policy, tuple[Problem, ...]]:
        """
        Read a hook's notification metadata: a JSON object, or a bare cluster name.

        A value that is wrong is named and replaced by its default, for a drain must go on.

        Args:
            metadata: What `DescribeLifecycleHooks` says; None where there is none.

        Returns:
            The policy, and a sentence for each value that was wrong.
        """
        defaults = Policy(
            cluster=None,
            drain_timeout_seconds=self.drain_timeout_seconds,
            deadline_result=self.deadline_result,
            standalone_tasks=self.standalone_tasks,
            standalone_grace_seconds=self.standalone_grace_seconds,
        )
        text = (metadata or "").strip()
        if not text:
            return defaults, ()
        if CLUSTER.fullmatch(text):
            return replace(defaults, cluster=text), ()
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return defaults, (Problem("", "it is neither a JSON object nor the name of a cluster"),)
        problems = [
            Problem("it", f"has the unknown key {key[:40]!r}: known are {', '.join(METADATA)}")
            for key in body
            if key not in METADATA
        ]
        return replace(defaults, **read(METADATA, body, problems)), tuple(problems)


def is_own_metadata(metadata: str | None) -> bool:
    """Whether only a hook of ours has this metadata: a JSON object of our keys, and no other."""
    try:
        body = json.loads(metadata or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and bool(body) and all(key in METADATA for key in body)
