"""Read text files written by users."""

from __future__ import annotations

from pathlib import Path

from visionzoo.errors import DataError


def read_text(path: str | Path, expected: str, advice: str) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Args:
        path: the file.
        expected: expected contents of the file, for the error.
        advice: advice if the file cannot be read, for the error.

    Raises:
        DataError: the file cannot be read, or is not valid UTF-8.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "list.txt")
        ...     _ = file.write_bytes(b"\\xef\\xbb\\xbfa b")
        ...     read_text(file, expected="a list", advice="check it")
        'a b'
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "its bytes are not valid UTF-8"
        raise DataError(path, expected=expected, but=reason, advice=advice) from error
