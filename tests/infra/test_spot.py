"""
Spot's templates: each event reaches the function by its own rule and nothing else by any.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import parliament
import pytest

from drainer.aws.spot import SPOT_CALLS
from drainer.simulation.scenario.spot_installation import SpotSettings
from drainer.simulation.template import DeployedStack, read_template
from drainer.spot import events as spot
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.infra.conftest import Render

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
EVENTS = PROJECT / "tests" / "events"
TEMPLATES = ("spot.yaml", "examples/fargate-spot.yaml")
ACCOUNT_ID = "111122223333"
REGION = "eu-west-1"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:drainer-Function"
EXPORTS = {"drainer-FunctionArn": FUNCTION_ARN, "drainer-RoleName": "drainer-Role"}
SWITCHES = ("ServeInterruptions", "ServeRebalanceRecommendations", "ServeFargateSpot")
ALL_ON = dict.fromkeys(SWITCHES, "true")
UNITS = ("Seconds", "Days", "Count")
WARNING_SECONDS = spot.WARNING_TIME.total_seconds()
# Bounds a script that hangs, and nothing else.
SCRIPT_SECONDS_MAX = 120
# boto3's name for a service, where IAM has another.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
IAM_PREFIX = {"elbv2": "elasticloadbalancing"}

# Which rule takes which event; None is what no rule may take.
TAKEN_BY = {
    "spot_interruption_terminate": "Interruptions",
    "spot_interruption_stop": "Interruptions",
    "spot_interruption_hibernate": "Interruptions",
    "spot_rebalance_recommendation": "RebalanceRecommendations",
    "spot_instance_running": None,
    "spot_request_fulfilled": None,
    "fargate_spot_as_documented": "FargateSpot",
    "fargate_spot_interruption": "FargateSpot",
    "fargate_spot_termination_notice": "FargateSpot",
    "fargate_spot_without_stop_code": "FargateSpot",
    "fargate_spot_without_reason": "FargateSpot",
    "fargate_spot_without_capacity_provider": "FargateSpot",
    "fargate_spot_address_in_attachment": "FargateSpot",
    "fargate_spot_address_in_container": "FargateSpot",
    "fargate_spot_dual_stack": "FargateSpot",
    "fargate_spot_ipv6_only": "FargateSpot",
    "fargate_spot_with_sidecar": "FargateSpot",
    "fargate_spot_activating": "FargateSpot",
    "fargate_spot_deactivating": "FargateSpot",
    "fargate_spot_stopping": "FargateSpot",
    "fargate_spot_of_no_service": None,
    "fargate_spot_other_running": None,
    "fargate_spot_other_deprovisioning": None,
    "fargate_spot_other_stopped": None,
    "fargate_spot_other_scaled_in": None,
    "fargate_spot_other_crashed": None,
    "fargate_spot_other_stopped_by_user": None,
    "fargate_spot_other_on_demand": None,
    "fargate_spot_other_on_ec2": None,
    "eventbridge_terminating": None,
    "eventbridge_container_instance_draining": None,
}
ABSENT = object()


def rendered(name: str, **parameters: str) -> DeployedStack:
    """
    The template as CloudFormation would deploy it with these parameters.
    """
    template = read_template(INFRA / name)
    described = template["Parameters"]
    defaults = {key: str(one["Default"]) for key, one in described.items() if "Default" in one}
    arns = {
        "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/",
        "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:",
    }
    return DeployedStack(
        template=template,
        parameters={**defaults, **parameters},
        physical_ids={
            key: arns.get(resource["Type"], "") + f"spot-{key}"
            for key, resource in template["Resources"].items()
        },
        outputs={},
        pseudo={
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Partition": "aws",
            "AWS::StackName": "spot",
        },
        exports=EXPORTS,
    )


def rules(**parameters: str) -> dict[str, dict[str, Any]]:
    return dict(rendered("spot.yaml", **parameters).resources("AWS::Events::Rule"))


def event(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return read


def matches(pattern: Mapping[str, Any], found: Any) -> bool:
    """
    Whether an event matches, by those operators that our patterns use.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    if not isinstance(found, dict):
        return False
    for name, wanted in pattern.items():
        if name == "$or":
            if not any(matches(one, found) for one in wanted):
                return False
        elif isinstance(wanted, dict):
            if not matches(wanted, found.get(name)):
                return False
        elif not any(_leaf_matches(one, found.get(name, ABSENT)) for one in wanted):
            return False
    return True


