"""
Fuzz the reading of events with coverage as the guide, by atheris, for a bounded time.

`python -m tests.fuzz.fuzz_events SECONDS`; what was found stays in build/fuzz, for the next run.
https://github.com/google/atheris
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

CORPUS = Path("build/fuzz")
SECONDS_DEFAULT, SECONDS_MAX = 60, 86_400
# One event must not take longer, nor the process more memory.
EVENT_SECONDS_MAX, MEGABYTES_MAX = 5, 2_048
MISSING = """atheris is not installed; it has wheels for CPython 3.11 to 3.13 on Linux:
  python -m pip install atheris"""


def instrumented(atheris: Any) -> tuple[Any, Any]:
    """Import what is fuzzed, in such a way that atheris sees which branches are taken."""
    with atheris.instrument_imports(include=["drainer"]):
        reading = import_module("tests.fuzz.reading")
    return reading.judge, import_module("tests.fuzz.mutations")


def main(arguments: list[str]) -> None:
    """Fuzz until the time is over, or until something is found; libFuzzer says how it went."""
    seconds = int(arguments[0]) if arguments else SECONDS_DEFAULT
    if not 0 < seconds <= SECONDS_MAX:
        raise SystemExit(f"SECONDS is {seconds}; it must be from 1 to {SECONDS_MAX}")
    try:
        atheris: Any = import_module("atheris")
    except ImportError as error:
        raise SystemExit(MISSING) from error
    judge, mutations = instrumented(atheris)
    CORPUS.mkdir(parents=True, exist_ok=True)
    for event in mutations.seeds():
        text = json.dumps(event).encode()
        (CORPUS / sha256(text).hexdigest()[:16]).write_bytes(text)

    def one(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = mutations.by_sqs(text)
        judge(event)

    flags = [
        f"-max_total_time={seconds}",
        f"-timeout={EVENT_SECONDS_MAX}",
        f"-rss_limit_mb={MEGABYTES_MAX}",
        f"-artifact_prefix={CORPUS.parent}/",
        "-print_final_stats=1",
        "-max_len=65536",
    ]
    atheris.Setup([sys.argv[0], str(CORPUS), *flags], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
