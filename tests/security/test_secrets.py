"""
Tokens and addresses that let somebody answer in our place stay out of logs, metrics and marks.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import handler
from drainer.simulation.account import Account
from drainer.simulation.installation import Settings, install
from drainer.simulation.lifecycle import LifecycleHook
from drainer.simulation.records import ApiError
from drainer.telemetry import Powertools

if TYPE_CHECKING:
    from drainer.simulation.installation import Installation
    from drainer.simulation.records import Call

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SIGNATURE = "X-Amz-Signature=0123456789abcdef"
RESPONSE_URL = f"https://cloudformation-custom-resource-response.example/arn?{SIGNATURE}"


class Setting:
    """An account with the drainer in it, reporting as it does in Lambda."""

    def __init__(self) -> None:
        self.account = Account(now=START)
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


def trouble(setting: Setting, odds: float) -> None:
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
def test_no_token_is_in_a_log_line_a_metric_or_a_mark(
    setting: Setting, capsys: pytest.CaptureFixture[str], odds: float
) -> None:
    # Who reads the log could else answer the hook, and cut what is still running.
    setting.account.auto_scaling.scale_in("payments-asg", 2)
    setting.account.run_for(30)
    trouble(setting, odds)
    setting.account.run_for(3000)

    log, metrics = setting.log.getvalue(), capsys.readouterr().out
    instances = setting.account.ecs.clusters["payments"].container_instances.values()
    marks = json.dumps([instance.attributes for instance in instances])
    puts = [call.parameters for call in setting.account.calls if call.operation == "PutAttributes"]
    assert len(setting.tokens) >= 2
    assert '"pass"' in log
    assert puts
    for token in setting.tokens:
        assert token not in log + metrics + marks + json.dumps(puts)


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
    }


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("name", broken(""))
def test_no_secret_of_a_broken_message_is_quoted(setting: Setting, name: str) -> None:
    # A message that is cut off is still a message with a token in it.
    token = "465e0162-e6af-4786-b4e8-bb544ae58790"

    setting.installed.notice_queue.send(broken(token)[name])
    setting.account.run_for(1)

    log = setting.log.getvalue()
    assert '"refused"' in log
    assert token not in log
    assert SIGNATURE not in log
