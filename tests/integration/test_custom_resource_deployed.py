"""
Custom::ECSDrain on the embedded account: the shipped templates and zip, and CloudFormation itself.

ministack's CloudFormation invokes the function and orders what is replaced and deleted. It knows
no Spot Fleets: for the example's there stands in a custom resource of our own, whose fleets the
simulation's EC2 has; and for a topic as service token there stands in a message to it.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.embedded.account import IMAGE_PARAMETER, EmbeddedAccount
from drainer.simulation.embedded.fleet import FLEET_STACK, FLEET_TYPE, fleet_stage
from drainer.simulation.embedded.fleet_watch import FleetSnapshot, FleetWatch
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.scenario.client_requests import Mix
from drainer.simulation.services.ecs.definitions import NEVER_STOPS
from drainer.simulation.template import DeployedStack, read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.simulation.embedded.fleet import FleetStage

INFRA = Path(__file__).resolve().parents[2] / "infra"
# While the function is at work, time passes as it does here; in between, as fast as leaves SNS and
# SQS the milliseconds that they take.
FACTOR = 60.0
# Longer than any request, so that whoever waits for it cuts none.
PARAMETERS = {"DeregistrationDelaySeconds": "60"}
MIX = Mix(every_seconds=0.5, lasting_seconds=3.0, long_every=10, long_seconds=40.0)
# Bounds a test that hangs, and nothing else; no test asserts real time.
REAL_SECONDS_MAX = 300.0


@dataclass(frozen=True)
class Story:
    """
    The example's stack created, updated with another image and deleted, as each came to its end.
    """

    physical_ids: dict[str, str]
    created: FleetSnapshot
    updated: FleetSnapshot
    deleted: FleetSnapshot
    records: list[dict[str, Any]]


def deploy(embedded: EmbeddedAccount, embedded_zip: Path, **parameters: str) -> FleetStage:
    return fleet_stage(
        embedded,
        infra=INFRA,
        zip_file=embedded_zip,
        parameters={**PARAMETERS, **parameters},
        physics=Physics(),
        mix=MIX,
    )


def until(stage: FleetStage, status: str, *, answers: int) -> FleetSnapshot:
    """
    Follow the stack to a status, and return what there is to see then.

    The function says that it has answered a moment after it has.
    """
    watch = FleetWatch(stage)
    deadline = time.monotonic() + REAL_SECONDS_MAX
    snapshot = watch.look()
    while snapshot.stack_status != status or len(snapshot.answered) < answers:
        assert "FAILED" not in snapshot.stack_status, snapshot.events
        assert time.monotonic() < deadline, (snapshot, stage.embedded.log_tail())
        time.sleep(0.25)
        snapshot = watch.look()
    assert stage.embedded.failures == []
    return snapshot


def run_job(stage: FleetStage, fleet_id: str, seconds: float | None) -> None:
    """
    Run a task that no service looks after on an instance of the fleet, once it is there.
    """
    deadline = time.monotonic() + REAL_SECONDS_MAX
    while time.monotonic() < deadline:
        with stage.embedded.catching_up() as account:
            instance = account.fleets.fleets[fleet_id].ec2_instance_ids[0]
            if account.ecs.container_instance(instance) is not None:
                profile = NEVER_STOPS if seconds is None else None
                account.ecs.run_standalone(
                    stage.cluster, instance, seconds=seconds, profile=profile
                )
                return
        time.sleep(0.25)
    raise AssertionError("no instance came up")


def records_of(stage: FleetStage) -> list[dict[str, Any]]:
    """
    Return what the function has written into its table.
    """
    table = stage.drainer.physical_ids["Records"]
    items: list[dict[str, Any]] = stage.embedded.client("dynamodb").scan(TableName=table)["Items"]
    return items


@pytest.fixture(scope="module")
def story(embedded_zip: Path) -> Story:
    with EmbeddedAccount(factor=FACTOR) as embedded:
        stage = deploy(embedded, embedded_zip)
        created = until(stage, "CREATE_COMPLETE", answers=1)
        physical_ids = dict(stage.example.physical_ids)
        # ECS itself moves no such task, and waits for none.
        run_job(stage, created.fleets[0].fleet_id, 300.0)
        stage.change_image()
        updated = until(stage, "UPDATE_COMPLETE", answers=3)
        run_job(stage, updated.fleets[1].fleet_id, 150.0)
        stage.delete()
        deleted = until(stage, "DELETE_COMPLETE", answers=4)
        records = records_of(stage)
    return Story(physical_ids, created, updated, deleted, records)


def test_a_stack_that_is_created_guards_its_fleet(story: Story) -> None:
    # What is known by another id than the fleet's is not replaced when the fleet is.
    (fleet,) = story.created.fleets

    assert story.physical_ids["Drain"] == story.physical_ids["Fleet"] == fleet.fleet_id
    assert (fleet.state, fleet.running) == ("active", 4)


def test_another_image_takes_another_fleet_and_the_tasks_of_the_old_one_end_before_it_does(
    story: Story,
) -> None:
    # The one thing that all of it is for.
    old, new = story.updated.fleets

    assert old.left == ()
    assert old.killed == []
    assert len(old.tasks) == 5
    assert {task.last_status for task in old.tasks.values()} == {"STOPPED"}
    assert old.draining_at is not None
    assert old.last_stopped_at is not None
    assert old.cancelled_at is not None
    assert new.requested_at < old.draining_at < old.last_stopped_at < old.cancelled_at
    assert (new.state, new.running) == ("active", 4)
    assert set(new.instances.values()) == {"ACTIVE"}


def test_no_request_is_cut_while_a_fleet_takes_the_place_of_another(story: Story) -> None:
    assert story.updated.cut == ()
    assert story.updated.unserved == 0
    assert story.updated.served > 300


def test_a_stack_that_is_deleted_ends_its_tasks_before_its_fleet(story: Story) -> None:
    # CloudFormation deletes in the reverse order of creation, and waits for each.
    _, fleet = story.deleted.fleets
    ends = [name for _, name, status in story.deleted.events if status == "DELETE_COMPLETE"]
    order = ["WebService", "Drain", "Fleet", "Cluster"]

    assert fleet.left == ()
    assert fleet.killed == []
    assert fleet.last_stopped_at is not None
    assert fleet.cancelled_at is not None
    assert fleet.last_stopped_at < fleet.cancelled_at
    assert [name for name in ends if name in order] == order


def test_each_request_is_answered_once(story: Story) -> None:
    # A second answer comes to nothing, or to the next operation's grief.
    kinds = [kind for kind, _ in story.deleted.answers]
    results = {(line["request_type"], line["result"]) for line in story.deleted.answered}

    assert kinds == ["Create", "Update", "Delete", "Delete"]
    assert set(story.deleted.answers.values()) == {1}
    assert results == {(kind, "SUCCESS") for kind in kinds}


def test_the_records_say_so_and_keep_no_secret(story: Story) -> None:
    # Whoever reads the table later could else answer for the drainer.
    assert [item["end"]["S"] for item in story.records] == ["answered SUCCESS"] * 4
    assert "cfn-response" not in str(story.records)


def test_what_cannot_be_drained_in_time_is_answered_as_its_policy_says(embedded_zip: Path) -> None:
    # Without an answer the stack would wait for its hour, and then be stuck.
    with EmbeddedAccount(factor=FACTOR) as embedded:
        stage = deploy(embedded, embedded_zip, DrainTimeoutSeconds="240", OnTimeout="SUCCESS")
        run_job(stage, stage.physical_id("Fleet"), None)
        stage.change_image()
        snapshot = until(stage, "UPDATE_COMPLETE", answers=3)
    old, _ = snapshot.fleets
    answer = snapshot.answered[-1]

    assert [left.split()[0] for left in old.left] == ["standalone:job"]
    assert (answer["request_type"], answer["result"]) == ("Delete", "SUCCESS")
    assert "OnTimeout is SUCCESS" in answer["reason"]
    assert set(snapshot.answers.values()) == {1}


def test_an_update_that_is_rolled_back_drains_the_new_fleet_and_leaves_the_old_one(
    embedded_zip: Path,
) -> None:
    # The update fails at a wrong property, which has its sentence among the stack's events.
    with EmbeddedAccount(factor=FACTOR) as embedded:
        stage = deploy(embedded, embedded_zip)
        with embedded.catching_up() as account:
            # There when the update fails, as they are where something takes its time to fail.
            account.fleets.boot_seconds = 0.0
        template = json.loads(json.dumps(stage.example.template))
        wrong = json.loads(json.dumps(template["Resources"]["Drain"]))
        wrong["Properties"]["Cluster"] = "nowhere"
        template["Resources"]["Wrong"] = {**wrong, "DependsOn": "WebService"}
        stage.deployment.update_stack(FLEET_STACK, template, stage.next_parameters)
        snapshot = until(stage, "UPDATE_ROLLBACK_COMPLETE", answers=4)
        reasons = [event.get("ResourceStatusReason", "") for event in stage.events]
        guarded = stage.physical_id("Drain")
    old, new = snapshot.fleets

    assert any("Cluster 'nowhere' was not found" in reason for reason in reasons)
    assert [(line["request_type"], line["result"]) for line in snapshot.answered] == [
        ("Create", "SUCCESS"),
        ("Update", "SUCCESS"),
        ("Create", "FAILED"),
        ("Delete", "SUCCESS"),
    ]
    assert (old.state, old.running) == ("active", 4)
    assert set(old.instances.values()) == {"ACTIVE"}
    assert new.left == ()
    assert new.draining_at is not None
    assert new.cancelled_at is not None
    assert new.draining_at < new.cancelled_at
    assert guarded == old.fleet_id
    assert set(snapshot.answers.values()) == {1}


# -- by a message to the topic


@dataclass
class Bucket:
    """
    Where answers arrive, as a context manager; the first ones are turned away.
    """

    statuses: list[int]
    puts: list[tuple[str, str | None, bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bucket.puts.append((self.path, self.headers["Content-Type"], body))
                self.send_response(bucket.statuses[len(bucket.puts) - 1])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/answer?signature={SECRET}"


SECRET = "0123456789abcdef"
# A stack that CloudFormation is at work on, for as long as it is asked.
AT_WORK = {
    "Resources": {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Signal": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "43200"},
        },
    }
}


@dataclass
class Direct:
    """
    The drainer, a fleet, and a queue that hears all that goes over the topic.
    """

    embedded: EmbeddedAccount
    drainer: DeployedStack
    stack_id: str
    fleet_id: str
    spy_url: str

    @property
    def topic_arn(self) -> str:
        return self.drainer.outputs["TopicArn"]

    def request(self, url: str, request_id: str, **changed: str) -> dict[str, Any]:
        """
        Return a Delete as CloudFormation would publish it.
        """
        return {
            "RequestType": "Delete",
            "ServiceToken": self.topic_arn,
            "ResponseURL": url,
            "StackId": self.stack_id,
            "RequestId": request_id,
            "LogicalResourceId": "Drain",
            "PhysicalResourceId": self.fleet_id,
            "ResourceType": "Custom::ECSDrain",
            "ResourceProperties": {
                "ServiceToken": self.topic_arn,
                "Cluster": "shop",
                "SpotFleet": self.fleet_id,
                "DrainTimeoutSeconds": "3000",
            },
            **changed,
        }

    def publish(self, request: dict[str, Any]) -> None:
        self.embedded.client("sns").publish(
            TopicArn=self.topic_arn,
            Subject="AWS CloudFormation custom resource request",
            Message=json.dumps(request),
        )

    def log(self) -> str:
        """
        Return all that the function has logged.
        """
        pages = self.embedded.client("logs").get_paginator("filter_log_events")
        group = self.drainer.outputs["LogGroupName"]
        return "\n".join(
            event["message"]
            for page in pages.paginate(logGroupName=group)
            for event in page["events"]
        )

    def overheard(self) -> list[str]:
        """
        Return what went over the topic since the last time.
        """
        sqs, texts = self.embedded.client("sqs"), []
        for _ in range(50):
            answer = sqs.receive_message(QueueUrl=self.spy_url, MaxNumberOfMessages=10)
            if not answer.get("Messages"):
                break
            for message in answer["Messages"]:
                texts.append(json.loads(message["Body"])["Message"])
                sqs.delete_message(QueueUrl=self.spy_url, ReceiptHandle=message["ReceiptHandle"])
        return texts

    def wait_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + REAL_SECONDS_MAX
        while not done():
            assert time.monotonic() < deadline, self.embedded.log_tail()
            time.sleep(0.25)


@pytest.fixture(scope="module")
def direct(embedded_zip: Path) -> Iterator[Direct]:
    with EmbeddedAccount(factor=FACTOR) as embedded:
        deployment = embedded.deployment()
        deployment.upload(embedded_zip)
        template = read_template(INFRA / "drainer.yaml")
        # ministack knows no topic as service token, so that no stack has a row that could confirm
        # what is published here. That rows are asked for, the stories above show.
        environment = template["Resources"]["Function"]["Properties"]["Environment"]
        environment["Variables"]["DRAINER_VERIFY_STACKS"] = "false"
        drainer = deployment.create_stack("drainer", template, {})
        sqs, topic_arn = embedded.client("sqs"), drainer.outputs["TopicArn"]
        spy_url = sqs.create_queue(QueueName="spy")["QueueUrl"]
        spy = sqs.get_queue_attributes(QueueUrl=spy_url, AttributeNames=["QueueArn"])
        embedded.client("sns").subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=spy["Attributes"]["QueueArn"]
        )
        stack = embedded.client("cloudformation").create_stack(
            StackName="shop", TemplateBody=json.dumps(AT_WORK)
        )
        with embedded.catching_up() as account:
            fleet = account.fleets.create("shop", 2, already_running=True)
            account.ecs.create_service("shop", "web", desired=4, deregistration_delay_seconds=20)
            account.ecs.register("shop", "i-0aaaaaaaaaaaaaaaa")
        yield Direct(embedded, drainer, stack["StackId"], fleet.fleet_id, spy_url)
        assert embedded.failures == []


def test_the_emulator_refuses_the_example_for_the_one_type_that_is_stood_in_for(
    direct: Direct,
) -> None:
    # The day it learns the type, the example is to be deployed as it is.
    whole = read_template(INFRA / "examples" / "spot-fleet.yaml")
    parameters = {"DrainerServiceToken": direct.topic_arn, "ImageId": IMAGE_PARAMETER}

    with pytest.raises(ClientError, match=rf"Unrecognized resource types: \[{FLEET_TYPE}\]"):
        direct.embedded.client("cloudformation").create_stack(
            StackName="whole",
            TemplateBody=json.dumps(whole),
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )


def test_a_request_that_comes_by_the_topic_is_answered_once_and_its_url_told_nobody(
    direct: Direct,
) -> None:
    # Who has the URL can answer for the drainer; who is answered twice, or not at all, is stuck.
    with Bucket([503, 503, 200]) as bucket:
        request = direct.request(bucket.url, "by-topic")
        direct.publish(request)
        # SNS delivers at least once.
        direct.publish(request)
        direct.wait_until(lambda: '"answered"' in direct.log())
        with direct.embedded.catching_up() as account:
            tasks = [
                task
                for instance in account.fleets.fleets[direct.fleet_id].ec2_instance_ids
                for task in account.ecs.remaining_tasks(instance)
            ]
        direct.publish(request)
        direct.wait_until(lambda: '"over"' in direct.log())
    first, *others = [text for text in direct.overheard() if text != json.dumps(request)]
    bodies = {body for _, _, body in bucket.puts}
    (body,) = bodies

    assert tasks == []
    assert [kind for _, kind, _ in bucket.puts] == [""] * 3
    assert all(path == f"/answer?signature={SECRET}" for path, _, _ in bucket.puts)
    assert json.loads(body) == {
        "Status": "SUCCESS",
        "PhysicalResourceId": direct.fleet_id,
        "StackId": direct.stack_id,
        "RequestId": "by-topic",
        "LogicalResourceId": "Drain",
        "Reason": f"SpotFleet {direct.fleet_id}: 2 instances are drained",
    }
    assert others
    assert not any(SECRET in text for text in (first, *others, direct.log()))


def test_a_request_for_a_stack_that_nobody_works_on_is_not_believed(direct: Direct) -> None:
    # Whoever may publish to the topic could else drain what is not to be drained.
    finished = direct.drainer.pseudo["AWS::StackId"]
    functions, name = direct.embedded.client("lambda"), direct.drainer.physical_ids["Function"]
    environment = functions.get_function_configuration(FunctionName=name)["Environment"]
    environment["Variables"]["DRAINER_VERIFY_STACKS"] = "true"
    functions.update_function_configuration(FunctionName=name, Environment=environment)
    with Bucket([]) as bucket:
        direct.publish(direct.request(bucket.url, "of-nobody", StackId=finished))
        direct.wait_until(lambda: '"refused"' in direct.log())

    assert bucket.puts == []
