"""
A mutant in a function: exchange the code in a process that has collected the tests, in a fork each.
"""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from tests.mutation.forks import Fork, waited
from tests.mutation.recording import function_of
from tests.mutation.verdicts import AGAIN, KILLED, SURVIVED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from tests.mutation.recording import Project
    from tests.mutation.sites import Mutant


class Exchanger:
    """
    A plugin of pytest that runs no test itself, but the tests of each mutant in a fork.
    """

    def __init__(
        self,
        project: Project,
        path: str,
        plan: Sequence[tuple[Mutant, dict[str, float]]],
        told: Path,
    ) -> None:
        self.project, self.source = project, project.source(path)
        self.plan, self.told = plan, told
        self.filename = str(project.root / path)
        self.fork: Fork | None = None
        self.error = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.error = str(report.longrepr)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            items[function_of(item.nodeid)].append(item)
        functions = [
            one
            for one in gc.get_objects()
            if isinstance(one, FunctionType) and one.__code__.co_filename == self.filename
        ]
        for mutant, tests in self.plan:
            few = [item for test in sorted(tests, key=tests.__getitem__) for item in items[test]]

            def child(fork: Fork, mutant: Mutant = mutant, few: list[pytest.Item] = few) -> None:
                self.fork = fork
                if not exchanged(functions, self.filename, mutant.applied(self.source)):
                    fork.answer(AGAIN)
                for item, following in zip(few, [*few[1:], None], strict=True):
                    try:
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    except BaseException:  # noqa: BLE001 - such as an exit of pytest
                        fork.answer(f"{KILLED} {item.nodeid}")

            verdict = waited(child, self.project.seconds_max(tests)) or SURVIVED
            with self.told.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([mutant.number, verdict]) + "\n")
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.fork is not None and report.failed:
            self.fork.answer(f"{KILLED} {report.nodeid}")


def exchanged(functions: Sequence[FunctionType], filename: str, source: bytes) -> bool:
    """
    Give living functions the code of a changed source; whether that could be done and did a thing.
    """
    new = dict(_named(compile(source, filename, "exec", dont_inherit=True)))
    done = False
    for function in functions:
        code = new.get(_key(function.__code__))
        if code is not None and code != function.__code__:
            try:
                function.__code__ = code
            except ValueError:  # it uses other names of the functions around it than before
                return False
            done = True
    return done


def _named(code: CodeType) -> list[tuple[tuple[str, int], CodeType]]:
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return [(_key(one), one) for one in inner] + [two for one in inner for two in _named(one)]


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno
