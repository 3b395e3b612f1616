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
from tests.loops import some

if TYPE_CHECKING:
    from tests.infra.conftest import Render

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
MAKEFILE = (PROJECT / "Makefile").read_text()
TEMPLATES = ("drainer.yaml", "spot.yaml")
WITH_ALARMS = (*TEMPLATES, "examples/cluster.yaml")
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
    "examples/cluster.yaml": {},
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
    [(one, name) for one in WITH_ALARMS for name in named(one, everything=True)],
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
def test_what_a_rule_could_not_deliver_raises_an_alarm(render: Render, template: str) -> None:
    # A rule that may not invoke its target says so to no user. Its event goes to the dead-letter
    # queue at once, and is not retried.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    stack = render(template, **EVERYTHING_ON[template])
    (alarm,) = (one for one in alarms(stack).values() if one["Namespace"] == "AWS/SQS")
    targets = [one for _, rule in stack.resources("AWS::Events::Rule") for one in rule["Targets"]]

    assert len(targets) == len(dict(stack.resources("AWS::Events::Rule"))) > 1
    kept = {one["DeadLetterConfig"]["Arn"] for one in targets}
    assert kept == {stack.physical_ids["DeadLetterQueue"]}
    assert [one["Name"] for one in alarm["Dimensions"]] == ["QueueName"]
    assert {alarm["Dimensions"][0]["Value"].removesuffix(".QueueName")} == kept
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    # The first message is told, within a minute.
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1)
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 1)


def test_what_lambda_drops_or_throttles_ends_in_the_dead_letters(render: Render) -> None:
    # Throttles and dropped loops have no alarm of their own. A message that is refused again and
    # again must be kept, and told, before its lifecycle action ends.
    stack = render("drainer.yaml")
    queues = dict(stack.resources("AWS::SQS::Queue"))

    for name in ("NoticeQueue", "WaitQueue"):
        policy = queues[name]["RedrivePolicy"]
        assert policy["deadLetterTargetArn"] == stack.physical_ids["DeadLetterQueue"]
        assert policy["maxReceiveCount"] * queues[name]["VisibilityTimeout"] <= 1_000
    ((_, invocations),) = stack.resources("AWS::Lambda::EventInvokeConfig")
    kept_at = invocations["DestinationConfig"]["OnFailure"]["Destination"]
    assert kept_at == stack.physical_ids["DeadLetterQueue"]


@pytest.mark.parametrize("template", WITH_ALARMS)
def test_an_alarm_reads_one_metric(render: Render, template: str) -> None:
    # The price is for each alarm metric: an expression over four costs as much as four alarms,
    # and a composite alarm as much as five. https://aws.amazon.com/cloudwatch/pricing/
    stack = render(template, **EVERYTHING_ON[template])

    for one in some(alarms(stack).values()):
        assert one["MetricName"]
        assert "Metrics" not in one
    assert not dict(stack.resources("AWS::CloudWatch::CompositeAlarm"))


def test_the_function_is_not_the_only_witness_of_its_own_end(render: Render) -> None:
    # What reports by the function is silent when the function is.
    told = alarms(render("drainer.yaml"))

    assert {one["Namespace"] for one in told.values()} == {"AWS/Lambda", "AWS/SQS", "Drainer"}
    assert told["FunctionErrorsAlarm"]["MetricName"] == "Errors"
    assert (told["FunctionErrorsAlarm"]["Threshold"], told["FunctionErrorsAlarm"]["Period"]) == (
        1,
        300,
    )


def test_what_needs_attention_is_told_at_once_and_what_is_impaired_if_it_lasts(
    render: Render,
) -> None:
    # An alarm that stays for an hour hides the next event. One that rings for a single throttled
    # look is switched off.
    told = alarms(render("drainer.yaml"))
    at_once, lasting = told["AttentionAlarm"], told["ImpairedAlarm"]

    assert (at_once["Period"], at_once["EvaluationPeriods"]) == (60, 1)
    assert lasting["Period"] * lasting["DatapointsToAlarm"] == 900
    # One of the periods may have no sweep in it, nor a pass of the longest interval: both come
    # every five minutes, some seconds early or late.
    assert lasting["Period"] >= 300
    assert lasting["EvaluationPeriods"] == lasting["DatapointsToAlarm"] + 1
    for one in (at_once, lasting):
        assert (one["Statistic"], one["Threshold"]) == ("Sum", 1)
        assert one["TreatMissingData"] == "notBreaching"


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
