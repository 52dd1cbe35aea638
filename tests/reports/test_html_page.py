"""Parts of HTML pages: escaping, links, tables and the frame."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from static_page import StaticPage

from visionzoo.reports.html_page import Html, element, escaped, image, joined, link_to, page, table


def test_text_is_escaped_everywhere() -> None:
    wild = "<script>\"'&"
    parts = joined(
        [
            element("p", wild, title=wild),
            table([wild], [[wild]], caption=wild),
            image("a.png", wild, (1, 1), caption=wild),
        ]
    )
    whole = page(wild, parts)
    assert whole.count("<script>") == 1  # that of the page itself
    assert whole.count("&lt;script&gt;&quot;&#x27;&amp;") == 10


def test_names_that_are_not_utf8_are_shown_and_linked() -> None:
    name = os.fsdecode(b"a\xff.png")
    page("a", joined([escaped(name)])).encode()
    assert link_to(f"report/{name}") == "report/a%FF.png"


def test_a_column_of_numbers_is_one_if_all_of_it_are() -> None:
    made = table(["a", "b", "c"], [[1, 1.0, math.nan], ["-", "text", 2.0]], caption="x", sortable=True)
    heads = [part.split("</th>")[0] for part in made.split("<th ")[1:]]
    assert ["number" in head for head in heads] == [True, False, True]
    assert '<td class="number" data-value="nan">-</td>' in made


@pytest.mark.parametrize("given", [{"script": "a </script> b"}, {"style": "</style>"}])
def test_script_and_style_cannot_end_their_element(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="would end its element"):
        page("a", element("p", "b"), **given)


def test_a_page_is_sound(tmp_path: Path) -> None:
    (tmp_path / "a 1#.png").write_bytes(b"")
    parts = [
        element("h2", "numbers", id="numbers"),
        element("a", "to numbers", href="#numbers"),
        table(["a"], [[1]], caption="b"),
        image("a 1#.png", "curve", (4, 3), caption="c"),
    ]
    (tmp_path / "page.html").write_text(page("title", joined(parts)), encoding="utf-8")
    StaticPage(tmp_path / "page.html").require_sound()


@pytest.mark.parametrize(
    "part",
    [
        '<img src="missing.png" alt="a">',
        '<img src="page.html" alt="">',
        '<img src="https://example.org/a.png" alt="a">',
        '<a href="#b">b</a>',
        '<p id="c"></p><p id="c"></p>',
        "<table><tbody></tbody></table>",
        "<h3>a</h3>",
        "<p>",
    ],
)
def test_a_page_that_is_not_sound_is_found(tmp_path: Path, part: str) -> None:
    (tmp_path / "page.html").write_text(page("title", Html(part)), encoding="utf-8")
    with pytest.raises(AssertionError):
        StaticPage(tmp_path / "page.html").require_sound()


def test_a_long_table_scrolls_in_a_box() -> None:
    short, long = (table(["class"], [["cat"]] * rows, caption="t") for rows in (40, 41))
    assert 'class="scroll"' in short
    assert 'class="scroll long"' in long