def _leaf_matches(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    ((operator, argument),) = wanted.items()
    if operator == "prefix":
        return isinstance(value, str) and value.startswith(argument)
    assert operator == "exists", "a pattern uses an operator that this test does not know"
    return (value is not ABSENT) is argument


def test_every_event_of_spot_has_its_line_in_the_table() -> None:
    # A payload in no table is a variant of which nobody says what it leads to.
    files = {path.stem for path in EVENTS.glob("*.json") if "spot" in path.stem}

    assert files <= set(TAKEN_BY)
    assert {"Interruptions", "RebalanceRecommendations", "FargateSpot"} == set(rules(**ALL_ON))


@pytest.mark.parametrize("name", sorted(TAKEN_BY))
def test_an_event_reaches_the_function_by_its_own_rule_or_not_at_all(name: str) -> None:
    # One rule too few and requests are cut; one too many and every task change of the account
    # invokes the function.
    taken = [
        key for key, rule in rules(**ALL_ON).items() if matches(rule["EventPattern"], event(name))
    ]

    assert taken == [TAKEN_BY[name]] if TAKEN_BY[name] else taken == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("desiredStatus", "RUNNING"),
        ("lastStatus", "PENDING"),
        ("lastStatus", "STOPPED"),
        ("launchType", "EC2"),
        ("capacityProviderName", "FARGATE"),
        ("group", "family:shop-report"),
    ],
)
def test_one_thing_amiss_keeps_an_event_of_fargate_away(key: str, value: str) -> None:
    # Each condition of the pattern by itself, since most other events fail several at once.
    pattern = rules()["FargateSpot"]["EventPattern"]
    whole = event("fargate_spot_interruption")

    assert matches(pattern, whole)
    assert not matches(pattern, {**whole, "detail": {**whole["detail"], key: value}})


@pytest.mark.parametrize("stop_code", sorted(spot.STOP_CODES))
def test_the_rule_and_the_program_know_the_same_stop_codes_and_the_same_reason(
    stop_code: str,
) -> None:
    # What the rule keeps away the program never sees; what the program refuses was sent in vain.
    code, reason = rules()["FargateSpot"]["EventPattern"]["detail"]["$or"]

    assert stop_code in code["stopCode"]
    assert set(code["stopCode"]) == spot.STOP_CODES
    assert reason == {"stoppedReason": [{"prefix": spot.STOPPED_REASON}]}


def test_the_rules_and_the_program_know_the_same_types_of_event() -> None:
    # A misspelt type is a rule that never fires.
    types = [rule["EventPattern"]["detail-type"] for rule in rules(**ALL_ON).values()]

    assert types == [[spot.INTERRUPTION], [spot.REBALANCE], [spot.TASK_CHANGE]]


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("value", ["true", "false"])
def test_each_kind_is_switched_alone_with_its_rule_and_its_way_into_the_queue(
    switch: str, value: str
) -> None:
    # A rule that the queue's policy does not name fails on every event; the reverse is a door
    # left open.
    stack = rendered("spot.yaml", **{**dict.fromkeys(SWITCHES, "false"), switch: value})
    made = dict(stack.resources("AWS::Events::Rule"))
    policies = dict(stack.resources("AWS::SQS::QueuePolicy"))

    assert len(made) == (value == "true")
    assert bool(made) is bool(dict(stack.resources("AWS::Lambda::EventSourceMapping")))
    # EventBridge invokes nothing itself, so that there is no permission that could be wrong.
    assert dict(stack.resources("AWS::Lambda::Permission")) == {}
    assert ("QueuePolicy" in policies) is bool(made)
    for policy in policies.values():
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Condition"] == {
            "ArnEquals": {"aws:SourceArn": [stack.physical_ids[name] for name in made]}
        }


def test_by_default_interruptions_are_served_and_recommendations_are_not() -> None:
    # A recommendation is often followed by nothing, so that draining for it must be asked for.
    assert set(rules()) == {"Interruptions", "FargateSpot"}


def test_a_rule_hands_the_whole_event_to_the_queue_and_not_long_after_it() -> None:
    # A warning of five minutes ago is about an instance that is gone.
    stack = rendered("spot.yaml", **ALL_ON)
    for name, rule in some(stack.resources("AWS::Events::Rule")):
        (target,) = rule["Targets"]

        assert target["Arn"] == stack.physical_ids["Queue"]
        assert not {"Input", "InputPath", "InputTransformer"} & set(target)
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
        if name != "RebalanceRecommendations":
            assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= WARNING_SECONDS
        # "MaximumEventAgeInSeconds ... Minimum: 60"
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-events-rule-retrypolicy.html
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] >= 60


