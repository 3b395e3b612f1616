"""README.md and docs/ say what the code does, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from drainer import telemetry
from drainer.cli import drain_picture
from drainer.cli.readme import named, pages, parts, render

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in pages(ROOT)}
README = PAGES["README.md"]
ALL = "\n".join(PAGES.values())
MAKEFILE = (ROOT / "Makefile").read_text()
LINES_MAX = 200
# What each test function of the project is called, by the text of its module.
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


class Row(NamedTuple):
    """A row of the table of systems: what stands in its second and third cell, unquoted."""

    system: str
    files: list[str]
    tests: list[str]


def all_that(pattern: str) -> list[str]:
    return sorted(set(re.findall(pattern, ALL, re.MULTILINE)))


def systems(text: str) -> list[Row]:
    """
    Return the rows of the table of systems.
    """
    _, found, rest = text.partition("| system | file | test |\n|---|---|---|\n")
    rows = rest.split("\n\n", 1)[0].splitlines() if found else []
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [
        Row(system, re.findall(r"`([^`]+)`", files), re.findall(r"`([^`]+)`", tests))
        for system, files, tests in cells
    ]


def anchors(text: str) -> set[str]:
    """
    Return what a link may name of a page: its headings, as GitHub writes them.
    """
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}


def broken(page: str, text: str) -> list[str]:
    """
    Return the relative links of a page that lead nowhere.
    """
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        exists = target.exists()
        if not exists or (anchor and anchor not in anchors(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_generated_parts_are_those_of_the_code(page: str) -> None:
    # A table that says something else than the template is worse than none: run `make docs`.
    assert render(PAGES[page], parts(ROOT)) == PAGES[page]


def test_each_generated_part_is_on_one_page() -> None:
    # A part without a page is a table that nobody reads, and two would have to agree.
    assert sorted(named(ALL)) == sorted(parts(ROOT))


def test_a_part_that_is_not_generated_is_an_error() -> None:
    # A misspelled mark would leave the old text standing.
    with pytest.raises(ValueError, match="setings"):
        render("<!-- begin setings (make docs) -->\n<!-- end setings -->", {"settings": ""})


def test_the_picture_of_a_drain_is_that_of_the_function() -> None:
    # A drain that ends otherwise than in the picture is promised to everybody who opens the README.
    drawn = drain_picture.draw(drain_picture.tell())

    assert (ROOT / "docs" / "drain.svg").read_text() == drawn, "run `make docs`"
    assert "drain.svg" in README


@pytest.mark.parametrize("target", all_that(r"(?:`|^)make ([a-z-]+)"))
def test_every_make_target_that_is_named_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("name", all_that(r"`((?:drainer|infra|tests)/[\w./-]+)`"))
def test_every_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_every_metric_that_is_named_is_emitted() -> None:
    text = PAGES["docs/operating.md"].partition("## Metrics\n")[2].partition("\n## ")[0]
    emitted = Path(telemetry.__file__).read_text()
    names = [one for one in re.findall(r"`([A-Z][A-Za-z]+)`", text) if one != "Drainer"]

    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in emitted] == []
    assert [name for name in re.findall(r'_count\("(\w+)"', emitted) if name not in names] == []


@pytest.mark.parametrize("name", all_that(r"`(test_\w+)`"))
def test_every_test_that_is_named_exists(name: str) -> None:
    assert f"def {name}(" in TESTS


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    # Who follows one looks for help.
    assert broken(page, PAGES[page]) == []


@pytest.mark.parametrize("link", ["docs/nowhere.md", "docs/limits.md#nothing", "#nothing"])
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    # The test above would be worth nothing if it found no link.
    assert broken("README.md", f"See [it]({link}).") == [link]


def test_every_page_is_named_in_the_readme() -> None:
    # A page that no link leads to is not read.
    assert [page for page in PAGES if page != "README.md" and f"({page})" not in README] == []


@pytest.mark.parametrize("row", systems(README), ids=lambda row: row.system)
def test_each_system_has_its_file_and_its_test(row: Row) -> None:
    # What is only said to work is what the old samples were.
    assert row.files
    assert [file for file in row.files if not (ROOT / file).exists()] == []
    assert row.tests
    assert [test for test in row.tests if f"def {test}(" not in TESTS] == []


def test_each_template_is_in_the_table_of_systems() -> None:
    # A template without a row is one that nobody finds, or that no test deploys.
    listed = {file for row in systems(README) for file in row.files}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "infra").rglob("*.yaml")}

    assert templates - listed == set()


def test_the_readme_is_one_screen_and_what_follows_from_it() -> None:
    # Somebody who has to decide reads three screens, and not the limits of each call.
    assert len(README.splitlines()) <= LINES_MAX
    assert "Seen on emulators only" in "\n".join(README.splitlines()[:8])
