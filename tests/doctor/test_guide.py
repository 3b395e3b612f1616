"""
docs/doctor.md explains each check of the table, and no other.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from drainer.cli.doctor import table
from tests.loops import some
from tests.test_prose import plain, unwanted

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = (PROJECT / "docs" / "doctor.md").read_text(encoding="utf-8")


def sections() -> dict[str, list[str]]:
    """
    Return the lines of each check's section.
    """
    parts = re.split(r"^### ", GUIDE, flags=re.MULTILINE)[1:]
    named = (part.split("\n## ")[0].strip().splitlines() for part in parts)
    return {lines[0]: lines[1:] for lines in named}


def test_the_guide_explains_each_check_of_the_table() -> None:
    # The screen names a check, and its reader searches for that name.
    assert set(sections()) == set(table.NAMES)


def test_the_guide_says_of_each_check_why_it_matters_how_to_fix_and_how_to_skip_it() -> None:
    for name, lines in some(sections().items()):
        words = [line.split(":")[0] for line in lines]

        assert words == ["- Why", "- Fix", "- Skip"], name
        assert lines[2] == f"- Skip: `--skip {name}`"


@pytest.mark.parametrize("name", ["attach.md", "doctor.md", "history.md"])
def test_the_guides_are_in_plain_english(name: str) -> None:
    lines = some((PROJECT / "docs" / name).read_text(encoding="utf-8").splitlines())

    assert [line for line in lines if unwanted(plain(line))] == []


def test_the_policy_for_operators_has_no_action_that_writes() -> None:
    # It is handed to people who are to look, and not to touch.
    path = PROJECT / "infra" / "operator-policy.json"
    statements = json.loads(path.read_text(encoding="utf-8"))["Statement"]
    actions = " ".join(action for one in statements for action in one["Action"])
    verbs = set(re.findall(r"[a-z0-9]+:([A-Z][a-z]+)", actions))

    assert verbs == {"Batch", "Describe", "Filter", "Get", "List", "Query", "Scan", "Simulate"}
    assert "BatchWrite" not in actions
    assert {one["Effect"] for one in statements} == {"Allow"}
