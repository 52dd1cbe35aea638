"""Parts of a static HTML page: one file that opens by double click, without a server or anything from outside.

Texts are escaped unless they are :class:`Html`, which the functions of this module return.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from numbers import Real
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from visionzoo.reports.html_style import SORT, STYLE

_LONG = 40  # rows of a table that is shown as a whole; what follows a longer one would be far below


class Html(str):
    """Text that is HTML already. What is added to it is escaped."""

    def __add__(self, other: str) -> Html:
        return Html(str(self) + str(escaped(other)))


def escaped(text: Any) -> Html:
    """Return a text as HTML. Bytes of file names that are not UTF-8 become a replacement character.

    Example:
        >>> escaped("a < b"), escaped(escaped("a < b"))
        ('a &lt; b', 'a &lt; b')
    """
    if isinstance(text, Html):
        return text
    return Html(html.escape(str(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")))


def joined(parts: Sequence[Any]) -> Html:
    """Return the parts one after another, each on a separate line; empty ones are left out.

    Example:
        >>> joined(["a < b", "", Html("<hr>")])
        'a &lt; b\\n<hr>'
    """
    return Html("\n".join(escaped(part) for part in parts if part))


def element(tag: str, content: Any = "", **attributes: Any) -> Html:
    """Return an element. A final underscore of an attribute is dropped, and others become hyphens.

    Args:
        tag: name of the element.
        content: text, or HTML.
        **attributes: values; True for an attribute without a value, None or False for none.

    Example:
        >>> element("p", "a < b", class_="note", data_score=0.5, hidden=True, title=None)
        '<p class="note" data-score="0.5" hidden>a &lt; b</p>'
    """
    given = []
    for name, value in attributes.items():
        if value is not None and value is not False:
            name = name.rstrip("_").replace("_", "-")
            given.append(f" {name}" if value is True else f' {name}="{escaped(value)}"')
    opening = f"<{tag}{''.join(given)}>"
    return Html(opening if tag in ("img", "input", "br") else f"{opening}{escaped(content)}</{tag}>")


def link_to(path: str | PurePath) -> str:
    """Return the relative link to a file below the page's folder.

    Example:
        >>> link_to("report/a 1#.png")
        'report/a%201%23.png'
    """
    return quote(os.fsencode(PurePath(path).as_posix()))


def image(path: str | PurePath, alt: str, size: tuple[int, int], *, caption: Any = "", **attributes: Any) -> Html:
    """Return a figure with an image, which links to its file, and its caption.

    Args:
        path: file of the image, relative to the page.
        alt: what the image shows, for those who do not see it.
        size: (width, height) in pixels.
        caption: text below it; empty for none.
        **attributes: of the element ``figure``, see :func:`element`.

    Example:
        >>> image("report/a.png", "curve", (40, 30))
        '<figure><a href="report/a.png"><img src="report/a.png" alt="curve" width="40" height="30" loading="lazy"></a>\
</figure>'
    """
    link = link_to(path)
    shown = element("img", src=link, alt=alt, width=size[0], height=size[1], loading="lazy")
    below = element("figcaption", caption) if caption else Html()
    return element("figure", Html(element("a", shown, href=link) + below), **attributes)


def table(columns: Sequence[Any], rows: Sequence[Sequence[Any]], *, caption: str, sortable: bool = False) -> Html:
    """Return a table in a box that scrolls sideways, and also down if it is long. Numbers are aligned to the right.

    Args:
        columns: heads.
        rows: cells; floats are shown with four digits after the point, and nan as a hyphen.
        caption: name of the table.
        sortable: True for heads that sort the rows by their column, which their titles state.

    Example:
        >>> print(table(["class", "AP"], [["cat", 0.25]], caption="AP by class"))
        <div class="scroll" tabindex="0" role="region" aria-label="AP by class"><table><caption>AP by class</caption>
        <thead><tr><th scope="col">class</th><th scope="col" class="number">AP</th></tr></thead>
        <tbody>
        <tr><td>cat</td><td class="number" data-value="0.25">0.2500</td></tr>
        </tbody></table></div>
    """
    numeric = [
        any(_is_number(row[at]) for row in rows) and all(_is_number(row[at]) or row[at] in ("", "-") for row in rows)
        for at in range(len(columns))
    ]
    heads = [
        element("th", _head(column, sortable), scope="col", class_="number" if number else None)
        for column, number in zip(columns, numeric)
    ]
    lines = [element("tr", Html("".join(_cell(value, number) for value, number in zip(row, numeric)))) for row in rows]
    content = [
        element("caption", caption),
        element("thead", element("tr", Html("".join(heads)))),
        element("tbody", Html("\n" + joined(lines) + "\n")),
    ]
    parts = f"{content[0]}\n{content[1]}\n{content[2]}"
    whole = element("table", Html(parts), class_="sortable" if sortable else None)
    kind = "scroll long" if len(rows) > _LONG else "scroll"
    return element("div", whole, class_=kind, tabindex=0, role="region", aria_label=caption)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _head(column: Any, sortable: bool) -> Html:
    return element("button", column, type="button", title="sort by this column") if sortable else escaped(column)


def _cell(value: Any, in_numbers: bool) -> Html:
    kind = "number" if in_numbers else None
    if not _is_number(value):
        return element("td", value, class_=kind)
    return element("td", cell_text(value), class_=kind, data_value=value)


def cell_text(value: Any) -> str:
    """Return the text of a cell: a float with four digits after the point, and nan as a hyphen.

    Example:
        >>> cell_text(0.25), cell_text(float("nan")), cell_text(3), cell_text("a")
        ('0.2500', '-', '3', 'a')
    """
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4f}"
    return str(value)


def page(title: str, body: Html, *, script: str = "", style: str = "") -> str:
    """Return a whole page, for light and dark displays from 400 pixels of width.

    Args:
        title: title of the page, also its first heading.
        body: what follows the heading.
        script: JavaScript at the end of the page. The script of sortable tables is always there.
        style: further rules of style. Colours are variables: ``--back``, ``--plate``, ``--ink``, ``--soft``,
            ``--line``, ``--link``.

    Raises:
        ValueError: the script or the style would end its element.

    Example:
        >>> page("a < b", element("p", "text")).splitlines()[4]
        '<title>a &lt; b</title>'
    """
    for name, text in (("script", script), ("style", style)):
        if "</" in text:
            raise ValueError(f"the {name} has '</', which would end its element")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head>',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        element("title", title),
        f"<style>{STYLE}{style}</style>",
        "</head><body><main>",
        element("h1", title),
        body,
        "</main>",
        f"<script>{SORT}{script}</script>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"
