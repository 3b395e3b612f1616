from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from rich.console import Console
from typer.testing import CliRunner

from drainer.cli.account.options import Options
from drainer.cli.app import app
from drainer.cli.dead_letters import DEAD_LETTERS, OUTPUTS, Fate
from drainer.cli.redrive import Redrive, show
from drainer.custom_resource import re_invocation
from drainer.custom_resource.re_invocation import Continuation
from drainer.drain import envelope
from drainer.drain.model import Drain, LifecycleAction
from drainer.simulation.template import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.cli.dead_letters import Result

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REGION = "us-east-1"
TEMPLATE = Path(__file__).parents[2] / "infra" / "drainer.yaml"
EVENTS = Path(__file__).parents[1] / "events"
NOTIFICATION_QUEUE, WAIT_QUEUE, FUNCTION = OUTPUTS[1:]
QUEUES = [name for name in OUTPUTS if name != FUNCTION]
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:123456789012:function:drainer"

SNS_NOTIFICATION = json.loads((EVENTS / "sns_terminating.json").read_text())["Records"][0]["Sns"]
NOTIFICATION = SNS_NOTIFICATION["Message"]
WAKE_UP = (EVENTS / "eventbridge_container_instance_draining.json").read_text()
STOPPED_TASK = json.dumps(
    {
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "detail": {
            "lastStatus": "STOPPED",
            "containerInstanceArn": f"arn:aws:ecs:{REGION}:123456789012:container-instance/a/b",
        },
    }
)
EVENT = json.loads((EVENTS / "eventbridge_terminating.json").read_text())
ACTION = LifecycleAction("example-asg", "dev-drain", "i-05629ab7d9287e205", "t-1")
REQUEST_ENVELOPE = re_invocation.encode(Continuation("stack|request", 3))
ENVELOPE = envelope.encode(Drain(ACTION, started_at=NOW, last_heartbeat_at=NOW, hop=3))


URL = (
    "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/answer"
    "?X-Amz-Signature=secret"
)
REQUEST = json.dumps(
    {
        "RequestType": "Delete",
        "ResponseURL": URL,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Drain",
        "PhysicalResourceId": "sfr-1",
        "ResourceProperties": {"Cluster": "payments", "SpotFleet": "sfr-1"},
    }
)


def by_sns(message: str) -> str:
    """What SNS puts into a queue, also into its dead-letter queue."""
    return json.dumps({**SNS_NOTIFICATION, "Type": "Notification", "Message": message})


def failed(payload: Any) -> str:
    """Lambda's record of an asynchronous invocation that has failed permanently."""
    context = {"requestId": "r", "functionArn": FUNCTION_ARN, "condition": "RetriesExhausted"}
    return json.dumps({"version": "1.0", "requestContext": context, "requestPayload": payload})


@dataclass
class Functions:
    """Lambda, which takes an event or refuses it."""

    invoked: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        assert parameters["FunctionName"] == FUNCTION_ARN
        assert parameters["InvocationType"] == "Event"
        self.invoked.append(json.loads(parameters["Payload"]))
        return {"StatusCode": 202}


@dataclass
class CloudFormation:
    """The stacks of an account, by their outputs."""

    stacks: dict[str, dict[str, str]]

    def describe_stacks(self, **parameters: str) -> dict[str, Any]:
        name = parameters["StackName"]
        if name not in self.stacks:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")
        outputs = self.stacks[name].items()
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs]}]}


class Refusing:
    """A client that refuses one operation."""

    def __init__(self, client: Any, operation: str) -> None:
        self._client = client
        self._operation = operation

    def __getattr__(self, name: str) -> Any:
        if name != self._operation:
            return getattr(self._client, name)

        def refuse(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)

        return refuse


