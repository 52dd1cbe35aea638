"""Pages as Chromium shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium, chromium
from PIL import Image

from visionzoo.reports.html_page import Html, element, image, joined, page, table

pytestmark = pytest.mark.slow

ROWS = [["cat", 0.5], ["owl", float("nan")], ["dog", 0.25], ["ant", 10.0]]
SORTED = "return [...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].textContent).join(' ');"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as started:
        yield started


@pytest.fixture
def written(tmp_path: Path) -> Path:
    Image.fromarray(np.full((30, 700, 3), 90, np.uint8)).save(tmp_path / "a 1#.png")
    parts = [
        element("h2", "numbers"),
        element("p", "w" * 300, class_="note"),
        element("p", "warning", class_="warning"),
        table(["class", "AP", *[f"column {number}" for number in range(12)]], [[*row, *[1] * 12] for row in ROWS],
              caption="by class", sortable=True),
        element("div", image("a 1#.png", "grey", (700, 30), caption="an image"), class_="grid"),
    ]  # fmt: skip
    (tmp_path / "page.html").write_text(page("title", joined(parts)), encoding="utf-8")
    return tmp_path / "page.html"


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_fits_and_is_readable(browser: Chromium, written: Path, width: int, dark: bool) -> None:
    browser.show(written, width=width, dark=dark)
    assert browser.problems() == []


def test_a_click_and_the_keyboard_sort_a_table(browser: Chromium, written: Path) -> None:
    browser.show(written)
    assert browser.run(SORTED) == "cat owl dog ant"
    browser.run("document.querySelectorAll('th button')[1].click();")
    assert browser.run(SORTED) == "dog cat ant owl"  # 10 follows 0.5: by value; what is not a number is last
    browser.run("document.querySelectorAll('th button')[1].click();")
    assert browser.run(SORTED) == "ant cat dog owl"
    browser.run("document.querySelectorAll('th button')[0].focus();")
    browser.press("\ue007\ue007")
    assert browser.run(SORTED) == "owl dog cat ant"
    assert browser.run("return document.querySelectorAll('th')[0].ariaSort;") == "descending"
    assert browser.errors() == []


def test_what_is_wrong_is_found(browser: Chromium, tmp_path: Path) -> None:
    parts = '<p style="color: #999; background: #fff">pale</p><p style="width: 900px">wide</p><img src="a.png" alt="a">'
    (tmp_path / "page.html").write_text(page("title", Html(parts), script="missing();"), encoding="utf-8")
    browser.show(tmp_path / "page.html", width=400)
    found = "\n".join(browser.problems())
    for expected in ('contrast 2.85 of "pale"', "wider than 400", "not shown:", "missing is not defined"):
        assert expected in found
