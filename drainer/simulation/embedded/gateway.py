"""
The part of the embedded account that ministack plays: started, watched and ended as one child.

Nothing of it may outlive us: the child leads a process group of its own, which is killed by its id,
and it kills itself when the pipe it reads from closes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.embedded.compressed_time import EmbeddedTime

WARP = Path(__file__).parent / "warp"
# Between choosing a free port and binding it another process may take it.
START_ATTEMPTS_MAX = 3
# ministack is up within half a second here; a busy machine may need longer.
HEALTHY_WITHIN_SECONDS = 120.0
POLL_SECONDS = 0.02
KILLED_WITHIN_SECONDS = 60.0
LOG_TAIL_LINES = 30


class GatewayError(RuntimeError):
    """ministack did not start or did not stay; the message ends with the last of its log."""


class Gateway:
    """
    A ministack on a free loopback port, as a context manager.

    Args:
        embedded_time: the time that it and the functions in it live in.
        account_id: the account it pretends to be.
        region: the Region it pretends to be.
        endpoints: environment for its functions: `AWS_ENDPOINT_URL_<SERVICE>` for each service
            that is served elsewhere.

    """

    def __init__(
        self,
        embedded_time: EmbeddedTime,
        *,
        account_id: str,
        region: str,
        endpoints: Mapping[str, str],
    ) -> None:
        self._time = embedded_time
        self._account_id = account_id
        self._region = region
        self._endpoints = dict(endpoints)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The endpoint for every AWS service that ministack serves."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log_tail(self) -> str:
        """Return the last lines ministack logged."""
        if self._folder is None:
            return ""
        log = self._folder / "ministack.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    def stop(self) -> None:
        """End ministack and its function workers, and remove everything they wrote."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="drainer-embedded-"))
        self._time.share(self._folder / "time")
        for _ in range(START_ATTEMPTS_MAX):
            self.port = _free_port()
            self._process = self._spawn(self._folder)
            if self._healthy(self._process):
                return
            self._end(self._process)
        raise GatewayError(f"ministack did not answer on a loopback port\n{self.log_tail()}")

    def _spawn(self, folder: Path) -> subprocess.Popen[bytes]:
        with (folder / "ministack.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own file by our own interpreter
                [sys.executable, str(WARP / "gateway.py"), str(folder)],
                cwd=folder,
                env=self._environment(folder),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, folder: Path) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(WARP),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DRAINER_WARP": self._time.environment_value(),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": self._account_id,
            "MINISTACK_REGION": self._region,
            "LAMBDA_EXECUTOR": "local",
            # "retries ... with delays of one and two minutes"
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "60",
            "LAMBDA_ASYNC_RETRY_MAX_SECONDS": "120",
            "S3_DATA_DIR": str(folder / "s3"),
            "STATE_DIR": str(folder / "state"),
            "TMPDIR": str(folder),
            "AUTH": "false",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            **self._endpoints,
        }

    def _healthy(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + HEALTHY_WITHIN_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if _answers(f"{self.url}/_ministack/health"):
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # The whole group, and before its leader is reaped, so that its id is still its own. There
        # is nothing to end politely for: all that ministack wrote is removed with its folder.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(KILLED_WITHIN_SECONDS)
        if process.stdin is not None:
            process.stdin.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own child on loopback
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
