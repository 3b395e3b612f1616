"""
The settings: the function's from its environment, a drain's from its hook's metadata.

Environment and metadata come in as values; this file reads neither. What is wrong is named.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drainer.drain.model import (
    DRAIN_TIMEOUT_SECONDS_MAX,
    InterruptedTargets,
    LifecycleActionResult,
    Policy,
    StandaloneTasks,
)
from drainer.errors import MisconfiguredError
from drainer.settings import Problem, choice, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# As long as the hook allows, as ECS managed instance draining: a shorter deadline kills what still
# runs, and is for the user to set. The hook's own limit, less a margin, still bounds it.
DRAIN_TIMEOUT_SECONDS_DEFAULT = DRAIN_TIMEOUT_SECONDS_MAX
STANDALONE_GRACE_SECONDS_DEFAULT = 300
PASS_INTERVAL_SECONDS_DEFAULT = 15
# SQS would delay by up to 15 minutes, but an instance should not wait longer than a sweep for a
# look. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
PASS_INTERVAL_SECONDS_MAX = 300
RECORD_RETENTION_DAYS_DEFAULT = 90
# A record that expires while its action waits would be made again: a day is more than a look takes.
RECORD_RETENTION_DAYS = (1, 365)

ENVIRONMENT_NAMES = (
    "DRAINER_TOPIC_ARN",
    "DRAINER_CLUSTERS",
    "DRAINER_DRAIN_TIMEOUT_SECONDS",
    "DRAINER_DEADLINE_RESULT",
    "DRAINER_STANDALONE_TASKS",
    "DRAINER_STANDALONE_GRACE_SECONDS",
    "DRAINER_PASS_INTERVAL_SECONDS",
    "DRAINER_INTERRUPTED_TARGETS",
    "DRAINER_REQUESTS_TABLE",
    "DRAINER_RECORDS_TABLE",
    "DRAINER_RECORD_RETENTION_DAYS",
    "DRAINER_VERIFY_STACKS",
)

METADATA_KEYS = (
    "cluster",
    "drain_timeout_seconds",
    "deadline_result",
    "standalone_tasks",
    "standalone_grace_seconds",
)

# "Up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens are allowed."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
CLUSTER = re.compile(r"(arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/)?[A-Za-z0-9_-]{1,255}")
TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")

# "Names must be between 3 and 255 characters long, and can contain only ... a-z, A-Z, 0-9, _
# (underscore), - (dash), . (dot)"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")


class Switch(StrEnum):
    """Yes or no, as an environment spells it."""

    TRUE = "true"
    FALSE = "false"


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
        requests_table: The DynamoDB table that holds CloudFormation's requests; empty for none.
        records_table: The DynamoDB table that holds the records of drains; empty for none.
        record_retention_days: How long a record is kept after its drain's end.
        verify_stacks: Whether CloudFormation is asked if it waits before a request is believed.
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
    verify_stacks: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """
        Read the settings.

        Raises:
            MisconfiguredError: Names each variable that is wrong, its value and what it may be.
        """
        values = {
            name.removeprefix("DRAINER_").lower(): environment[name].strip()
            for name in ENVIRONMENT_NAMES
            if environment.get(name, "").strip()
        }
        names = (name.strip() for name in values.get("clusters", "").split(","))
        clusters = tuple(name for name in names if name)
        tables = {name: values.get(name, "") for name in ("requests_table", "records_table")}
        topic_arn = values.get("topic_arn", "")
        problems = [*_misnamed(topic_arn, clusters, tables)]
        defaults = Policy(
            cluster=None,
            drain_timeout_seconds=DRAIN_TIMEOUT_SECONDS_DEFAULT,
            deadline_result=LifecycleActionResult.CONTINUE,
            standalone_tasks=StandaloneTasks.WAIT,
            standalone_grace_seconds=STANDALONE_GRACE_SECONDS_DEFAULT,
        )
        policy = _policy(values, defaults, problems)
        interval = seconds(
            values,
            "pass_interval_seconds",
            default=PASS_INTERVAL_SECONDS_DEFAULT,
            minimum=1,
            maximum=PASS_INTERVAL_SECONDS_MAX,
            problems=problems,
        )
        interrupted = choice(values, "interrupted_targets", InterruptedTargets.DEREGISTER, problems)
        retention = seconds(
            values,
            "record_retention_days",
            default=RECORD_RETENTION_DAYS_DEFAULT,
            minimum=RECORD_RETENTION_DAYS[0],
            maximum=RECORD_RETENTION_DAYS[1],
            problems=problems,
        )
        verify = choice(values, "verify_stacks", Switch.FALSE, problems)
        if problems:
            raise MisconfiguredError("the function's environment: " + "; ".join(problems))
        return cls(
            topic_arn=topic_arn,
            clusters=clusters,
            drain_timeout_seconds=policy.drain_timeout_seconds,
            deadline_result=policy.deadline_result,
            standalone_tasks=policy.standalone_tasks,
            standalone_grace_seconds=policy.standalone_grace_seconds,
            pass_interval_seconds=interval,
            interrupted_targets=interrupted,
            **tables,
            record_retention_days=retention,
            verify_stacks=verify == Switch.TRUE,
        )

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
            return _policy({"cluster": text}, defaults, []), ()
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return defaults, (Problem("", "it is neither a JSON object nor the name of a cluster"),)
        problems = [
            Problem("it", f"has {key[:40]!r}; known are {', '.join(METADATA_KEYS)}")
            for key in body
            if key not in METADATA_KEYS
        ]
        return _policy(body, defaults, problems), tuple(problems)


def _misnamed(
    topic_arn: str, clusters: Iterable[str], tables: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield what is wrong about names of what the function uses."""
    if not TOPIC_ARN.fullmatch(topic_arn):
        yield Problem("topic_arn", f"is {topic_arn!r}; it must be the ARN of an SNS topic")
    for name in clusters:
        if not CLUSTER.fullmatch(name):
            yield Problem("clusters", f"has {name!r}; it must be a cluster's name or ARN")
    for setting, name in tables.items():
        if name and not TABLE.fullmatch(name):
            yield Problem(setting, f"is {name!r}; it must be a DynamoDB table's name")


def is_own_metadata(metadata: str | None) -> bool:
    """Whether only a hook of ours has this metadata: a JSON object of our keys, and no other."""
    try:
        body = json.loads(metadata or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and bool(body) and all(key in METADATA_KEYS for key in body)


def _policy(values: Mapping[str, Any], defaults: Policy, problems: list[Problem]) -> Policy:
    cluster = values.get("cluster")
    if cluster is not None and not (isinstance(cluster, str) and CLUSTER.fullmatch(cluster)):
        about = f"is {str(cluster)[:40]!r}; it must be a cluster's name or ARN"
        problems.append(Problem("cluster", about))
        cluster = None
    return Policy(
        cluster=cluster,
        drain_timeout_seconds=seconds(
            values,
            "drain_timeout_seconds",
            default=defaults.drain_timeout_seconds,
            minimum=1,
            maximum=DRAIN_TIMEOUT_SECONDS_MAX,
            problems=problems,
        ),
        deadline_result=choice(values, "deadline_result", defaults.deadline_result, problems),
        standalone_tasks=choice(values, "standalone_tasks", defaults.standalone_tasks, problems),
        standalone_grace_seconds=seconds(
            values,
            "standalone_grace_seconds",
            default=defaults.standalone_grace_seconds,
            minimum=0,
            maximum=DRAIN_TIMEOUT_SECONDS_MAX,
            problems=problems,
        ),
    )
