"""Which split of a folder is for training, validation and testing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.datasets.every_nth import selected
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split
from visionzoo.errors import DataError

EVERY = 5
_ORDINALS = {2: "2nd", 3: "3rd"}
_NUMBERS = {1: "one", 2: "two", 4: "four"}


@dataclass(frozen=True)
class Use:
    """A split, or a part of it; see :mod:`visionzoo.datasets.every_nth`."""

    split: Split
    every: int | None = None
    not_every: int | None = None

    def settings(self) -> dict[str, Any]:
        """Return the arguments of the data set."""
        divided = {"every": self.every, "not_every": self.not_every}
        return {**self.split.settings, **{key: value for key, value in divided.items() if value is not None}}


def divide(root: Path, layout: Layout, found: Found, *, training: bool) -> tuple[dict[str, Use], str]:
    """Return what is used for ``train``, ``val`` and ``test``, and a sentence about it.

    Raises:
        DataError: there are no data for training, or too few to divide.
    """
    splits = dict(found.splits)
    whole = next((name for name in (ALL, "train") if name in splits), None)
    if whole is None and training:
        advice = f"add a split called train, as in {layout.tree}"
        raise DataError(root, expected="data for training", found=f"only {' and '.join(splits)}", advice=advice)
    if whole is None or "val" in splits:
        return _as_named(splits), _counts(splits)
    return _divided(root, found, splits, whole)


# Settings of the place of the images, of which a split has at least one unless its type defines the folders.
_PLACES = ("data_prefix", "img_folder", "images", "name")


def shared_with_train(found: Found) -> list[str]:
    """Return a sentence for each split for measurement that has images of ``train``.

    Example:
        >>> splits = {name: Split({"img_folder": ""}, [("", "a.jpg")]) for name in ("train", "val")}
        >>> shared_with_train(Found("PointsDataset", splits))
        ['1 of 1 val images also in train; results on val are too good']
    """
    counts = {name: _count_shared(found.splits, name) for name in ("val", "test")}
    return [
        f"{count} of {len(found.splits[name].keys)} {name} {found.unit}s also in train; results on {name} are too good"
        for name, count in counts.items()
        if count
    ]


def _count_shared(splits: Mapping[str, Split], name: str) -> int:
    """Return the number of images of a split that are in ``train``, if both splits are in one folder."""
    if "train" not in splits or name not in splits or _place(splits[name]) != _place(splits["train"]):
        return 0
    in_train = {image for _, image in splits["train"].keys} if _place(splits[name]) else set()
    return sum(image in in_train for _, image in splits[name].keys)


def _place(split: Split) -> dict[str, Any]:
    return {key: split.settings[key] for key in _PLACES if key in split.settings}


def _as_named(splits: Mapping[str, Split]) -> dict[str, Use]:
    """Return the existing splits; ``val`` and ``test`` replace each other."""
    uses = {name: Use(split) for name, split in splits.items()}
    for name, other in (("val", "test"), ("test", "val")):
        if name not in uses and other in uses:
            uses[name] = uses[other]
    return uses


def _counts(splits: Mapping[str, Split]) -> str:
    return ", ".join(f"{len(splits[name].keys)} {name}" for name in ("train", "val", "test") if name in splits)


def _divided(root: Path, found: Found, splits: Mapping[str, Split], whole: str) -> tuple[dict[str, Use], str]:
    keys = splits[whole].keys
    every = min(EVERY, _largest_stratum(keys) // found.least)
    if every < 2:
        total, part = (_NUMBERS.get(number, number) for number in (2 * found.least, found.least))
        expected = f"at least {total} {found.unit}s, {part} for validation"
        raise DataError(root, expected=expected, found=f"{len(keys)}", advice=f"add {found.unit}s")
    val, chosen = Use(splits[whole], every=every), selected(keys, every)
    uses = {
        "train": Use(splits[whole], not_every=every),
        "val": val,
        "test": Use(splits["test"]) if "test" in splits else val,
    }
    count = sum(key in chosen for key in keys)
    missing = "no split" if whole == ALL else f"{_counts(splits)}, no val"
    return uses, f"{missing}: every {_ordinal(every)} {_unit(found, keys)} ({count}) is val"


def _largest_stratum(keys: Any) -> int:
    names: dict[Any, set[str]] = {}
    for stratum, name in keys:
        names.setdefault(stratum, set()).add(name)
    return max(map(len, names.values()), default=0)


def _ordinal(number: int) -> str:
    return _ORDINALS.get(number, f"{number}th")


def _unit(found: Found, keys: Any) -> str:
    if len({name for _, name in keys}) < len(keys) and found.unit == "frame":
        return "folder of frames"
    return f"{found.unit} of each class" if len({stratum for stratum, _ in keys}) > 1 else found.unit