@dataclass
class Stack:
    """The stack's queues in moto, with what is in them."""

    sqs: Any
    outputs: dict[str, str]
    functions: Functions = field(default_factory=Functions)

    def put(self, body: str) -> str:
        sent = self.sqs.send_message(QueueUrl=self.outputs[DEAD_LETTERS], MessageBody=body)
        return str(sent["MessageId"])

    def run(
        self, *, dry_run: bool = False, sqs: Any = None, messages_max: int = 100
    ) -> list[Result]:
        client = sqs or self.sqs
        run = Redrive(client, self.functions, self.outputs, NOW, dry_run=dry_run, wait_seconds=0)
        told: list[Result] = []
        results = run.run(messages_max, told.append)
        assert told == results
        return results

    def bodies(self, queue: str) -> list[str]:
        """What could be received now, without taking it away."""
        answer = self.sqs.receive_message(
            QueueUrl=self.outputs[queue], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [one["Body"] for one in answer.get("Messages", [])]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        sqs = boto3.client("sqs")
        outputs = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
        yield Stack(sqs, {**outputs, FUNCTION: FUNCTION_ARN})


@pytest.mark.parametrize(
    ("body", "to"),
    [
        pytest.param(by_sns(NOTIFICATION), NOTIFICATION_QUEUE, id="a notification"),
        pytest.param(NOTIFICATION, NOTIFICATION_QUEUE, id="a notification as it is"),
        pytest.param(by_sns(ENVELOPE), WAIT_QUEUE, id="an envelope"),
        pytest.param(ENVELOPE, WAIT_QUEUE, id="an envelope as it is"),
        pytest.param(REQUEST_ENVELOPE, WAIT_QUEUE, id="an envelope of a request"),
        pytest.param(REQUEST, NOTIFICATION_QUEUE, id="a request of CloudFormation"),
        pytest.param(by_sns(REQUEST), NOTIFICATION_QUEUE, id="a request by SNS"),
    ],
)
def test_a_dead_letter_goes_back_to_the_queue_that_it_belongs_to(
    stack: Stack, body: str, to: str
) -> None:
    # A notification in the wait queue is late; an envelope in the other one is re-invoked without a
    # delay. All of them come from one dead-letter queue.
    stack.put(body)

    [result] = stack.run()

    assert (result.fate, result.to) == (Fate.MOVED, to)
    assert stack.bodies(to) == [body]
    assert stack.bodies(DEAD_LETTERS) == []


@pytest.mark.parametrize(
    ("body", "event"),
    [
        pytest.param(failed(EVENT), EVENT, id="Lambda's record"),
        pytest.param(json.dumps(EVENT), EVENT, id="EventBridge's event"),
        # With the function's ARN as its service token CloudFormation uses no queue.
        pytest.param(failed(json.loads(REQUEST)), json.loads(REQUEST), id="a request in a record"),
    ],
)
def test_an_event_that_failed_is_handed_to_the_function_again(
    stack: Stack, body: str, event: Any
) -> None:
    stack.put(body)

    [result] = stack.run()

    assert (result.fate, result.to) == (Fate.MOVED, FUNCTION)
    assert stack.functions.invoked == [event]
    assert stack.bodies(DEAD_LETTERS) == []


@pytest.mark.parametrize(
    "body", [failed({"drainer": "sweep"}), '{"drainer": "sweep"}', WAKE_UP, STOPPED_TASK]
)
def test_a_sweep_or_a_wake_up_that_failed_is_dropped(stack: Stack, body: str) -> None:
    # Others have come since, and have seen the same and more. A rule that may not send leaves
    # thousands of events here.
    stack.put(body)

    [result] = stack.run()

    assert result.fate == Fate.DROPPED
    assert stack.functions.invoked == []
    assert stack.bodies(DEAD_LETTERS) == []


@pytest.mark.parametrize(
    "body", ["{nope", "[]", '{"hello": "world"}', by_sns("{nope"), failed(None), "[" * 5000]
)
def test_what_cannot_be_understood_stays_where_it_is_and_is_named(stack: Stack, body: str) -> None:
    # What is deleted here is gone permanently, and nobody has looked at it.
    message_id = stack.put(body)
    stack.put(ENVELOPE)

    results = stack.run()

    kept = [one for one in results if one.fate == Fate.KEPT]
    assert [one.message_id for one in kept] == [message_id]
    assert kept[0].what
    assert stack.bodies(DEAD_LETTERS) == [body]
    assert stack.bodies(WAIT_QUEUE) == [ENVELOPE]


def test_nothing_is_deleted_that_could_not_be_sent(stack: Stack) -> None:
    # A message that is neither here nor there is a drain that nobody sees through.
    for _ in range(3):
        stack.put(NOTIFICATION)
    stack.put(failed(EVENT))
    stack.functions.error = ClientError({"Error": {"Code": "TooManyRequests"}}, "Invoke")

    results = stack.run(sqs=Refusing(stack.sqs, "send_message"))

    assert [one.fate for one in results] == [Fate.FAILED] * 4
    assert any("Not sent: notification of i-05629ab7d9287e205" in one.what for one in results)
    assert sorted(stack.bodies(DEAD_LETTERS)) == sorted([NOTIFICATION] * 3 + [failed(EVENT)])


def test_what_one_target_refuses_does_not_keep_the_messages_of_the_others(stack: Stack) -> None:
    # All lie in one queue: a function that cannot be invoked would keep every notification in it.
    stack.put(failed(EVENT))
    stack.put(NOTIFICATION)
    stack.functions.error = ClientError({"Error": {"Code": "TooManyRequests"}}, "Invoke")

    results = stack.run()

    assert sorted(one.fate for one in results) == [Fate.FAILED, Fate.MOVED]
    assert stack.bodies(NOTIFICATION_QUEUE) == [NOTIFICATION]
    assert stack.bodies(DEAD_LETTERS) == [failed(EVENT)]


class Impatient:
    """A queue that shows its messages again at once, as SQS does when their time is over."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    def receive_message(self, **given: Any) -> Any:
        return self._sqs.receive_message(**{**given, "VisibilityTimeout": 0})


def test_a_dry_run_ends_where_messages_come_again_and_counts_none_twice(stack: Stack) -> None:
    # Of a full queue 100,000 messages were shown that were a few thousand.
    for _ in range(2):
        stack.put(NOTIFICATION)

    *shown, last = stack.run(dry_run=True, sqs=Impatient(stack.sqs))

    ids = [one.message_id for one in shown]
    assert ids
    assert len(ids) == len(set(ids))
    assert last.fate == Fate.FAILED
    assert "come again" in last.what


def test_a_message_that_cannot_be_deleted_is_said_to_come_again(stack: Stack) -> None:
    # One is sent twice at most, and not all of them.
    for _ in range(2):
        stack.put(NOTIFICATION)

    [result] = stack.run(sqs=Refusing(stack.sqs, "delete_message"))

    assert result.fate == Fate.SENT
    assert "sent again by the next run" in result.what
    assert stack.bodies(NOTIFICATION_QUEUE) == [NOTIFICATION]
    assert stack.bodies(DEAD_LETTERS) == [NOTIFICATION] * 2


def test_a_queue_that_cannot_be_read_is_said_once(stack: Stack) -> None:
    results = stack.run(sqs=Refusing(stack.sqs, "receive_message"))

    assert [one.fate for one in results] == [Fate.FAILED]


def test_a_dry_run_changes_nothing(stack: Stack) -> None:
    stack.put(NOTIFICATION)
    stack.put(failed(EVENT))

    results = stack.run(dry_run=True)

    assert {(one.fate, one.to) for one in results} == {
        (Fate.MOVED, NOTIFICATION_QUEUE),
        (Fate.MOVED, FUNCTION),
    }
    assert sorted(stack.bodies(DEAD_LETTERS)) == sorted([NOTIFICATION, failed(EVENT)])
    assert stack.bodies(NOTIFICATION_QUEUE) == stack.functions.invoked == []


def test_no_more_messages_are_put_back_than_were_asked_for(stack: Stack) -> None:
    # A thousand notifications at once are a crowd that the account's quotas feel.
    for _ in range(4):
        stack.put(NOTIFICATION)
        stack.put(ENVELOPE)

    assert len(stack.run(messages_max=6)) == 6
    assert len(stack.bodies(DEAD_LETTERS)) == 2


def test_the_outputs_are_those_of_the_shipped_template() -> None:
    assert set(OUTPUTS) <= set(read_template(TEMPLATE)["Outputs"])


# -- the command


def redrive(
    stack: Stack, name: str = "drainer", *, as_json: bool = False, messages_max: int = 10
) -> int:
    clients = {
        "cloudformation": CloudFormation({"drainer": stack.outputs, "another": {}}),
        "sqs": stack.sqs,
        "lambda": stack.functions,
    }
    return show(
        Options(stack=name, as_json=as_json),
        messages_max,
        console=Console(width=200),
        client=clients.__getitem__,
        wait_seconds=0,
    )


def test_the_command_shows_what_it_has_moved_and_what_stays(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.put(NOTIFICATION)
    stack.put(by_sns(NOTIFICATION))
    message_id = stack.put("{nope")

    code, shown = redrive(stack), capsys.readouterr().out

    assert code == 1
    assert message_id in shown
    assert "Not JSON" in shown
    assert len(stack.bodies(NOTIFICATION_QUEUE)) == 2


def test_the_command_tells_programs_of_each_message_without_its_token(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    message_id = stack.put(ENVELOPE)

    code, lines = redrive(stack, as_json=True), capsys.readouterr().out.splitlines()

    assert code == 0
    assert [json.loads(line) for line in lines] == [
        {
            "message_id": message_id,
            "fate": "moved",
            "to": "WaitQueue",
            "what": "envelope of i-05629ab7d9287e205",
        }
    ]


@pytest.mark.parametrize(
    ("body", "what"),
    [(REQUEST, "Delete of Drain"), (REQUEST_ENVELOPE, "envelope of stack|request")],
)
def test_the_command_tells_of_a_request_without_its_url(
    stack: Stack, capsys: pytest.CaptureFixture[str], body: str, what: str
) -> None:
    # Whoever reads the terminal could answer CloudFormation in our name.
    stack.put(body)

    redrive(stack, as_json=True)
    shown = capsys.readouterr().out

    assert json.loads(shown)["what"] == what
    assert "Signature" not in shown


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nobodys", "stack 'nobodys' was not found"), ("another", "has no output")],
)
def test_a_stack_that_is_not_the_drainers_is_told_so(
    stack: Stack, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    stack.put(NOTIFICATION)

    assert redrive(stack, name) == 2
    assert sentence in capsys.readouterr().err
    assert stack.bodies(DEAD_LETTERS) == [NOTIFICATION]


@pytest.mark.parametrize("arguments", [["--max", "0"], ["--everything"], ["drainer"]])
def test_what_is_asked_wrongly_is_told_so(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["redrive", *arguments])

    assert done.exit_code == 2
    assert done.stderr


def test_without_a_region_there_is_a_sentence_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)

    done = CliRunner().invoke(app, ["redrive"])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no AWS Region is set")


class NoStack(BaseHTTPRequestHandler):
    """CloudFormation without a stack; it keeps for which Region each call was signed."""

    regions: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.regions.append(self.headers["Authorization"].split("/")[2])
        body = b"<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>"
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print no line for each call."""


def test_the_region_is_found_as_by_all_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    # AWS_REGION was not read: messages of another Region's stack of that name were sent again.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with HTTPServer(("127.0.0.1", 0), NoStack) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        codes = [
            CliRunner().invoke(app, ["redrive", *words]).exit_code
            for words in ([], ["--region", "eu-north-1"])
        ]
        server.shutdown()

    assert (codes, NoStack.regions) == ([2, 2], ["eu-west-1", "eu-north-1"])


