"""Kinds of files by their first bytes, for messages about a file of the wrong kind."""

from __future__ import annotations

import re
from typing import NamedTuple


class FileKind(NamedTuple):
    """A kind of files.

    Attributes:
        noun: name of the kind with its article.
        is_image: True for an image of any format.
        advice: how a user gets images from such a file.
    """

    noun: str
    is_image: bool
    advice: str


_AGAIN = "copy or download it again"
_KINDS = [
    (re.compile(form, re.DOTALL), FileKind(noun, is_image, advice))
    for form, noun, is_image, advice in (
        (
            rb"\xff\xd8\xff|\x89PNG\r|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM....\0\0\0\0|....ftypavi[fs]",
            "an image",
            True,
            _AGAIN,
        ),
        (rb"....ftyp(heic|heix|heim|heis|hevc|mif1|msf1)", "a HEIC image", True, "convert it to JPEG"),
        (rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3", "a video", False, "give it the ending of a video, such as .mp4"),
        (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|BZh\d|\xfd7zXZ|Rar!", "an archive", False, "unpack it, and name its folder"),
        (rb"%PDF-", "a PDF file", False, "save its pages as images"),
        (rb"\xff\xfe[^\0]\0|\xfe\xff\0[^\0]", "text in UTF-16", False, "save it as UTF-8"),
        (rb"\s*<(!doctype html|html)", "a web page", False, "download the file itself"),
    )
]


def kind_of(start: bytes) -> FileKind | None:
    """Return the kind of a file, or None for other files.

    Args:
        start: its first bytes, 16 or more.

    Example:
        >>> kind_of(b"%PDF-1.7 ...").noun
        'a PDF file'
    """
    start = start[:64].lower() if start.lstrip()[:1] == b"<" else start
    return next((kind for form, kind in _KINDS if form.match(start)), None)
