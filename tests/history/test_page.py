"""
The report: it loads nothing, runs nothing, and shows each drain as long as it was.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, timedelta
from html.parser import HTMLParser

import pytest

from drainer.cli.history import page as report
from drainer.cli.history.page import Subject, page
from drainer.cli.history.past import PHASES, Past, Span, past_of
from drainer.drain.record import End
from tests.doctor.names import NOW
from tests.doctor.past import record
from tests.loops import some

SUBJECT = Subject("drainer", "eu-central-1", NOW - timedelta(days=7), NOW, UTC)
EVIL = "<script>alert('x')</script>\"&"


class Tags(HTMLParser):
    """
    The tags of a page, each with its attributes, and its text.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def drains() -> list[Past]:
    """
    Return two drains of different lengths, and one that is open.
    """
    cut = record(seconds=800, instance="i-2", end=End.ABANDON, phase="overdue", tasks=("a",))
    still = record(seconds=200, instance="i-3", end=End.OPEN, phase="closing", ended_at=NOW)
    return [past_of(one, [], NOW) for one in (record(seconds=400, instance="i-1"), cut, still)]


def test_a_page_loads_nothing_and_has_no_script() -> None:
    # It is sent by e-mail and opened without a network; and names in it come from an account.
    text = page(SUBJECT, drains())
    tags = some(Tags(text).tags)

    assert {tag for tag, _ in tags} & {"script", "img", "iframe", "object", "embed"} == set()
    links = [one.get("href") for tag, one in tags if "href" in one or tag == "link"]
    assert links == ["data:,"]
    assert re.findall(r"https?:|//|@import|url\(", text) == []
    policies = [one["content"] for tag, one in tags if tag == "meta" and "http-equiv" in one]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_whatever_an_account_names_is_shown_as_text() -> None:
    one = replace(
        drains()[0],
        instance=EVIL,
        group=EVIL,
        cluster=EVIL,
        decision=EVIL,
        reason=EVIL,
        released_by=EVIL,
        spans=(Span(EVIL, 10),),
        waits={EVIL: 3.0},
    )

    text = page(replace(SUBJECT, stack=EVIL, region=EVIL), [one], [EVIL])

    assert "<script" not in text
    found = Tags(text)
    assert "script" not in {tag for tag, _ in found.tags}
    # The title twice, the warning, legend, group, cluster, instance, decision and service.
    assert found.text.count(EVIL) >= 9
    # An attribute that a quotation mark could end would take a handler after it.
    names = {name for _, attributes in found.tags for name in attributes}
    assert names <= {
        *("charset", "class", "content", "href", "http-equiv", "lang", "name", "rel"),
        *("style", "title"),
    }


def test_a_bar_is_as_long_as_its_drain_against_the_longest() -> None:
    found = Tags(page(SUBJECT, drains())).tags
    bars: list[float] = []
    for tag, attributes in found:
        if attributes.get("class") == "bar":
            bars.append(0.0)
        if tag == "i" and (width := re.search(r"width:([0-9.]+)%", attributes.get("style") or "")):
            bars[-1] += float(width[1])

    # By when they began, and not by how long they were.
    assert bars == [pytest.approx(100), pytest.approx(50), pytest.approx(25)]


def test_the_end_of_a_drain_that_left_tasks_is_told_apart() -> None:
    text = page(SUBJECT, drains())

    ends = re.findall(r"<b class=(\w+)></b></div>", text)
    assert ends == ["left", "end", "open"]
    assert "deadline, ABANDON, 1 task left" in text


def test_each_phase_has_a_colour_on_both_grounds() -> None:
    style = (page(SUBJECT, drains()).partition("<style>")[2]).partition("</style>")[0]

    for phase in PHASES:
        name = report.CLASSES[phase]
        assert f".{name} {{ background" in style
        assert style.count(f"--{name}: #") == 2
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_a_phase_that_the_page_does_not_know_is_shown_all_the_same() -> None:
    one = replace(drains()[0], spans=(Span("new", 400),))

    assert "<i class='other' style='width:50.000%' title='new 6m40s'>" in page(
        SUBJECT, [one, drains()[1]]
    )


def test_more_drains_than_a_browser_shows_are_counted() -> None:
    one = drains()[0]
    many = [replace(one, instance=f"i-{count}") for count in range(report.BARS_MAX + 5)]

    text = page(SUBJECT, many)

    assert text.count("<div class=bar>") == report.BARS_MAX
    assert "Shorter, not shown: 5 drains." in text


def test_no_drains_make_a_page_too() -> None:
    assert "No records of drains in this time." in page(SUBJECT, [])
