"""
The alarms: each says what happened, what harm it does and which command to run, and can fire.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name

from drainer.simulation.template import DeployedStack, read_template

if TYPE_CHECKING:
    from tests.infra.conftest import Render

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
MAKEFILE = (PROJECT / "Makefile").read_text()
TEMPLATES = ("drainer.yaml", "spot.yaml")
# "Length Constraints: Minimum length of 0. Maximum length of 1024."
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
DESCRIPTION_LENGTH_MAX = 1_024
# "an alarm's total current evaluation period can be no longer than ... one day (86,400 seconds) for
# alarms with a period of less than one hour", same page.
WINDOW_SECONDS_MAX = 86_400
SHAPE = re.compile(r"[A-Z][^;`]+\. Harm: [^;`]+\. Run: `(?P<command>[^`]+)`")
EVERYTHING_ON = {
    "drainer.yaml": {"ServeEventBridgeNotices": "true"},
    "spot.yaml": {"ServeRebalanceRecommendations": "true"},
}


def alarms(stack: DeployedStack) -> dict[str, dict[str, Any]]:
    return dict(stack.resources("AWS::CloudWatch::Alarm"))


def named(template: str, *, everything: bool = False) -> list[str]:
    resources = read_template(INFRA / template)["Resources"]
    return [
        name
        for name, one in resources.items()
        if one["Type"] == "AWS::CloudWatch::Alarm" and (everything or "Condition" not in one)
    ]


def is_command(command: str) -> bool:
    """
    Tell whether a command exists: the Makefile's target, or AWS's operation with its options.
    """
    program, *words = shlex.split(command)
    if program == "make":
        return f"\n{words[0]}: " in MAKEFILE
    assert program == "aws"
    service, operation, *options = words
    model = botocore.session.get_session().get_service_model(service)
    calls = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(calls[operation]).input_shape
    members = {xform_name(name, "-") for name in (shape.members if shape else ())}
    return {one.removeprefix("--") for one in options if one.startswith("--")} <= members


@pytest.mark.parametrize(
    ("template", "name"),
    [(one, name) for one in TEMPLATES for name in named(one, everything=True)],
)
def test_an_alarm_says_what_happened_what_harm_it_does_and_what_to_run(
    render: Render, template: str, name: str
) -> None:
    # Whoever is woken by it has read nothing else, and a command that does not exist costs time.
    description = alarms(render(template, **EVERYTHING_ON[template]))[name]["AlarmDescription"]
    match = SHAPE.fullmatch(description)

    assert match, description
    assert len(description) <= DESCRIPTION_LENGTH_MAX
    assert is_command(match["command"]), match["command"]


@pytest.mark.parametrize("command", ["make nothing", "aws lambda get-policies", "aws sqs x --y z"])
def test_a_command_that_does_not_exist_shows(command: str) -> None:
    # The test above would be worth nothing if it took any command.
    try:
        found = is_command(command)
    except KeyError:
        found = False

    assert not found


@pytest.mark.parametrize("minutes", [2, 5, 15, 60])
def test_a_function_that_is_not_invoked_for_three_sweep_intervals_raises_an_alarm(
    render: Render, minutes: int
) -> None:
    # A function that nothing invokes counts no error and writes no line: all seems well, and every
    # instance goes undrained. Shorter than the interval, the alarm would cry with each sweep.
    stack = render("drainer.yaml", SweepIntervalMinutes=str(minutes))
    alarm = alarms(stack)["NotInvokedAlarm"]
    window_seconds = alarm["Period"] * int(alarm["EvaluationPeriods"])

    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Invocations")
    assert alarm["Dimensions"] == [
        {"Name": "FunctionName", "Value": stack.physical_ids["Function"]}
    ]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"
    assert window_seconds == 3 * minutes * 60 <= WINDOW_SECONDS_MAX
    # "Valid values are 10, 20, 30, 60, and any multiple of 60."
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    assert alarm["Period"] % 60 == 0


def test_by_default_a_quarter_of_an_hour_without_an_invocation_is_told(render: Render) -> None:
    # Three heartbeats of the default hook fit into the time that is lost by then.
    alarm = alarms(render("drainer.yaml"))["NotInvokedAlarm"]

    assert alarm["Period"] * int(alarm["EvaluationPeriods"]) == 900


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_rule_that_cannot_invoke_raises_an_alarm(render: Render, template: str) -> None:
    # A rule that may not invoke its target says so in this metric, and to no user.
    stack = render(template, **EVERYTHING_ON[template])
    rules = {stack.physical_ids[name] for name, _ in stack.resources("AWS::Events::Rule")}
    failing = [one for one in alarms(stack).values() if one["MetricName"] == "FailedInvocations"]

    assert rules
    assert {one["Dimensions"][0]["Value"] for one in failing} == rules
    for one in failing:
        assert one["Namespace"] == "AWS/Events"
        assert [each["Name"] for each in one["Dimensions"]] == ["RuleName"]
        assert (one["Statistic"], one["Threshold"]) == ("Sum", 1)


def test_a_rule_that_is_switched_off_has_no_alarm(render: Render) -> None:
    # An alarm on a rule that was not made refers to nothing, and the deployment fails.
    assert "EventBridgeNoticesFailedAlarm" not in alarms(render("drainer.yaml"))
    assert "RebalanceRecommendationsFailedAlarm" not in alarms(render("spot.yaml"))


@pytest.mark.parametrize("name", ["drainer", "second"])
def test_two_stacks_in_one_account_do_not_alarm_for_each_other(render: Render, name: str) -> None:
    # Whoever is called for another team's drain stops answering.
    first = render("drainer.yaml")
    stack = replace(first, pseudo={**first.pseudo, "AWS::StackName": name})
    ((_, function),) = stack.resources("AWS::Lambda::Function")
    ours = [one for one in alarms(stack).values() if one["Namespace"] == "Drainer"]

    # Powertools makes of it the dimension "service" of every metric.
    # https://docs.aws.amazon.com/powertools/python/latest/core/metrics/
    assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == name
    assert ours
    for one in ours:
        assert one["Dimensions"] == [{"Name": "service", "Value": name}]


def test_a_drain_that_lasts_longer_than_an_hour_is_told(render: Render) -> None:
    # Without a deadline by default, a drain that is stuck would cost two days of an instance.
    alarm = alarms(render("drainer.yaml"))["LongDrainAlarm"]
    longest = render("drainer.yaml").template["Parameters"]["PassIntervalSeconds"]["MaxValue"]

    assert (alarm["MetricName"], alarm["Statistic"]) == ("DrainAgeMinutes", "Maximum")
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == ("60", 1)
    # A period without a pass would end the alarm while the drain goes on.
    assert alarm["Period"] >= 2 * longest
    assert alarms(render("drainer.yaml", LongDrainAlarmMinutes="90"))["LongDrainAlarm"][
        "Threshold"
    ] == ("90")
