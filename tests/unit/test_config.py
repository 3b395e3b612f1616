from __future__ import annotations

import pytest

from drainer.config import Config
from drainer.drain.model import InterruptedTargets, LifecycleActionResult, Policy, StandaloneTasks
from drainer.errors import MisconfiguredError

TOPIC = "arn:aws:sns:eu-west-1:123456789012:drainer"
DEFAULTS = Policy(None, 172_800, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)


def test_only_the_topic_is_needed() -> None:
    config = Config.from_environment({"DRAINER_TOPIC_ARN": TOPIC, "PATH": "/bin"})

    assert config == Config(topic_arn=TOPIC)
    assert config.policy(None) == (DEFAULTS, ())


def test_every_setting_is_read() -> None:
    config = Config.from_environment(
        {
            "DRAINER_TOPIC_ARN": TOPIC,
            "DRAINER_CLUSTERS": " payments, batch ,",
            "DRAINER_DRAIN_TIMEOUT_SECONDS": "7200",
            "DRAINER_DEADLINE_RESULT": "ABANDON",
            "DRAINER_STANDALONE_TASKS": "stop",
            "DRAINER_STANDALONE_GRACE_SECONDS": "0",
            "DRAINER_PASS_INTERVAL_SECONDS": "5",
            "DRAINER_INTERRUPTED_TARGETS": "leave",
            "DRAINER_REQUESTS_TABLE": " drainer-RequestsTable_1.0 ",
            "DRAINER_RECORDS_TABLE": "drainer-Records",
            "DRAINER_RECORD_RETENTION_DAYS": "7",
            "DRAINER_VERIFY_STACKS": "true",
        }
    )

    assert config == Config(
        TOPIC,
        ("payments", "batch"),
        7200,
        LifecycleActionResult.ABANDON,
        StandaloneTasks.STOP,
        0,
        5,
        InterruptedTargets.LEAVE,
        "drainer-RequestsTable_1.0",
        "drainer-Records",
        7,
        verify_stacks=True,
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TOPIC_ARN", "drainer", "must be the ARN of an SNS topic"),
        ("TOPIC_ARN", "", "must be the ARN of an SNS topic"),
        ("CLUSTERS", "pay ments", "'pay ments': it must be a cluster's name or ARN"),
        ("DRAIN_TIMEOUT_SECONDS", "1h", "'1h': it must be a whole number from 1 to 172800"),
        ("DRAIN_TIMEOUT_SECONDS", "172801", "from 1 to 172800"),
        ("DEADLINE_RESULT", "continue", "must be one of CONTINUE, ABANDON"),
        ("STANDALONE_TASKS", "kill", "must be one of wait, stop, ignore"),
        ("STANDALONE_GRACE_SECONDS", "-1", "from 0 to"),
        ("PASS_INTERVAL_SECONDS", "0", "from 1 to 300"),
        ("REQUESTS_TABLE", "db", "'db': it must be a DynamoDB table's name"),
        ("REQUESTS_TABLE", "the table", "'the table': it must be a DynamoDB table's name"),
        ("REQUESTS_TABLE", "t" * 256, "it must be a DynamoDB table's name"),
        ("RECORDS_TABLE", "db", "'db': it must be a DynamoDB table's name"),
        ("RECORD_RETENTION_DAYS", "0", "from 1 to 365"),
        ("RECORD_RETENTION_DAYS", "366", "from 1 to 365"),
        ("VERIFY_STACKS", "yes", "'yes': it must be one of true, false"),
        ("VERIFY_STACKS", "True", "'True': it must be one of true, false"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(name: str, value: str, says: str) -> None:
    with pytest.raises(MisconfiguredError) as error:
        Config.from_environment({"DRAINER_TOPIC_ARN": TOPIC, f"DRAINER_{name}": value})

    assert name.lower() in str(error.value)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("value", "verify"), [("true", True), ("false", False), (" true ", True), ("", False)]
)
def test_stacks_are_asked_about_where_that_is_wanted(value: str, verify: bool) -> None:
    # Any text but the empty one is true to Python, the word "false" too.
    environment = {"DRAINER_TOPIC_ARN": TOPIC, "DRAINER_VERIFY_STACKS": value}

    assert Config.from_environment(environment).verify_stacks is verify


@pytest.mark.parametrize("value", ["", "  "])
def test_without_a_table_there_is_none(value: str) -> None:
    # A template's condition leaves an empty value, not a missing one.
    environment = {"DRAINER_TOPIC_ARN": TOPIC, "DRAINER_REQUESTS_TABLE": value}

    assert Config.from_environment(environment).requests_table == ""


ARN = "arn:aws:ecs:eu-west-1:123456789012:cluster/payments"


@pytest.mark.parametrize(
    ("metadata", "cluster"),
    [
        ("payments", "payments"),
        (ARN, ARN),
        ('{"cluster": "payments"}', "payments"),
        ("{}", None),
        ("  ", None),
    ],
)
def test_metadata_is_json_or_a_bare_cluster_name(metadata: str, cluster: str | None) -> None:
    policy, problems = Config(TOPIC).policy(metadata)

    assert (policy.cluster, problems) == (cluster, ())


def test_every_metadata_key_is_read_and_belongs_to_the_drain() -> None:
    metadata = """{"cluster": "batch", "drain_timeout_seconds": "600", "deadline_result": "ABANDON",
        "standalone_tasks": "ignore", "standalone_grace_seconds": 60}"""

    policy, problems = Config(TOPIC).policy(metadata)

    ignore, abandon = StandaloneTasks.IGNORE, LifecycleActionResult.ABANDON
    assert policy == Policy("batch", 600, abandon, ignore, 60)
    assert problems == ()


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ('{"cluster": ""}', "cluster is ''"),
        ('{"cluster": 7}', "cluster is '7'"),
        ('{"drain_timeout_seconds": true}', "drain_timeout_seconds is 'True'"),
        ('{"drain_timeout_seconds": 1.5}', "whole number"),
        ('{"deadline_result": "RETAIN"}', "CONTINUE, ABANDON"),
        ('{"standalone_tasks": ["stop"]}', "wait, stop, ignore"),
        ('{"timeout": 7}', "'timeout': known are cluster, drain_timeout_seconds"),
        ("[]", "neither a JSON object nor the name of a cluster"),
        ('{"cluster": "a"', "neither a JSON object nor the name of a cluster"),
        ("[" * 4000, "neither a JSON object nor the name of a cluster"),
    ],
)
def test_a_wrong_metadata_value_is_named_and_the_drain_goes_on_by_default(
    metadata: str, says: str
) -> None:
    # A typo in a hook's metadata must not keep an instance from being drained.
    policy, problems = Config(TOPIC).policy(metadata)

    assert policy == DEFAULTS
    assert says in problems[0]
