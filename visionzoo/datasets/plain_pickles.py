"""Pickles of plain values, read without executing code that they may contain."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.class_map import visible
from visionzoo.errors import DataError

# Names of plain types in pickles of Python 2 and 3, and the types that replace them.
_TYPES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (list, dict, str, int, float, bytes)},
    "unicode": str,
    "long": int,
}
_MODULES = ("builtins", "__builtin__")


class _Refused(pickle.UnpicklingError):
    """A name that does not belong in a data file."""


class _PlainOnly(pickle.Unpickler):
    """Unpickler that rejects every name except the given ones, before anything is imported."""

    def __init__(self, file: Any, encoding: str, names: Mapping[tuple[str, str], Callable[[], Any]]):
        super().__init__(file, encoding=encoding)
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]()
        if (module, name) == ("_codecs", "encode"):
            return _encode
        if module in _MODULES and name in _TYPES:
            return _TYPES[name]
        raise _Refused(f"{module}.{name}")


def _encode(text: str, encoding: str) -> bytes:
    """Encode text to bytes as Python 3 writes them for Python 2's unpickler; reject any other use."""
    if encoding != "latin1" or not isinstance(text, str):
        raise _Refused(f"_codecs.encode(..., {encoding!r})")
    return text.encode("latin1")


def restricted_pickle_load(
    path: Path,
    *,
    expected: str = "numbers and text",
    of: str = "",
    advice: str = "download it again",
    encodings: Sequence[str] = ("utf-8", "latin1"),
    names: Mapping[tuple[str, str], Callable[[], Any]] | None = None,
) -> Any:
    """Read a pickle of lists, dicts, text, bytes and numbers.

    Args:
        path: the file.
        expected: the permitted contents, for the error.
        of: name of the data set, for the error.
        advice: how to get a good file, for the error.
        encodings: encodings of the strings of Python 2, each tried if the one before it does not fit. ``bytes`` keeps
            them as bytes.
        names: further permitted names, as functions that return the object. The key is (module, name).

    Returns:
        The contents of the file.

    Raises:
        DataError: the file is missing or damaged, or names other objects, which could run code. They are not imported.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "refs(unc).p")
        ...     _ = path.write_bytes(pickle.dumps([{"ref_id": 0, "split": "train"}], protocol=2))
        ...     restricted_pickle_load(path)
        [{'ref_id': 0, 'split': 'train'}]
    """
    for number, encoding in enumerate(encodings, start=1):
        try:
            with path.open("rb") as file:
                return _PlainOnly(file, encoding, names or {}).load()
        except _Refused as error:
            raise DataError(
                path,
                expected=f"only {expected}",
                found=f"a pickle that names {visible(str(error))}",
                advice=f"it could run code: delete it and {advice}",
            ) from error
        except OSError as error:
            raise DataError(
                path, expected="a readable file", but=f"{error.strerror}", advice="check its rights"
            ) from error
        except Exception as error:  # broken bytes may raise any exception
            if isinstance(error, UnicodeDecodeError) and number < len(encodings):
                continue
            raise DataError(
                path,
                expected=f"a whole pickle{f' of {of}' if of else ''}",
                found=f"damaged bytes ({visible(str(error))})",
                advice=advice,
            ) from error
    raise TypeError("restricted_pickle_load takes at least one encoding")
