"""
The zip: the same bytes every time, complete, pure Python and without what people and tests use.
"""

from __future__ import annotations

import _imp
import hashlib
import importlib.util
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from drainer.aws.calls import CALLS
from drainer.aws.custom_resource import CUSTOM_RESOURCE_CALLS
from drainer.aws.queue import QUEUE_CALLS
from drainer.aws.records import RECORD_CALLS
from drainer.aws.spot import SPOT_CALLS
from drainer.aws.x_ray import TRACE_CALLS

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "infra" / "package.py"
# Lambda takes 50 MB zipped.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ZIPPED_BYTES_MAX = 50_000_000

# What Lambda does first: import the entry point; then a client for each service. Run with no
# site-packages and from an empty folder, so that only the zip can answer.
START = """
import sys
sys.path.insert(0, sys.argv[1])
import drainer.handler
assert callable(drainer.handler.lambda_handler)
from drainer.aws import calls, custom_resource, queue, records, spot, x_ray
assert calls.__file__.startswith(sys.argv[1])
made = calls.CALLS, custom_resource.CUSTOM_RESOURCE_CALLS, spot.SPOT_CALLS, records.RECORD_CALLS
client = calls.clients()
made += (queue.QUEUE_CALLS, x_ray.TRACE_CALLS)
for service in {service for each in made for service in each}:
    client(service)
# What answers CloudFormation.
import urllib3
assert urllib3.__file__.startswith(sys.argv[1])
"""


