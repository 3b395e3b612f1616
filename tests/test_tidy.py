"""
The project's rules about its own source, kept by a test rather than by memory.

Every exception stands in a table here, with the reason why it is one.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "drainer"
# What people type and what plays AWS are no part of the function.
NOT_PRODUCTION = {"cli", "simulation"}
PRODUCTION = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in NOT_PRODUCTION
)
ALL = sorted(
    path for room in ("drainer", "infra", "tests") for path in (PROJECT / room).rglob("*.py")
)
TESTS = [path for path in ALL if path.is_relative_to(PROJECT / "tests")]
TEXTS = [
    *(path for path in ALL if path != Path(__file__).resolve()),
    *sorted((PROJECT / "infra").rglob("*.yaml")),
    *sorted((PROJECT / ".ci").glob("*")),
    *sorted(PROJECT.glob("*.md")),
    PROJECT / "Makefile",
    PROJECT / "pyproject.toml",
    PROJECT / "requirements.txt",
]

FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
MODULE_LINES_MAX = 250
# Each has its cap, so that growing further is a decision.
LONG_MODULES = {
    "aws.custom_resource": 285,  # the target, its stack and the store: one API call each
    "config": 280,  # two readers of the same settings, and the two kinds of value they share
    "custom_resource.controller": 405,  # store, look, answer and way round are one thought
    "custom_resource.progress": 335,  # what is remembered of each instance, written and read
    "custom_resource.request": 275,  # a request, an answer, and how long there is in between
    "custom_resource.target_drain": 350,  # the ports beside their user; draining a target
    "drain.machine": 490,  # carries the theory of operation, and is the only file with the phases
    "drain.model": 400,  # half of it says what each value means
    "drain.task_look": 295,  # describing, listing, and what is remembered of both
    "lifecycle.controller": 310,  # the ports, and what a pass does with each step
    "lifecycle.reactivation": 285,  # what may be back, what is retained, and what is said of it
    "lifecycle.observer": 345,  # every read of Auto Scaling, a drain's and a sweep's
    "spot.interruption": 265,  # what is read of two kinds of events, and their targets
    "spot.targets": 265,  # the waves, what may leave of each, and what will be late
    "telemetry": 290,  # a method for each kind of report, with its line and its counts
}
IMPORTS_SECONDS_MAX = 120

# The rooms of the production package: each folder is one, and so is each file beside them, but for
# those that stand at the bottom together. And which rooms each may import: a drain knows no hook,
# the three products do not know each other, and knowledge of AWS, of the environment and of the
# clock comes in from above.
BASE = {"codec", "errors", "fields", "invocation"}
DRAIN = {"base", "drain"}
PRODUCT = {*DRAIN, "config"}
PRODUCTS = {"custom_resource", "lifecycle", "spot"}
MAY_IMPORT = {
    "base": {"base"},
    "clock": set[str](),
    "drain": DRAIN,
    "config": DRAIN,
    **{product: {*PRODUCT, product} for product in PRODUCTS},
    "events": {*PRODUCT, *PRODUCTS},
    "telemetry": {*PRODUCT, *PRODUCTS},
    "aws": {*PRODUCT, *PRODUCTS, "aws"},
    "dispatch": {*PRODUCT, *PRODUCTS, "events", "telemetry"},
    "handler": {*PRODUCT, *PRODUCTS, "aws", "clock", "dispatch", "events", "telemetry"},
}
PLAIN_LIBRARY = {
    "__future__",
    "bisect",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "re",
    "typing",
    "urllib",
    "zlib",
}
# What else a production module may import, and why it alone.
LIBRARIES = {
    "aws.calls": {"boto3", "botocore"},  # the one module that knows AWS's library
    "clock": {"time"},  # the one reader of the time
    # The composition root: the environment, tracing, and which warnings of its libraries matter.
    "handler": {"aws_lambda_powertools", "os", "warnings"},
    # The answers to CloudFormation, which are no calls of an AWS API; and silence about their URLs.
    "aws.response_url_client": {"logging", "urllib3"},
    "telemetry": {"aws_lambda_powertools"},  # logs and metrics
}
# What begins the command line is no part of the function.
COMMAND_LINE = {"__main__"}

# Who besides the production gateways imports AWS's library.
AWS_LIBRARY = {
    "drainer/aws/calls.py": "the one production module that knows AWS's library",
    "drainer/cli/redrive.py": "an operator's command: it has its own calls, and its own errors",
    "drainer/simulation/account.py": "AWS's own names of methods",
    "drainer/simulation/client.py": "AWS's own service models judge requests and class errors",
    "drainer/simulation/embedded.py": "deploys into the embedded account as a user would",
    "drainer/simulation/embedded_watch.py": "reads the function's log in the embedded account",
    "drainer/simulation/fleet_stand_in.py": "a function of its own in the embedded account",
    "drainer/simulation/quick_client.py": "raises what boto3 raises",
}
# Which modules of the simulation know the production code; the others only play AWS.
SIMULATION_KNOWS = {
    "drainer/simulation/embedded_watch.py": {"aws.calls"},  # the calls to count
}
ENVIRONMENT = {
    "drainer/handler.py": "the function's composition root",
    "drainer/simulation/embedded_gateway.py": "the environment of the process that it starts",
    "drainer/simulation/warp/gateway.py": "runs in that process",
    "drainer/simulation/warp/sitecustomize.py": "runs in that process, before anything else",
}
CLOCKS = {
    "drainer/clock.py": "the one place where the production code reads the time",
    "drainer/simulation/embedded_time.py": "the embedded account's time is the wall clock's",
    "drainer/simulation/warp/sitecustomize.py": "replaces the clock of the processes it lives in",
}
READS_CLOCK = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
RANDOM = {"random", "secrets"}
VAGUE_NAMES = {"common.py", "constants.py", "helpers.py", "misc.py", "util.py", "utils.py"}
MUTATES = {"add", "append", "clear", "extend", "insert", "pop", "popitem", "setdefault", "update"}

# The lines of the list of other drainers' defects, each in a few words. Each has a test whose name
# begins with test_defect_ and its number; none is exempt.
DEFECTS = {
    1: "completing over tasks that are still stopping",
    2: "first page only; paging the cluster at each poll",
    3: "describing an empty list",
    4: "ignoring tasks on their way up",
    5: "counting before DRAINING; releasing an ACTIVE instance",
    6: "state that only the first pass builds",
    7: "any error leads to CONTINUE, or ends the chain",
    8: "swallowed errors of complete, publish, heartbeat",
    9: "No active Lifecycle Action found",
    10: "a failed look or a wrong cluster taken for absence",
    11: "heartbeats missing, too rare or endless",
    12: "no deadline, or one that is counted in sleeps",
    13: "recursive-loop detection ends the chain",
    14: "no delay between passes",
    15: "forked chains; late copies",
    16: "messages that are not notices of ours",
    17: "publishing to a topic from a message; losing what was known",
    18: "cluster hard-coded, guessed, or default",
    19: "no dead-letter queue, alarm or metric",
    20: "paid sleeping; a slot for each instance",
    21: "waiting without a word",
    22: "trusting a cached DRAINING; setting it at each poll",
    23: "token or instance id missing",
    24: "IAM too wide, unused or missing",
    25: "retired runtime; a zip that is not the source; diverging defaults",
    26: "ABANDON, Retained and the group's other hooks",
    27: "state shared between drains",
    28: "throttling in crowds",
    29: "program text inside the template",
}


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """
    The dotted names of what a file imports, also inside functions and for type checking.
    """
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            # `from drainer import events` imports the module, other froms what is in one.
            if node.module in PACKAGES:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
            else:
                found.add(node.module or "")
    return frozenset(found)


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def production_imports(path: Path) -> set[str]:
    """
    The production modules that a file imports.
    """
    names = {name.removeprefix("drainer.") for name in imports(path) if name.startswith("drainer.")}
    return {name for name in names if name.partition(".")[0] not in NOT_PRODUCTION}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(module: str) -> str:
    top = module.partition(".")[0]
    return "base" if top in BASE else top


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def attributes(path: Path) -> set[tuple[str, str]]:
    """
    Each `name.attribute` in a file.
    """
    return {
        (node.value.id, node.attr)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def module_names(path: Path) -> set[str]:
    """
    The names that a module gives values to.
    """
    targets: list[ast.expr] = []
    for node in tree(path).body:
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AnnAssign):
            targets.append(node.target)
    return {target.id for target in targets if isinstance(target, ast.Name)}


def each(paths: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """
    Have one test look at all of some files, and name those that break its rule.
    """

    def looped(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            assert paths
            broken = []
            for path in paths:
                try:
                    rule(path)
                except AssertionError as error:
                    broken.append(f"{name_of(path)}: {error}")
            assert not broken, "\n".join(broken)

        return test

    return looped


MODULES = [path for path in PRODUCTION if path.stem not in {"__init__", *COMMAND_LINE}]
PACKAGES = {
    ".".join(path.parent.relative_to(PROJECT).parts) for path in PACKAGE.rglob("__init__.py")
}

# -- the arrows


def test_every_production_module_has_a_room() -> None:
    assert {room_of(module_of(path)) for path in MODULES} == set(MAY_IMPORT)


@each(MODULES)
def test_arrows_point_from_the_edges_to_the_base(path: Path) -> None:
    allowed = MAY_IMPORT[room_of(module_of(path))]

    assert {room_of(module) for module in production_imports(path)} - allowed == set()


@each(MODULES)
def test_production_knows_neither_the_simulation_nor_the_command_line(path: Path) -> None:
    assert not any(name.startswith(("drainer.simulation", "drainer.cli")) for name in imports(path))


@each(MODULES)
def test_production_imports_no_more_libraries_than_it_says(path: Path) -> None:
    allowed = PLAIN_LIBRARY | LIBRARIES.get(module_of(path), set()) | {"drainer"}

    assert tops(path) - allowed == set()


def test_production_modules_import_each_other_without_a_circle() -> None:
    waiting = {module_of(path): production_imports(path) for path in MODULES}
    for _ in range(len(waiting)):
        free = {module for module, needs in waiting.items() if not needs & set(waiting)}
        waiting = {module: needs for module, needs in waiting.items() if module not in free}

    assert waiting == {}


@each([path for path in ALL if path.is_relative_to(PACKAGE)])
def test_only_those_with_a_reason_import_awss_library(path: Path) -> None:
    assert bool(tops(path) & {"boto3", "botocore"}) == (name_of(path) in AWS_LIBRARY)


@each(sorted((PACKAGE / "simulation").rglob("*.py")))
def test_the_simulation_does_not_know_what_runs_in_it(path: Path) -> None:
    allowed = SIMULATION_KNOWS.get(name_of(path), set())

    assert production_imports(path) - allowed == set()
    assert not any(name.startswith("drainer.cli") for name in imports(path))


# -- what is read and done in one place only


@each([path for path in ALL if path.is_relative_to(PACKAGE)])
def test_the_environment_is_read_by_the_composition_roots_only(path: Path) -> None:
    reads = {("os", "environ"), ("os", "getenv"), ("os", "putenv")} & attributes(path)

    assert bool(reads) == (name_of(path) in ENVIRONMENT)


@each([path for path in ALL if path.is_relative_to(PACKAGE)])
def test_the_clock_is_read_in_one_place(path: Path) -> None:
    assert bool(READS_CLOCK & attributes(path)) == (name_of(path) in CLOCKS)


@each(MODULES)
def test_production_starts_no_threads_and_sleeps_in_one_place(path: Path) -> None:
    # A pass never waits for a drain; an interruption waits a few seconds for a throttle to end.
    assert tops(path) & {"asyncio", "concurrent", "multiprocessing", "threading"} == set()
    assert (("time", "sleep") in attributes(path)) == (module_of(path) == "clock")
    assert (("clock", "sleep") in attributes(path)) == (module_of(path) == "handler")


@each([path for path in ALL if path.is_relative_to(PACKAGE)])
def test_chance_is_the_simulations(path: Path) -> None:
    if not name_of(path).startswith(("drainer/simulation/", "drainer/cli/")):
        assert tops(path) & RANDOM == set()


# Chance without a seed cannot be played again.
@each([path for path in ALL if path.is_relative_to(PACKAGE)])
def test_chance_has_a_seed(path: Path) -> None:
    # Only `from random import Random`, and only with an argument.
    assert not any(
        alias.name in RANDOM
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import)
        for alias in node.names
    )
    unseeded = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Random"
        and not node.args
    ]
    assert unseeded == []


@each(ALL)
def test_only_the_command_line_and_the_scripts_print(path: Path) -> None:
    if not name_of(path).startswith(("drainer/cli/", "infra/")):
        calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "print" not in names


@each(MODULES)
def test_production_loops_have_an_end(path: Path) -> None:
    assert not any(isinstance(node, ast.While) for node in ast.walk(tree(path)))


# A warm function serves many drains: what one leaves in a module, the next one finds.
@each(MODULES)
def test_defect_27_no_module_keeps_state(path: Path) -> None:
    kept = module_names(path)
    found = []
    for node in ast.walk(tree(path)):
        changed: ast.expr | None = None
        match node:
            case ast.Global() | ast.Nonlocal():
                found.append(node.lineno)
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                changed = node.value
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                changed = node.value
            case ast.Call(func=ast.Attribute() as method) if method.attr in MUTATES:
                changed = method.value
        if isinstance(changed, ast.Name) and changed.id in kept:
            found.append(changed.lineno)
    cached = [
        one.name for one in functions(path) if "cache" in ast.dump(ast.List(one.decorator_list))
    ]

    assert found == []
    # The function is made when Lambda starts it, and what answers Spot or CloudFormation when
    # one of them first asks; they hold clients and settings, and where there is no table the book.
    made = {"_production", "interruptions", "requests"}
    assert set(cached) == (made if module_of(path) == "handler" else set())


# In a Lambda function the import is the cold start: it is billed, and its failures have no event.
def test_importing_does_nothing() -> None:
    modules = [
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for path in ALL
        if path.is_relative_to(PACKAGE)
        and path.stem not in {"__init__", "__main__"}
        and "warp" not in path.parts  # these run in a process of their own, and patch it
    ]
    program = f"""
