"""
The stack agrees with the program and with itself: times, settings, batches, dead letters.
"""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer import events, telemetry
from drainer.aws.ecs import DESCRIBE_MAX, UPDATE_STATE_MAX
from drainer.config import ENVIRONMENT, Config
from drainer.drain.model import Sweep
from drainer.drain.record import QUIET_SECONDS, silent_after
from drainer.lifecycle import container_instance_events as wake_ups
from drainer.lifecycle import task_events
from tests.loops import some

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

# A lifecycle action ends after at most 48 hours.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
GLOBAL_TIMEOUT_SECONDS_MAX = 172_800
HEARTBEAT_TIMEOUT_SECONDS_MIN = 30


def only(stack: DeployedStack, resource_type: str) -> dict[str, Any]:
    ((_, properties),) = stack.resources(resource_type)
    return properties


def sources(stack: DeployedStack) -> dict[str, dict[str, Any]]:
    """
    Return the event source mapping of each queue that feeds the function.
    """
    found = [item for _, item in stack.resources("AWS::Lambda::EventSourceMapping")]
    return {item["EventSourceArn"].rpartition("-")[2]: item for item in found}


def test_defect_13_recursive_loop_is_allowed(stack: DeployedStack) -> None:
    # Otherwise Lambda drops the chain after about 16 passes and the instance hangs.
    assert only(stack, "AWS::Lambda::Function")["RecursiveLoop"] == "Allow"


@pytest.mark.parametrize("partition", ["aws-us-gov", "aws-cn"])
def test_no_partition_is_given_a_property_that_it_does_not_know(
    render: Render, partition: str
) -> None:
    # CloudFormation would refuse the whole stack.
    function = only(render("drainer.yaml", partition), "AWS::Lambda::Function")

    assert "RecursiveLoop" not in function


def test_defect_14_only_envelopes_wait_and_for_the_pass_interval(render: Render) -> None:
    # A notification that waits wastes time; an envelope that does not wastes the account's quota.
    stack = render("drainer.yaml", PassIntervalSeconds="20")
    queues = dict(stack.resources("AWS::SQS::Queue"))
    variables = only(stack, "AWS::Lambda::Function")["Environment"]["Variables"]

    assert queues["WaitQueue"]["DelaySeconds"] == "20"
    assert variables["DRAINER_PASS_INTERVAL_SECONDS"] == "20"
    assert queues["NoticeQueue"]["DelaySeconds"] == 0


def test_defect_20_batches_are_as_large_as_the_ecs_calls_and_few_at_once(
    stack: DeployedStack,
) -> None:
    # One invocation for each draining instance would eat the account's concurrency.
    found = sources(stack)

    assert found["NoticeQueue"]["BatchSize"] == UPDATE_STATE_MAX
    assert found["WaitQueue"]["BatchSize"] == DESCRIBE_MAX
    # More than ten records in a batch need a window.
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    assert found["WaitQueue"]["MaximumBatchingWindowInSeconds"] >= 1
    for source in found.values():
        assert source["ScalingConfig"]["MaximumConcurrency"] == 2


def test_one_bad_record_does_not_bring_back_the_whole_batch(stack: DeployedStack) -> None:
    # Without partial responses 99 drains would be looked at again for the sake of one.
    for source in some(sources(stack).values()):
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_batch_is_not_handed_out_again_while_it_is_served(stack: DeployedStack) -> None:
    # A second copy of a batch forks a hundred chains at once.
    function = only(stack, "AWS::Lambda::Function")
    queues = dict(stack.resources("AWS::SQS::Queue"))

    for name, source in some(sources(stack).items()):
        window = source["MaximumBatchingWindowInSeconds"]
        assert queues[name]["VisibilityTimeout"] >= 6 * function["Timeout"] + window


def test_no_message_expires_while_its_lifecycle_action_lasts(stack: DeployedStack) -> None:
    # A message that expires ends its chain without a word.
    queues = dict(stack.resources("AWS::SQS::Queue"))
    # No chain goes by this one: an event is of no use after minutes.
    del queues["WakeUpQueue"]
    for name, queue in some(queues.items()):
        assert queue["MessageRetentionPeriod"] > GLOBAL_TIMEOUT_SECONDS_MAX, name


