"""
The mutation test itself: what it changes, what it notices, and what it says of it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.loops import some
from tests.mutation import equivalents
from tests.mutation.__main__ import targets
from tests.mutation.sites import Mutant, mutants

PROJECT = Path(__file__).resolve().parents[2]
# The tiny project takes 5 s; a busy machine may take twenty times as long.
SECONDS_MAX = 100
# What becomes of the condition `d`.
FORCED = ("True", "False", "not (d)")

# `strong` is tested to the letter, `weak` only run, `alone` not even that. LIMIT and the default
# count when the module is imported, and so does what the tests compute from `strong` there.
PRODUCT = """
LIMIT = 3
SPARE = 7

def strong(number: int, *, more: int = 1) -> bool:
    return number + more < LIMIT

def weak(number: int) -> bool:
    return number > 5

def alone(number: int) -> bool:
    return number == 0

def in_a_table(number: int) -> int:
    return number - 1

def endless(numbers: list[int]) -> int:
    while numbers:
        numbers.pop()
    return len(numbers)
"""
TESTS = """
import pytest
from tiny.numbers import LIMIT, endless, in_a_table, strong, weak

TABLE = [in_a_table(number) for number in (1, 2)]

@pytest.mark.parametrize("number", [1, LIMIT - 1])
def test_strong(number):
    assert strong(number) == (number == 1)
    assert strong(2, more=0)

def test_strong_knows_its_limit():
    assert LIMIT == 3

def test_weak():
    weak(5)

def test_table():
    assert TABLE == [0, 1]

def test_endless():
    assert endless([1]) == 0
"""
LISTED = """
[[equivalent]]
path = "tiny/numbers.py"
where = "weak"
before = "return number > 5"
after = "return number >= 5"
reason = "listed for the test"

[[equivalent]]
path = "tiny/numbers.py"
where = "strong"
before = "return number + more < LIMIT"
after = "return number - more < LIMIT"
reason = "wrong: it is killed"

[[equivalent]]
path = "tiny/numbers.py"
where = "weak"
before = "return number > 500"
after = "return number >= 500"
reason = "outdated: the line has changed"
"""


def changes(source: str) -> list[tuple[str, str]]:
    return [(one.before, one.after) for one in mutants("a.py", source.encode())]


def afters(source: str) -> set[str]:
    return {after for _, after in changes(source)}


# -- what is changed


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", {"a = b <= c", "a = b >= c"}),
        ("a = b == c", {"a = b != c"}),
        ("a = b not in c", {"a = b in c"}),
        ("a = b is not None", {"a = b is None"}),
        ("a = (b) < (c)", {"a = (b) <= (c)", "a = (b) >= (c)"}),
        ("A = 10", {"A = 9", "A = 11"}),
        ("a = not b", {"a = b"}),
        ("a = b and c", {"a = b or c", "a = (not (b)) and c", "a = b and (not (c))"}),
        ("a = b - c", {"a = b + c"}),
        ("a += b", {"a -= b"}),
        ("do(b)", {"pass"}),
        ("a.b = c", {"pass"}),
        ("a[b] = c", {"pass"}),
        ("del a[b]", {"pass"}),
        ("def f(a: int = 2) -> None: ...", {f"def f(a: int = {n}) -> None: ..." for n in (1, 3)}),
        ("def f(a, *, b=False): ...", {"def f(a, *, b=True): ..."}),
        ("def f() -> bool:\n    return g()", {"return not (g())"}),
        ("def f() -> int:\n    return g()", set()),
        ("if d: b = c", {f"if {test}: b = c" for test in FORCED}),
        ("a = [b for b in c if d]", {f"a = [b for b in c if {test}]" for test in FORCED}),
        ("a = b if d else c", {f"a = b if {test} else c" for test in FORCED}),
        ("match a:\n  case b if d: c = e", {f"case b if {test}: c = e" for test in FORCED}),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_made(source: str, expected: set[str]) -> None:
    # A kind that is not made is a kind of mistake of which nobody learns that no test sees it.
    assert afters(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Of 3 or 4."""',
        "a: Literal[1, 2]",
        "@dataclass(frozen=True)\nclass A: ...",
        'a = f"{b + 1}"',
        "if TYPE_CHECKING:\n    A = 1",
        "def f(a: Literal[1]) -> Literal[2]: ...",
    ],
)
def test_what_no_test_can_tell_apart_is_left_alone(source: str) -> None:
    # Each would be a survivor that somebody has to excuse.
    assert changes(source) == []


def test_a_mutant_reads_as_a_line_before_and_after() -> None:
    source = (
        "class A:\n    def f(self):\n        return (\n            1 < self.b  # why\n        )\n"
    )
    (first, *_) = mutants("a.py", source.encode())

    assert str(first) == "a.py:3: 1 < self.b -> 0 < self.b"
    assert first.key == ("a.py", "A.f", "1 < self.b", "0 < self.b")


def test_every_mutant_compiles_differs_and_keeps_the_lines_where_they_are() -> None:
    # Functions are found in the running program by their first lines.
    source = (PROJECT / "tests/mutation/sites.py").read_bytes()
    plain = ast.dump(ast.parse(source))
    found = mutants("sites.py", source)

    assert len(found) > 100
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    for one in found:
        changed = one.applied(source)
        assert changed.count(b"\n") == source.count(b"\n"), one
        assert ast.dump(ast.parse(changed)) != plain, one
    assert found == mutants("sites.py", source)


