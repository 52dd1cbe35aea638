"""A check of static HTML pages without a browser, which tests of every such page share."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LINKS = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src", "iframe": "src"}
_WITHOUT_END = {"meta", "img", "input", "br", "hr", "link", "source"}


class StaticPage(HTMLParser):
    """A parsed page.

    Attributes:
        elements: (tag, attributes) in order.
        texts: texts of the elements of each tag, in order.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, int]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _WITHOUT_END:
            self.texts.setdefault(tag, []).append("")
            self._open.append((tag, len(self.texts[tag]) - 1))

    def handle_endtag(self, tag: str) -> None:
        assert [name for name, _ in self._open[-1:]] == [tag], f"</{tag}> at {self.getpos()}, open: {self._open}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for tag, number in self._open:
            self.texts[tag][number] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a tag."""
        return [attributes for name, attributes in self.elements if name == tag]

    def require_sound(self) -> None:
        """Check links, images, ids, tables and headings. All files are in the folder of the page."""
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), f"ids that are not unique: {sorted(str(name) for name in ids)}"
        for tag, attribute in _LINKS.items():
            for attributes in self.of(tag):
                if attributes.get(attribute) is not None:
                    self._require_target(str(attributes[attribute]), ids)
        text = self.path.read_text(encoding="utf-8")
        for outside in ("url(", "@import", "fetch(", "XMLHttpRequest", 'src="//'):
            assert outside not in text, outside
        for attributes in self.of("img"):
            assert (attributes.get("alt") or "").strip(), f"an image without a text: {attributes}"
        for part in text.split("<table")[1:]:
            assert '<th scope="col"' in part.split("</table>")[0], "a table without heads"
        levels = [int(tag[1]) for tag, _ in self.elements if tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), f"a level is left out: {levels}"

    def _require_target(self, link: str, ids: list[str | None]) -> None:
        parts = urlsplit(link)
        if parts.scheme == "data":
            return
        if link.startswith("#"):
            assert link[1:] in ids, f"no element for {link}"
            return
        assert {parts.scheme, parts.netloc, parts.path[:1] == "/"} == {"", False}, f"{link} is not relative"
        assert (self.path.parent / unquote(parts.path, errors="surrogateescape")).is_file(), f"no file for {link}"
