"""
The start of the zip as Lambda makes it: what an ordinary pass imports and reads, by count.

Seconds are measured by `make bench WHAT=--start-up`, and by no test.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import botocore
import pytest

from drainer.cli.bench import start_up
from drainer.cli.bench.start_up import Measured, Program, by_sqs, packaging

BOTOCORE = Path(botocore.__file__).parent
# What serves other messages, what traces a sampled invocation, and what only another library needs.
NOT_NEEDED = (
    "asyncio",
    "aws_xray_sdk",
    "boto3",
    "drainer.aws.custom_resource",
    "drainer.aws.former_requests",
    "drainer.aws.response_url_client",
    "drainer.aws.spot",
    "drainer.custom_resource.controller",
    "drainer.custom_resource.target_drain",
    "drainer.spot.controller",
    "drainer.spot.targets",
    "drainer.wiring",
    "multiprocessing",
    "s3transfer",
    "wrapt",
)
CALLED = {"autoscaling", "dynamodb", "ecs", "sns"}


@pytest.fixture(scope="module")
def unpacked(drainer_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    with zipfile.ZipFile(drainer_zip) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def started(unpacked: Path) -> Measured:
    """An environment that began with a notification, and took five more."""
    program = Program("drainer.start", (unpacked,), by_sqs)
    return start_up.start(program, sys.executable, watched=True)


def test_an_ordinary_pass_imports_only_what_it_needs(started: Measured) -> None:
    # Each cold start pays for all of it, in an environment with a third of a processor.
    imported = {name for name in started.modules if name.startswith(NOT_NEEDED)}

    assert "drainer.lifecycle.controller" in started.modules
    assert imported == set()


def test_an_ordinary_pass_parses_the_models_of_the_services_that_it_calls(
    started: Measured,
) -> None:
    # EC2's model alone takes as long as all others together.
    services = {name.split("/")[0] for name in started.models if "/" in name}

    assert services == CALLED


def test_a_sampled_invocation_is_traced_with_its_calls(unpacked: Path) -> None:
    # Somebody who looks for what was slow would find one bar, and none of AWS's services in it.
    with socket(AF_INET, SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        host, port = daemon.getsockname()
        trace = f"Root=1-5759e988-{'1' * 24};Parent={'1' * 16};Sampled=1"
        environ = {"AWS_XRAY_DAEMON_ADDRESS": f"{host}:{port}", "_X_AMZN_TRACE_ID": trace}
        program = Program("drainer.start", (unpacked,), by_sqs)

        started = start_up.start(program, sys.executable, environ=environ)
        sent = daemon.recv(65_536).decode()

    assert "aws_xray_sdk.core" in started.modules
    assert '"operation": "BatchGetItem"' in sent or '"operation":"BatchGetItem"' in sent


def said(program: str) -> str:
    """What a program prints on a Python that has nothing but the zip."""
    command = [sys.executable, "-I", "-S", "-B", "-c", program]
    done = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout + done.stderr


def test_the_search_for_garbage_goes_on_after_the_start(unpacked: Path) -> None:
    # Without it an environment that lives for hours would keep each circle that a pass leaves.
    program = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); import gc, drainer.start; "
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )

    assert said(program) == "True True\n"


def test_every_module_of_the_zip_can_be_imported(unpacked: Path) -> None:
    # What is imported for the first interruption would be missed by it, and by no start.
    names = sorted(
        ".".join(path.relative_to(unpacked).with_suffix("").parts).removesuffix(".__init__")
        for path in (unpacked / "drainer").rglob("*.py")
    )
    program = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); from importlib import import_module\n"
        f"for name in {names!r}: import_module(name)\nprint(len(sys.modules) > 100)"
    )

    assert "drainer.wiring.requests" in names
    assert said(program) == "True\n"


def without_text(one: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in one.items() if k != "documentation" or not isinstance(v, str)}


def test_models_lose_their_documentation_and_nothing_else(unpacked: Path) -> None:
    # A member that went with the text would be a parameter that every call refuses.
    services = sorted(packaging().BOTOCORE_SERVICES)
    for service in services:
        # botocore takes the newest.
        newest = max((BOTOCORE / "data" / service).iterdir())
        [folder] = [
            one for one in (unpacked / "botocore" / "data" / service).iterdir() if one.is_dir()
        ]
        text = gzip.decompress((newest / "service-2.json.gz").read_bytes())
        short = json.loads((folder / "service-2.json").read_bytes())
        assert folder.name == newest.name
        assert short.pop("changed").startswith("Shortened")
        assert short == json.loads(text, object_hook=without_text)
        for name, shape in json.loads(text)["shapes"].items():
            assert (
                short["shapes"][name].get("members", {}).keys() == shape.get("members", {}).keys()
            )

    assert services


def test_endpoints_keep_every_region_of_the_services_that_are_called(unpacked: Path) -> None:
    # A region that is missing would fail the first call of a stack there.
    kept = json.loads((unpacked / "botocore" / "data" / "endpoints.json").read_bytes())
    whole = json.loads((BOTOCORE / "data" / "endpoints.json").read_bytes())
    names = packaging().ENDPOINT_NAMES
    for short, partition in zip(kept["partitions"], whole["partitions"], strict=True):
        services = {key: one for key, one in partition["services"].items() if key in names}
        assert short == {**partition, "services": services}

    assert kept["partitions"][0]["services"].keys() >= CALLED
