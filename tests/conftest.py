"""
What several kinds of tests need and what takes seconds to make, and the order of all tests.
"""

from __future__ import annotations

import fcntl
import gc
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache, partial
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
import pytest
from hypothesis import HealthCheck, settings

from tests.turns import Turns, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from xdist.remote import Producer

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE_TIMEOUT_SECONDS = 600
# So many new objects before the garbage collector looks at them, where Python has 700; and so many
# times before it looks at older ones again, where Python has 10. A simulated account keeps all that
# happens in it: of 27 s of its tests, 1.9 went into looking at it every 20,000 objects.
COLLECTED_AFTER = 100_000, 50, 100
# Each start of the function in an embedded account unpacks 1,500 files, which are soon deleted
# again. On ext4 without a journal, as build machines have it, a new file passes over those that
# were deleted within the last seconds, one by one: half of what an embedded account cost. A file
# system in memory has no such list.
MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it has random names
# Ten of these starts at once, twice over. Containers often have 64 MB there, and keep to the disk.
MEMORY_BYTES_MIN = 2_000_000_000
# What starts of the function import; it prints the sources that came from the folder.
START = """
import sys
sys.path.insert(0, sys.argv[1])
from drainer import handler
from drainer.aws import calls
from drainer.wiring import interruptions, requests
for service in ("autoscaling", "dynamodb", "ecs", "sns"):
    calls.clients()(service)
for module in [*sys.modules.values()]:
    source = getattr(module, "__file__", None) or ""
    if source.startswith(sys.argv[1]) and source.endswith(".py"):
        print(source)
"""


def pytest_configure() -> None:
    """
    Keep temporary files in memory, where there is room for them; let botocore read each of its
    models once, and not for each test again; and let no test fail because the machine is busy.

    A session keeps what it has read, and moto makes each test a new one. Hypothesis by itself fails
    a test that is slower than 200 ms, or slow to draw its examples.
    """
    slow = [HealthCheck.too_slow]
    settings.register_profile("busy", deadline=None, database=None, suppress_health_check=slow)
    settings.load_profile("busy")
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN:
        # For the programs that tests start, and for this process.
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    botocore.session.create_loader = cache(botocore.session.create_loader)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Let long turns begin first.
    """
    items.sort(key=lambda item: rank(item.nodeid))


def pytest_collection_finish() -> None:
    """
    Keep Python's garbage collector from walking through all modules and tests again and again.

    They stay until the end, and what a simulated account leaves behind is small: a fifth of all
    computing was this search for cycles.
    """
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """
    Let one worker compile a file of tests, and the others read its bytecode.

    In a fresh clone each of them would do the same eight seconds of work at the same time.
    """
    if not isinstance(collector, pytest.Module) or sys.dont_write_bytecode:
        return (yield)
    with collector.path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return (yield)


@pytest.hookimpl(optionalhook=True)  # a run without workers knows no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Turns:
    """
    Give the workers whole turns, in the order of the items.
    """
    config.option.loadscopereorder = False
    return Turns(config, log)


@pytest.fixture(scope="session")
def drainer_zip(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """
    The function's zip as `make package` builds it, once for all workers.
    """
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent  # the session's, which the workers share
    return once(folder / "drainer.zip", package)


@pytest.fixture(scope="session")
def embedded_zip(drainer_zip: Path) -> Path:
    """
    The same zip for an embedded account, with bytecode of the Python that runs the function there.

    The zip has it for Lambda's Python alone, and each start of the function is from a new folder:
    to compile what it imports was more than half of what a start cost.
    """
    return once(drainer_zip.with_name("embedded.zip"), partial(add_bytecode, drainer_zip))


def once(output: Path, make: Callable[[Path], None]) -> Path:
    """
    Make a file unless another worker has.
    """
    with output.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            made = output.with_suffix(".part")
            make(made)
            made.rename(output)
    return output


def package(output: Path) -> None:
    subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(PROJECT / "infra" / "package.py"), "--output", str(output)],
        check=True,
        timeout=PACKAGE_TIMEOUT_SECONDS,
    )


def add_bytecode(shipped: Path, output: Path) -> None:
    shutil.copy(shipped, output)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(output, "a") as archive:
        archive.extractall(folder)
        started = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-S", "-c", START, folder],
            env={"AWS_DEFAULT_REGION": "us-east-1"},
            capture_output=True,
            check=True,
            text=True,
            timeout=PACKAGE_TIMEOUT_SECONDS,
        )
        there = {*archive.namelist()}
        for source in started.stdout.splitlines():
            compiled = cache_from_source(source)
            name = Path(compiled).relative_to(folder).as_posix()
            if name not in there:
                unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
                py_compile.compile(source, compiled, doraise=True, invalidation_mode=unchecked)
                archive.write(compiled, name)
