"""A layout: the files and folders of a data set, and the settings with which a data set of the zoo reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.datasets.every_nth import Key
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.errors import first_of

ALL = "all"  # a split without a name, which is divided
_SPLIT_OF = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_WORD = re.compile(r"(?<![a-z])(train|training|val|valid|validation|test|testing)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        settings: arguments of the data set.
        keys: stratum and name of each sample, see :mod:`visionzoo.datasets.every_nth`.
        measured: arguments that differ for validation and testing.
    """

    settings: dict[str, Any]
    keys: Sequence[Key]
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The contents of a folder in a layout.

    Attributes:
        dataset: type of the data set that reads it.
        splits: ``train``, ``val`` and ``test``, or only ``all``.
        facts: what was found, such as ``1 class (raccoon)``.
        unit: the word for a sample.
        notes: sentences about data that are not used.
        options: other settings of the config that depend on the data; an empty value only replaces another one.
        count: number of classes, which replaces that of the head if the config states one.
        least: fewest samples of a part, if a split is divided.
    """

    dataset: str
    splits: dict[str, Split]
    facts: str = ""
    unit: str = "image"
    notes: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    count: int | None = None
    least: int = 1


@dataclass(frozen=True)
class Layout:
    """A layout that ``--data`` recognises.

    Attributes:
        label: its name in messages.
        tree: what is in the folder, for messages.
        tasks: tasks whose data have this layout.
        example: a config of these tasks.
        recognise: True if a folder has this layout. It reads names, and begins of files.
        read: reads a recognised folder. The second argument is the data set of the config.
        read_as_stated: as ``read``, for a folder that ``read`` refuses; only ``visionzoo check-data`` uses it.
        types: types of data sets whose configs fit; empty if all of the tasks do.
        records: the function that converts a folder to COCO records by split, or None.
        is_possible: True if a folder can be read when the user names the layout. Default: ``recognise``.
        is_likely: True if a folder without another layout can be read for a config that fits. Default: ``recognise``.
        columns: columns of its CSV files, for the message about a CSV with others; empty without CSV files.
        version: number of the form of the records. A new number makes old ones in the cache unused.
    """

    label: str
    tree: str
    tasks: tuple[str, ...]
    example: str
    recognise: Callable[[Listing], bool]
    read: Callable[[Listing, Mapping[str, Any]], Found]
    read_as_stated: Callable[[Listing, Mapping[str, Any]], Found] | None = None
    types: tuple[str, ...] = ()
    records: Callable[[Path], dict[str, dict]] | None = None
    is_possible: Callable[[Listing], bool] | None = None
    is_likely: Callable[[Listing], bool] | None = None
    columns: tuple[str, ...] = ()
    version: int = 1


# Metrics for categories of crowds, which only some data sets have.
NO_CATEGORIES: dict[str, Any] = {"val_evaluator.categories": [], "test_evaluator.categories": []}


def split_of(name: str) -> str:
    """Return the split that the name of a file or folder contains, else ``all``.

    Example:
        >>> split_of("instances_train2017.json"), split_of("valid"), split_of("photos")
        ('train', 'val', 'all')
    """
    words = _WORD.findall(name)
    return _SPLIT_OF.get(words[-1].lower(), words[-1].lower()) if words else ALL


def by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names by the split that they contain.

    Example:
        >>> by_split(["train.csv", "a.csv"])
        {'train': ['train.csv'], 'all': ['a.csv']}
    """
    splits: dict[str, list[str]] = {}
    for name in names:
        splits.setdefault(split_of(name), []).append(name)
    return splits


def classes_text(names: Sequence[str]) -> str:
    """Return the number of classes and the first names.

    Example:
        >>> classes_text(["cat"]), classes_text(["cat", "dog"])
        ('1 class (cat)', '2 classes (cat, dog)')
    """
    return f"{len(names)} class{'' if len(names) == 1 else 'es'} ({first_of(names)})"
