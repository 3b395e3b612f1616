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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
    *sorted((PROJECT / "infra").rglob("*.tf")),
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
    "events": 254,  # what each kind of record is told by
    "custom_resource.target_drain": 257,  # what a pass does, and what of earlier ones counts for it
    "drain.finder": 298,  # what is known, named, in any cluster, registered again, and refused
    "drain.look": 263,  # what one look has seen, and which registration that is about
    "drain.may_leave": 266,  # the rules, what the next pass needs, and why it is waited
    "lifecycle.acting": 261,  # answers, heartbeats, changes, and what is published when
    "lifecycle.recorder": 295,  # the store, what is read of it, and what came of writes
    "spot.events": 265,  # what is read of two kinds of events, and their targets
    "spot.targets": 265,  # the waves, what may leave of each, and what will be late
}
IMPORTS_SECONDS_MAX = 120

# The rooms of the production package: each folder is one, and so is each file beside them, but for
# those that stand at the bottom together. And which rooms each may import: a drain knows no hook,
# the three products do not know each other, and knowledge of AWS, of the environment and of the
# clock comes in from above.
BASE = {"codec", "errors", "fields", "invocation", "settings"}
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
    "attention": {*PRODUCT, *PRODUCTS},
    "log_lines": {*PRODUCT, *PRODUCTS, "attention"},
    "drain_traces": {*PRODUCT, *PRODUCTS, "attention", "log_lines", "telemetry"},
    "operator_messages": {*PRODUCT, *PRODUCTS, "attention", "telemetry"},
    "telemetry": {*PRODUCT, *PRODUCTS, "attention", "log_lines"},
    "aws": {*PRODUCT, *PRODUCTS, "aws"},
    "dispatch": {*PRODUCT, *PRODUCTS, "events", "telemetry"},
    "wiring": {*PRODUCT, *PRODUCTS, "aws"},
    "handler": {
        *PRODUCT,
        *PRODUCTS,
        "attention",
        "aws",
        "clock",
        "dispatch",
        "drain_traces",
        "events",
        "operator_messages",
        "telemetry",
        "wiring",
    },
    "start": {"handler"},
}
# The same for the simulation, where each service is a room; `embedded` stands apart. What a service
# does to another it is given by `aws`, which alone knows all of them.
SIMULATION_BASE = {"account", "paging", "production", "records", "template"}
SERVICES = {
    f"services.{name}"
    for name in (
        *("auto_scaling", "cloudformation", "dynamodb", "ec2", "ecs", "elb"),
        *("iam", "messaging", "quotas"),
    )
}
COMPOSED = {"base", *SERVICES, "protocol", "aws"}
SIMULATION_MAY_IMPORT = {
    "base": {"base"},
    **{service: {"base", service} for service in SERVICES},
    # What ECS runs is balanced; what Auto Scaling and EC2 launch runs tasks.
    "services.ecs": {"base", "services.ecs", "services.elb"},
    "services.auto_scaling": {"base", "services.auto_scaling", "services.ecs"},
    "services.ec2": {"base", "services.ec2", "services.ecs"},
    # Requests come by a topic or an invocation; and a group's ARN is known to its service alone.
    "services.cloudformation": {"base", "services.cloudformation", "services.messaging"},
    "services.iam": {"base", "services.auto_scaling", "services.iam"},
    "protocol": {"base", "protocol"},
    "aws": {*COMPOSED} - {"aws"},
    "scenario": {*COMPOSED, "scenario"},
    "faults": {*COMPOSED, "scenario", "faults"},
    "checkers": {*COMPOSED, "scenario", "checkers"},
    "runs": {*COMPOSED, "scenario", "faults", "checkers", "runs"},
    "embedded": {*COMPOSED, "scenario", "embedded"},
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
    "aws.calls": {"botocore"},  # the one module that knows AWS's library
    # What no other write has: it must differ between two functions that know nothing of each other.
    "aws.records": {"secrets"},
    "clock": {"time"},  # the one reader of the time
    # The composition root: the environment, tracing, and which warnings of its libraries matter.
    "handler": {"aws_lambda_powertools", "os", "warnings"},
    # The answers to CloudFormation, which are no calls of an AWS API; and silence about their URLs.
    "aws.response_url_client": {"logging", "urllib3"},
    "start": {"gc"},  # what a start makes is no garbage
    "telemetry": {"aws_lambda_powertools"},  # logs and metrics
}
# What begins the command line is no part of the function.
COMMAND_LINE = {"__main__"}

