"""The README says what the code does, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drainer import telemetry
from drainer.cli.readme import render

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_generated_parts_are_those_of_the_code() -> None:
    # A table that says something else than the template is worse than none: run `make docs`.
    assert render(README, ROOT) == README


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)))
)
def test_every_make_target_that_is_named_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:drainer|infra)/[\w./]+)`", README))))
def test_every_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_every_metric_that_is_named_is_emitted() -> None:
    [line] = [line for line in README.splitlines() if line.startswith("**Metrics**")]
    emitted = Path(telemetry.__file__).read_text()
    names = re.findall(r"`([A-Za-z]+)`", line)[1:]

    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in emitted] == []
    assert [name for name in re.findall(r'_count\("(\w+)"', emitted) if name not in names] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", README))))
def test_every_test_that_is_named_exists(name: str) -> None:
    assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def test_the_readme_can_be_read_in_one_sitting() -> None:
    # Forty lines more than the first hour's reading: late answers, Spot in crowds, uninstalling.
    assert len(README.splitlines()) <= 440