def script() -> Any:
    spec = importlib.util.spec_from_file_location("package", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(drainer_zip: Path) -> list[str]:
    with zipfile.ZipFile(drainer_zip) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def plain_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A second build, from another folder and at another time, as a machine without the function's
    Python makes it; what the script has said is beside it.
    """
    folder = tmp_path_factory.mktemp("plain")
    output = folder / "plain.zip"
    command = [sys.executable, str(SCRIPT), "--without-bytecode", "--output", str(output)]
    done = subprocess.run(  # noqa: S603 - our own script
        command, check=True, cwd=folder, capture_output=True, text=True, timeout=600
    )
    output.with_suffix(".said").write_text(done.stdout)
    return output


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_defect_25_the_zip_is_the_same_from_another_folder_at_another_time(
    drainer_zip: Path, plain_zip: Path, tmp_path: Path
) -> None:
    # If two builds differ, nobody can tell whether what runs is what is in the repository.
    with zipfile.ZipFile(plain_zip) as archive:
        archive.extractall(tmp_path / "sources")
    files = {name: tmp_path / "sources" / name for name in names(plain_zip)}
    if FUNCTION_PYTHON:
        files |= script().bytecode_files(files, FUNCTION_PYTHON, tmp_path / "compiled")
    again = tmp_path / "again.zip"
    script().write_zip(files, again)
    said = plain_zip.with_suffix(".said").read_text()

    assert sha256(drainer_zip) == sha256(again)
    assert sha256(plain_zip) in said
    assert f"{plain_zip.stat().st_size:,}" in said


def test_entries_are_sorted_and_carry_no_time_owner_or_machine(drainer_zip: Path) -> None:
    # These are what makes two zips of the same files differ.
    with zipfile.ZipFile(drainer_zip) as archive:
        entries = archive.infolist()

    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {(1980, 1, 1, 0, 0, 0)} == {entry.date_time for entry in entries}
    assert {0o100644} == {entry.external_attr >> 16 for entry in entries}
    assert {3} == {entry.create_system for entry in entries}


def test_only_the_function_is_in_the_zip(drainer_zip: Path) -> None:
    # The simulation in production would be one import away from answering for AWS.
    found = names(drainer_zip)
    outside = ("drainer/cli/", "drainer/simulation/", "drainer/__main__.py", "tests/", "infra/")

    assert "drainer/handler.py" in found
    assert not [name for name in found if name.startswith(outside)]
    assert not [name for name in found if name.endswith((".so", ".pyd", "/RECORD"))]


def test_the_zip_is_the_source(drainer_zip: Path) -> None:
    # A stale file in the zip is a bug that no test of the source can find.
    with zipfile.ZipFile(drainer_zip) as archive:
        sources = {
            name: archive.read(name)
            for name in archive.namelist()
            if name.startswith("drainer/") and not name.endswith(".pyc")
        }

    assert "drainer/handler.py" in sources
    assert {name: (PROJECT / name).read_bytes() for name in sources} == sources


def test_the_zip_has_every_module_of_the_function(drainer_zip: Path) -> None:
    # One that only some drains need is imported by the first of them, and not by a start.
    outside = {"cli", "simulation", "__main__.py"}
    modules = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "drainer").rglob("*.py")
        if path.relative_to(PROJECT / "drainer").parts[0] not in outside
    }

    assert modules - set(names(drainer_zip)) == set()


def test_every_service_that_is_called_keeps_its_model(drainer_zip: Path) -> None:
    # A missing model is an exception at the first drain in production.
    found = names(drainer_zip)
    services = {name.split("/")[2] for name in found if name.startswith("botocore/data/")}

    made = CALLS, CUSTOM_RESOURCE_CALLS, QUEUE_CALLS, RECORD_CALLS, SPOT_CALLS, TRACE_CALLS
    called = {service for each in made for service in each}

    assert called == {name for name in services if "." not in name}
    assert "botocore/data/endpoints.json" in found
    assert "botocore/data/partitions.json" in found


def test_licences_travel_with_the_libraries(drainer_zip: Path) -> None:
    # Who passes on a library passes on its licence.
    found = names(drainer_zip)
    infos = {name.split("/")[0] for name in found if ".dist-info/" in name}

    assert infos
    for info in infos:
        inside = [name.upper() for name in found if name.startswith(f"{info}/")]
        assert any("LICENSE" in name for name in inside), info


def test_the_zip_is_far_below_lambdas_limit(drainer_zip: Path) -> None:
    # A cold start reads all of it.
    assert drainer_zip.stat().st_size < ZIPPED_BYTES_MAX


# What a file of bytecode begins with: magic number, flags, hash of the source.
# https://peps.python.org/pep-0552/
HEADER = struct.Struct("<4sI8s")
HASH_BASED_AND_UNCHECKED = 0b01
FUNCTION_PYTHON = script().find_python(script().PYTHON_VERSION)
WithTheFunctionsPython = pytest.mark.skipif(
    FUNCTION_PYTHON is None, reason="no Python of the function's version on this machine"
)


def stand_in(folder: Path, version: str, says: str) -> None:
    """
    Put a program into the folder that says what a Python of that version would.
    """
    program = folder / f"python{version}"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)


@WithTheFunctionsPython
def test_every_source_has_its_bytecode_beside_it(drainer_zip: Path) -> None:
    # A cold start compiles what has none, in an environment with a third of a processor.
    found = names(drainer_zip)
    compiled = {name for name in found if name.endswith(".pyc")}
    tag = f"cpython-{script().PYTHON_VERSION.replace('.', '')}"
    expected = {
        (Path(name).parent / "__pycache__" / f"{Path(name).stem}.{tag}.pyc").as_posix()
        for name in found
        if name.endswith(".py")
    }

    assert "drainer/__pycache__/handler.cpython-313.pyc" in compiled
    assert compiled == expected


@WithTheFunctionsPython
def test_bytecode_is_of_the_functions_python_of_this_source_and_of_no_machine(
    drainer_zip: Path,
) -> None:
    # Of another Python it would be ignored; with a time in it, it would be stale from the first
    # day, since a zip keeps none; with a folder in it, no two machines would build the same.
    probe = "import importlib.util, sys; sys.stdout.write(importlib.util.MAGIC_NUMBER.hex())"
    magic = subprocess.run(  # noqa: S603 - the interpreter that compiled
        [str(FUNCTION_PYTHON), "-c", probe], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    checked = 0
    with zipfile.ZipFile(drainer_zip) as archive:
        for name in archive.namelist():
            if not (name.startswith("drainer/") and name.endswith(".py")):
                continue
            folder, _, file = name.rpartition("/")
            inner = f"{folder}/__pycache__/{file}"
            content = archive.read(inner.removesuffix(".py") + ".cpython-313.pyc")
            number, flags, digest = HEADER.unpack_from(content)
            assert number.hex() == magic
            assert flags == HASH_BASED_AND_UNCHECKED
            # importlib.util.source_hash, by the other Python's number.
            raw = int.from_bytes(number, "little")
            assert digest == _imp.source_hash(raw, archive.read(name))
            assert name.encode() in content
            assert str(PROJECT).encode() not in content
            checked += 1

    assert checked > 20


@WithTheFunctionsPython
def test_the_function_starts_from_its_bytecode(drainer_zip: Path, tmp_path: Path) -> None:
    # Bytecode that is there and is not taken is dead weight.
    with zipfile.ZipFile(drainer_zip) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "drainer" / "config.py").write_text("raise SystemExit('compiled')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import drainer.config"

    done = subprocess.run(  # noqa: S603 - our own program
        [str(FUNCTION_PYTHON), "-I", "-S", "-B", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_machine_without_the_functions_python_builds_all_the_same(
    drainer_zip: Path, plain_zip: Path
) -> None:
    # Whoever has Python 3.11 alone must still be able to try, to test and to deploy.
    assert "sources only" in plain_zip.with_suffix(".said").read_text()
    assert names(plain_zip) == [name for name in names(drainer_zip) if not name.endswith(".pyc")]


def test_a_build_without_bytecode_says_so_and_what_to_install(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A slower start that nobody is told of stays for years.
    assert script().compiler("3.99") is None
    assert capsys.readouterr().err.startswith("warning: no Python 3.99 here, so the zip has no byt")


@pytest.mark.parametrize(
    ("says", "is_found"),
    [("echo 3.99.1", True), ("echo 3.98.7", False), ("exit 127", False)],
    ids=["of the version", "of another", "a stand-in that starts nothing"],
)
def test_a_python_is_taken_only_if_it_starts_and_is_of_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, is_found: bool
) -> None:
    # What pyenv puts on the path answers for versions that are not there.
    stand_in(tmp_path, "3.99", says)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert (script().find_python("3.99") is not None) is is_found


def test_the_compiler_is_of_the_runtime_that_the_template_names() -> None:
    # Bytecode of another Python is never loaded.
    text = (PROJECT / "infra" / "drainer.yaml").read_text()

    assert f"Runtime: python{script().PYTHON_VERSION}\n" in text


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_the_unzipped_function_starts_by_itself(
    drainer_zip: Path, tmp_path: Path, version: str
) -> None:
    # A library that is missing from the zip is found by Lambda only, at the first notification.
    python = script().find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    with zipfile.ZipFile(drainer_zip) as archive:
        archive.extractall(tmp_path / "task")

    done = subprocess.run(  # noqa: S603 - a Python of this machine
        [python, "-I", "-S", "-c", START, str(tmp_path / "task")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "DRAINER_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:drainer",
            "POWERTOOLS_SERVICE_NAME": "drainer",
            "POWERTOOLS_METRICS_NAMESPACE": "Drainer",
        },
    )

    assert done.returncode == 0, done.stderr


def test_importing_the_program_writes_nothing(drainer_zip: Path, tmp_path: Path) -> None:
    # Lambda's task folder is read-only, and a byte of output at import is noise in every log.
    with zipfile.ZipFile(drainer_zip) as archive:
        archive.extractall(tmp_path / "task")
    before = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    command = [sys.executable, "-I", "-S", "-B", "-c", START, str(tmp_path / "task")]
    done = subprocess.run(  # noqa: S603 - our own program
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"AWS_DEFAULT_REGION": "eu-west-1", "DRAINER_TOPIC_ARN": "arn:aws:sns:a:1:b"},
    )

    assert done.stdout == ""
    assert before == sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("boto3==1.0\n", "no line"),
        ("# -- the function\n# -- development\npytest==1.0\n", "must pin"),
        ("# -- the function\nboto3>=1.0\n", "boto3>=1.0"),
    ],
    ids=["no section", "nothing in it", "a loose version"],
)
def test_a_requirement_that_is_not_pinned_stops_the_build(
    tmp_path: Path, text: str, complaint: str
) -> None:
    # A loose version makes tomorrow's zip another program.
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(text)

    with pytest.raises(SystemExit, match=complaint):
        script().function_requirements(requirements)


def test_only_the_functions_section_is_packaged(tmp_path: Path) -> None:
    # Test tools in the zip would be code in production that nobody reviews.
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# why\n\n# -- the function\n# note\na==1\nb==2\n\n# -- rest\nc==3\n")

    assert script().function_requirements(requirements) == ["a==1", "b==2"]
