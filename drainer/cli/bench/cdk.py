"""
aws-cdk's `InstanceDrainHook`, whose handler is taken from the published package and run unmodified.

None of it is kept here: npm fetches the package into the cache, and its file is run as it is.
"""

from __future__ import annotations

import builtins
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from drainer.cli.bench.drains import CLUSTER
from drainer.cli.bench.sleeping import SleepingFunction, drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.bench.drains import Scene
    from drainer.cli.bench.outcome import Bill

PACKAGE = "aws-cdk-lib"
CACHE = Path(__file__).resolve().parents[3] / "build" / PACKAGE
MEMBER = "package/custom-resource-handlers/dist/aws-ecs/lambda-source/index.py"
FETCH_SECONDS_MAX = 120.0
# What the construct makes, read in the package's aws-ecs/lib/drain-hook: x86_64 and 128 MB are
# Lambda's defaults, the function times out 10 s after the drain time but at 900 s, and the hook's
# default result is CONTINUE. The drain time is 5 minutes where none is given; this is the most that
# its documentation allows, and so the best that it can do.
DRAIN_SECONDS = 900
TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Published:
    """The handler's file as it was published."""

    version: str
    source: str


def published(cache: Path = CACHE, npm: str = "npm") -> Published | str:
    """Return the handler, from the cache or by npm; or a sentence that says why there is none."""
    archives = [*cache.glob(f"{PACKAGE}-*.tgz")]
    if not archives:
        why = _fetch(cache, npm)
        archives = [*cache.glob(f"{PACKAGE}-*.tgz")]
        if not archives:
            return why
    latest = max(archives, key=lambda one: one.stat().st_mtime)
    version = latest.stem.removeprefix(f"{PACKAGE}-")
    try:
        with tarfile.open(latest) as archive:
            member = archive.extractfile(MEMBER)
            return Published(version, member.read().decode() if member else "")
    except (KeyError, OSError, tarfile.TarError) as error:
        return f"{latest.name}: {error}"


def _fetch(cache: Path, npm: str) -> str:
    program = shutil.which(npm)
    if program is None:
        return f"{npm} is not installed"
    cache.mkdir(parents=True, exist_ok=True)
    command = [program, "pack", PACKAGE, "--silent", "--ignore-scripts"]
    try:
        done = subprocess.run(  # noqa: S603 - npm, with these words
            command,
            cwd=cache,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"npm: {error}"
    return (done.stderr.strip().splitlines() or ["npm fetched no package"])[-1]


def load(
    source: str,
    client: Callable[[str], Any],
    sleep: Callable[[float], None],
    environ: dict[str, str],
    say: Callable[..., None],
) -> Callable[[Any, Any], Any]:
    """
    Run a handler's file and return its `lambda_handler`.

    The file is not changed. What it imports is what a simulated Lambda has: clients that call the
    account, an environment, and a clock whose sleep is the account's time.
    """
    modules = {
        "boto3": SimpleNamespace(client=client),
        "json": json,
        "os": SimpleNamespace(environ=environ),
        "time": SimpleNamespace(sleep=sleep),
    }

    def imported(name: str, *_: Any) -> Any:
        if name not in modules:
            raise ImportError(f"the handler imports {name}, which it did not before")
        return modules[name]

    names: dict[str, Any] = {
        "__builtins__": {**vars(builtins), "__import__": imported, "print": say}
    }
    exec(compile(source, "index.py", "exec"), names)  # noqa: S102 - the point of this module
    handler: Callable[[Any, Any], Any] = names["lambda_handler"]
    return handler


def run(scene: Scene, source: str) -> tuple[Bill, int]:
    """Drain a scene."""

    def say(*words: object) -> None:
        scene.meter.write(" ".join(map(str, words)) + "\n")

    function = SleepingFunction(
        scene.account,
        "drain-hook",
        lambda client, sleep: load(source, client, sleep, {"CLUSTER": CLUSTER}, say),
        meter=scene.meter,
        random=scene.random,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    return drain(scene, function, heartbeat_seconds=DRAIN_SECONDS, default_result="CONTINUE")