EMBEDDED = "drainer/simulation/embedded"

# Who besides the production gateways imports AWS's library.
AWS_LIBRARY = {
    "drainer/cli/account/session.py": "the clients and errors of all commands on a user's account",
    "drainer/cli/bench/start_up.py": "gives aws-cdk's handler the libraries of a runtime",
    "drainer/aws/calls.py": "the one production module that knows AWS's library",
    "drainer/simulation/account.py": "AWS's own names of methods",
    "drainer/simulation/protocol/client.py": "AWS's service models judge requests and class errors",
    f"{EMBEDDED}/account.py": "deploys into the embedded account as a user would",
    f"{EMBEDDED}/watch.py": "reads the function's log in the embedded account",
    f"{EMBEDDED}/fleet_stand_in.py": "a function of its own in the embedded account",
    "drainer/simulation/protocol/quick_client.py": "raises what boto3 raises",
    "drainer/cli/demo/stuck/planted_aws.py": "real clients whose calls end in planted answers",
}
# Which modules of the simulation know the production code; the others only play AWS.
SIMULATION_KNOWS = {
    f"{EMBEDDED}/watch.py": {"aws.calls"},  # the calls to count
}
ENVIRONMENT = {
    "drainer/cli/account/session.py": "the Region, as the AWS CLI finds it",
    "drainer/handler.py": "the function's composition root",
    f"{EMBEDDED}/gateway.py": "the environment of the process that it starts",
    f"{EMBEDDED}/warp/gateway.py": "runs in that process",
    f"{EMBEDDED}/warp/sitecustomize.py": "runs in that process, before anything else",
}
CLOCKS = {
    "drainer/clock.py": "the one place where the production code reads the time",
    f"{EMBEDDED}/compressed_time.py": "the embedded account's time is the wall clock's",
    f"{EMBEDDED}/warp/sitecustomize.py": "replaces the clock of the processes it lives in",
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

# What asserts for its caller; the functions of a test's own begin with these words.
ASSERTING = {"raises", "assert_none", "assert_well_drained", "judge"}
# Whose loops are counted by another test of the same file.
LOOPS_COUNTED = {
    "tests/unit/test_may_leave.py": "walks one space of looks, whose size and phases are asserted",
}

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
    16: "messages that are not notifications of ours",
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
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """
    All of a file's syntax; kept, since nearly every rule walks it.
    """
    return tuple(ast.walk(tree(path)))


@cache
def imports(path: Path) -> frozenset[str]:
    """
    The dotted names of what a file imports, also inside functions and for type checking.
    """
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            # `from drainer import events` imports the module, other froms what is in one.
            if node.module in FOLDERS:
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


def simulation_room_of(module: str) -> str:
    """
    The room of a module of the simulation, by its name without `drainer.simulation.`.
    """
    top, _, rest = module.partition(".")
    if top == "services":
        return f"{top}.{rest.partition('.')[0]}"
    return "base" if top in SIMULATION_BASE else top


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in nodes(path) if isinstance(node, kinds)]


