"""
Which test runs which lines of the product, recorded once for each test file and kept.

Each test file is recorded in a process of its own, so that what runs at its import is its own. A
recording counts while the product, the test file and what they share are the same bytes.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.mutation.forks import Fork, quiet, shared, waited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

KEPT = Path("build/mutation")
# The slowest test file takes 10 s, and four times that while its lines are recorded; a machine
# that is busy with other things may take ten times as long again.
RECORDING_SECONDS_MAX = 600
IMPORT = ""
# What takes this many times its recorded seconds (which tracing had made longer already), and this
# long at least, was made endless by the mutant. `make test` would not end either: it is noticed.
SECONDS_TIMES, ENDLESS_SECONDS = 3, 20.0


@dataclass(frozen=True)
class Recording:
    """
    One test file: each test function with its seconds, and the lines that each of them runs.

    Under the name IMPORT stands what runs while the file is imported and its tests are collected.
    """

    import_seconds: float
    tests: dict[str, float]
    lines: dict[str, dict[str, list[int]]]  # test, source path, lines

    def runs(self, test: str, path: str) -> frozenset[int]:
        return frozenset(self.lines.get(test, {}).get(path, ()))

    def tests_of(self, path: str, lines: frozenset[int]) -> dict[str, float]:
        """The tests that run one of these lines, and how long each takes."""
        return {
            test: seconds for test, seconds in self.tests.items() if lines & self.runs(test, path)
        }


@dataclass(frozen=True)
class Project:
    """
    What is mutated, and what is known of its tests.
    """

    root: Path
    recordings: dict[str, Recording]  # by test file
    endless_seconds: float = ENDLESS_SECONDS

    def seconds_max(self, tests: dict[str, float], more: float = 0.0) -> float:
        """When a run of these tests, and of what comes `more`, counts as endless."""
        return max(self.endless_seconds, SECONDS_TIMES * (sum(tests.values()) + more))

    def source(self, path: str) -> bytes:
        return (self.root / path).read_bytes()


def function_of(nodeid: str) -> str:
    """
    A test without its parameters, whose ids a mutant may change.
    """
    return nodeid.partition("[")[0]


class Recorder:
    """
    A plugin of pytest that notes each line of the product under the test that runs it.
    """

    def __init__(self, root: Path, product: str) -> None:
        self.prefix, self.within = f"{root}{os.sep}", f"{root / product}{os.sep}"
        self.lines: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []
        self.test = IMPORT
        self.started, self.importing = perf_counter(), 0.0
        self.known: dict[CodeType, str | None] = {}

    def trace(self, frame: FrameType, *_: object) -> Any:
        code = frame.f_code
        if code not in self.known:
            inside = code.co_filename.startswith(self.within)
            self.known[code] = code.co_filename.removeprefix(self.prefix) if inside else None
        path = self.known[code]
        if path is None:
            return None
        seen = self.lines[self.test][path]

        def line(frame: FrameType, *_: object) -> Any:
            seen.add(frame.f_lineno)
            return line

        return line(frame)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.test = function_of(item.nodeid)
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            self.test = IMPORT

    def pytest_collection_finish(self) -> None:
        self.importing = perf_counter() - self.started

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[function_of(report.nodeid)] += report.duration
        if report.failed:
            self.failed.append(f"{report.nodeid}\n{report.longreprtext}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid}\n{report.longrepr}")

    def as_json(self) -> dict[str, Any]:
        lines = {
            test: {path: sorted(numbers) for path, numbers in by_path.items()}
            for test, by_path in self.lines.items()
        }
        return {
            "failed": self.failed,
            "import_seconds": self.importing,
            "tests": self.seconds,
            "lines": lines,
        }


def recordings(
    root: Path, product: str, test_files: list[str], jobs: int, say: Callable[[str], None]
) -> dict[str, Recording]:
    """
    What each test file runs. Raises SystemExit if a test fails with nothing changed.
    """
    of_all = sorted((root / product).rglob("*.py")) + sorted(root.glob("tests/**/conf*.py"))
    shared_by_all = _digest(of_all)
    kept = {
        name: root / KEPT / f"{_digest([root / name], shared_by_all)}.json" for name in test_files
    }
    missing = [name for name in test_files if not kept[name].exists()]

    def record(job: int) -> None:
        for number, name in list(enumerate(missing, 1))[job::jobs]:
            say(f"recording {number} of {len(missing)}: {name}")
            _record(root, product, name, kept[name])

    shared(jobs, record)
    found = {}
    for name, path in kept.items():
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if recorded["failed"]:
            path.unlink()
            raise SystemExit("error: fails without any change: " + "\n".join(recorded["failed"]))
        found[name] = Recording(recorded["import_seconds"], recorded["tests"], recorded["lines"])
    return found


def _digest(paths: list[Path], start: str = "") -> str:
    total = sha256(start.encode())
    for path in paths:
        total.update(str(path).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:24]


def _record(root: Path, product: str, name: str, kept: Path) -> None:
    def child(_: Fork) -> None:
        recorder = Recorder(root, product)
        sys.settrace(recorder.trace)
        status = pytest.main([*quiet(), name], plugins=[recorder])
        sys.settrace(None)
        told = recorder.as_json()
        if status != pytest.ExitCode.OK and not recorder.failed:
            told["failed"] = [f"{name}: pytest ended with {status!r}"]
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".new").write_text(json.dumps(told), encoding="utf-8")
        kept.with_suffix(".new").replace(kept)

    waited(child, RECORDING_SECONDS_MAX)
    if not kept.exists():
        raise SystemExit(f"error: {name} could not be recorded within {RECORDING_SECONDS_MAX} s")
