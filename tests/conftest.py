"""
What several kinds of tests need and what takes seconds to make.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE_TIMEOUT_SECONDS = 600


@pytest.fixture(scope="session")
def drainer_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The function's zip as `make package` builds it, once for the whole session.
    """
    output = tmp_path_factory.mktemp("package") / "drainer.zip"
    subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(PROJECT / "infra" / "package.py"), "--output", str(output)],
        check=True,
        timeout=PACKAGE_TIMEOUT_SECONDS,
    )
    return output
