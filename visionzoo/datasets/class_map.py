"""Classes of a data set in label order, with their names.

A class map is a file in one of these forms. Its entries are in label order::

    {"n01440764": "tench", "n01443537": "goldfish"}            json: folder -> name
    {"0": ["n01440764", "tench"], "1": [...]}          json: label -> folder and name (imagenet_class_index.json)
    ["tench", "goldfish"]  or  [["n01440764", "tench"], ...]   json: only names, or folder and name
    n01440764 tench, Tinca tinca                               text: folder, then name (LOC_synset_mapping.txt)
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
from visionzoo.system.text_files import read_text

BACKGROUND = "background"


@dataclass(frozen=True)
class ClassMap:
    """Classes in label order.

    Attributes:
        keys: unique name of each class in files and folders (``n01440764``).
        names: readable name of each class (``tench``).
        offset: label of the first class; 1 if label 0 is the background, as in TensorFlow's 1001 classes.

    Example:
        >>> classes = ClassMap(keys=("n01440764", "n01443537"), names=("tench", "goldfish"), offset=1)
        >>> classes.classes
        ('background', 'tench', 'goldfish')
        >>> classes.labels()["n01443537"]
        2
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    offset: int = 0

    @classmethod
    def of(cls, keys: Sequence[str], *, background: bool = False) -> ClassMap:
        """Return classes whose names equal their keys."""
        return cls(tuple(keys), tuple(keys), int(background))

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each label, including the background."""
        return (BACKGROUND,) * self.offset + self.names

    def labels(self) -> dict[str, int]:
        """Return the label of each key and of each unique name."""
        times = Counter(self.names)
        by_name = {name: label for label, name in enumerate(self.names) if times[name] == 1}
        by_key = {key: label for label, key in enumerate(self.keys)}
        return {word: label + self.offset for word, label in {**by_name, **by_key}.items()}


def find_label(word: str, labels: dict[str, int], known: ClassMap, where: str) -> int:
    """Return the label of a class.

    Args:
        word: key, name or index of the class.
        labels: label by key and name, see :meth:`ClassMap.labels`.
        known: the classes.
        where: begin of the error message.

    Raises:
        DataError: ``word`` is not the key, name or index of a class.
    """
    if word in labels:
        return labels[word]
    if word.isdecimal() and int(word) < len(known.keys):
        return int(word) + known.offset
    raise unknown_label(word, known, where)


def unknown_label(word: str, known: ClassMap, where: str) -> DataError:
    """Return the error for an unknown class ``word``, with the nearest or the first known classes."""
    nearest = nearest_name(word, (*known.keys, *known.names))
    answer = f"did you mean {nearest!r}?" if nearest else one_of(known.keys, most=6)
    return DataError(
        where,
        expected=f"one of {len(known.keys)} classes",
        found=f"{word!r}; {answer}",
        advice="correct it, or the classes",
    )


def read_class_map(path: Path, *, background: bool = False) -> ClassMap:
    """Read a class map.

    Args:
        path: the file, in one of the forms of :mod:`visionzoo.datasets.class_map`.
        background: use label 0 for the background.

    Raises:
        DataError: the file is missing or empty, has another form, or names a class twice.
    """
    text = read_text(path, "a class map (json or text)", "check class_map")
    pairs = _json_pairs(path, text) if path.suffix == ".json" else _text_pairs(text)
    if not pairs:
        raise DataError(path, expected="at least one class", found="none", advice="write one class per line")
    keys = tuple(key for key, _ in pairs)
    require_once(path, keys)
    return ClassMap(keys, tuple(name for _, name in pairs), int(background))


def require_once(where: Path | str, keys: Sequence[str]) -> None:
    """Raise DataError if a class occurs twice."""
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
