"""
One set of tests, several faces: a test that asks for `face` is run on each of them.

Where moto is not faithful, a test says so by `@pytest.mark.moto_fault("what moto does instead")`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from drainer.aws.calls import CALLS, CLIENT_CONFIG
from drainer.aws.custom_resource import CUSTOM_RESOURCE_CALLS
from drainer.aws.records import RECORD_CALLS
from drainer.simulation.aws import Aws
from drainer.simulation.protocol.server import Server
from tests.contract.faces import REGION, START, MotoFace, SimulationFace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.faces import Face

# A refusal is to be seen at once; that boto3 asks again is test_network's business.
ONE_ATTEMPT = CLIENT_CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "moto_fault(what): moto is not AWS here, so that the test is not run on it"
    )


@dataclass(frozen=True, slots=True)
class Served:
    """
    A server of simulated accounts, one after the other, and real boto3 clients that ask it.
    """

    server: Server
    clients: dict[str, Any]


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    session = boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
    )
    with Server(Aws(now=START)) as server:
        clients = {
            service: session.client(service, endpoint_url=server.url, config=ONE_ATTEMPT)
            for service in {*CALLS, *CUSTOM_RESOURCE_CALLS, *RECORD_CALLS}
        }
        yield Served(server, clients)


@pytest.fixture
def in_process() -> SimulationFace:
    """
    The simulation, called directly.
    """
    account = Aws(now=START)
    return SimulationFace(account, account.client)


@pytest.fixture
def over_http(served: Served) -> Iterator[SimulationFace]:
    """
    The simulation over AWS's wire protocols, called by unmodified boto3.
    """
    account = Aws(now=START)
    served.server.account = account
    yield SimulationFace(account, served.clients.__getitem__)
    assert served.server.failures == []


@pytest.fixture(scope="session")
def moto_clients() -> Callable[[str], Any]:
    """
    boto3's clients, made once moto has put itself into boto3; they outlive each of its accounts.
    """
    import moto.core  # noqa: F401

    session = boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
    )
    return cache(session.client)


@pytest.fixture
def in_moto(
    moto_clients: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[MotoFace]:
    """
    moto, inside boto3.
    """
    from moto import mock_aws
    from moto.moto_api import state_manager

    # Loading moto's list of a thousand images takes over a second, and none is needed.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    # Otherwise each look at a task would move it on.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1_000_000})
    with mock_aws():
        yield MotoFace(moto_clients)
    state_manager.unset_transition("ecs::task")


@pytest.fixture(params=["in-process", "http"])
def simulation(request: pytest.FixtureRequest) -> SimulationFace:
    """
    Both faces of the simulation in turn, for worlds that moto cannot make.
    """
    name = "in_process" if request.param == "in-process" else "over_http"
    face: SimulationFace = request.getfixturevalue(name)
    return face


@pytest.fixture(params=["in-process", "http", "moto"])
def face(request: pytest.FixtureRequest) -> Face:
    """
    Each face in turn.
    """
    if request.param == "moto":
        for marker in request.node.iter_markers("moto_fault"):
            pytest.skip(f"moto: {marker.args[0]}")
    names = {"in-process": "in_process", "http": "over_http", "moto": "in_moto"}
    face: Face = request.getfixturevalue(names[request.param])
    return face
