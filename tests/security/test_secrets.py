"""
Tokens and addresses that let somebody answer in our place stay out of logs and metrics.
"""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import handler
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.telemetry import Powertools

if TYPE_CHECKING:
    from drainer.simulation.records import Call
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SIGNATURE = "X-Amz-Signature=0123456789abcdef"
BUCKET = "cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com"
RESPONSE_URL = f"https://cloudformation-custom-resource-response.example/arn?{SIGNATURE}"


class Setting:
    """An account with the drainer in it, reporting as it does in Lambda."""

    def __init__(self) -> None:
        self.account = Aws(now=START)
        self.log = StringIO()
        logger = Logger(service=f"drainer-{uuid4()}", stream=self.log)
        metrics = Metrics(service="drainer", namespace="Drainer")
        telemetry = Powertools(logger, metrics)

        def build(environ: Any, client: Any, clock: Any, /) -> Any:
            return metrics.log_metrics(handler.build(environ, client, clock, telemetry))

        self.installed: Installation = install(
            self.account,
            build=build,
            environ={"DRAINER_CLUSTERS": "payments"},
            settings=Settings(sweep_interval_seconds=300, fast_path=True),
        )
        scaling = self.account.auto_scaling
        scaling.create_group("payments-asg", cluster="payments", desired=4)
        metadata = {"drain_timeout_seconds": 1200, "standalone_tasks": "stop"}
        scaling.put_hook(
            LifecycleHook(
                "drainer",
                "payments-asg",
                heartbeat_timeout_seconds=60,
                notification_metadata=json.dumps(metadata),
                notification_target_arn=self.installed.topic.arn,
            )
        )
        self.account.ecs.create_service("payments", "web", desired=4)

    @property
    def tokens(self) -> set[str]:
        return {action.token for action in self.account.auto_scaling.actions}


@pytest.fixture
def setting() -> Setting:
    return Setting()


CODES = ["Throttling", "AccessDeniedException", "ValidationError", "InvalidParameterException"]


def disturb(setting: Setting | Asking, odds: float) -> None:
    """Refuse calls of every kind, or break off in the middle of a pass, now and then."""

    def refuse(_call: Call) -> None:
        random = setting.account.random
        if random.random() < odds:
            raise ApiError(random.choice(CODES), "refused by the test")
        if random.random() < odds / 10:
            raise ZeroDivisionError

    setting.account.interceptors.append(refuse)


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("odds", [0.0, 0.1, 0.6], ids=["all well", "some trouble", "much trouble"])
def test_no_token_is_in_a_log_line_a_metric_or_an_attribute_and_in_its_record_once(
    setting: Setting, capsys: pytest.CaptureFixture[str], odds: float
) -> None:
    # Who reads the log could else answer the hook, and cut what is still running.
    setting.account.auto_scaling.scale_in("payments-asg", 2)
    setting.account.run_for(30)
    disturb(setting, odds)
    setting.account.run_for(3000)

    log, metrics = setting.log.getvalue(), capsys.readouterr().out
    instances = setting.account.ecs.clusters["payments"].container_instances.values()
    attributes = json.dumps([instance.attributes for instance in instances])
    items = setting.account.record_tables.tables[setting.installed.records].items
    kept = {item.get("token", {}).get("S", "") for item in items}
    beside = [{name: item[name] for name in item if name != "token"} for item in items]
    assert len(setting.tokens) >= 2
    assert '"pass"' in log
    assert kept & setting.tokens
    for token in setting.tokens:
        # Who may read the table may answer the hook; whoever is shown another field may not.
        assert token not in log + metrics + attributes + json.dumps(beside)


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_an_answer_that_comes_too_late_does_not_put_the_token_into_the_log(
    setting: Setting,
) -> None:
    # "No active Lifecycle Action found with token ..." is how Auto Scaling says so.
    setting.account.auto_scaling.scale_in("payments-asg", 1)
    [token] = setting.tokens

    def refuse(call: Call) -> None:
        if call.operation in {"RecordLifecycleActionHeartbeat", "CompleteLifecycleAction"}:
            sentence = f"No active Lifecycle Action found with token {token}"
            raise ApiError("ValidationError", sentence)

    setting.account.interceptors.append(refuse)
    setting.account.run_for(1500)

    assert '"pass"' in setting.log.getvalue()
    assert token not in setting.log.getvalue()


def broken(token: str) -> dict[str, str]:
    """Messages that hold a token or a signed address where none is looked for."""
    return {
        "cut off": f'{{"LifecycleActionToken": "{token}", "LifecycleTrans',
        "a string": json.dumps(f"token {token}"),
        "a token too long": json.dumps(
            {
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "EC2InstanceId": "i-0",
                "LifecycleActionToken": token + "x",
            }
        ),
        "an address cut off": f'{{"ResponseURL": "x?{SIGNATURE}", "Requ',
        "an address alone": f"x?{SIGNATURE}",
        "a custom resource's request": json.dumps(
            {"RequestType": "Create", "ResponseURL": RESPONSE_URL, "RequestId": token}
        ),
        **{f"a request {name}": json.dumps(one) for name, one in false_requests().items()},
        **{f"a re-invocation {name}": envelope_of(one) for name, one in false_states().items()},
    }


