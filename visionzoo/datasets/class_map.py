"""Classes of a data set in label order, with their names.

A class map is a file in one of these forms. Its entries are in label order, or state their labels::

    {"n01440764": "tench", "n01443537": "goldfish"}            json: folder -> name
    {"0": ["n01440764", "tench"], "1": [...]}          json: label -> folder and name (imagenet_class_index.json)
    {"tench": 0, "goldfish": 1}                                json: folder -> label (class_to_idx)
    ["tench", "goldfish"]  or  [["n01440764", "tench"], ...]   json: only names, or folder and name
    n01440764 tench, Tinca tinca                               text: folder, then name (LOC_synset_mapping.txt)
    tench                                                      text: the folder is the name
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import Findings, shown
from visionzoo.errors import DataError, nearest_name, one_of, some_of
from visionzoo.system.text_files import read_text

BACKGROUND = "background"
_LONGEST_NAME = 1000
_LONGEST_SHOWN = 200
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff\ud800-\udfff]")
_SPACES = re.compile(r"[ \t]+")
_WHOLE_NUMBER = re.compile(r"0*(\d{1,18})(\.0*)?", re.ASCII)
_FORMS = "{folder: name}, {folder: label}, {label: [folder, name]}, or a list of names or of [folder, name]"


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
        """Return the label of each key, of each unique name and of each index of a class.

        If a key or a name is a whole number, an index may mean two classes. Indices are then omitted.
        """
        times = Counter(self.names)
        words = {name: label for label, name in enumerate(self.names) if times[name] == 1}
        words |= {key: label for label, key in enumerate(self.keys)}
        if not any(whole_number(word) is not None for word in (*self.keys, *self.names)):
            words |= {str(label): label for label in range(len(self.keys))}
        return {word: label + self.offset for word, label in words.items()}


def whole_number(word: str) -> int | None:
    """Return the whole number that a label states, or None.

    Example:
        >>> whole_number("7"), whole_number("007"), whole_number("7.0"), whole_number("-7"), whole_number("cat")
        (7, 7, 7, None, None)
    """
    match = _WHOLE_NUMBER.fullmatch(word)
    return int(match[1]) if match else None


def classes_of(words: Collection[str], findings: Findings) -> list[str]:
    """Return the classes of the labels in a list: whole numbers by value, other labels in alphabetical order.

    There is one class per label. Numbers other than 0 to n - 1 are names, so that no class is empty.

    Args:
        words: the labels.
        findings: receives a note if numbers are names, and an error for the label ``nan``.

    Example:
        >>> classes_of({"1", "0", "2"}, Findings("a.txt", expected="labels"))
        ['0', '1', '2']
    """
    for word in {"nan", "NaN", "NAN"}.intersection(words):
        findings.wrong("label", word, expected="the name of a class", found="the mark of a missing value")
    numbers = {whole_number(word) for word in words}
    if None in numbers:
        return sorted(words)
    if numbers != set(range(len(numbers))):
        findings.note(f"labels are whole numbers other than 0 to {len(numbers) - 1}, read as names", len(numbers))
    return [str(number) for number in sorted(number for number in numbers if number is not None)]


def find_labels(words: Iterable[str], known: ClassMap) -> dict[str, int]:
    """Return the label of each word that is the key, the unique name or the index of a class.

    Example:
        >>> find_labels(["dog", "0", "emu"], ClassMap.of(["cat", "dog"]))
        {'dog': 1, '0': 0}
    """
    labels = known.labels()
    found = {word: labels.get(word, labels.get(f"{whole_number(word)}")) for word in words}
    return {word: label for word, label in found.items() if label is not None}


def unknown_label(word: str, known: ClassMap) -> dict[str, str]:
    """Return ``expected`` and ``found`` of the error for an unknown class, with the nearest or the first classes."""
    nearest = nearest_name(word, (*known.keys, *known.names))
    answer = f"did you mean {nearest!r}?" if nearest else one_of(known.keys, most=6)
    return {"expected": f"one of {len(known.keys)} classes", "found": f"{shown(word)}; {answer}"}


def is_class_name(word: object) -> bool:
    """Return True for a text of visible characters, as the name of a class must be.

    Example:
        >>> is_class_name("great white shark"), is_class_name(" "), is_class_name(7), is_class_name("a\\nb")
        (True, False, False, False)
    """
    return isinstance(word, str) and len(word.strip()) > 0 and len(word) <= _LONGEST_NAME and is_plain(word)


def is_plain(word: str) -> bool:
    """Return True for a text without control characters, and without bytes of a file name that are not UTF-8."""
    return (word.isascii() and word.isprintable()) or _INVISIBLE.search(word) is None


def visible(text: str) -> str:
    """Return a text for a message: in quotes and with escapes if it is long or has invisible characters.

    Example:
        >>> visible("a b"), visible("a\\nb")
        ('a b', "'a\\\\nb'")
    """
    return text if is_plain(text) and len(text) <= _LONGEST_SHOWN else shown(text, _LONGEST_SHOWN)


def require_classes(where: object, known: ClassMap, *, hint: str, advice: str) -> None:
    """Raise DataError if there is only one class, which nothing can be learned from."""
    if len(known.keys) < 2:
        raise DataError(
            where,
            expected="two classes or more",
            found=f"one class ({visible(known.keys[0])}), nothing to learn{hint}",
            advice=advice,
        )


# --- files ---


def read_class_map(path: Path, *, background: bool = False) -> ClassMap:
    """Read a class map.

    Args:
        path: the file, in one of the forms of :mod:`visionzoo.datasets.class_map`.
        background: use label 0 for the background.

    Raises:
        DataError: the file is missing or empty, has another form, or names a class twice.
    """
    text = read_text(path, "a class map (json or text)", "check class_map")
    with Findings(path, expected="a class map") as findings:
        pairs = _json_pairs(path, text, findings) if path.suffix.lower() == ".json" else _text_pairs(text)
        if not pairs and not findings:
            raise DataError(path, expected="at least one class", found="none", advice="write one class per line")
        pairs = [pair for number, pair in enumerate(pairs) if _is_correct(number, pair, findings)]
        require_once(path, [key for key, _ in pairs])
        _note_ambiguous(pairs, findings)
    return ClassMap(tuple(key for key, _ in pairs), tuple(name for _, name in pairs), int(background))


def require_once(where: Path | str, keys: Sequence[str]) -> None:
    """Raise DataError if a class occurs twice."""
    if len(set(keys)) < len(keys):
        key, times = Counter(keys).most_common(1)[0]
        raise DataError(
            where, expected="every class once", found=f"{shown(key)} {times} times", advice="correct the list"
        )


def _is_correct(number: int, pair: tuple[Any, Any], findings: Findings) -> bool:
    wrong = [word for word in pair if not is_class_name(word)]
    if wrong:
        expected = f"visible text of at most {_LONGEST_NAME} characters"
        findings.wrong(f"class {number}", "name", expected=expected, found=shown(wrong[0]))
    return not wrong


def _note_ambiguous(pairs: Sequence[tuple[str, str]], findings: Findings) -> None:
    keys = {key for key, _ in pairs}
    double = sorted({name for key, name in pairs if name in keys and name != key})
    if double:
        text = f"names that are also the folder of another class ({some_of(double, 3)}), labels mean the folder"
        findings.note(text, len(double))


def _text_pairs(text: str) -> list[tuple[Any, Any]]:
    lines = filter(None, map(str.strip, text.split("\n")))
    words = [_SPACES.split(line, maxsplit=1) for line in lines]
    return [(some[0], some[-1]) for some in words]


class _Object(list):
    """A JSON object as a list of its keys and values, which may repeat a key."""


def _json_pairs(path: Path, text: str, findings: Findings) -> list[tuple[Any, Any]]:
    record = _parsed(path, text)
    if not isinstance(record, _Object):
        return _listed_pairs(path, record)
    values = [value for _, value in record]
    numbers = [whole_number(key) for key, _ in record]
    if values and all(_is_pair(value) for value in values):
        return _in_order(path, list(zip(numbers, map(tuple, values))), findings)
    labels = _stated_labels(numbers, values, findings)
    if labels is not None:
        return _in_order(path, [(label, (key, key)) for label, (key, _) in zip(labels, record)], findings)
    if _is_count(numbers):
        return _in_order(path, list(zip(numbers, record)), findings)
    return [_with_name(pair, findings) for pair in record]


def _stated_labels(keys: Sequence[int | None], values: Sequence[Any], findings: Findings) -> list[int] | None:
    """Return the values if they are labels: whole numbers, or the numbers 0 to n - 1 as text."""
    if values and all(type(value) is int for value in values):
        return list(values)
    as_text = [whole_number(value) if isinstance(value, str) else None for value in values]
    if not _is_count(as_text) or None not in keys:
        return None
    findings.note("labels as text, read as numbers", len(values))
    return [label for label in as_text if label is not None]


def _is_count(numbers: Sequence[int | None]) -> bool:
    """Return True for the numbers 0 to n - 1 in any order."""
    return len(numbers) > 0 and {*numbers} == {*range(len(numbers))}


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        found = f"an error in line {error.lineno}"
        raise DataError(path, expected="json", found=found, advice="correct it") from error
    except (ValueError, RecursionError) as error:
        found = "a number or a nesting that is too long"
        raise DataError(path, expected="a class map", found=found, advice="correct it") from error


def _listed_pairs(path: Path, record: Any) -> list[tuple[Any, Any]]:
    if type(record) is not list or not all(isinstance(entry, str) or _is_pair(entry) for entry in record):
        raise DataError(path, expected=_FORMS, found="something else", advice="rewrite it")
    return [(entry, entry) if isinstance(entry, str) else (entry[0], entry[1]) for entry in record]


def _in_order(
    path: Path, pairs: Sequence[tuple[int | None, tuple[Any, Any]]], findings: Findings
) -> list[tuple[Any, Any]]:
    """Return pairs in the order of their labels, which must be 0 to n - 1."""
    labels = [label for label, _ in pairs]
    if not _is_count(labels):
        odd = next((label for label in labels if label is None or not 0 <= label < len(labels)), None)
        found = "others" if odd is None else f"others, such as {shown(odd)}"
        advice = "number the classes from 0, each of them once"
        raise DataError(path, expected=f"labels 0 to {len(labels) - 1}", found=found, advice=advice)
    if labels != list(range(len(labels))):
        findings.note("entries in another order than their labels, sorted by label")
    return [pair for _, pair in sorted(pairs, key=lambda each: each[0] or 0)]


def _with_name(pair: tuple[str, Any], findings: Findings) -> tuple[str, Any]:
    key, name = pair
    if name is None:
        findings.note("classes without a name, named as their folder")
    return key, key if name is None else name


def _is_pair(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(isinstance(word, str) for word in value)
