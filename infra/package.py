"""
Build the function's zip, byte for byte the same from the same sources, pins and Python.

It takes the program without what only people or tests use, and the pinned libraries as pure
Python, so that one zip runs on any processor. Beside each source lies its bytecode, where this
machine has a Python of the function's own version. It uploads nothing.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent

# The lines of requirements.txt between these two are what runs in the function.
SECTION_FIRST = "# -- the function"
SECTION_NEXT = "# -- "

# The runtime that drainer.yaml names; pip chooses wheels for it, whatever Python builds the zip.
PYTHON_VERSION = "3.13"

# Compiles in one process, in the order given. "Unchecked" bytecode is used without a look at the
# source or its time, which a zip does not keep; another Python compiles the source beside it.
# AWS advises against bytecode because the builder's Python may not be the function's; here it is.
# https://peps.python.org/pep-0552/
# https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
COMPILER = """
import json, py_compile, sys
for source, target, name in json.load(sys.stdin):
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, target, name, doraise=True, invalidation_mode=unchecked)
"""
COMPILE_TIMEOUT_SECONDS = 300
PROBE_TIMEOUT_SECONDS = 30

# What of the program is the function, by file and folder; a new one is put in by a decision. People
# type the command line and tests drive the simulation: neither may reach production.
PROGRAM = frozenset(
    {
        "__init__.py",
        "attention.py",
        "aws",
        "clock.py",
        "codec.py",
        "config.py",
        "custom_resource",
        "dispatch.py",
        "drain",
        "drain_traces.py",
        "errors.py",
        "events.py",
        "fields.py",
        "handler.py",
        "invocation.py",
        "lifecycle",
        "log_lines.py",
        "operator_messages.py",
        "settings.py",
        "spot",
        "start.py",
        "telemetry.py",
        "wiring",
    }
)

# botocore carries the models of some four hundred services, 27 MB of the zip. The function calls
# all of these: cloudformation and ec2 for custom resources alone, elbv2 for Spot alone, and xray
# for the traces of drains alone. The X-Ray SDK makes a client of it too, outside Lambda.
BOTOCORE_SERVICES = frozenset(
    {"autoscaling", "cloudformation", "dynamodb", "ec2", "ecs", "elbv2", "sns", "sqs", "xray"}
)

# What endpoints.json calls those of them that it calls by another name.
ENDPOINT_NAMES = frozenset({*BOTOCORE_SERVICES, "elasticloadbalancing"})
ENDPOINTS = "botocore/data/endpoints.json"
MODEL_SUFFIX = "/service-2.json.gz"
# Apache's licence asks that a changed file says so.
CHANGED = "Shortened by infra/package.py to what the function reads"

# What installers and type checkers leave behind; RECORD and its like differ between machines.
NAMES_LEFT_OUT = frozenset({"__pycache__", "INSTALLER", "RECORD", "REQUESTED", "examples-1.json"})
SUFFIXES_LEFT_OUT = frozenset({".pyc", ".pyi", ".c", ".h"})

# The earliest instant that a zip can express: a file's real time would change every build.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
MODE = stat.S_IFREG | 0o644

# Wheels come from a cache or a nearby mirror; ten minutes mean that neither answers.
INSTALL_TIMEOUT_SECONDS = 600

# Lambda refuses more than 250 MB unzipped. Far below that, growth is a mistake to look at.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNZIPPED_BYTES_MAX = 30_000_000


def main() -> None:
    """
    Build the zip that the command line asks for and say what came out.
    """
    parser = argparse.ArgumentParser(description="Build the function's zip.")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "drainer.zip")
    parser.add_argument("--without-bytecode", action="store_true", help="put sources in only")
    arguments = parser.parse_args()
    output: Path = arguments.output

    python = None if arguments.without_bytecode else compiler(PYTHON_VERSION)
    content = build(output, python)
    digest = hashlib.sha256(content).hexdigest()
    made = "sources only" if python is None else f"bytecode of Python {release(python)}"
    sys.stdout.write(f"{output}: {len(content):,} bytes, {made}, sha256 {digest}\n")


def build(output: Path, python: str | None) -> bytes:
    """
    Write the zip to `output` and return its bytes.

    Args:
        output: Where to.
        python: The interpreter that compiles; None for a zip of sources only.
    """
    with tempfile.TemporaryDirectory() as folder:
        libraries, compiled = Path(folder) / "libraries", Path(folder) / "compiled"
        shortened = Path(folder) / "shortened"
        install(function_requirements(PROJECT / "requirements.txt"), libraries)
        files = program_files(PROJECT / "drainer") | library_files(libraries)
        files = with_short_models(files, shortened)
        if python is not None:
            files |= bytecode_files(files, python, compiled)
        unzipped_bytes = sum(path.stat().st_size for path in files.values())
        if unzipped_bytes > UNZIPPED_BYTES_MAX:
            message = f"{unzipped_bytes:,} bytes unzipped, over the limit of {UNZIPPED_BYTES_MAX:,}"
            raise SystemExit(message)
        write_zip(files, output)
    return output.read_bytes()


def function_requirements(requirements: Path) -> list[str]:
    """
    Return the pinned requirements of the function, the first section of `requirements`.
    """
    lines = requirements.read_text(encoding="utf-8").splitlines()
    if SECTION_FIRST not in lines:
        message = f"{requirements.name} has no line {SECTION_FIRST!r}"
        raise SystemExit(message)

    pins: list[str] = []
    for line in lines[lines.index(SECTION_FIRST) + 1 :]:
        if line.startswith(SECTION_NEXT):
            break
        if line and not line.startswith("#"):
            pins.append(line)

    loose = [pin for pin in pins if "==" not in pin]
    if loose or not pins:
        message = f"{requirements.name} must pin what the function needs by '=='; loose: {loose}"
        raise SystemExit(message)
    return pins


def install(requirements: list[str], target: Path) -> None:
    """
    Put the libraries into `target`, from wheels that hold no machine code.
    """
    # Without --no-deps pip would add what is not pinned; with the platform "any" it refuses a
    # wheel that runs on one processor only.
    # https://pip.pypa.io/en/stable/cli/pip_install/
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--target", str(target), "--no-deps", "--no-compile"]
    command += ["--only-binary=:all:", "--platform", "any", "--implementation", "py"]
    command += ["--abi", "none", "--python-version", PYTHON_VERSION, *requirements]
    # S603 asks whether the arguments can be trusted: they are constants and our own pins.
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_SECONDS)  # noqa: S603


def compiler(version: str) -> str | None:
    """
    Return the interpreter that compiles; without one, say what the zip lacks and how to get it.
    """
    python = find_python(version)
    if python is None:
        sys.stderr.write(
            f"warning: no Python {version} here, so the zip has no bytecode and the function "
            f"compiles at each cold start: install python{version}\n"
        )
    return python


def find_python(version: str) -> str | None:
    """
    Return an interpreter of that version: this one, one on the path, or one that pyenv keeps.
    """
    kept = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    candidates = [sys.executable, shutil.which(f"python{version}"), *map(str, sorted(kept))]
    for python in candidates:
        # What lies on the path may be a stand-in that starts nothing.
        if python and release(python).startswith(f"{version}."):
            return python
    return None


def release(python: str) -> str:
    """
    Return an interpreter's release, as "3.13.0"; empty where it does not start.
    """
    probe = [python, "-I", "-S", "-c", "import platform; print(platform.python_version())"]
    try:
        # S603 asks whether the arguments can be trusted: find_python's own candidates.
        done = subprocess.run(  # noqa: S603
            probe, capture_output=True, text=True, check=False, timeout=PROBE_TIMEOUT_SECONDS
        )
    except OSError:
        return ""
    return done.stdout.strip()


def bytecode_files(files: dict[str, Path], python: str, folder: Path) -> dict[str, Path]:
    """
    Return the bytecode of the sources by its name in the zip.
    """
    tag = f"cpython-{PYTHON_VERSION.replace('.', '')}"
    made, orders = {}, []
    for name in sorted(files):
        if not name.endswith(".py"):
            continue
        parent, _, module = name.removesuffix(".py").rpartition("/")
        inner = "/".join(part for part in (parent, "__pycache__", f"{module}.{tag}.pyc") if part)
        made[inner] = folder / inner
        # The name in the zip stands in the bytecode, and not a folder of this machine.
        orders.append((str(files[name]), str(made[inner]), name))
    # Without site no other package of this machine is imported; with a fixed seed sets are always
    # written in the same order. Isolated mode would ignore the seed.
    command = [python, "-S", "-s", "-P", "-W", "ignore", "-c", COMPILER]
    subprocess.run(  # noqa: S603 - find_python's interpreter and our own program
        command,
        input=json.dumps(orders),
        text=True,
        check=True,
        timeout=COMPILE_TIMEOUT_SECONDS,
        env={"PATH": os.defpath, "PYTHONHASHSEED": "0"},
    )
    return made


def program_files(program: Path) -> dict[str, Path]:
    """
    Return the sources of the program by their name in the zip.
    """
    files = {}
    for path in program.rglob("*"):
        inner = path.relative_to(program)
        if path.suffix == ".py" and inner.parts[0] in PROGRAM:
            files[f"{program.name}/{inner.as_posix()}"] = path
    return files


def library_files(libraries: Path) -> dict[str, Path]:
    """
    Return the files of the installed libraries by their name in the zip.
    """
    files = {}
    for path in libraries.rglob("*"):
        inner = path.relative_to(libraries)
        if path.is_file() and is_wanted(inner) and is_called(inner):
            files[inner.as_posix()] = path
    return files


def with_short_models(files: dict[str, Path], folder: Path) -> dict[str, Path]:
    """
    Return the files, with botocore's descriptions of services cut to what a client reads.

    Each start parses them: 1.3 MB of endpoints of four hundred services, and of each service that
    it calls the newest model, three quarters of which are the manual's text.
    """
    latest: dict[str, str] = {}
    for name in sorted(files):
        if name.endswith(MODEL_SUFFIX):
            latest[service_of(name)] = name
    # botocore takes the newest model: the versions before it are dead weight.
    kept = {
        name: path
        for name, path in files.items()
        if service_of(name) not in latest or name.startswith(folder_of(latest[service_of(name)]))
    }
    for name in latest.values():
        model = json.loads(gzip.decompress(kept.pop(name).read_bytes()))
        # Not compressed: what a compressor makes depends on its build.
        inner = name.removesuffix(".gz")
        kept[inner] = write_json(folder / inner, without_documentation(model))
    endpoints = json.loads(kept[ENDPOINTS].read_bytes())
    for partition in endpoints["partitions"]:
        services = partition["services"].items()
        partition["services"] = {key: one for key, one in services if key in ENDPOINT_NAMES}
    kept[ENDPOINTS] = write_json(folder / ENDPOINTS, endpoints)
    return kept


def service_of(name: str) -> str:
    """
    Return the service that a file of botocore's data describes; empty for another file.
    """
    match name.split("/"):
        case ["botocore", "data", service, _, _]:
            return service
        case _:
            return ""


def folder_of(name: str) -> str:
    """
    Return the folder of a file in the zip.
    """
    return name[: name.rindex("/") + 1]


def without_documentation(model: Any) -> Any:
    """
    Return a model without its texts; a member that is called "documentation" has a shape.
    """
    if isinstance(model, list):
        return [without_documentation(one) for one in model]
    if not isinstance(model, dict):
        return model
    return {
        key: without_documentation(value)
        for key, value in model.items()
        if not (key == "documentation" and isinstance(value, str))
    }


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """
    Write what has been shortened, with the sentence that says so, and return its path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"changed": CHANGED, **content}, separators=(",", ":"))
    path.write_text(text, encoding="utf-8")
    return path


def is_wanted(inner: Path) -> bool:
    """
    Tell whether a file belongs in any zip: no caches, no installer's notes, no C sources.
    """
    return NAMES_LEFT_OUT.isdisjoint(inner.parts) and inner.suffix not in SUFFIXES_LEFT_OUT


def is_called(inner: Path) -> bool:
    """
    Tell whether a library's file can be reached from the function.
    """
    match inner.parts:
        case ("bin", *_):
            return False
        # A file beside the services' folders (endpoints, partitions, retries) serves them all.
        case ("botocore", "data", service, _, *_):
            return service in BOTOCORE_SERVICES
        case _:
            return True


def write_zip(files: dict[str, Path], output: Path) -> None:
    """
    Write the files in the order of their names, all with the same time and mode.
    """
    # Stored, not deflated: what a compressor makes depends on its build, and eleven megabytes are
    # far from the fifty that Lambda allows.
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=TIMESTAMP)
            entry.external_attr = MODE << 16
            # The system that made the file: 3 is Unix, on every machine, so that the mode counts.
            entry.create_system = 3
            archive.writestr(entry, files[name].read_bytes())


if __name__ == "__main__":
    main()