@pytest.mark.parametrize("template", ["attach.yaml", "examples/cluster.yaml"])
def test_defect_11_a_hook_by_defaults_outlasts_every_pass_interval(
    render: Render, template: str
) -> None:
    # A heartbeat can only be sent by a pass, so that the hook must wait for several.
    stack = render("drainer.yaml")
    longest = stack.template["Parameters"]["PassIntervalSeconds"]["MaxValue"]
    shortest = int(stack.parameters["PassIntervalSeconds"])
    timeout = int(render(template).parameters["HeartbeatTimeoutSeconds"])

    assert longest * 3 < timeout
    assert shortest < HEARTBEAT_TIMEOUT_SECONDS_MIN
    assert timeout * 100 >= GLOBAL_TIMEOUT_SECONDS_MAX


def test_the_environment_is_what_the_program_reads(stack: DeployedStack) -> None:
    # A variable that nobody reads is a setting that does nothing.
    variables = only(stack, "AWS::Lambda::Function")["Environment"]["Variables"]
    ours = {name for name in variables if name.startswith("DRAINER_")}

    assert {f"DRAINER_{name.upper()}" for name in ENVIRONMENT} == ours
    assert variables["DRAINER_TOPIC_ARN"] == stack.physical_ids["Topic"]


def test_defect_25_the_defaults_of_template_and_program_are_the_same(
    stack: DeployedStack,
) -> None:
    # Two defaults for one setting make the README wrong for somebody.
    variables = only(stack, "AWS::Lambda::Function")["Environment"]["Variables"]

    assert Config(
        topic_arn=stack.physical_ids["Topic"],
        # These four have no default that would do for both: without a stack there is no table, and
        # who runs the program elsewhere may have no CloudFormation to ask.
        requests_table=stack.physical_ids["RequestsTable"],
        records_table=stack.physical_ids["Records"],
        notice_queue_url=stack.physical_ids["NoticeQueue"],
        verify_stacks=True,
        # Without the stack's queues there is no fast path.
        use_fast_path=True,
    ) == Config.from_environment(variables)


@pytest.mark.parametrize("name", ["DrainTimeoutSeconds", "StandaloneGraceSeconds"])
@pytest.mark.parametrize("bound", ["MinValue", "MaxValue"])
def test_the_program_takes_what_the_template_takes(render: Render, name: str, bound: str) -> None:
    # A value that deploys and then is refused stops every drain.
    limit = render("drainer.yaml").template["Parameters"][name][bound]
    stack = render("drainer.yaml", **{name: str(limit)})
    variables = only(stack, "AWS::Lambda::Function")["Environment"]["Variables"]

    config = Config.from_environment(variables)

    assert limit in (config.drain_timeout_seconds, config.standalone_grace_seconds)


@pytest.mark.parametrize(
    ("value", "taken"),
    [("0", True), ("9", True), ("10", True), ("99", True), ("100", True),
     ("0.5", False), ("101", False), ("-1", False)],
)  # fmt: skip
def test_the_program_takes_a_percentage_that_the_template_takes(
    render: Render, value: str, *, taken: bool
) -> None:
    # Who wants few traces writes 0.5. That was deployed, and the function no longer started.
    template = render("drainer.yaml").template
    allowed = re.fullmatch(template["Parameters"]["TracedDrainsPercent"]["AllowedPattern"], value)

    assert bool(allowed) is taken
    assert not taken or ENVIRONMENT["traced_drains_percent"].parse(value) == int(value)


def test_defect_25_the_runtime_is_current_and_the_code_is_the_packaged_zip(
    stack: DeployedStack,
) -> None:
    # Python 3.13 is supported until 2029-06-30.
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
    function = only(stack, "AWS::Lambda::Function")

    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["Code"] == "../build/drainer.zip"
    assert function["Handler"] == "drainer.start.lambda_handler"


