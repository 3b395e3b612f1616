"""
Real boto3 on a network that fails: what the gateways make of it, and how often boto3 asks.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from drainer.aws import auto_scaling, calls, ecs, topic
from drainer.drain.model import LifecycleAction, LifecycleActionResult
from drainer.errors import UnavailableError
from drainer.simulation.protocol.server import Server
from drainer.simulation.records import ApiError
from drainer.simulation.template import read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.simulation.records import Call
    from tests.contract.faces import SimulationFace

TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer-Topic"
INSTANCE_ID = "i-0abcdef0123456789"
ACTION = LifecycleAction(
    "payments-asg", "drainer", INSTANCE_ID, "87654321-4321-4321-4321-210987654321"
)
# One of each kind: both wire protocols, answers that are read and answers that hold nothing.
ASK: dict[str, Callable[[Callable[[str], Any]], object]] = {
    "lifecycle_states": lambda client: auto_scaling.AutoScalingGateway(
        client("autoscaling")
    ).lifecycle_states([INSTANCE_ID]),
    "record_heartbeat": lambda client: auto_scaling.AutoScalingGateway(
        client("autoscaling")
    ).record_heartbeat(ACTION),
    "complete": lambda client: auto_scaling.AutoScalingGateway(client("autoscaling")).complete(
        ACTION, LifecycleActionResult.CONTINUE
    ),
    "find": lambda client: ecs.EcsGateway(client("ecs")).find("payments", [INSTANCE_ID]),
    "publish": lambda client: topic.TopicGateway(client("sns"), TOPIC_ARN).publish(["{}"]),
}
ENDPOINTS = ("AUTO_SCALING", "ECS", "SNS")
DRAINER_TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "drainer.yaml"
ATTEMPTS = calls.CLIENT_CONFIG.retries["total_max_attempts"]
# Who waits for silence waits as short as can be; who waits for an answer as long as it takes, since
# a busy machine's answer would else be taken for silence.
HASTY, PATIENT = (
    calls.CLIENT_CONFIG.merge(
        Config(read_timeout=seconds, retries={"mode": "standard", "total_max_attempts": 1})
    )
    for seconds in (0.2, 60)
)

EachMethod = pytest.mark.parametrize("method", ASK)


@cache
def session() -> Any:
    """
    One session for all, since each reads AWS's models again.
    """
    return boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )


def client_of(url: str, config: Config = PATIENT) -> Callable[[str], Any]:
    """
    Make boto3 clients that ask one endpoint, once.
    """
    return lambda service: session().client(service, endpoint_url=url, config=config)


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """
    Listen on a free loopback port and give one connection these bytes; None accepts nobody.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                connection.recv(65_536)
                connection.sendall(answer or b"")

        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        if answer is not None:
            thread.join(60)


def http(status: str, body: bytes) -> bytes:
    """
    Write an answer as a proxy or a broken balancer might.
    """
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@EachMethod
def test_a_closed_port_is_unavailable(method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

    with pytest.raises(UnavailableError, match="EndpointConnectionError"):
        ASK[method](client_of(url))


@EachMethod
def test_silence_is_unavailable(method: str) -> None:
    with listening(None) as url, pytest.raises(UnavailableError, match="ReadTimeoutError"):
        ASK[method](client_of(url, HASTY))


@EachMethod
def test_a_connection_cut_short_is_unavailable(method: str) -> None:
    with listening(b"") as url, pytest.raises(UnavailableError, match="ConnectionClosed"):
        ASK[method](client_of(url))


@EachMethod
@pytest.mark.parametrize("status", ["502 Bad Gateway", "200 OK"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html><body>back soon</body></html>", id="HTML"),
        pytest.param(b"back soon", id="words"),
        pytest.param(b"", id="nothing"),
    ],
)
# Whatever stands between us and AWS may answer in its stead.
def test_defect_10_an_answer_that_is_not_of_aws_is_unavailable(
    method: str, status: str, body: bytes
) -> None:
    with listening(http(status, body)) as url, pytest.raises(UnavailableError):
        ASK[method](client_of(url))


@pytest.fixture
def production(
    in_process: SimulationFace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulationFace]:
    """
    An account that is served where production's own clients look for AWS; nobody sleeps there.
    """
    with Server(in_process.account) as server:
        for name in ENDPOINTS:
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
        yield in_process


def test_productions_clients_look_where_the_environment_says(production: SimulationFace) -> None:
    production.cluster("payments")
    arn = production.topic("drainer")

    assert ecs.EcsGateway(calls.clients()("ecs")).find("payments", [INSTANCE_ID]) == []
    assert auto_scaling.AutoScalingGateway(calls.clients()("autoscaling")).group_names() == []
    assert topic.TopicGateway(calls.clients()("sns"), arn).publish(["{}"]) == {}


def test_defect_28_a_few_throttles_are_boto3s_business(production: SimulationFace) -> None:
    production.cluster("payments")
    left = [None] * (ATTEMPTS - 1)

    def throttle(_: Call) -> None:
        if left:
            left.pop()
            raise ApiError("ThrottlingException", "Rate exceeded")

    production.account.interceptors.append(throttle)

    assert len(ecs.EcsGateway(calls.clients()("ecs")).clusters()) == 1
    assert [call.error for call in production.account.calls] == [
        *["ThrottlingException"] * (ATTEMPTS - 1),
        None,
    ]


# Without a bound on attempts, a throttled pass outlives its invocation, half done.
def test_defect_28_throttles_that_last_are_told_after_a_few_attempts(
    production: SimulationFace,
) -> None:
    production.refuse("ListClusters", "ThrottlingException")

    with pytest.raises(UnavailableError, match="ListClusters"):
        ecs.EcsGateway(calls.clients()("ecs")).clusters()

    assert len(production.account.calls) == ATTEMPTS


# One call that uses the invocation up leaves the others of its batch undone.
def test_productions_clients_ask_again_and_have_bounds_on_time() -> None:
    bounds = calls.CLIENT_CONFIG
    (function,) = (
        resource["Properties"]
        for resource in read_template(DRAINER_TEMPLATE)["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    )
    # "a base-2 exponential backoff ... of one second", with jitter below it.
    # https://docs.aws.amazon.com/boto3/latest/guide/retries.html
    waits = sum(2**number for number in range(ATTEMPTS - 1))
    slowest_seconds = ATTEMPTS * (bounds.connect_timeout + bounds.read_timeout) + waits

    assert bounds.retries["mode"] == "standard"
    assert ATTEMPTS > 1
    assert slowest_seconds < function["Timeout"]
