"""
Whether a mutant is noticed: the tests that run its lines, quickest first, until one fails.

Code in functions is exchanged in a process that has collected the tests already, and forks for
each mutant. What runs at an import (constants, defaults, tables that a test file computes) needs
an import of its own, for one test file after the other.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.mutation.exchange import Exchanger
from tests.mutation.forks import Fork, quiet, waited
from tests.mutation.recording import IMPORT, Project
from tests.mutation.reimport import ChangedFinder, FirstFailure
from tests.mutation.verdicts import AGAIN, KILLED, SURVIVED, UNTESTED, detected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.mutation.sites import Mutant

# Ten times what importing all test files takes, which is done once for each file of the product.
COLLECTING_SECONDS_MAX = 300


def judge(project: Project, path: str, mutants: Sequence[Mutant], told: Path) -> dict[int, str]:
    """
    The verdict on each mutant of a file, by number: killed by a test, survived, untested.
    """
    quick, fresh = {}, {}
    for mutant in mutants:
        quick[mutant.number], fresh[mutant.number] = tests_of(project, mutant)
    verdicts = {mutant.number: UNTESTED for mutant in mutants}
    if any(quick.values()):
        verdicts.update(_judge_quickly(project, path, mutants, quick, told))
    for mutant in mutants:
        if verdicts[mutant.number] == AGAIN:
            by_file: dict[str, dict[str, float]] = defaultdict(dict)
            for test, seconds in quick[mutant.number].items():
                by_file[test.partition("::")[0]][test] = seconds
            fresh[mutant.number] = {**by_file, **fresh[mutant.number]}
        if not detected(verdicts[mutant.number]) and fresh[mutant.number]:
            verdicts[mutant.number] = _judge_freshly(project, mutant, fresh[mutant.number])
    return verdicts


def tests_of(
    project: Project, mutant: Mutant
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """
    The tests that may notification a mutant: where code can be exchanged; where it must be
    imported.

    The latter by test file. Each test with its seconds.
    """
    quick: dict[str, float] = {}
    fresh = {}
    if not mutant.in_function:
        names = defined(mutant, project.source(mutant.path))
        uses = _uses(project, mutant, names)
    for name, recording in project.recordings.items():
        if mutant.in_function:
            lines = frozenset(range(mutant.first, mutant.last + 1))
            if lines & recording.runs(IMPORT, mutant.path):
                fresh[name] = recording.tests
            else:
                quick.update(recording.tests_of(mutant.path, lines))
        elif names.search((project.root / name).read_text(encoding="utf-8")):
            fresh[name] = recording.tests
        else:
            found = {}
            for path, lines in uses.items():
                found.update(recording.tests_of(path, lines))
            if found:
                fresh[name] = found
    return quick, fresh


def defined(mutant: Mutant, source: bytes) -> re.Pattern[str]:
    """
    What finds the names of which a mutant outside of functions changes the value.
    """
    names = {*mutant.where.split("."), *re.findall(r"^([A-Z_]+)\b.* = ", mutant.before)} - {""}
    if not mutant.where:
        (top,) = (
            node
            for node in ast.parse(source).body
            if node.lineno <= mutant.last and mutant.first <= (node.end_lineno or 0)
        )
        targets = getattr(top, "targets", [getattr(top, "target", top)])
        written = [one for target in targets for one in ast.walk(target)]
        names |= {one.id for one in written if isinstance(one, ast.Name)}
    return re.compile(rf"\b({'|'.join(sorted(names))})\b")


def _uses(project: Project, mutant: Mutant, names: re.Pattern[str]) -> dict[str, frozenset[int]]:
    """
    The lines of each file that mention one of the names.

    All lines of a file that mentions it where it is imported: in a constant that is computed from
    another one, or in a default.
    """
    at_import: dict[str, set[int]] = defaultdict(set)
    for recording in project.recordings.values():
        for path, lines in recording.lines.get(IMPORT, {}).items():
            at_import[path].update(lines)
    uses = {}
    for path, imported in at_import.items():
        source = project.source(path)
        mentions = {
            number
            for number, line in enumerate(source.decode().splitlines(), 1)
            if names.search(line)
        }
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Import() | ast.ImportFrom():
                    mentions -= set(range(node.lineno, (node.end_lineno or 0) + 1))
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    mentions -= {node.lineno} if names.fullmatch(name) else set()
        if path == mutant.path:
            mentions -= set(range(mutant.first, mutant.last + 1))
        if mentions & imported:
            mentions = set(range(1, source.count(b"\n") + 1))
        uses[path] = frozenset(mentions)
    return uses


def _judge_quickly(
    project: Project,
    path: str,
    mutants: Sequence[Mutant],
    tests: dict[int, dict[str, float]],
    told: Path,
) -> dict[int, str]:
    plan = [(mutant, tests[mutant.number]) for mutant in mutants if tests[mutant.number]]
    files = sorted({test.partition("::")[0] for _, few in plan for test in few})
    told.write_text("")

    def child(_: Fork) -> None:
        exchanger = Exchanger(project, path, plan, told)
        status = pytest.main([*quiet(), *files], plugins=[exchanger])
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            raise RuntimeError(f"pytest ended with {status!r}: {exchanger.error}")

    waited(child, COLLECTING_SECONDS_MAX + sum(project.seconds_max(few) for _, few in plan))
    lines = told.read_text(encoding="utf-8").splitlines()
    return dict(map(json.loads, lines))


def _judge_freshly(project: Project, mutant: Mutant, by_file: dict[str, dict[str, float]]) -> str:
    """The quickest test file first."""

    def cost(name: str) -> float:
        return project.recordings[name].import_seconds + sum(by_file[name].values())

    for name in sorted(by_file, key=cost):
        tests = by_file[name]

        def child(fork: Fork, name: str = name, tests: dict[str, float] = tests) -> None:
            filename = str(project.root / mutant.path)
            changed = compile(mutant.applied(project.source(mutant.path)), filename, "exec")
            sys.meta_path.insert(0, ChangedFinder(filename, changed))
            status = pytest.main([*quiet(), name], plugins=[FirstFailure(fork, tests)])
            if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
                fork.answer(f"{KILLED} {name}: {status!r}")

        verdict = waited(child, project.seconds_max(tests, project.recordings[name].import_seconds))
        if verdict:
            return verdict
    return SURVIVED
