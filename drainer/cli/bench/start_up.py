"""
What a cold start computes: the drainer's zip and aws-cdk's handler, each in fresh processes.

Both run on the function's own Python with the same botocore, and call one simulated account over
TLS. Seconds of CPU depend on the machine, so that their ratio is what is compared.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from importlib import util
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import botocore.httpsession
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from drainer import clock
from drainer.cli.bench import cdk
from drainer.cli.bench.prices import PRICES, Item
from drainer.cli.bench.subjects import CDK
from drainer.cli.bench.tables import COLUMNS
from drainer.simulation.aws import Aws
from drainer.simulation.protocol.server import Server
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[3]
CHILD = Path(__file__).with_name("fresh_start.py")
DRAINER = "drainer"
# What the runtime has, and aws-cdk's handler uses; the zip brings the same versions with it.
RUNTIME_LIBRARIES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
CLUSTER, GROUP = "payments", "payments-asg"
WARM_PASSES = 5
START_SECONDS_MAX = 120.0
BUILD_SECONDS_MAX = 600.0
# "At 1,769 MB, a function has the equivalent of one vCPU".
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
VCPU_MEGABYTES = 1_769
MEMORY_SIZES = (128, 256, 512, 1_024, VCPU_MEGABYTES)
# An ordinary pass makes nine calls one after the other, of about twenty milliseconds. Assumed.
WAITING_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Measured:
    """
    One fresh process.

    Attributes:
        init: seconds of CPU from the interpreter's start to the end of the import.
        first: seconds of the first invocation.
        warm: of a later one, the median.
        peak_megabytes: the most memory that the process had.
        modules: what it imported.
        models: which files of botocore's data it opened, if it was watched.
    """

    init: float
    first: float
    warm: float
    peak_megabytes: float
    modules: frozenset[str]
    models: tuple[str, ...]

    @property
    def cold(self) -> float:
        """Seconds of CPU until the first invocation has ended."""
        return self.init + self.first


@dataclass(frozen=True, slots=True)
class Program:
    """
    A function that is started.

    Attributes:
        module: has its `lambda_handler`.
        path: where Python finds it and its libraries.
        event: wraps what an SNS topic has published.
    """

    module: str
    path: tuple[Path, ...]
    event: Callable[[str, str], dict[str, Any]]


def by_sqs(_topic_arn: str, message: str) -> dict[str, Any]:
    """Return the event that the drainer gets: a queue's batch of one, delivered raw."""
    return {"Records": [{"eventSource": "aws:sqs", "messageId": "m0", "body": message}]}


def by_sns(topic_arn: str, message: str) -> dict[str, Any]:
    """Return the event that aws-cdk's handler gets."""
    sns = {"TopicArn": topic_arn, "Message": message}
    return {"Records": [{"EventSource": "aws:sns", "Sns": sns}]}


def start(
    program: Program,
    python: str,
    *,
    watched: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Measured:
    """
    Start a function in a fresh process, and let it serve notifications of an account.

    Args:
        program: What is started.
        python: The interpreter.
        watched: Whether to note which models it opens, which takes time.
        environ: Settings beside those of Lambda and the templates.
    """
    account = Aws(now=clock.now())
    topic = SnsApi(account).create_topic_named("drainer")
    messages: list[str] = []
    account.on_notification.append(lambda one: messages.append(json.dumps(dict(one.message))))
    account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=WARM_PASSES + 1)
    account.auto_scaling.put_hook(
        LifecycleHook("drainer", GROUP, notification_target_arn=topic.arn)
    )
    messages.clear()
    account.auto_scaling.scale_in(GROUP, WARM_PASSES + 1)
    task = {
        "module": program.module,
        "path": [str(one) for one in program.path],
        "events": [program.event(topic.arn, one) for one in messages],
        "watched": watched,
    }
    table = account.record_tables.create("drainer-Records").name
    with tempfile.TemporaryDirectory() as folder:
        tls, bundle = certificate(Path(folder))
        with Server(account, tls=tls) as server:
            done = subprocess.run(  # noqa: S603 - Python with a file of ours
                [python, "-s", "-S", "-B", str(CHILD)],
                input=json.dumps(task),
                env={**environment(server.url, bundle, topic.arn, table), **(environ or {})},
                capture_output=True,
                text=True,
                timeout=START_SECONDS_MAX,
                check=False,
            )
            failures = list(server.failures)
    if done.returncode or failures:
        raise RuntimeError(f"{program.module}: {failures} {done.stderr[-2_000:]}")
    said = json.loads(done.stderr.splitlines()[-1])
    init, first, *warm = said["seconds"]
    return Measured(
        init,
        first,
        median(warm),
        said["peak_megabytes"],
        frozenset(said["modules"]),
        tuple(said["models"]),
    )


def environment(url: str, bundle: Path, topic_arn: str, table: str) -> dict[str, str]:
    """
    Return what Lambda and the templates set.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return {
        "PATH": os.defpath,
        "AWS_LAMBDA_FUNCTION_NAME": "drainer",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "LAMBDA_TASK_ROOT": "/var/task",
        "_X_AMZN_TRACE_ID": f"Root=1-5759e988-{'0' * 24};Parent={'0' * 16};Sampled=0",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": url,
        "AWS_CA_BUNDLE": str(bundle),
        "DRAINER_TOPIC_ARN": topic_arn,
        "DRAINER_CLUSTERS": CLUSTER,
        "DRAINER_RECORDS_TABLE": table,
        "POWERTOOLS_SERVICE_NAME": "drainer",
        "POWERTOOLS_METRICS_NAMESPACE": "Drainer",
        "CLUSTER": CLUSTER,
    }


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """
    Return what a server of this machine proves itself with, and a file of trusted certificates.

    The file has all that botocore trusts as well, since each new connection reads it.
    """
    # The embedded account needs this library too; --help of the bench need not.
    from ipaddress import ip_address  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    chain, bundle = folder / "chain.pem", folder / "bundle.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    chain.write_bytes(private + text)
    bundle.write_bytes(Path(botocore.httpsession.where()).read_bytes() + text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, bundle


def packaging() -> Any:
    """Return infra/package.py, which is a script and in no package."""
    spec = util.spec_from_file_location("package", PROJECT / "infra" / "package.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("infra/package.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def programs(folder: Path, python: str, source: str) -> dict[str, Program]:
    """Build the zip from the sources, and put aws-cdk's handler beside a runtime's libraries."""
    ours, runtime, other = folder / "ours", folder / "runtime", folder / "other"
    archive = folder / "drainer.zip"
    packaging().build(archive, python)
    with zipfile.ZipFile(archive) as unpacking:
        unpacking.extractall(ours)
    found = {DRAINER: Program("drainer.start", (ours,), by_sqs)}
    if not source:
        return found
    runtime.mkdir()
    site = Path(botocore.httpsession.__file__).resolve().parents[1]
    for name in RUNTIME_LIBRARIES:
        if (site / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(site / name, runtime / name, ignore=ignore)
        else:
            shutil.copy(site / name, runtime / name)
    other.mkdir()
    (other / "index.py").write_text(source, encoding="utf-8")
    subprocess.run(  # noqa: S603 - packaging's interpreter
        [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(runtime)],
        check=True,
        timeout=BUILD_SECONDS_MAX,
    )
    found[CDK] = Program("index", (runtime, other), by_sns)
    return found


def measured(known: dict[str, Program], python: str, runs: int) -> Iterator[tuple[str, Measured]]:
    """Start each program in turn, so that a machine that slows down slows down each of them."""
    for turn in range(runs + 1):
        print(f"start {turn} of {runs} ...", file=sys.stderr)
        for name, program in known.items():
            one = start(program, python)
            if turn:  # the first turn reads the files from the disk
                yield name, one


def show(runs: int) -> int:
    """Measure, print tables, and return the exit code."""
    package = packaging()
    python = package.find_python(package.PYTHON_VERSION)
    if python is None:
        print(f"error: no Python {package.PYTHON_VERSION}: install it", file=sys.stderr)
        return 2
    published = cdk.published()
    source = "" if isinstance(published, str) else published.source
    found: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, one in measured(programs(Path(folder), python, source), python, runs):
            found.setdefault(name, []).append(one)
    console = Console(width=COLUMNS)
    console.print(_starts(found))
    if isinstance(published, str):
        console.print(f"{CDK}: {published}", highlight=False)
    else:
        pairs = zip(found[DRAINER], found[CDK], strict=True)
        ratios = sorted(ours.cold / theirs.cold for ours, theirs in pairs)
        console.print(
            f"cold start, CPU: {median(ratios):.2f} x aws-cdk's handler ({published.version}), "
            f"pair by pair from {ratios[0]:.2f} to {ratios[-1]:.2f}; Python "
            f"{package.release(python)}, {runs} starts of each in turn",
            highlight=False,
        )
    console.print(_sizes(found[DRAINER]))
    return 0


def _starts(found: dict[str, list[Measured]]) -> Table:
    table = Table(
        title="CPU in ms, medians, and the most memory", box=SIMPLE_HEAD, padding=(0, 0),
        title_justify="left",
    )  # fmt: skip
    for heading in ("", "import", "first pass", "cold start", "least", "most", "later", "MB"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, ones in found.items():
        cold = [one.cold for one in ones]
        figures = (
            median(one.init for one in ones),
            median(one.first for one in ones),
            median(cold),
            min(cold),
            max(cold),
            median(one.warm for one in ones),
        )
        peak = max(one.peak_megabytes for one in ones)
        table.add_row(name, *(f"{1_000 * one:.0f}" for one in figures), f"{peak:.0f}")
    return table


def billed_seconds(cpu: float, megabytes: int) -> float:
    """Return how long an invocation takes that computes so long on a whole processor."""
    return cpu * VCPU_MEGABYTES / megabytes + WAITING_SECONDS


def _sizes(ones: list[Measured]) -> Table:
    """Return what the CPU of a start and of a pass would take and cost at each memory size."""
    table = Table(
        title=f"the drainer by its memory, with {1_000 * WAITING_SECONDS:.0f} ms of waiting a pass",
        box=SIMPLE_HEAD, padding=(0, 0), title_justify="left",
    )  # fmt: skip
    for heading in ("MB", "cold start", "later pass", "$ for 1,000 starts", "$ for 100,000 passes"):
        table.add_column(heading, justify="right")
    cold, warm = median(one.cold for one in ones), median(one.warm for one in ones)
    price = PRICES[Item.LAMBDA_ARM].dollars
    for size in MEMORY_SIZES:
        started, passed = billed_seconds(cold, size), billed_seconds(warm, size)
        gigabytes = size / 1_024
        table.add_row(
            f"{size:,}",
            f"{started:.1f} s",
            f"{1_000 * passed:.0f} ms",
            f"{1_000 * started * gigabytes * price:.4f}",
            f"{100_000 * passed * gigabytes * price:.2f}",
        )
    return table
