"""
Run ministack in the embedded account's time, and end with the process that started it.

Started by file name, never imported: the account passes this directory as PYTHONPATH, so that
`sitecustomize` has replaced the clock before the first line here runs.
"""

import importlib
import os
import shutil
import signal
import sys
import threading
from typing import Any


def end_with_parent(folder: str) -> None:
    """
    Remove the account's folder and kill this process group once standard input closes.

    The other end is held by the account alone, and the kernel closes it however that process ends,
    SIGKILL included. Killing the group takes ministack's function workers along.
    """
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def work_in_real_time(worker: Any, real: Any) -> None:
    """
    Let the account's time pass as fast as real time while any function is at work.

    A cold start is part of it, as it is part of an invocation's time on AWS.
    """
    invoke = worker.invoke

    def timed(self: Any, *arguments: Any, **named: Any) -> Any:
        real.table.hold(real.time)
        try:
            return invoke(self, *arguments, **named)
        finally:
            real.table.release(real.time)

    worker.invoke = timed


def main() -> None:
    """Serve until told to stop."""
    folder = sys.argv.pop()
    threading.Thread(target=end_with_parent, args=(folder,), daemon=True).start()
    serve = importlib.import_module("ministack.app").main
    # ministack has read it; in the function, which inherits it, it would silence Powertools.
    os.environ.pop("LOG_LEVEL", None)
    # ministack collects a worker's log lines for a few real milliseconds after its answer; in the
    # account's time that window would be too short for them to cross the pipe.
    runtime = importlib.import_module("ministack.core.lambda_runtime")
    real = importlib.import_module("sitecustomize").real
    vars(runtime)["time"] = real
    work_in_real_time(runtime.Worker, real)
    importlib.import_module("rows").install()
    serve()


if __name__ == "__main__":
    main()
