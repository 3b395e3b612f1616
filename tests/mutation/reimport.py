"""
A mutant in what an import computes: import the changed file in place of the one on the disk.
"""

from __future__ import annotations

from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any

from tests.mutation.recording import function_of
from tests.mutation.verdicts import KILLED

if TYPE_CHECKING:
    from types import CodeType

    import pytest

    from tests.mutation.forks import Fork


class ChangedFinder(MetaPathFinder):
    """
    Imports one file with other code than it has on the disk.
    """

    def __init__(self, filename: str, code: CodeType) -> None:
        self.filename, self.code = filename, code

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin != self.filename:
            return None
        spec.loader = ChangedLoader(fullname, self.filename, self.code)
        return spec


class ChangedLoader(SourceFileLoader):
    """
    The loader that goes with it.
    """

    def __init__(self, fullname: str, filename: str, code: CodeType) -> None:
        super().__init__(fullname, filename)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


class FirstFailure:
    """
    A plugin of pytest that runs some of a file's tests, quickest first, up to the first failure.
    """

    def __init__(self, fork: Fork, tests: dict[str, float]) -> None:
        self.fork, self.tests = fork, tests

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if function_of(item.nodeid) in self.tests]
        items.sort(key=lambda item: self.tests[function_of(item.nodeid)])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.fork.answer(f"{KILLED} {report.nodeid}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.fork.answer(f"{KILLED} {report.nodeid}: it cannot be imported")
