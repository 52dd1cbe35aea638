"""Reading text that users write."""

from __future__ import annotations

from pathlib import Path

from visionzoo.errors import DataError


def read_text(path: str | Path, expected: str, advice: str) -> str:
    """The text of a UTF-8 file, without the mark that some editors begin it with.

    Args:
        path: the file.
        expected: what it should hold, for the error.
        advice: what to do when it cannot be read.

    Raises:
        DataError: the file cannot be read, or is no UTF-8 text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "its bytes are no UTF-8 text"
        raise DataError(path, expected=expected, but=reason, advice=advice) from error
