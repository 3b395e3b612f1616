"""
Requests of CloudFormation: the way in, their tables, and encryption all along.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.former_requests import RequestTable
from drainer.custom_resource import re_invocation, record
from drainer.custom_resource import request as cloudformation
from drainer.custom_resource.controller import ANSWERING_SECONDS
from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.record import PASS_SECONDS_MAX, RequestRecord
from drainer.custom_resource.request import RESPONSE_MARGIN_SECONDS, RequestType
from tests.infra.filters import wants
from tests.loops import some

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
# Those that feed the function; they have dead letters of their own.
FED = ("NoticeQueue", "WaitQueue")
STACK_ID = "arn:aws:cloudformation:eu-west-1:111122223333:stack/web/51af3dc0-da77-11e4-872e-1234"
# As CloudFormation publishes it; only Update and Delete name a physical resource.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requests.html
REQUEST = {
    "RequestType": "Delete",
    "RequestId": "afd8d7c5-9376-4013-8b3b-307517b8719e",
    "ResponseURL": "https://cloudformation-custom-resource-response-euwest1.s3.amazonaws.com/web",
    "StackId": STACK_ID,
    "ResourceType": "Custom::ECSDrain",
    "LogicalResourceId": "Drain",
    "PhysicalResourceId": "sfr-73fbd2ce-aa30-494c-8788-1cee4EXAMPLE",
    "ResourceProperties": {
        "ServiceToken": "arn:aws:sns:eu-west-1:111122223333:drainer-Topic",
        "Cluster": "payments",
        "SpotFleet": "sfr-73fbd2ce-aa30-494c-8788-1cee4EXAMPLE",
    },
}


def reached(stack: DeployedStack, message: str) -> list[str]:
    """
    Return the subscriptions that a message on the topic passes.
    """
    return [
        name
        for name, subscription in stack.resources("AWS::SNS::Subscription")
        if wants(subscription, message)
    ]


@pytest.mark.parametrize("request_type", RequestType)
def test_every_request_of_cloudformation_comes_in_once_and_at_once(
    stack: DeployedStack, request_type: RequestType
) -> None:
    # A request that no subscription takes is answered by nobody, and the stack hangs for an hour.
    subscriptions = dict(stack.resources("AWS::SNS::Subscription"))
    message = json.dumps({**REQUEST, "RequestType": request_type})

    assert reached(stack, message) == ["NoticeSubscription"]
    assert subscriptions["NoticeSubscription"]["Endpoint"] == stack.physical_ids["NoticeQueue"]


def test_the_subscription_takes_exactly_what_the_program_reads_as_a_request(
    stack: DeployedStack,
) -> None:
    # A type that the filter misspells never arrives.
    subscription = dict(stack.resources("AWS::SNS::Subscription"))["NoticeSubscription"]

    _, requests = subscription["FilterPolicy"]["$or"]
    assert requests == {"RequestType": [one.value for one in RequestType]}
    assert cloudformation.is_request(REQUEST)


def test_a_request_is_re_invoked_by_the_wait_queue_only(stack: DeployedStack) -> None:
    # Through the notification queue it would be re-invoked unpaused.
    request = cloudformation.read(REQUEST, NOON, NOON)

    message = re_invocation.encode(Continuation(request.key, 1))

    assert reached(stack, message) == ["EnvelopeSubscription"]


def test_a_queue_admits_messages_before_its_subscription_is_made(render: Render) -> None:
    # What arrives earlier goes to the dead letters.
    resources = render("drainer.yaml").template["Resources"]

    subscriptions = [one for one in resources.values() if one["Type"] == "AWS::SNS::Subscription"]
    for one in some(subscriptions):
        queue, _ = one["Properties"]["Endpoint"]["Fn::GetAtt"]
        assert one["DependsOn"] == [f"{queue}Policy", "DeadLetterQueuePolicy"]


def tables(stack: DeployedStack) -> dict[str, dict[str, Any]]:
    """
    The tables by the names that the template gives to them.
    """
    return dict(stack.resources("AWS::DynamoDB::Table"))


def test_the_record_of_a_request_has_the_keys_of_the_table(stack: DeployedStack) -> None:
    # With another key every write is refused; without the index's the sweep finds nothing.
    began = RequestRecord(
        key=record.key_of("stack|request"),
        generation=1,
        hop=1,
        pass_id="pass",
        written_at=NOON,
        began_at=NOON,
        deadline_at=NOON + timedelta(hours=1),
        progress=RequestProgress(cloudformation.read(REQUEST, NOON, NOON)),
    )
    item = record.encode(began, timedelta(days=90))
    table = tables(stack)["Records"]
    (index,) = table["GlobalSecondaryIndexes"]
    keys = {one["AttributeName"] for one in (*table["KeySchema"], *index["KeySchema"])}

    assert all(isinstance(item[name], str) and item[name] for name in keys)
    lifetime = table["TimeToLiveSpecification"]["AttributeName"]
    assert item[lifetime] == int((NOON + timedelta(hours=1, days=90)).timestamp())


class Recorder:
    """
    Takes what is asked of DynamoDB.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def batch_get_item(self, **_: Any) -> dict[str, Any]:
        return {"Responses": {}}

    def get_item(self, **parameters: Any) -> dict[str, Any]:
        self.asked = parameters
        return {}


