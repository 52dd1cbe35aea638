"""A document of headings, texts, tables and images, which is written as one HTML page and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.reports.html_page import Html, cell_text, element, image, joined, link_to, page, table
from visionzoo.system.atomic import write_text


@dataclass(frozen=True)
class Heading:
    """A heading of a section, or with ``level`` 3 or 4 of a part of it."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; ``is_warning`` marks what the reader must not miss."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Facts:
    """A list of labels and values."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Quoted:
    """A cell in italics: a number that another source states, with a link to it; None for no link."""

    text: str
    link: str | None = None


@dataclass(frozen=True)
class Rows:
    """A table. Cells are texts, numbers or :class:`Quoted`; floats have four digits after the point."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    sortable: bool = False


@dataclass(frozen=True)
class Picture:
    """An image in a file: its path relative to the document, what it shows, and (width, height) in pixels."""

    path: str
    alt: str
    size: tuple[int, int]
    caption: str = ""


@dataclass(frozen=True)
class Group:
    """Images side by side, with a text above them."""

    text: str
    pictures: Sequence[Picture]


_SPECIAL = re.compile(r"[\\`*<\[]|(?<!\w)_|_(?!\w)")

Block = Heading | Text | Facts | Rows | Picture | Group


def write_document(folder: Path, name: str, title: str, blocks: Sequence[Block]) -> None:
    """Write ``NAME.html`` and ``NAME.md`` with the same contents.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_text(folder / f"{name}.md", as_markdown(title, blocks))
    write_text(folder / f"{name}.html", as_html(title, blocks))


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """Return the document as one HTML page. Links to other sites are links; nothing is loaded from them.

    Example:
        >>> "<p>a &lt; b</p>" in as_html("title", [Text("a < b")])
        True
    """
    return page(title, joined([_HTML[type(block)](block) for block in blocks]), style=_STYLE)


_STYLE = """
.pair { border-top: 1px solid var(--line); padding: .75rem 0; }
.pair .grid { grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); max-width: 82rem; }
figure.plot { max-width: 62.5rem; }
"""


def _html_group(group: Group) -> Html:
    shown = joined([image(each.path, each.alt, each.size, caption=each.caption) for each in group.pictures])
    return element("div", joined([element("p", group.text), element("div", shown, class_="grid")]), class_="pair")


def _html_cell(cell: Any) -> Any:
    if not isinstance(cell, Quoted):
        return cell
    return element("i", cell.text if cell.link is None else element("a", cell.text, href=cell.link))


def _html_facts(facts: Facts) -> Html:
    return element("dl", joined([element("dt", label) + element("dd", value) for label, value in facts.rows]))


def _html_rows(block: Rows) -> Html:
    rows = [[_html_cell(cell) for cell in row] for row in block.rows]
    return table(block.columns, rows, caption=block.caption, sortable=block.sortable)


_HTML: Mapping[type, Any] = {
    Heading: lambda block: element(f"h{block.level}", block.text),
    Text: lambda block: element("p", block.text, class_="warning" if block.is_warning else None),
    Facts: _html_facts,
    Rows: _html_rows,
    Picture: lambda block: image(block.path, block.alt, block.size, caption=block.caption, class_="plot"),
    Group: _html_group,
}


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Return the document as Markdown.

    Example:
        >>> print(as_markdown("title", [Facts([("date", "today")]), Rows("b", ["a"], [["x|y"], [Quoted("1")]])]))
        # title
        <BLANKLINE>
        - date: today
        <BLANKLINE>
        b:
        <BLANKLINE>
        | a |
        | --- |
        | x\\|y |
        | *1* |
        <BLANKLINE>
    """
    return "\n\n".join([f"# {literal(title)}", *(_MARKDOWN[type(block)](block) for block in blocks)]) + "\n"


def markdown(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table, with vertical bars in cells escaped.

    Example:
        >>> print(markdown(["a", "b"], [["1", "x|y"]]))
        | a | b |
        | --- | --- |
        | 1 | x\\|y |
    """
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def literal(text: Any) -> str:
    """Return a text as one line of Markdown that shows its letters as they are, such as those of class names.

    Underscores inside words need no backslash.

    Example:
        >>> print(literal("<b> *cat* [1] a_b _c_"))
        \\<b> \\*cat\\* \\[1] a_b \\_c\\_
    """
    return _SPECIAL.sub(r"\\\g<0>", _line(text))


def _line(text: Any) -> str:
    """Return a text as one line of valid UTF-8."""
    return " ".join(str(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())


def _markdown_cell(cell: Any) -> str:
    if not isinstance(cell, Quoted):
        return literal(cell_text(cell))
    return f"*{literal(cell.text)}*" if cell.link is None else f"*[{literal(cell.text)}]({cell.link})*"


def _markdown_rows(block: Rows) -> str:
    columns = [literal(each) for each in block.columns]
    return markdown(columns, [[_markdown_cell(cell) for cell in row] for row in block.rows])


def _markdown_picture(block: Picture) -> str:
    below = f"\n\n{literal(block.caption)}" if block.caption else ""
    return f"![{literal(block.alt).replace(']', ')')}]({link_to(block.path)}){below}"


_MARKDOWN: Mapping[type, Any] = {
    Heading: lambda block: f"{'#' * block.level} {literal(block.text)}",
    Text: lambda block: f"**{literal(block.text)}**" if block.is_warning else literal(block.text),
    Facts: lambda block: "\n".join(f"- {label}: {literal(value)}" for label, value in block.rows),
    Rows: lambda block: f"{literal(block.caption)}:\n\n{_markdown_rows(block)}",
    Picture: _markdown_picture,
    Group: lambda block: "\n\n".join([literal(block.text), *map(_markdown_picture, block.pictures)]),
}