def test_a_change_over_several_lines_leaves_what_follows_in_its_place() -> None:
    source = b"if (\n    a\n    and b\n):\n    c = d\ncall(\n    a,\n)\ndef f(): ...\n"

    for one in some(mutants("a.py", source)):
        (function,) = (
            node for node in ast.walk(ast.parse(one.applied(source)))
            if isinstance(node, ast.FunctionDef)
        )  # fmt: skip
        assert function.lineno == 9


# -- which files


def test_the_decision_core_is_found_with_and_without_its_folders(tmp_path: Path) -> None:
    package = tmp_path / "drainer"
    package.mkdir()
    for name in ("__init__.py", "may_leave.py", "handler.py", "aws_spot.py", "config.py"):
        (package / name).touch()
    flat = targets(tmp_path)
    for name in ("drain/may_leave.py", "lifecycle/rules.py", "aws/ecs.py", "drain/__init__.py"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).touch()

    assert flat == ["drainer/may_leave.py"]
    assert targets(tmp_path) == ["drainer/drain/may_leave.py", "drainer/lifecycle/rules.py"]


# -- what is noticed


def mutate(root: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """
    Run the mutation test on a tiny project with these tests.
    """
    for name, text in {
        "tiny/__init__.py": "",
        "tiny/numbers.py": PRODUCT,
        "checks/test_numbers.py": tests,
        "equivalent.toml": LISTED,
        "pytest.ini": "[pytest]\npythonpath = .\naddopts = --import-mode=importlib\n",
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    options = {"files": "tiny", "product": "tiny", "tests": "checks", "jobs": "2", "endless": "3"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.mutation", *words, "--equivalents", "equivalent.toml"],
        cwd=root,
        env={"PATH": os.defpath, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return mutate(tmp_path_factory.mktemp("project"), TESTS)


def test_tests_that_fail_without_any_change_are_told_and_kill_nothing(tmp_path: Path) -> None:
    # Each mutant would be "killed" by them: a score of 100 for nothing.
    done = mutate(tmp_path, TESTS + "\ndef test_red():\n    assert weak(5), 'it is red'\n")

    assert done.returncode != 0
    assert "fails without any change: checks/test_numbers.py::test_red" in done.stderr
    assert "it is red" in done.stderr
    assert "score" not in done.stdout


def survivors(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if line.startswith("  tiny/")]


def test_what_is_tested_is_killed_and_what_is_only_run_survives(
    run: subprocess.CompletedProcess[str],
) -> None:
    # A tool that kills everything, or nothing, gives a number that means nothing.
    found = survivors(run.stdout)

    assert run.stderr == ""
    assert not any("number + more" in line or "LIMIT" in line for line in found)
    assert "tiny/numbers.py:9: return number > 5 -> return number <= 5" in found
    assert (
        "tiny/numbers.py:12: return number == 0 -> return number != 0  (no test runs it)" in found
    )


def test_what_counts_at_an_import_is_imported_with_the_change(
    run: subprocess.CompletedProcess[str],
) -> None:
    # A table that a test file computes at its import would hold the unchanged code's values.
    found = survivors(run.stdout)

    assert not any("more: int" in line or "number - 1" in line for line in found)
    assert "tiny/numbers.py:3: SPARE = 7 -> SPARE = 8  (no test runs it)" in found


def test_a_mutant_that_does_not_end_is_killed(run: subprocess.CompletedProcess[str]) -> None:
    assert not any("while" in line or "pop" in line for line in survivors(run.stdout))


def test_a_listed_equivalent_is_no_survivor_and_the_list_is_held_to_what_is_so(
    run: subprocess.CompletedProcess[str],
) -> None:
    # A list that is never held to the code excuses the next bug on the same line.
    notes = [line for line in run.stdout.splitlines() if "equivalent.toml" in line]

    assert not any(line.endswith("return number >= 5") for line in survivors(run.stdout))
    assert len(notes) == 2
    assert "is killed: tiny/numbers.py: strong" in notes[0]
    assert "does not exist any more: tiny/numbers.py: weak" in notes[1]


def test_a_score_below_what_is_asked_for_ends_with_one(
    run: subprocess.CompletedProcess[str],
) -> None:
    assert run.returncode == 1
    name, total, killed, alive, equal, score = (
        run.stdout.split("together")[0].split("\n")[-2].split()
    )
    assert name == "tiny/numbers.py"
    assert int(total) == int(killed) + int(alive) + int(equal)
    assert int(alive) == len(survivors(run.stdout))
    assert int(equal) == 1
    assert float(score) == pytest.approx(100 * int(killed) / (int(killed) + int(alive)), abs=0.1)


# -- the list of equivalents


def test_an_equivalent_mutant_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        equivalents.read(LISTED.replace("listed for the test", " "))


def test_a_sample_says_nothing_about_what_is_not_in_it() -> None:
    one = Mutant(
        1, "a.py", 1, 1, "f", in_function=True, before="b", after="c", start=0, end=1, new=""
    )
    listed = [equivalents.Equivalent("a.py", "f", "b", "c", "a reason")]

    assert equivalents.outdated(listed, [one], judged=set(), survivors=set()) == []
    assert equivalents.outdated(listed, [one], judged={one.key}, survivors={one.key}) == []
    assert len(equivalents.outdated(listed, [one], judged={one.key}, survivors=set())) == 1
    assert len(equivalents.outdated(listed, [replace(one, before="x")], set(), set())) == 1


def test_the_list_of_the_product_can_be_read() -> None:
    listed = equivalents.read(equivalents.LIST.read_text(encoding="utf-8"))

    assert all((PROJECT / one.path).is_file() for one in listed)