def attributes(path: Path) -> set[tuple[str, str]]:
    """
    Each `name.attribute` in a file.
    """
    return {
        (node.value.id, node.attr)
        for node in nodes(path)
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


def assert_none(paths: list[Path], finds: Callable[[Path], Iterable[object]]) -> None:
    """
    Assert that a rule finds nothing in any file; a failure names all that it finds.
    """
    assert paths != [], "a rule about no file holds whatever is written"
    found = [f"{name_of(path)}: {one}" for path in paths for one in finds(path)]
    assert found == [], "\n" + "\n".join(found)


MODULES = [path for path in PRODUCTION if path.stem not in {"__init__", *COMMAND_LINE}]
OURS = [path for path in ALL if path.is_relative_to(PACKAGE)]
FOLDERS = {".".join(path.parent.relative_to(PROJECT).parts) for path in ALL}
SIMULATION = [
    path for path in OURS if path.is_relative_to(PACKAGE / "simulation") and path.stem != "__init__"
]

# -- the arrows


def test_every_production_module_has_a_room() -> None:
    assert {room_of(module_of(path)) for path in MODULES} == set(MAY_IMPORT)


def test_arrows_point_from_the_edges_to_the_base() -> None:
    def against(path: Path) -> set[str]:
        return {room_of(one) for one in production_imports(path)} - MAY_IMPORT[
            room_of(module_of(path))
        ]

    assert_none(MODULES, against)


def test_production_knows_neither_the_simulation_nor_the_command_line() -> None:
    def known(path: Path) -> list[str]:
        others = ("drainer.simulation", "drainer.cli")
        return [name for name in imports(path) if name.startswith(others)]

    assert_none(MODULES, known)


def test_production_imports_no_more_libraries_than_it_says() -> None:
    def unsaid(path: Path) -> set[str]:
        return tops(path) - (PLAIN_LIBRARY | LIBRARIES.get(module_of(path), set()) | {"drainer"})

    assert_none(MODULES, unsaid)


def test_the_simulations_arrows_point_from_its_edges_to_the_account() -> None:
    # A service that knows them all is a circle, and no part of it can be read alone.
    def against(path: Path) -> set[str]:
        prefix = "drainer.simulation."
        own = simulation_room_of(module_of(path).removeprefix("simulation."))
        known = {one.removeprefix(prefix) for one in imports(path) if one.startswith(prefix)}
        return {simulation_room_of(one) for one in known} - SIMULATION_MAY_IMPORT[own]

    names = [module_of(path).removeprefix("simulation.") for path in SIMULATION]
    assert {simulation_room_of(name) for name in names} == set(SIMULATION_MAY_IMPORT)
    assert_none(SIMULATION, against)


def circle(needs: dict[str, set[str]]) -> set[str]:
    """
    Those that are in a circle, or on the way from one to another.
    """
    left = dict(needs)
    for _ in range(len(needs)):
        needed = {other for others in left.values() for other in others}
        left = {one: left[one] for one in left.keys() & needed if left[one] & left.keys()}
    return set(left)


# Imports for type checking count as well: what is in a circle can only be understood as a whole.
def test_no_modules_import_each_other_in_a_circle() -> None:
    named = {".".join(path.relative_to(PROJECT).with_suffix("").parts): path for path in ALL}
    needs = {name: set(imports(path)) for name, path in named.items()}

    assert {"drainer.simulation.aws", "drainer.cli.simulate.command", "tests.loops"} <= set(needs)
    assert circle(needs) == set()


def test_no_rooms_import_each_other_in_a_circle() -> None:
    for rooms in (MAY_IMPORT, SIMULATION_MAY_IMPORT):
        assert circle({room: others - {room} for room, others in rooms.items()}) == set()


def test_only_those_with_a_reason_import_awss_library() -> None:
    # Equal and not only within: an exception that is no longer one goes.
    assert {name_of(path) for path in OURS if tops(path) & {"boto3", "botocore"}} == set(
        AWS_LIBRARY
    )


def test_the_simulation_does_not_know_what_runs_in_it() -> None:
    def known(path: Path) -> set[str]:
        allowed = SIMULATION_KNOWS.get(name_of(path), set())
        commands = {name for name in imports(path) if name.startswith("drainer.cli")}
        return commands | (production_imports(path) - allowed)

    assert_none(sorted((PACKAGE / "simulation").rglob("*.py")), known)


# -- what is read and done in one place only


def test_the_environment_is_read_by_the_composition_roots_only() -> None:
    reads = {("os", "environ"), ("os", "getenv"), ("os", "putenv")}

    assert {name_of(path) for path in OURS if reads & attributes(path)} == set(ENVIRONMENT)


def test_the_clock_is_read_in_one_place() -> None:
    assert {name_of(path) for path in OURS if READS_CLOCK & attributes(path)} == set(CLOCKS)


def test_production_starts_no_threads_and_sleeps_in_one_place() -> None:
    # A pass never waits for a drain; an interruption waits a few seconds for a throttle to end.
    threads = {"asyncio", "concurrent", "multiprocessing", "threading"}

    assert_none(MODULES, lambda path: tops(path) & threads)
    assert [module_of(path) for path in MODULES if ("time", "sleep") in attributes(path)] == [
        "clock"
    ]
    assert [module_of(path) for path in MODULES if ("clock", "sleep") in attributes(path)] == [
        "handler"
    ]


def test_chance_is_the_simulations() -> None:
    # Nothing is decided by the name of a write, so that a replay with other names is the same one.
    may = ("drainer/simulation/", "drainer/cli/", "drainer/aws/records.py")
    others = [path for path in OURS if not name_of(path).startswith(may)]

    assert_none(others, lambda path: tops(path) & RANDOM)


# Chance without a seed cannot be played again.
def test_chance_has_a_seed() -> None:
    def unseeded(path: Path) -> Iterator[int]:
        # Only `from random import Random`, and only with an argument.
        for node in nodes(path):
            match node:
                case ast.Import(names=names) if {alias.name for alias in names} & RANDOM:
                    yield node.lineno
                case ast.Call(func=ast.Name(id="Random"), args=[]):
                    yield node.lineno

    assert_none(OURS, unseeded)


def test_only_the_command_line_and_the_scripts_print() -> None:
    others = [path for path in ALL if not name_of(path).startswith(("drainer/cli/", "infra/"))]

    def prints(path: Path) -> Iterator[int]:
        for node in nodes(path):
            match node:
                case ast.Call(func=ast.Name(id="print")):
                    yield node.lineno

    assert_none(others, prints)


def test_production_loops_have_an_end() -> None:
    def endless(path: Path) -> list[int]:
        return [node.lineno for node in nodes(path) if isinstance(node, ast.While)]

    assert_none(MODULES, endless)


def state_kept(path: Path) -> list[int]:
    """
    The lines that change what a module has given a name.
    """
    kept = module_names(path)
    found = []
    for node in nodes(path):
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
    return found


# A warm function serves many drains: what one leaves in a module, the next one finds.
def test_defect_27_no_module_keeps_state() -> None:
    cached = {
        f"{module_of(path)}.{one.name}"
        for path in MODULES
        for one in functions(path)
        if "cache" in ast.dump(ast.List(one.decorator_list))
    }

    assert_none(MODULES, state_kept)
    # The function is made when Lambda starts it, and what answers Spot or CloudFormation when
    # one of them first asks; they hold clients and settings.
    assert cached == {
        *("handler._production", "handler._traced", "handler.interruptions", "handler.requests"),
    }


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


def test_functions_fit_on_a_screen() -> None:
    def long(path: Path) -> Iterator[str]:
        for node in functions(path):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{node.name} has {length} lines"

    assert_none(ALL, long)


def test_lines_fit_on_a_screen() -> None:
    def long(path: Path) -> list[int]:
        # What a line says to the linters does not count.
        text = re.sub(r" +# (noqa|type: ignore).*", "", path.read_text(encoding="utf-8"))
        return [
            number
            for number, line in enumerate(text.splitlines(), 1)
            # A link cannot be broken.
            if len(line) > COLUMNS_MAX and "://" not in line.split()[-1]
        ]

    assert_none(ALL, long)


def test_production_modules_are_small() -> None:
    lengths = {
        module_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PRODUCTION
    }
    too_long = {
        name: length
        for name, length in lengths.items()
        if length > LONG_MODULES.get(name, MODULE_LINES_MAX)
    }

    assert too_long == {}
    # An exception that is no longer one goes.
    assert [name for name in LONG_MODULES if lengths.get(name, 0) <= MODULE_LINES_MAX] == []


def test_no_exception_is_caught_without_a_name() -> None:
    def bare(path: Path) -> list[int]:
        handlers = [node for node in nodes(path) if isinstance(node, ast.ExceptHandler)]
        return [handler.lineno for handler in handlers if handler.type is None]

    assert_none(ALL, bare)


def test_nothing_is_left_for_later() -> None:
    # pyproject.toml names the words, to say that they are forbidden here.
    texts = [path for path in TEXTS if path.name != "pyproject.toml"]

    def left(path: Path) -> list[str]:
        return re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b", path.read_text(encoding="utf-8"))

    assert_none(texts, left)


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    def places(path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8")
        return re.findall(r"(?<![\w$.}])/(?:root|home|work|Users)/\S*", text)

    assert_none(TEXTS, places)


def test_files_are_named_for_what_is_in_them() -> None:
    assert [name_of(path) for path in ALL if path.name in VAGUE_NAMES] == []


# -- the tests themselves


def test_test_files_assert() -> None:
    def lacks(path: Path) -> Iterator[str]:
        if not any(isinstance(node, ast.Assert) for node in nodes(path)):
            yield "asserts nothing"
        if not any(node.name.startswith("test_") for node in functions(path)):
            yield "has no test"

    assert_none([path for path in TESTS if path.name.startswith("test_")], lacks)


def runs(loop: ast.stmt) -> bool:
    """
    Whether a block is sure to run: a loop over what is written there, a constant or `some(...)`.
    """
    match loop:
        case ast.For(iter=ast.Tuple() | ast.List()):
            return True
        case ast.For(iter=ast.Name(id=name)):
            return name.isupper()
        case ast.For(iter=ast.Call(func=ast.Name(id="range" | "some"))):
            return True
        case ast.With() | ast.Try():
            return True
    return False


def asserts(body: list[ast.stmt]) -> bool:
    """
    Whether something is asserted in a block that is sure to run.
    """
    for statement in body:
        match statement:
            case ast.Assert():
                return True
            case ast.Expr(value=ast.Call()) | ast.With() if ASSERTING & words(statement):
                return True
            case ast.For() | ast.With() | ast.Try() if runs(statement) and asserts(statement.body):
                return True
    return False


def words(statement: ast.stmt) -> set[str]:
    """
    The names of what a statement calls.
    """
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return {getattr(call, "id", getattr(call, "attr", "")) for call in calls}


# A loop that never runs asserts nothing, and a test whose template has lost its queues stays green.
def test_no_test_asserts_only_where_a_loop_may_not_run() -> None:
    def idle(path: Path) -> list[str]:
        return [
            node.name
            for node in functions(path)
            if node.name.startswith("test_")
            and any(isinstance(one, ast.Assert) for one in ast.walk(node))
            and not asserts(node.body)
        ]

    assert_none([path for path in TESTS if name_of(path) not in LOOPS_COUNTED], idle)


def patches(path: Path) -> Iterator[int]:
    """
    The lines that put something else in the place of our own code.
    """
    ours = {
        alias.asname or alias.name
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("drainer")
        for alias in node.names
    }
    for node in nodes(path):
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
            yield node.lineno


def test_our_own_code_is_never_patched() -> None:
    assert_none(TESTS, patches)
    assert_none(TESTS, lambda path: imports(path) & {"unittest.mock"})


def numbers(path: Path) -> set[int]:
    """
    The defects that a file's tests are named for.
    """
    found = (re.match(r"test_defect_(\d\d)_", node.name) for node in functions(path))
    return {int(match[1]) for match in found if match}


def test_each_defect_of_others_has_a_test_and_no_other_is_named() -> None:
    tested = {number for path in TESTS for number in numbers(path)}

    assert {number: DEFECTS[number] for number in DEFECTS if number not in tested} == {}
    assert_none(TESTS, lambda path: numbers(path) - set(DEFECTS))
