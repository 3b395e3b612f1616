"""
What several kinds of tests need and what takes seconds to make, and the order of all tests.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
import pytest

from tests.turns import Turns, rank

if TYPE_CHECKING:
    from xdist.remote import Producer

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE_TIMEOUT_SECONDS = 600
# So many new objects before the garbage collector looks at them, where Python has 700.
COLLECTED_AFTER = 20_000
# Each start of the function in an embedded account unpacks 1,500 files, which are soon deleted
# again. On ext4 without a journal, as build machines have it, a new file passes over those that
# were deleted within the last seconds, one by one: half of what an embedded account cost. A file
# system in memory has no such list.
MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it has random names
# Ten of these starts at once, twice over. Containers often have 64 MB there, and keep to the disk.
MEMORY_BYTES_MIN = 2_000_000_000


def pytest_configure() -> None:
    """
    Keep temporary files in memory, where there is room for them; and let botocore read each of its
    models once, and not for each test again.

    A session keeps what it has read, and moto makes each test a new one.
    """
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
    gc.set_threshold(COLLECTED_AFTER)


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
    output = folder / "drainer.zip"
    with (folder / "drainer.zip.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            built = output.with_suffix(".part")
            subprocess.run(  # noqa: S603 - our own script
                [sys.executable, str(PROJECT / "infra" / "package.py"), "--output", str(built)],
                check=True,
                timeout=PACKAGE_TIMEOUT_SECONDS,
            )
            built.rename(output)
    return output
