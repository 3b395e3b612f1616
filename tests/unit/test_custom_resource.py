from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drainer.config import Config
from drainer.custom_resource.properties import DrainTarget, Status, TargetKind, target_of
from drainer.drain.model import LifecycleActionResult, Policy, StandaloneTasks

CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer")
TOKEN = {"ServiceToken": CONFIG.topic_arn}
FLEET = "sfr-73fbd2ce-aa30-494c-8788-1cee4EXAMPLE"
CLUSTER_ARN = "arn:aws:ecs:us-east-1:123456789012:cluster/payments"
DEFAULT_POLICY = Policy(None, 172_800, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)
PHYSICAL_ID_BYTES_MAX = 1_024


def properties(**changes: Any) -> dict[str, Any]:
    """What CloudFormation sends at least; None takes a property away."""
    all_of_them = {**TOKEN, "Cluster": "payments", "SpotFleet": FLEET, **changes}
    return {name: value for name, value in all_of_them.items() if value is not None}


def drain_target(**changes: Any) -> DrainTarget:
    """What right properties come to."""
    found, problems = target_of(properties(**changes), CONFIG)
    assert problems == ()
    assert found is not None
    return found


def test_cluster_and_target_are_enough() -> None:
    # A template that says no more than it must has the defaults of the function.
    kind = TargetKind.SPOT_FLEET

    assert drain_target() == DrainTarget("payments", kind, FLEET, DEFAULT_POLICY, Status.FAILED)


def test_defaults_are_the_functions() -> None:
    config = Config(
        CONFIG.topic_arn,
        drain_timeout_seconds=600,
        standalone_tasks=StandaloneTasks.STOP,
        standalone_grace_seconds=60,
    )

    found, problems = target_of(properties(), config)

    expected = Policy(None, 600, LifecycleActionResult.CONTINUE, StandaloneTasks.STOP, 60)
    assert found is not None
    assert (found.policy, problems) == (expected, ())


def test_every_property_is_read_as_the_string_that_it_comes_as() -> None:
    # CloudFormation makes a string of every number: a reader of numbers would refuse them all.
    found = drain_target(
        Cluster=CLUSTER_ARN,
        ServiceTimeout="1800",
        DrainTimeoutSeconds="1200",
        OnTimeout="SUCCESS",
        StandaloneTasks="stop",
        StandaloneGraceSeconds="0",
    )

    policy = Policy(None, 1200, LifecycleActionResult.CONTINUE, StandaloneTasks.STOP, 0)
    assert found == DrainTarget(CLUSTER_ARN, TargetKind.SPOT_FLEET, FLEET, policy, Status.SUCCESS)


def test_numbers_that_stay_numbers_are_read_too() -> None:
    # An emulator of CloudFormation leaves them as the template has them.
    found = drain_target(DrainTimeoutSeconds=1200, StandaloneGraceSeconds=0, ServiceTimeout=3600)

    assert (found.policy.drain_timeout_seconds, found.policy.standalone_grace_seconds) == (1200, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SpotFleet", FLEET),
        ("AutoScalingGroupName", "web asg/1"),
        ("CapacityProvider", "spot_cp-1"),
    ],
)
def test_each_kind_of_target_is_read(name: str, value: str) -> None:
    found = drain_target(**{"SpotFleet": None, name: value})

    assert (found.kind, found.name, str(found)) == (TargetKind(name), value, f"{name} {value}")


def test_a_long_name_is_quoted_by_its_beginning() -> None:
    # It stands in an answer that has four kilobytes, and in log lines.
    assert len(str(drain_target(SpotFleet=None, AutoScalingGroupName="x" * 255))) < 110


def test_without_a_cluster_those_of_the_function_are_searched() -> None:
    # The first template that anybody wrote names its fleet, and nothing else.
    config = Config(CONFIG.topic_arn, clusters=("payments", "orders"))

    found, problems = target_of(properties(Cluster=None), config)

    assert problems == ()
    assert found is not None
    assert (found.cluster, found.clusters) == (None, ("payments", "orders"))
    assert drain_target().clusters == ("payments",)


