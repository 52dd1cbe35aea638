"""The schema of COCO ``instances`` files: types, ranges, uniqueness and references of all entries.

Each field is checked as a whole column. Only if a column deviates are its values read one by one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from visionzoo.datasets.coco_annotations import MOST_PIXELS, number_of
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.numerals import decimal

_MISSING = object()
_LONGEST_NAME = 1000
_FORMS = {type(None): "null", bool: "true or false", str: "as text", list: "with text"}


@dataclass(frozen=True)
class Field:
    """Rule of one field.

    Attributes:
        name: key of the field.
        expected: the expected value, for errors.
        meaning: what a value of another form is read as, for notes.
        are_usual: function of all values; True only if none needs to be read one by one.
        read: function from a value to its usual form; raises ValueError if the value has no obvious meaning.
        default: function from an entry to the value of a missing or null field; None if the field is required.
    """

    name: str
    expected: str
    meaning: str
    are_usual: Callable[[list], bool]
    read: Callable[[Any], Any]
    default: Callable[[dict], Any] | None = None


def check_record(record: dict[str, list], findings: Findings) -> None:
    """Check all entries, and bring values with one obvious meaning into their usual form.

    Args:
        record: lists ``images``, ``categories`` and ``annotations``. Their entries are changed.
        findings: collects errors and notes.

    Example:
        >>> record = {"images": [{"id": 1, "file_name": "a.jpg", "height": "20", "width": 30}]}
        >>> check_record({**record, "categories": [], "annotations": []}, Findings("a.json", expected="COCO"))
        >>> record["images"][0]["height"]
        20
    """
    images = _checked(record["images"], "images", _IMAGE, findings)
    categories = _checked(record["categories"], "categories", _CATEGORY, findings)
    annotations = _checked(record["annotations"], "annotations", _ANNOTATION, findings)
    _check_fields([each for each in annotations if "ignore" in each], "annotations", (_flag("ignore"),), findings)
    for entries, section, fields in (
        (images, "images", ("id", "file_name")),
        (categories, "categories", ("id", "name")),
        (annotations, "annotations", ("id",)),
    ):
        for field in fields:
            _check_unique(entries, section, field, findings)
    _check_references(annotations, "image_id", images, "images", findings)
    _check_references(annotations, "category_id", categories, "categories", findings)


# --- entries and fields ---


def _checked(entries: list, section: str, fields: Sequence[Field], findings: Findings) -> list[dict]:
    """Return the entries that are objects, after a check of their fields."""
    objects = entries
    if set(map(type, entries)) - {dict}:
        objects = [entry for entry in entries if isinstance(entry, dict)]
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                findings.wrong(f"{section}[{index}]", "entry", expected="an object {...}", found=shown(entry))
    _check_fields(objects, section, fields, findings)
    return objects


def _check_fields(entries: list[dict], section: str, fields: Sequence[Field], findings: Findings) -> None:
    for field in fields:
        column = _column(entries, field.name)
        try:
            usual = field.are_usual(column)
        except (OverflowError, UnicodeEncodeError):  # a number beyond the floats, half of a surrogate pair
            usual = False
        if not usual:
            for index, value in enumerate(column):
                _read_field(entries[index], f"{section}[{index}]", value, field, findings)


def _column(entries: list[dict], name: str) -> list:
    try:
        return list(map(itemgetter(name), entries))
    except KeyError:
        return [entry.get(name, _MISSING) for entry in entries]


def _read_field(entry: dict, place: str, value: Any, field: Field, findings: Findings) -> None:
    if (value is _MISSING or value is None) and field.default:
        entry[field.name] = field.default(entry)
        if value is None:
            findings.note(f"{field.name} null in {place.partition('[')[0]}, read as missing")
        return
    try:
        read = field.read(value)
    except ValueError:
        found = "none" if value is _MISSING else shown(value)
        findings.wrong(_name(entry, place), field.name, expected=field.expected, found=found)
        return
    if type(read) is not type(value) or read != value:
        entry[field.name] = read
        form = "as a number" if isinstance(read, str) else _FORMS.get(type(value))
        if form:
            findings.note(f"{field.name} {form} in {place.partition('[')[0]}, read as {field.meaning}")


def _name(entry: Mapping[str, Any], place: str) -> str:
    """Return ``annotation 7`` for an entry with an id, else its place in the list."""
    label = entry.get("id")
    section = place.partition("[")[0]
    return f"{_SINGULAR[section]} {shown(label)}" if _is_label(label) else place


_SINGULAR = {"images": "image", "categories": "category", "annotations": "annotation"}


# --- values ---


def _types(column: list) -> set[type]:
    return set(map(type, column))


def _is_label(value: Any) -> bool:
    if type(value) is float:
        return abs(value) < float("inf")
    return type(value) is int or (type(value) is str and value != "")


def _label(value: Any) -> Any:
    if not _is_label(value):
        raise ValueError
    return value


def _are_labels(column: list) -> bool:
    return _types(column) in ({int}, {str}, set()) and "" not in column


def _number(value: Any) -> int | float:
    """Return a number, also for its text. The NaN and infinity of JSON are returned too."""
    number = decimal(value) if type(value) is str else value
    if number is None or type(number) not in (int, float):
        raise ValueError
    return int(value) if type(value) is str and value.strip().lstrip("+-").isdigit() else number


def _size(value: Any) -> int:
    number = _number(value)
    if not 1 <= number <= MOST_PIXELS or number != int(number):
        raise ValueError
    return int(number)


def _are_sizes(column: list) -> bool:
    return _types(column) <= {int} and (not column or (min(column) >= 1 and max(column) <= MOST_PIXELS))


def _box(value: Any) -> list:
    if type(value) is not list or len(value) != 4:
        raise ValueError
    box = [_number(each) for each in value]
    if not all(abs(each) <= MOST_PIXELS for each in box) or min(box[2:]) < 0:
        raise ValueError
    return box


def _are_boxes(column: list) -> bool:
    if _types(column) - {list} or set(map(len, column)) - {4}:
        return False
    numbers = list(chain.from_iterable(column))
    if _types(numbers) - {int, float}:
        return False
    boxes = np.array(numbers, np.float64).reshape(-1, 4)
    return bool((np.abs(boxes) <= MOST_PIXELS).all() and (boxes[:, 2:] >= 0).all())


def _area(value: Any) -> int | float:
    number = _number(value)
    if not 0 <= number <= sys.float_info.max:
        raise ValueError
    return number


def _are_areas(column: list) -> bool:
    if _types(column) - {int, float}:
        return False
    areas = np.array(column, np.float64)
    return bool(((areas >= 0) & (areas < np.inf)).all())


def _area_of_box(entry: dict) -> int | float:
    try:
        _, _, width, height = _box(entry.get("bbox"))
    except ValueError:  # reported as an error of bbox
        return 0
    return width * height


def _zero_or_one(value: Any) -> int:
    number = int(value) if type(value) is bool else _number(value)
    if number not in (0, 1):
        raise ValueError
    return int(number)


def _are_flags(column: list) -> bool:
    return _types(column) <= {int} and set(column) <= {0, 1}


def _flag(name: str) -> Field:
    return Field(name, "0 or 1", "0 or 1", _are_flags, _zero_or_one, default=lambda entry: 0)


def _file_name(value: Any) -> str:
    if type(value) is not str or not _are_file_names([value]):
        raise ValueError
    return value


def _are_file_names(column: list) -> bool:
    if _types(column) - {str} or not all(map(str.strip, column)) or max(map(len, column), default=0) > _LONGEST_NAME:
        return False
    return b"\0" not in "/".join(column).encode()


def _class_name(value: Any) -> str:
    name = str(value) if type(value) in (int, float) else value
    if type(name) is not str or not _are_class_names([name]):
        raise ValueError
    return name


def _are_class_names(column: list) -> bool:
    return not _types(column) - {str} and all(name.strip() and name.isprintable() for name in column)


_ID = Field("id", "a number or text", "a label", _are_labels, _label)
_PIXELS = f"a whole number from 1 to {MOST_PIXELS:,}"
_IMAGE = (
    _ID,
    Field("file_name", "the name of a file", "text", _are_file_names, _file_name),
    Field("height", _PIXELS, "a whole number", _are_sizes, _size),
    Field("width", _PIXELS, "a whole number", _are_sizes, _size),
)
_CATEGORY = (_ID, Field("name", "a name", "text", _are_class_names, _class_name))
_ANNOTATION = (
    _ID,
    Field("image_id", "the id of an image", "a label", _are_labels, _label),
    Field("category_id", "the id of a category", "a label", _are_labels, _label),
    Field(
        "bbox",
        f"[x, y, width, height], 4 numbers up to {MOST_PIXELS:,}, width and height from 0",
        "numbers",
        _are_boxes,
        _box,
    ),
    Field("area", "a number from 0", "a number", _are_areas, _area, default=_area_of_box),
    _flag("iscrowd"),
)


# --- between entries ---


def _labels(entries: list[dict], field: str) -> list:
    values = _column(entries, field)
    return values if _are_labels(values) else [value for value in values if _is_label(value)]


def _check_unique(entries: list[dict], section: str, field: str, findings: Findings) -> None:
    values = _labels(entries, field)
    if len(set(values)) == len(values):
        return
    for value, times in Counter(values).items():
        if times > 1:
            expected = f"{shown(value)} in one {_SINGULAR[section]}"
            findings.wrong(section, field, expected=expected, found=f"it in {times}")


def _check_references(entries: list[dict], field: str, others: list[dict], section: str, findings: Findings) -> None:
    labels = _labels(others, "id")
    if len(labels) < len(others):  # the wrong ids are reported, and the references to them would only repeat this
        return
    known = set(labels)
    try:
        if known.issuperset(_column(entries, field)):
            return
    except TypeError:  # a list as a reference, which is reported as an error of the field
        pass
    by_number = _by_number(known)
    for index, entry in enumerate(entries):
        label = entry.get(field)
        if not _is_label(label) or label in known:
            continue
        meant = by_number.get(number_of(label))
        if meant is None:
            expected = f"the id of one of the {section}"
            findings.wrong(_name(entry, f"annotations[{index}]"), field, expected=expected, found=shown(label))
        else:
            entry[field] = meant
            findings.note(f"{field} {'as text' if type(label) is str else 'as a number'}, read as {section}' id")


def _by_number(labels: set) -> dict:
    """Return the labels by their number, for 7 and "7". Labels that share a number are omitted."""
    times = Counter(number_of(label) for label in labels)
    return {number: label for label in labels if (number := number_of(label)) is not None and times[number] == 1}