def test_a_second_of_events_is_one_batch_and_comes_back_while_the_two_minutes_last() -> None:
    # With AWS's usual six times the function's timeout, the second try would be at +180 s, when
    # Spot has taken the instance; below the function's timeout, Lambda refuses the mapping.
    stack = rendered("spot.yaml", **ALL_ON)
    queues = dict(stack.resources("AWS::SQS::Queue"))
    ((_, mapping),) = stack.resources("AWS::Lambda::EventSourceMapping")
    queue = queues["Queue"]
    function = read_template(INFRA / "drainer.yaml")["Resources"]["Function"]["Properties"]
    receives = queue["RedrivePolicy"]["maxReceiveCount"]
    settings = SpotSettings()

    assert mapping["FunctionName"] == FUNCTION_ARN
    assert mapping["EventSourceArn"] == stack.physical_ids["Queue"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # More than ten records need a window, and a window is lost time.
    assert mapping["MaximumBatchingWindowInSeconds"] == settings.window_seconds == 1
    assert mapping["BatchSize"] == settings.batch_size == 100
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == settings.concurrency_max
    assert function["Timeout"] < queue["VisibilityTimeout"] == settings.visibility_seconds
    # The last try comes when requests under way still have time to end.
    assert (receives - 1) * (queue["VisibilityTimeout"] + 1) < WARNING_SECONDS - 45
    assert receives == settings.receive_count_max
    assert queue["MessageRetentionPeriod"] >= spot.ADVICE.total_seconds()
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == (stack.physical_ids["DeadLetterQueue"])


def test_the_role_may_read_the_queue_before_lambda_is_told_to() -> None:
    # CloudFormation makes both at once otherwise, and the mapping is refused.
    template = read_template(INFRA / "spot.yaml")["Resources"]
    policies = dict(rendered("spot.yaml", **ALL_ON).resources("AWS::IAM::Policy"))
    (statement,) = policies["QueueReadPolicy"]["PolicyDocument"]["Statement"]

    assert template["EventSourceMapping"]["DependsOn"] == "QueueReadPolicy"
    assert policies["QueueReadPolicy"]["Roles"] == ["drainer-Role"]
    assert set(statement["Action"]) == {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
    }


def test_what_did_not_arrive_is_kept_from_our_rules_only_and_alarmed() -> None:
    # A warning that was lost without a trace is blamed on the load balancer.
    stack = rendered("spot.yaml", **ALL_ON, AlarmTopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:ops")
    queue_arn = stack.physical_ids["DeadLetterQueue"]
    made = dict(stack.resources("AWS::Events::Rule"))
    policy = dict(stack.resources("AWS::SQS::QueuePolicy"))["DeadLetterQueuePolicy"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    alarm = dict(stack.resources("AWS::CloudWatch::Alarm"))["DeadLettersAlarm"]

    assert {rule["Targets"][0]["DeadLetterConfig"]["Arn"] for rule in made.values()} == {queue_arn}
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnEquals": {"aws:SourceArn": [stack.physical_ids[name] for name in made]}
    }
    assert alarm["Dimensions"][0]["Value"] == f"{queue_arn}.QueueName"
    assert alarm["AlarmActions"] == [f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:ops"]
    assert (
        "AlarmActions"
        not in dict(rendered("spot.yaml").resources("AWS::CloudWatch::Alarm"))["DeadLettersAlarm"]
    )


def statements(**parameters: str) -> list[dict[str, Any]]:
    policies = dict(rendered("spot.yaml", **parameters).resources("AWS::IAM::Policy"))
    return list(policies["Policy"]["PolicyDocument"]["Statement"])


def test_defect_24_the_policy_adds_exactly_the_calls_that_an_interruption_needs() -> None:
    # One action too few and targets stay registered; one too many is a gift to an attacker.
    called = {
        f"{IAM_PREFIX.get(service, service)}:{call}"
        for service, calls in SPOT_CALLS.items()
        for call in calls
    }
    found = statements()

    assert called == {one["Action"] for one in found}
    assert len(found) == len(called) == len({one["Sid"] for one in found})
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]+", one["Sid"]) for one in found)


def test_defect_24_parliament_finds_nothing_in_the_policy() -> None:
    # An ARN of the wrong kind for an action denies it, and no emulator would say so.
    document = {"Version": "2012-10-17", "Statement": statements()}

    findings = parliament.analyze_policy_string(json.dumps(document)).findings

    assert [str(finding) for finding in findings] == []


def test_defect_24_the_patterns_bound_what_the_policy_lets_touch() -> None:
    # Who lets the drainer at one team's target groups must not let it at all of them.
    found = {
        one["Action"].partition(":")[2]: one["Resource"]
        for one in statements(ClusterNamePattern="team-*", TargetGroupNamePattern="team-*")
    }

    assert found["DescribeServices"].endswith(":service/team-*/*")
    assert found["DeregisterTargets"].endswith(":targetgroup/team-*/*")
    # These two have no resource type.
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    assert found["DescribeTaskDefinition"] == found["DescribeTargetGroupAttributes"] == "*"
    assert found["DescribeTargetHealth"] == "*"


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_policy_is_there_when_targets_are_deregistered_and_goes_to_the_drainers_role(
    switch: str,
) -> None:
    # A recommendation drains as any notification does; more rights would be rights for nothing.
    only = {**dict.fromkeys(SWITCHES, "false"), switch: "true"}
    policies = dict(rendered("spot.yaml", **only).resources("AWS::IAM::Policy"))

    assert ("Policy" in policies) is (switch != "ServeRebalanceRecommendations")
    assert all(policy["Roles"] == ["drainer-Role"] for policy in policies.values())


def test_what_one_stack_exports_the_other_imports(render: Render) -> None:
    # A plain parameter would let the drainer be deleted under the rules that invoke it.
    drainer = render("drainer.yaml")
    exported = {
        drainer.resolve(output["Export"]["Name"]): drainer.resolve(output["Value"])
        for output in drainer.template["Outputs"].values()
        if "Export" in output
    }
    made = rules(**ALL_ON)
    stack = rendered("spot.yaml", **ALL_ON)
    policies = dict(stack.resources("AWS::IAM::Policy")).values()
    (mapping,) = dict(stack.resources("AWS::Lambda::EventSourceMapping")).values()

    assert set(EXPORTS) <= set(exported)
    assert drainer.template["Outputs"]["FunctionArn"]["Value"] == {
        "Fn::GetAtt": ["Function", "Arn"]
    }
    assert exported["drainer-RoleName"] == drainer.physical_ids["Role"]
    assert made
    assert mapping["FunctionName"] == FUNCTION_ARN
    assert [policy["Roles"] for policy in policies] == [[EXPORTS["drainer-RoleName"]]] * 2
    assert not {"DrainerFunctionArn", "DrainerRoleName"} & set(
        read_template(INFRA / "spot.yaml")["Parameters"]
    )


@pytest.mark.parametrize("shared", ["ClusterNamePattern", "AlarmTopicArn"])
def test_a_setting_of_both_templates_is_bounded_alike(shared: str) -> None:
    # Two spellings of one setting are two settings to whoever reads the README.
    first, second = (
        read_template(INFRA / name)["Parameters"] for name in ("drainer.yaml", "spot.yaml")
    )

    assert first[shared] == second[shared]


def test_cfn_lint_finds_nothing_in_the_example_of_spot() -> None:
    # A typo in a property is otherwise seen by CloudFormation only, half-way into a deployment. The
    # other templates are linted in test_templates.py.
    from cfnlint.api import lint_file  # takes most of a second

    assert [str(match) for match in lint_file(INFRA / "examples" / "fargate-spot.yaml")] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_parameter_of_spot_has_a_default_bounds_and_two_sentences_at_most(name: str) -> None:
    # A deployment by defaults must work, and a typing error must be refused at once.
    for key, parameter in some(read_template(INFRA / name)["Parameters"].items()):
        description = parameter["Description"]

        assert description.endswith("."), key
        assert description.count(". ") <= 1, key
        assert "Default" in parameter, key
        if parameter["Type"] == "Number":
            assert key.endswith(UNITS), key
            assert "AllowedValues" in parameter or {"MinValue", "MaxValue"} <= set(parameter), key
        else:
            assert {"AllowedValues", "AllowedPattern", "MaxLength"} & set(parameter), key


# -- the example


def only(resource_type: str, **parameters: str) -> dict[str, Any]:
    stack = rendered("examples/fargate-spot.yaml", **parameters)
    ((_, properties),) = stack.resources(resource_type)
    return properties


def test_the_example_keeps_a_base_on_fargate_and_takes_the_rest_from_spot() -> None:
    # Without a base, Spot that has nothing to give leaves a service with nothing.
    strategy = only("AWS::ECS::Service")["CapacityProviderStrategy"]
    association = only("AWS::ECS::ClusterCapacityProviderAssociations")

    assert strategy == [
        {"CapacityProvider": "FARGATE", "Base": "2", "Weight": 1},
        {"CapacityProvider": "FARGATE_SPOT", "Weight": 1},
    ]
    assert association["CapacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert "LaunchType" not in only("AWS::ECS::Service")


def test_the_example_is_behind_both_kinds_of_load_balancer_by_address() -> None:
    # A target group that is forgotten goes on sending requests to a task that is gone.
    stack = rendered("examples/fargate-spot.yaml")
    groups = dict(stack.resources("AWS::ElasticLoadBalancingV2::TargetGroup"))
    balancers = dict(stack.resources("AWS::ElasticLoadBalancingV2::LoadBalancer"))
    attached = only("AWS::ECS::Service")["LoadBalancers"]

    assert {one["Type"] for one in balancers.values()} == {"application", "network"}
    assert {one["TargetType"] for one in groups.values()} == {"ip"}
    assert {one["TargetGroupArn"] for one in attached} == {
        stack.physical_ids[name] for name in groups
    }


@pytest.mark.parametrize("bound", ["Default", "MaxValue"])
def test_the_example_lets_go_of_a_task_within_the_two_minutes(bound: str) -> None:
    # With the default delay of 300 seconds Spot is always faster.
    parameters = read_template(INFRA / "examples/fargate-spot.yaml")["Parameters"]
    delay_seconds = parameters["DeregistrationDelaySeconds"][bound]
    stack = rendered("examples/fargate-spot.yaml", DeregistrationDelaySeconds=str(delay_seconds))
    groups = dict(stack.resources("AWS::ElasticLoadBalancingV2::TargetGroup"))
    (container,) = only("AWS::ECS::TaskDefinition")["ContainerDefinitions"]

    assert delay_seconds < WARNING_SECONDS
    assert container["StopTimeout"] == WARNING_SECONDS
    for group in groups.values():
        attributes = {one["Key"]: one["Value"] for one in group["TargetGroupAttributes"]}
        assert attributes["deregistration_delay.timeout_seconds"] == str(delay_seconds)


# It stands in for nginx. A shell starts what is in the background with SIGQUIT ignored; nginx sets
# its own handler all the same, which a script of the shell could not. It signals the shell once
# that has set its trap, and serves once the delay is under way: opening waits for the other side.
SERVER = """
import os, signal, sys, time
def finish(*_):
    print("finished", flush=True)
    sys.exit()
signal.signal(signal.SIGQUIT, finish)
number = signal.SIG{signal}
def trapped():
    with open(f"/proc/{{os.getppid()}}/status") as status:
        (caught,) = (line.split()[1] for line in status if line.startswith("SigCgt"))
    return int(caught, 16) >> (number - 1) & 1
while os.path.isdir("/proc/self") and not trapped():
    time.sleep(0.01)
os.kill(os.getppid(), number)
with open("meeting", "w"):
    print("serves", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("signal", ["TERM", "QUIT"])
def test_the_examples_container_serves_on_after_the_signal_and_then_finishes(
    tmp_path: Path, signal: str
) -> None:
    # A server that stops at SIGTERM cuts off what the load balancer is still sending.
    task = only("AWS::ECS::TaskDefinition", DeregistrationDelaySeconds="1")
    *_, script = task["ContainerDefinitions"][0]["Command"]
    server, delay = tmp_path / "nginx", tmp_path / "sleep"
    server.write_text(f"#!{sys.executable}\n{SERVER.format(signal=signal)}")
    # The delay ends when the server has served: no clock tells them, however slow the machine is.
    os.mkfifo(tmp_path / "meeting")
    delay.write_text('#!/bin/sh\ncat meeting\necho "slept $1"\n')
    for program in (server, delay):
        program.chmod(0o755)

    done = subprocess.run(  # noqa: S603 - the template's own command
        # In the background tests are started with SIGQUIT ignored, which no shell can trap then.
        ["/usr/bin/env", "--default-signal", "/bin/sh", "-c", f"{script}; echo gone"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS_MAX,
        check=False,
    )

    assert done.stdout.splitlines() == ["serves", "slept 1", "finished", "gone"]
