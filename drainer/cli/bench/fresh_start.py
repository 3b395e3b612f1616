"""
Start one function as Lambda does and serve events, in a process that has done nothing else.

Run as a file by the function's own Python, so that it imports what starts with every Python only.
It reads its task as JSON from its standard input and writes what it measured to standard error.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

KILOBYTES = 1_024
MODELS = "/botocore/data/"


class Context:
    """What Lambda tells of an invocation."""

    function_name = "drainer"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:drainer"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left: thirty seconds, at any time."""
        return 30_000


def cpu() -> float:
    """Return the seconds that this process has computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_megabytes() -> float:
    """Return the most memory that this program had; getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / KILOBYTES


def main() -> None:
    """Import the function, serve the events, and say what it took."""
    task: dict[str, Any] = json.load(sys.stdin)
    sys.path[0:1] = task["path"]
    opened: list[str] = []
    if task["watched"]:
        sys.addaudithook(
            lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None
        )
    # aws-cdk's handler waits inside of an invocation; waiting computes nothing.
    time.sleep = lambda _seconds: None
    steps = [cpu()]
    function = import_module(task["module"]).lambda_handler
    steps.append(cpu())
    for event in task["events"]:
        function(event, Context())
        steps.append(cpu())
    seconds = [after - before for before, after in pairwise(steps)]
    said = {
        "seconds": seconds,
        "peak_megabytes": peak_megabytes(),
        "modules": sorted(sys.modules),
        "models": sorted({one.split(MODELS)[1] for one in opened if MODELS in one}),
    }
    sys.stderr.write(json.dumps(said))


if __name__ == "__main__":
    main()