def test_an_update_leaves_the_table_of_the_release_before_as_it_is(stack: DeployedStack) -> None:
    # With another key, or gone, it takes along the requests that are under way: nobody answers
    # them, and their stacks wait for their hour.
    table, recorder = tables(stack)["RequestsTable"], Recorder()
    former = stack.physical_ids["RequestsTable"]
    RequestTable(lambda _: recorder, "records", 90, former).read([record.key_of("stack|id")])

    assert table == {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "request", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "request", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }
    assert recorder.asked["Key"] == {"request": {"S": "stack|id"}}


def test_the_table_of_the_release_before_goes_with_its_stack(stack: DeployedStack) -> None:
    # A table that is left behind keeps secrets of stacks that are gone, and has its price.
    resource = stack.template["Resources"]["RequestsTable"]

    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Delete"
    variables = dict(stack.resources("AWS::Lambda::Function"))["Function"]["Environment"]
    assert stack.physical_ids["RequestsTable"] == variables["Variables"]["DRAINER_REQUESTS_TABLE"]


def test_a_response_url_is_encrypted_wherever_it_rests(stack: DeployedStack) -> None:
    # Whoever reads it can tell CloudFormation that a fleet is drained while its tasks run.
    queues = dict(stack.resources("AWS::SQS::Queue"))
    mappings = [one for _, one in stack.resources("AWS::Lambda::EventSourceMapping")]
    subscriptions = dict(stack.resources("AWS::SNS::Subscription"))
    (invocations,) = dict(stack.resources("AWS::Lambda::EventInvokeConfig")).values()
    on_the_way = {
        subscriptions[name]["Endpoint"] for name in ("NoticeSubscription", "EnvelopeSubscription")
    }
    kept = {
        *(one["RedrivePolicy"]["deadLetterTargetArn"] for one in subscriptions.values()),
        *(queues[name]["RedrivePolicy"]["deadLetterTargetArn"] for name in FED),
        invocations["DestinationConfig"]["OnFailure"]["Destination"],
    }

    # No request comes by the events of ECS, and none is quiet.
    others = {stack.physical_ids["WakeUpQueue"], stack.physical_ids["QuietQueue"]}
    fed = {one["EventSourceArn"] for one in mappings} - others
    assert on_the_way == fed
    for arn in on_the_way | kept:
        assert queues[arn.rpartition("-")[2]]["SqsManagedSseEnabled"] is True, arn
    # A key that AWS owns, by default: "All user data stored in Amazon DynamoDB is fully encrypted
    # at rest". https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/EncryptionAtRest.html
    # A stream, a backup or a duplicate elsewhere would be another place for it to rest.
    elsewhere = {"StreamSpecification", "KinesisStreamSpecification", "Replicas"}
    for table in tables(stack).values():
        assert "SSESpecification" not in table
        assert elsewhere.isdisjoint(table)
        recovery = table.get("PointInTimeRecoverySpecification", {})
        assert not recovery.get("PointInTimeRecoveryEnabled")


def test_stacks_are_asked_before_a_request_is_believed(stack: DeployedStack) -> None:
    # Whoever may publish here could otherwise have any fleet drained, by any stack's name.
    function = dict(stack.resources("AWS::Lambda::Function"))["Function"]

    assert function["Environment"]["Variables"]["DRAINER_VERIFY_STACKS"] == "true"


def test_the_rarest_sweep_finds_a_lost_request_before_cloudformation_gives_up(
    render: Render,
) -> None:
    # A sweep once an hour left CloudFormation without an answer whenever one message was lost.
    parameter = render("drainer.yaml").template["Parameters"]["SweepIntervalMinutes"]
    # "... your rule ... triggers anywhere within that minute":
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html
    late = 60 * (parameter["MaxValue"] + 1) + PASS_SECONDS_MAX + ANSWERING_SECONDS

    assert parameter["Default"] <= parameter["MaxValue"]
    assert late <= RESPONSE_MARGIN_SECONDS


@pytest.mark.parametrize("output", ["TopicArn", "FunctionArn"])
def test_both_ways_in_are_put_out_and_called_service_tokens(
    stack: DeployedStack, output: str
) -> None:
    # Who looks for what to write after ServiceToken looks at the outputs.
    assert "ServiceToken" in stack.template["Outputs"][output]["Description"]