import importlib, os, sys
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def judge(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork")):
        # Asking which address families there are is what urllib3 does at its import.
        if event not in ("socket.__new__", "socket.bind", "socket.gethostname"):
            raise AssertionError(f"{{event}} {{arguments}}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        raise AssertionError(f"writes {{arguments[0]}}")
sys.addaudithook(judge)
for name in {modules!r}:
    importlib.import_module(name)
import boto3
assert boto3.DEFAULT_SESSION is None, "a client was made"
assert sys.modules["drainer.handler"]._production.cache_info().currsize == 0
"""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        cwd=PROJECT,
        # No AWS setting is needed, and nothing of the terminal's.
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=IMPORTS_SECONDS_MAX,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- sizes and habits


@each(ALL)
def test_functions_fit_on_a_screen(path: Path) -> None:
    long = {
        node.name: length
        for node in functions(path)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }

    assert long == {}


@each(ALL)
def test_lines_fit_on_a_screen(path: Path) -> None:
    # What a line says to the linters does not count.
    lines = re.sub(r" +# (noqa|type: ignore).*", "", path.read_text(encoding="utf-8")).splitlines()
    long = [(number, line) for number, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX]

    # A link cannot be broken.
    assert [number for number, line in long if "://" not in line.split()[-1]] == []


@each(PRODUCTION)
def test_production_modules_are_small(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8").splitlines())
    cap = LONG_MODULES.get(module_of(path), MODULE_LINES_MAX)

    assert length <= cap
    # An exception that is no longer one goes.
    assert module_of(path) not in LONG_MODULES or length > MODULE_LINES_MAX


@each(ALL)
def test_no_exception_is_caught_without_a_name(path: Path) -> None:
    handlers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler)]

    assert [handler.lineno for handler in handlers if handler.type is None] == []


# pyproject.toml names the words, to say that they are forbidden here.
@each([path for path in TEXTS if path.name != "pyproject.toml"])
def test_nothing_is_left_for_later(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b", text) == []


@each(TEXTS)
def test_nothing_names_a_place_on_somebodys_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert re.findall(r"(?<![\w$.}])/(?:root|home|work|Users)/\S*", text) == []


def test_files_are_named_for_what_is_in_them() -> None:
    assert [name_of(path) for path in ALL if path.name in VAGUE_NAMES] == []


# -- the tests themselves


@each([path for path in TESTS if path.name.startswith("test_")])
def test_test_files_assert(path: Path) -> None:
    kinds = [type(node) for node in ast.walk(tree(path))]

    assert kinds.count(ast.Assert) > 0
    assert any(node.name.startswith("test_") for node in functions(path))


@each(TESTS)
def test_our_own_code_is_never_patched(path: Path) -> None:
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("drainer")
        for alias in node.names
    }
    patched = []
    for node in ast.walk(tree(path)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in {"setattr", "delattr", "patch"} or not node.args:
            continue
        target = node.args[0]
        if isinstance(target, ast.Constant):
            named = str(target.value).startswith("drainer")
        else:
            named = isinstance(target, ast.Name) and target.id in ours
        if named:
            patched.append(node.lineno)

    assert patched == []
    assert "unittest.mock" not in imports(path)


def numbers(path: Path) -> set[int]:
    """
    The defects that a file's tests are named for.
    """
    found = (re.match(r"test_defect_(\d\d)_", node.name) for node in functions(path))
    return {int(match[1]) for match in found if match}


@pytest.mark.parametrize("number", DEFECTS)
def test_each_defect_of_others_has_a_test(number: int) -> None:
    assert [name_of(path) for path in TESTS if number in numbers(path)] != []


@each(TESTS)
def test_no_test_is_named_for_a_defect_that_is_not_listed(path: Path) -> None:
    assert numbers(path) - set(DEFECTS) == set()
