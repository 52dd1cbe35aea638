"""Reading of one Pascal VOC XML file.

Everything that is wrong in a file goes to :class:`Findings`, so that one error covers all files of a folder.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.numerals import decimal
from visionzoo.errors import DataError

_DECLARED = re.compile(rb"""^\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([^"']*)["']""")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_YES = ("1", "true", "yes")
_NO = ("0", "")
_NO_WITH_A_NOTE = ("false", "no", "unspecified", "none")


@dataclass(frozen=True)
class VocObject:
    """One box; ``corners`` are xmin, ymin, xmax, ymax as in the file."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


def read_objects(path: Path, size: tuple[int, int], findings: Findings) -> tuple[VocObject, ...]:
    """Read the objects of an XML file.

    Args:
        path: the file.
        size: (width, height) of its image in pixels. A size in the file must be the same; a missing one, or 0, is
            noted.
        findings: takes everything that is wrong.

    Returns:
        The objects without errors.
    """
    try:
        root = parse_xml(path, findings)
    except DataError as error:
        findings.wrong(path.name, "file", expected=str(error.expected), found=str(error.found))
        return ()
    _check_size(root, path.name, size, findings)
    objects = [
        _object(node, f"{path.name}, object {number}", findings) for number, node in enumerate(root.iter("object"), 1)
    ]
    return tuple(each for each in objects if each is not None)


# --- XML ---


def parse_xml(
    path: Path, findings: Findings, *, what: str = "Pascal VOC XML", root_tag: str = "annotation"
) -> ElementTree.Element:
    """Parse an XML file; names of elements lose their namespace and capital letters.

    Args:
        path: the file.
        findings: takes the notes.
        what: name of the format, for errors.
        root_tag: name of the root.

    Raises:
        DataError: the file cannot be read or decoded, is not XML, defines entities, or has another root.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(path, expected="a readable file", found=f"{error.strerror or error}") from error
    text = _decoded(data, path, findings).lstrip("\ufeff \t\r\n")
    if "<!ENTITY" in text:  # an entity may expand to gigabytes, or name another file
        raise DataError(path, expected="XML without definitions of entities", found="<!ENTITY")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: half of a character pair
        raise DataError(path, expected=what, found=f"a broken file ({error})") from error
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2].lower()
    if root.tag != root_tag:
        raise DataError(path, expected=f"{what} with the root <{root_tag}>", found=f"<{shown(root.tag)[1:-1]}>")
    return root


def _decoded(data: bytes, path: Path, findings: Findings) -> str:
    """Decode by the byte order mark, else by the declared encoding, else as UTF-8."""
    declared = _DECLARED.match(data[:400])
    name = declared.group(1).decode("ascii", "replace") if declared else "utf-8"
    name = next((codec for mark, codec in _MARKS if data.startswith(mark)), name)
    text = _decode(data, name)
    if text is not None and text.lstrip("\ufeff \t\r\n").startswith("<"):
        return text
    # Some programs declare UTF-16, or another encoding, and write UTF-8.
    plain = _decode(data, "utf-8") if _is_codec(name) else None
    if plain is None:
        reason = "which its bytes are not" if _is_codec(name) else "which is unknown"
        raise DataError(path, expected="a file saved as UTF-8", found=f"the encoding {shown(name)}, {reason}")
    if name != "utf-8":
        findings.note(f"files that declare {shown(name)[1:-1]}, read as UTF-8")
    return plain


def _decode(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (LookupError, ValueError):  # an unknown codec, one that is not for text, or wrong bytes
        return None


def _is_codec(name: str) -> bool:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return True


# --- values ---


def _text(node: ElementTree.Element, key: str, where: str, findings: Findings) -> str | None:
    """Return the text of a child; None if it is missing. Several different ones are an error."""
    texts = list(dict.fromkeys((child.text or "").strip() for child in node.findall(key)))
    if len(texts) > 1:
        findings.wrong(where, key, expected="one value", found=shown(texts))
    return texts[0] if texts else None


def _check_size(root: ElementTree.Element, name: str, size: tuple[int, int], findings: Findings) -> None:
    node = root.find("size")
    texts = [None if node is None else _text(node, key, name, findings) for key in ("width", "height")]
    stated = [0.0 if not text else decimal(text) for text in texts]
    if None in stated:
        findings.wrong(name, "size", expected="numbers in <width> and <height>", found=shown(texts))
    elif 0 in stated:
        findings.note("XML files without a size, that of the image is used")
    elif tuple(stated) != size:
        numbers = "x".join(f"{number:g}" for number in stated if number is not None)
        findings.wrong(name, "size", expected=f"that of its image, {size[0]}x{size[1]}", found=numbers)


def _object(node: ElementTree.Element, where: str, findings: Findings) -> VocObject | None:
    name = _text(node, "name", where, findings)
    if not name:
        findings.wrong(where, "name", expected="the name of a class", found="none")
    corners = _corners(node, where, findings)
    difficult = _difficult(node, where, findings)
    if not name or corners is None or difficult is None:
        return None
    return VocObject(name, corners, difficult)


def _corners(node: ElementTree.Element, where: str, findings: Findings) -> tuple[float, float, float, float] | None:
    boxes = node.findall("bndbox")
    if len(boxes) != 1:
        findings.wrong(where, "bndbox", expected="one", found=f"{len(boxes)}")
        return None
    texts = {key: _text(boxes[0], key, where, findings) for key in _CORNERS}
    values = {key: decimal(text or "") for key, text in texts.items()}
    for key, value in values.items():
        if value is None:
            found = "none" if texts[key] is None else shown(texts[key])
            findings.wrong(where, key, expected="a finite number", found=found)
    x0, y0, x1, y1 = values.values()
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return None
    if max(x0, y0, x1, y1) <= 1 and any(not value.is_integer() for value in (x0, y0, x1, y1)):
        findings.wrong(where, "bndbox", expected="corners in pixels", found=f"fractions, {x0:g} {y0:g} {x1:g} {y1:g}")
        return None
    return x0, y0, x1, y1


def _difficult(node: ElementTree.Element, where: str, findings: Findings) -> bool | None:
    text = _text(node, "difficult", where, findings) or ""
    word = text.lower()
    if word in _YES or word in _NO:
        return word in _YES
    if word in _NO_WITH_A_NOTE:
        findings.note(f"objects with difficult {text}, read as 0")
        return False
    number = decimal(text)
    if number in (0, 1):
        return number == 1
    findings.wrong(where, "difficult", expected="0 or 1", found=shown(text))
    return None