def false_requests() -> dict[str, dict[str, Any]]:
    """Requests of CloudFormation that are wrong in one respect, and have a signed address."""
    good = {
        "RequestType": "Delete",
        "ResponseURL": f"https://{BUCKET}/arn?{SIGNATURE}",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/shop/1",
        "RequestId": "1",
        "LogicalResourceId": "Drain",
        "PhysicalResourceId": "sfr-1",
        "ResourceProperties": {},
    }
    return {
        "of another type": {**good, "RequestType": "Read"},
        "without a stack": {**good, "StackId": ""},
        "with a long physical id": {**good, "PhysicalResourceId": "x" * 2_000},
        "that leads elsewhere": {**good, "ResponseURL": f"https://example.com/?{SIGNATURE}"},
        "that leads nowhere": {**good, "ResponseURL": f"https://[::1/?{SIGNATURE}"},
        "whose address is a list": {**good, "ResponseURL": [f"https://x/?{SIGNATURE}"]},
    }


def false_states() -> dict[str, str]:
    """Errands that we have not written, with a signed address in them."""
    address = {"response_url": f"https://{BUCKET}/arn?{SIGNATURE}"}
    return {
        "cut off": json.dumps({"request": address})[:-3],
        "without the rest": json.dumps({"request": address}),
        "with an address that is a list": json.dumps({"request": {"response_url": [SIGNATURE]}}),
        "that is an address alone": RESPONSE_URL,
    }


def envelope_of(state: str) -> str:
    body = {"drainer": "re-invocation", "version": 1, "request": "stack|1", "hop": 3}
    return json.dumps({**body, "state": state})


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("name", broken(""))
def test_no_secret_of_a_broken_message_is_quoted(setting: Setting, name: str) -> None:
    # A message that is cut off is still a message with a token in it.
    token = "465e0162-e6af-4786-b4e8-bb544ae58790"

    setting.installed.notification_queue.send(broken(token)[name])
    setting.account.run_for(1)

    log = setting.log.getvalue()
    assert '"refused"' in log
    assert token not in log
    assert SIGNATURE not in log


class Asking:
    """An account in which CloudFormation asks for the drain of a fleet."""

    def __init__(self) -> None:
        self.account = Aws(now=START)
        # What `respond` raises of a signed URL has to be without it, as production's is.
        self.account.stacks.unavailable = UnavailableError
        self.account.stacks.refused = MisconfiguredError
        self.log = StringIO()
        logger = Logger(service=f"drainer-{uuid4()}", stream=self.log)
        metrics = Metrics(service="drainer", namespace="Drainer")
        telemetry = Powertools(logger, metrics)

        def build(environ: Any, client: Any, clock: Any, /, respond: Any = None) -> Any:
            function = handler.build(environ, client, clock, telemetry, respond)
            return metrics.log_metrics(function)

        self.installed: Installation = install(
            self.account,
            build=build,
            environ={"DRAINER_CLUSTERS": "payments"},
            settings=Settings(sweep_interval_seconds=300, custom_resources=True),
        )
        self.fleet = self.account.fleets.create("payments", 3, already_running=True)
        self.account.fleets.create("payments", 3, already_running=True)
        self.account.ecs.create_service("payments", "web", desired=6)

    def ask(self, kind: Any, *, way: str, **changes: Any) -> CustomResourceRequest:
        properties = {"Cluster": "payments", "SpotFleet": self.fleet.fleet_id, **changes}
        physical_id = None if kind == "Create" else self.fleet.fleet_id
        request = self.account.stacks.request(kind, properties, physical_id=physical_id)
        if way == "topic":
            request.by_topic(self.installed.topic)
        else:
            request.by_function(self.installed.function)
        return request

    def raised(self) -> str:
        """All that Lambda would print of what the function raised."""
        errors = self.installed.function.errors
        return "".join(line for error in errors for line in traceback.format_exception(error))

    def sent(self) -> str:
        """All that was asked of AWS, but for the table, which is encrypted."""
        calls = [call for call in self.account.calls if call.service != "dynamodb"]
        return json.dumps([call.parameters for call in calls], default=str)


def secrets_of(request: CustomResourceRequest) -> list[str]:
    """What of a response URL nobody may learn: all of it, its signature and its token."""
    url: str = request.event["ResponseURL"]
    query = parse_qs(urlsplit(url).query)
    return [url, *query["X-Amz-Signature"], *query["X-Amz-Security-Token"]]


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("odds", [0.0, 0.1, 0.3], ids=["all well", "some trouble", "much trouble"])
@pytest.mark.parametrize("way", ["topic", "function"])
def test_no_response_url_is_in_a_log_line_a_metric_an_exception_or_a_message(
    capsys: pytest.CaptureFixture[str], way: str, odds: float
) -> None:
    # Who has it may tell CloudFormation that the fleet is drained, and so have it cut.
    asking = Asking()
    disturb(asking, odds)
    wanted = [
        asking.ask("Delete", way=way, DrainTimeoutSeconds="1800"),
        asking.ask("Delete", way=way),
        asking.ask("Create", way=way),
        asking.ask("Create", way=way, OnTimeout="PERHAPS"),
        asking.ask("Delete", way=way, SpotFleet="sfr-slip"),
    ]
    wanted[0].refusals = [503, 503, 503, 503]
    wanted[1].deaf = True
    wanted[2].refusals = [403]
    asking.account.run_for(4_000)

    told = asking.log.getvalue() + capsys.readouterr().out + asking.raised() + asking.sent()
    assert '"custom resource"' in told
    assert "PublishBatch" in {call.operation for call in asking.account.calls}
    assert any(request.attempts for request in wanted)
    for secret in [secret for request in wanted for secret in secrets_of(request)]:
        assert secret not in told


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_the_record_forgets_the_response_url_with_the_answer() -> None:
    # What is kept 90 days after nobody needs it any more can be read by 90 days of readers.
    asking = Asking()
    request = asking.ask("Create", way="topic")
    asking.account.run_for(10)

    [item] = asking.account.record_tables.tables[asking.installed.records].items
    assert request.answer is not None
    for secret in secrets_of(request):
        assert secret not in json.dumps(item)
