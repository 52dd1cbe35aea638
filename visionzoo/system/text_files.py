"""Reading of text files that users provide."""

from __future__ import annotations

from pathlib import Path

from visionzoo.errors import DataError


def read_text(path: str | Path, expected: str, advice: str) -> str:
    """Read a UTF-8 file, without the byte order mark that some editors write.

    Args:
        path: the file.
        expected: expected content, for the error.
        advice: remedy, for the error.

    Raises:
        DataError: the file cannot be read, or is not valid UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "its bytes are not valid UTF-8"
        raise DataError(path, expected=expected, but=reason, advice=advice) from error
