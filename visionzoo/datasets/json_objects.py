"""Strict reading of JSON objects."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import shown
from visionzoo.errors import DataError


def parse_json(text: str | bytes, where: object) -> dict[str, Any]:
    """Parse a JSON object that states every key once.

    Raises:
        DataError: the text is not JSON, is not an object, or repeats a key.

    Example:
        >>> parse_json('{"a": 1}', "line 1")
        {'a': 1}
    """
    try:
        record = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(where, expected="a JSON object", found=f"other text ({reason})", advice="correct it") from error
    if not isinstance(record, dict):
        raise DataError(where, expected="a JSON object", found=shown(record), advice="correct it")
    return record


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key occurs twice")
    return record


def read_json_value(path: Path, expected: str, advice: str) -> Any:
    """Return the JSON value of a file, such as a list; encodings as in :func:`read_json`.

    Args:
        path: the file.
        expected: what the file has, for the error.
        advice: how to get a good file, for the error.

    Raises:
        DataError: the file cannot be read, or is not JSON.
    """
    try:
        with no_garbage_collection():
            return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(path, expected=expected, but=error.strerror or f"{error}", advice=advice) from error
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(path, expected=expected, found=f"broken JSON ({reason})", advice=advice) from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        DataError: the file cannot be read, or see :func:`parse_json`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(path, expected="a readable file", found=f"{error.strerror or error}") from error
    return parse_json(data, path)


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Suspend the search for cycles, which takes half of the time of reading. Values of JSON have no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