def test_without_any_cluster_a_create_is_refused_and_a_delete_searches_them_all() -> None:
    # The function's setting may have been emptied since; what is guarded serves all the same.
    found, problems = target_of(properties(Cluster=None), CONFIG)

    assert found is not None
    assert (found.cluster, found.clusters) == (None, ())
    assert problems == ("Cluster is not given: give it, or set Clusters in the drainer's stack",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"Cluster": ""}, "Cluster is '': it must be", id="an empty cluster"),
        pytest.param({"Cluster": "pay ments"}, "Cluster is 'pay ments'", id="a blank in it"),
        pytest.param({"Cluster": ["payments"]}, "Cluster is 'list'", id="a list of clusters"),
        pytest.param({"Cluster": "x" * 256}, f"Cluster is '{'x' * 80}'", id="a long cluster"),
        pytest.param(
            {"Cluster": CLUSTER_ARN.replace("ecs", "eks")}, "Cluster is 'arn", id="of EKS"
        ),
        pytest.param(
            {"SpotFleet": None},
            "exactly one of SpotFleet, AutoScalingGroupName, CapacityProvider must be given: "
            "found none",
            id="no target",
        ),
        pytest.param(
            {"CapacityProvider": "cp"}, "found SpotFleet, CapacityProvider", id="two targets"
        ),
        pytest.param(
            {"SpotFleet": "fleet-1"}, "SpotFleet is 'fleet-1': it must be", id="EC2 Fleet"
        ),
        pytest.param({"SpotFleet": ""}, "SpotFleet is ''", id="an empty fleet"),
        pytest.param({"SpotFleet": [FLEET]}, "SpotFleet is 'list'", id="a list of fleets"),
        pytest.param({"SpotFleet": f"{FLEET} "}, "SpotFleet is 'sfr-", id="a fleet and a blank"),
        pytest.param(
            {"SpotFleet": None, "AutoScalingGroupName": "a\nb"},
            "AutoScalingGroupName is 'a\\nb': it must be the name of an Auto Scaling group",
            id="a group of two lines",
        ),
        pytest.param(
            {"SpotFleet": None, "AutoScalingGroupName": "x" * 256},
            "AutoScalingGroupName is 'xxx",
            id="a long group",
        ),
        pytest.param(
            {"SpotFleet": None, "CapacityProvider": "arn:aws:ecs:cp"},
            "CapacityProvider is 'arn:aws:ecs:cp': it must be the name of a capacity provider",
            id="no name of a capacity provider",
        ),
    ],
)
def test_a_wrong_target_is_named_and_nothing_is_guarded(
    changes: dict[str, Any], sentence: str
) -> None:
    # A typo that is taken for a target leaves the true one without a guard.
    found, problems = target_of(properties(**changes), CONFIG)

    assert found is None
    [problem] = problems
    assert sentence in problem


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ServiceTimeout", "0", "ServiceTimeout is '0': it must be a whole number from 1 to 3600"),
        ("ServiceTimeout", "3601", "ServiceTimeout is '3601'"),
        ("DrainTimeoutSeconds", "0", "DrainTimeoutSeconds is '0': it must be"),
        ("DrainTimeoutSeconds", "3601", "from 1 to 3600"),
        ("DrainTimeoutSeconds", "1h", "DrainTimeoutSeconds is '1h'"),
        ("DrainTimeoutSeconds", "-1", "DrainTimeoutSeconds is '-1'"),
        ("DrainTimeoutSeconds", "1.5", "DrainTimeoutSeconds is '1.5'"),
        ("DrainTimeoutSeconds", " 60", "DrainTimeoutSeconds is ' 60'"),
        ("DrainTimeoutSeconds", "", "DrainTimeoutSeconds is ''"),
        ("DrainTimeoutSeconds", ["60"], "DrainTimeoutSeconds is \"['60']\""),
        ("DrainTimeoutSeconds", "٦٠", "DrainTimeoutSeconds is '٦٠'"),
        ("DrainTimeoutSeconds", "9" * 5000, "DrainTimeoutSeconds is '9999"),
        ("OnTimeout", "CONTINUE", "OnTimeout is 'CONTINUE': it must be one of SUCCESS, FAILED"),
        ("OnTimeout", "success", "OnTimeout is 'success'"),
        ("OnTimeout", {}, "OnTimeout is '{}'"),
        ("StandaloneTasks", "kill", "StandaloneTasks is 'kill': it must be one of wait, stop, "),
        ("StandaloneTasks", "", "StandaloneTasks is ''"),
        ("StandaloneGraceSeconds", "-1", "StandaloneGraceSeconds is '-1'"),
        ("StandaloneGraceSeconds", "3601", "from 0 to 3600"),
        ("Timeout", "60", "'Timeout' is no property of Custom::ECSDrain: known are ServiceToken, "),
        ("cluster", "payments", "'cluster' is no property of Custom::ECSDrain"),
        ("x" * 500, "", f"'{'x' * 80}' is no property"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_wrong_setting_is_named_and_its_default_is_taken(
    name: str, value: Any, sentence: str
) -> None:
    # A Create is refused for it; a Delete goes on, or the stack could not be removed.
    found, problems = target_of(properties(**{name: value}), CONFIG)

    assert found == drain_target()
    [problem] = problems
    assert sentence in problem
    assert len(problem) < 400


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("ServiceTimeout", "1", "3600"),
        ("DrainTimeoutSeconds", "1", "3600"),
        ("StandaloneGraceSeconds", "0", "3600"),
    ],
)
def test_bounds_are_within(name: str, least: str, most: str) -> None:
    assert drain_target(**{name: least})
    assert drain_target(**{name: most})


def test_every_wrong_property_has_its_own_sentence() -> None:
    # Who has made three typos wants to hear of them at once, not one by each failed update.
    _, problems = target_of({"Cluster": "", "OnTimeout": "no", "Colour": "red"}, CONFIG)

    assert [problem.partition(" ")[0] for problem in problems] == [
        "'Colour'",
        "Cluster",
        "exactly",
        "OnTimeout",
    ]


def test_the_same_target_has_the_same_physical_id_whatever_else_changes() -> None:
    # Another id is a replacement: CloudFormation deletes the old one, and so drains what stays.
    changed = drain_target(
        Cluster=CLUSTER_ARN, DrainTimeoutSeconds="60", OnTimeout="SUCCESS", StandaloneTasks="stop"
    )

    assert drain_target().physical_id == FLEET
    assert changed.physical_id == FLEET


NAMES = st.text(min_size=1, max_size=255).filter(lambda text: text.isprintable())


@given(NAMES)
@settings(max_examples=200)
def test_no_physical_id_is_longer_than_cloudformation_takes(target: str) -> None:
    found = drain_target(SpotFleet=None, AutoScalingGroupName=target)

    assert 0 < len(found.physical_id.encode()) <= PHYSICAL_ID_BYTES_MAX


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KNOWN = [*TargetKind, "Cluster", "ServiceTimeout", "DrainTimeoutSeconds", "OnTimeout", "Another"]


@given(st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=20), ANY_VALUE, max_size=5))
@settings(max_examples=300)
def test_whatever_the_properties_are_there_is_a_guard_or_a_reason(values: dict[str, Any]) -> None:
    # An exception would be no answer, and CloudFormation would wait for its hour.
    found, problems = target_of(values, CONFIG)

    assert found is not None or problems
    assert all(0 < len(problem) < 400 for problem in problems)
