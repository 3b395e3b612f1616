"""
The pictures under docs/ are what the commands print.
"""

from __future__ import annotations

import re

from tests.loops import some
from tests.operator.pictures import DOCS, pictures


def test_the_pictures_are_of_these_commands() -> None:
    # One that is out of date promises a screen that there is not: `make docs` draws them.
    drawn = pictures()

    assert set(drawn) == {"explain.svg", "status.svg"}
    for name, svg in drawn.items():
        assert (DOCS / name).read_text(encoding="utf-8") == svg


def test_a_picture_takes_nothing_from_another_site() -> None:
    # A page without a network would show another font, and a reader's address would be told.
    for svg in some(pictures().values()):
        assert "@font-face" not in svg
        assert re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", svg) == []