def test_programs_are_told_that_there_may_be_more(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    # The screen said it, and a script took a hundred of a thousand messages for all.
    stack.put(NOTIFICATION)
    stack.put(NOTIFICATION)

    redrive(stack, as_json=True, messages_max=1)

    assert "there may be more, raise --max" in capsys.readouterr().err


def test_one_receipt_handle_that_is_refused_hides_no_other_message(stack: Stack) -> None:
    # A long dry run hid every message for 15 minutes, and the alarm with them.
    for _ in range(3):
        stack.put(NOTIFICATION)
    refused: list[str] = []

    class OnceRefusing(Refusing):
        def __getattr__(self, name: str) -> Any:
            if name == "change_message_visibility" and not refused:
                refused.append(name)
                error = {"Code": "ReceiptHandleIsInvalid", "Message": "expired"}
                return lambda **_: (_ for _ in ()).throw(ClientError({"Error": error}, name))
            return getattr(self._client, name)

    stack.run(dry_run=True, sqs=OnceRefusing(stack.sqs, ""))

    assert len(stack.bodies(DEAD_LETTERS)) == 2


def test_the_help_has_examples() -> None:
    done = CliRunner().invoke(app, ["redrive", "--help"])

    assert done.exit_code == 0
    assert "redrive --dry-run" in done.stdout