def test_defect_19_whatever_fails_for_good_is_kept_and_alarmed(stack: DeployedStack) -> None:
    # A message dropped without a trace is an instance that hangs without a reason.
    queues = dict(stack.resources("AWS::SQS::Queue"))
    alarms = [alarm for _, alarm in stack.resources("AWS::CloudWatch::Alarm")]
    watched = {
        alarm["Dimensions"][0]["Value"].removesuffix(".QueueName")
        for alarm in alarms
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    }
    keepers = {
        queues["NoticeQueue"]["RedrivePolicy"]["deadLetterTargetArn"],
        queues["WaitQueue"]["RedrivePolicy"]["deadLetterTargetArn"],
        only(stack, "AWS::Lambda::EventInvokeConfig")["DestinationConfig"]["OnFailure"][
            "Destination"
        ],
        *(
            subscription["RedrivePolicy"]["deadLetterTargetArn"]
            for _, subscription in stack.resources("AWS::SNS::Subscription")
        ),
    }

    # One queue, since each alarm costs money while nothing happens.
    assert keepers == watched == {stack.physical_ids["DeadLetterQueue"]}
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    for name in ("NoticeQueue", "WaitQueue"):
        assert queues[name]["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_defect_19_what_matters_is_alarmed(stack: DeployedStack) -> None:
    # A drain that meets its deadline, or a drainer that sees nothing, must reach a person. What the
    # first two of the program's stand for is in tests/unit/test_attention.py.
    metrics = [
        (alarm["Namespace"], alarm["MetricName"])
        for _, alarm in stack.resources("AWS::CloudWatch::Alarm")
    ]

    assert metrics == [
        ("AWS/Lambda", "Invocations"),
        ("AWS/Lambda", "Errors"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("Drainer", "Attention"),
        ("Drainer", "Impaired"),
    ]


def test_defect_19_alarms_watch_metrics_that_the_program_emits(stack: DeployedStack) -> None:
    # An alarm on a misspelt metric is silent for ever.
    emitted = inspect.getsource(telemetry)
    variables = only(stack, "AWS::Lambda::Function")["Environment"]["Variables"]
    ours = [
        alarm
        for _, alarm in stack.resources("AWS::CloudWatch::Alarm")
        if alarm["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    ]

    assert {alarm["MetricName"] for alarm in ours} == {"Attention", "Impaired"}
    for alarm in ours:
        service = {"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}
        assert f'"{alarm["MetricName"]}"' in emitted
        assert [service] == alarm["Dimensions"]


def test_defect_19_alarms_notify_only_the_topic_that_is_given(render: Render) -> None:
    # An empty ARN as action makes CloudFormation refuse the whole stack.
    topic = "arn:aws:sns:eu-west-1:111122223333:operators"

    for _, alarm in some(render("drainer.yaml").resources("AWS::CloudWatch::Alarm")):
        assert "AlarmActions" not in alarm
    told = render("drainer.yaml", AlarmTopicArn=topic)
    for _, alarm in some(told.resources("AWS::CloudWatch::Alarm")):
        assert [topic] == alarm["AlarmActions"]


def test_everything_at_rest_is_encrypted_or_can_be(render: Render) -> None:
    # An AWS-managed key on the topic would shut Auto Scaling out, so that it takes none or yours.
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    stack = render("drainer.yaml")

    assert all(queue["SqsManagedSseEnabled"] for _, queue in stack.resources("AWS::SQS::Queue"))
    assert "KmsMasterKeyId" not in only(stack, "AWS::SNS::Topic")
    encrypted = only(render("drainer.yaml", TopicKmsKeyArn=key), "AWS::SNS::Topic")
    assert key == encrypted["KmsMasterKeyId"]


def test_event_bridge_notifications_are_served_on_demand_and_only_for_our_hook(
    render: Render,
) -> None:
    # Every hook of the account sends these events; a foreign one must not be answered by us.
    stack = render("drainer.yaml", ServeEventBridgeNotices="true", HookName="mine")
    rule = dict(stack.resources("AWS::Events::Rule"))["EventBridgeNotices"]

    assert rule["EventPattern"]["detail"] == {"LifecycleHookName": ["mine"]}
    assert rule["Targets"][0]["DeadLetterConfig"]
    assert "EventBridgeNotices" not in dict(render("drainer.yaml").resources("AWS::Events::Rule"))


def test_the_sweep_sends_what_the_function_takes_for_a_sweep(render: Render) -> None:
    # A schedule that says something else is refused every few minutes, and nothing is swept.
    rule = dict(render("drainer.yaml", SweepIntervalMinutes="4").resources("AWS::Events::Rule"))
    target = rule["Sweep"]["Targets"][0]
    [received] = events.receive(json.loads(target["Input"]), now=datetime.now(UTC))

    assert received.content == Sweep()
    assert rule["Sweep"]["ScheduleExpression"] == "rate(4 minutes)"


def test_the_fast_path_takes_its_own_queue_and_never_stands_before_a_notification(
    stack: DeployedStack,
) -> None:
    # ECS tells of every change of every container instance, several times an hour for each.
    rules = dict(stack.resources("AWS::Events::Rule"))

    assert rules["FastPath"]["EventPattern"] == {
        "source": ["aws.ecs"],
        "detail-type": [wake_ups.DETAIL_TYPE],
        "detail": {"status": ["DRAINING"]},
    }
    assert rules["StoppedTasks"]["EventPattern"] == {
        "source": ["aws.ecs"],
        "detail-type": [task_events.DETAIL_TYPE],
        "detail": {"lastStatus": ["STOPPED"], task_events.KEY: [{"exists": True}]},
    }
    for name in ("FastPath", "StoppedTasks"):
        targets = [target["Arn"] for target in rules[name]["Targets"]]
        assert targets == [stack.physical_ids["WakeUpQueue"]]


def test_a_wake_up_does_not_wait_for_others_and_a_burst_takes_two_invocations_at_once(
    stack: DeployedStack,
) -> None:
    # A deployment of thousands of tasks would take the concurrency that drains need.
    mapping = dict(stack.resources("AWS::Lambda::EventSourceMapping"))["WakeUpEventSourceMapping"]

    assert mapping["EventSourceArn"] == stack.physical_ids["WakeUpQueue"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (10, 0)
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_the_fast_path_can_be_switched_off(render: Render) -> None:
    # Each task that stops in the account is an event, which an account may not want to pay for.
    stack = render("drainer.yaml", UseFastPath="false")

    for kind, name in (
        ("AWS::Events::Rule", "FastPath"),
        ("AWS::Events::Rule", "StoppedTasks"),
        ("AWS::SQS::Queue", "WakeUpQueue"),
        ("AWS::SQS::Queue", "QuietQueue"),
        ("AWS::SNS::Subscription", "QuietSubscription"),
        ("AWS::Lambda::EventSourceMapping", "QuietEventSourceMapping"),
        ("AWS::Lambda::EventSourceMapping", "WakeUpEventSourceMapping"),
    ):
        assert name not in dict(stack.resources(kind))
    # Without the queue of quiet drains every envelope takes the other one.
    subscriptions = dict(stack.resources("AWS::SNS::Subscription"))
    assert subscriptions["EnvelopeSubscription"]["FilterPolicy"] == {"drainer": ["re-invocation"]}
    variables = only(stack, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert variables["DRAINER_USE_FAST_PATH"] == "false"


def test_quiet_drains_wait_as_long_as_the_program_thinks(stack: DeployedStack) -> None:
    # Waiting longer, their records would count as silent, and two chains would go on.
    queue = dict(stack.resources("AWS::SQS::Queue"))["QuietQueue"]

    assert queue["DelaySeconds"] == QUIET_SECONDS
    silent = silent_after(QUIET_SECONDS).total_seconds()
    function = only(stack, "AWS::Lambda::Function")
    assert silent <= queue["VisibilityTimeout"] - function["Timeout"]
    assert sources(stack)["QuietQueue"]["BatchSize"] == DESCRIBE_MAX


def test_the_log_is_json_kept_for_a_while_and_passes_are_not_traced(
    stack: DeployedStack,
) -> None:
    # A log group that Lambda makes by itself never expires.
    function = only(stack, "AWS::Lambda::Function")

    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert stack.physical_ids["LogGroup"] == function["LoggingConfig"]["LogGroup"]
    assert only(stack, "AWS::Logs::LogGroup")["RetentionInDays"] == "30"
    # Traces were half of what a drain of two hours cost.
    assert function["TracingConfig"]["Mode"] == "PassThrough"


def test_passes_are_traced_where_somebody_asks_for_it(render: Render) -> None:
    traced = render("drainer.yaml", Tracing="Active")

    assert only(traced, "AWS::Lambda::Function")["TracingConfig"]["Mode"] == "Active"
