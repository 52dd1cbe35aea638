"""Which classes there are, in label order, and what people call them.

A class map is a file in one of these forms; the order of its entries is that of the labels::

    {"n01440764": "tench", "n01443537": "goldfish"}            json: folder -> name
    {"0": ["n01440764", "tench"], "1": [...]}          json: label -> folder and name (imagenet_class_index.json)
    ["tench", "goldfish"]  or  [["n01440764", "tench"], ...]   json: names alone, or folder and name
    n01440764 tench, Tinca tinca                               text: folder, then the name (LOC_synset_mapping.txt)
    tench                                                      text: the folder is the name
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.errors import DataError, nearest_name, one_of

BACKGROUND = "background"


@dataclass(frozen=True)
class ClassMap:
    """Classes in label order.

    Attributes:
        keys: what files and folders call each class (``n01440764``), each once.
        names: what people call it (``tench``).
        offset: label of the first class; 1 when label 0 is the background, as in TensorFlow's 1001 classes.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    offset: int = 0

    @classmethod
    def of(cls, keys: Sequence[str], *, background: bool = False) -> ClassMap:
        """Classes whose names are their keys."""
        return cls(tuple(keys), tuple(keys), int(background))

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of every label, the background's included."""
        return (BACKGROUND,) * self.offset + self.names

    def labels(self) -> dict[str, int]:
        """Label of every key, and of every name that only one class has."""
        times = Counter(self.names)
        by_name = {name: label for label, name in enumerate(self.names) if times[name] == 1}
        by_key = {key: label for label, key in enumerate(self.keys)}
        return {word: label + self.offset for word, label in {**by_name, **by_key}.items()}


def find_label(word: str, labels: dict[str, int], known: ClassMap, where: str) -> int:
    """The label that ``word`` means among ``labels`` of ``known``: a key, a name, or the index of a class.

    Raises:
        DataError: no class is called so; begins with ``where``.
    """
    if word in labels:
        return labels[word]
    if word.isdecimal() and int(word) < len(known.keys):
        return int(word) + known.offset
    raise unknown_label(word, known, where)


def unknown_label(word: str, known: ClassMap, where: str) -> DataError:
    """Says that no class is called ``word``, and which are."""
    nearest = nearest_name(word, (*known.keys, *known.names))
    answer = f"did you mean {nearest!r}?" if nearest else one_of(known.keys, most=6)
    return DataError(
        where,
        expected=f"one of {len(known.keys)} classes",
        found=f"{word!r}; {answer}",
        advice="correct it, or the classes",
    )


def read_class_map(path: Path, *, background: bool = False) -> ClassMap:
    """The class map in ``path``.

    Raises:
        DataError: the file is missing, empty, in none of the forms above, or names a class twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "its bytes are not valid UTF-8"
        raise DataError(path, expected="a class map (json or text)", but=f"{why}", advice="check class_map") from error
    pairs = _json_pairs(path, text) if path.suffix == ".json" else _text_pairs(text)
    if not pairs:
        raise DataError(path, expected="at least one class", found="none", advice="write one class a line")
    keys = tuple(key for key, _ in pairs)
    require_once(path, keys)
    return ClassMap(keys, tuple(name for _, name in pairs), int(background))


def require_once(where: Path | str, keys: Sequence[str]) -> None:
    """Every class once."""
    if len(set(keys)) < len(keys):
        key, times = Counter(keys).most_common(1)[0]
        raise DataError(where, expected="every class once", found=f"{key!r} {times} times", advice="correct the list")


def _text_pairs(text: str) -> list[tuple[str, str]]:
    pairs = []
    for line in filter(None, map(str.strip, text.splitlines())):
        key, _, name = line.partition(" ")
        pairs.append((key, name.strip() or key))
    return pairs


def _json_pairs(path: Path, text: str) -> list[tuple[str, str]]:
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(path, expected="json", found=f"an error in line {error.lineno}", advice="correct it") from error
    if isinstance(record, dict) and record and all(_is_pair(value) for value in record.values()):
        return _indexed_pairs(path, record)
    entries = list(record.items()) if isinstance(record, dict) else record
    if not isinstance(entries, list) or not all(isinstance(entry, str) or _is_pair(entry) for entry in entries):
        raise DataError(
            path,
            expected="{folder: name}, a list of names or of [folder, name]",
            found="something else",
            advice="rewrite it",
        )
    return [(entry, entry) if isinstance(entry, str) else (entry[0], entry[1]) for entry in entries]


def _indexed_pairs(path: Path, record: dict[str, Any]) -> list[tuple[str, str]]:
    if set(record) != {str(index) for index in range(len(record))}:
        raise DataError(
            path, expected=f"labels 0 to {len(record) - 1}", found="others", advice="number the classes from 0"
        )
    return [tuple(record[str(index)]) for index in range(len(record))]


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(word, str) for word in value)
