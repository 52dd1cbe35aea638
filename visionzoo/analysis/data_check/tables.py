"""Tables and notes about a whole split: class balance, sizes of images, sizes of boxes against the model's strides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from visionzoo.analysis.data_check.report import Table
from visionzoo.datasets.issues import Issue

_MOST_ROWS = 40
_IMBALANCE = 100  # ratio of the most frequent to the rarest class from which a note names it
_MEASURED = ("val", "test")  # splits that may lack a class
_LONG = 4.0  # ratio of the sides from which an image is named as long


def class_table(counts: Mapping[str, Counter[int]], classes: Sequence[str] | None) -> Table | None:
    """Return the number of objects by class and split; None without labels.

    Example:
        >>> class_table({"train": Counter({0: 3})}, ["cat", "dog"]).rows
        (('cat', 3), ('dog', 0))
    """
    labels = sorted(set(range(len(classes or ()))).union(*counts.values()))
    if not any(counts.values()):
        return None
    names = {label: classes[label] if classes and 0 <= label < len(classes) else f"class {label}" for label in labels}
    rows = [(names[label], *(each[label] for each in counts.values())) for label in labels]
    title = "objects by class"
    if len(rows) > _MOST_ROWS:
        first = next(iter(counts.values()))
        rows = [row for _, row in sorted(zip(labels, rows, strict=True), key=lambda pair: -first[pair[0]])]
        title = f"{title}: the {_MOST_ROWS // 2} most frequent and the {_MOST_ROWS // 2} rarest of {len(rows)}"
        rows = [*rows[: _MOST_ROWS // 2], *rows[-_MOST_ROWS // 2 :]]
    return Table(title, ("class", *counts), tuple(rows))


def class_issues(split: str, counts: Counter[int], classes: Sequence[str] | None) -> Iterator[Issue]:
    """Yield classes without an object, a single class of images, and a large imbalance.

    Example:
        >>> [issue.found for issue in class_issues("train", Counter({0: 3}), ["cat", "dog"])]
        ['no object in train']
    """
    for label, name in enumerate(classes or ()) if counts else ():
        if not counts[label]:
            advice = "leave the class out, or add images"
            yield Issue("classes without an object", name, f"no object in {split}", advice, split in _MEASURED)
    used = [number for number in counts.values() if number]
    if used and max(used) > _IMBALANCE * min(used):
        found = f"{max(used):,} objects of the most frequent class, {min(used):,} of the rarest"
        yield Issue("unbalanced classes", split, found, "weight or sample the classes", is_note=True)


def other_classes(names: Mapping[str, Sequence[str] | None]) -> Iterator[tuple[str, Issue]]:
    """Yield the classes of val and test that training lacks, and those of training that they lack.

    Example:
        >>> [issue.found for _, issue in other_classes({"train": ["cat"], "val": ["cat", "dog"]})]
        ['in val, not in train']
    """
    learned = names.get("train")
    for split, own in names.items():
        if split == "train" or not learned or own is None:
            continue
        for name in own:
            if name not in learned:
                advice = "train on it too, or remove its images"
                yield split, Issue("classes that training lacks", name, f"in {split}, not in train", advice)
        for name in learned:
            if name not in own:
                advice = "no score measures it"
                yield split, Issue("classes that a split lacks", name, f"not in {split}", advice, is_note=True)


def size_table(sizes: Mapping[str, np.ndarray]) -> Table | None:
    """Return widths, heights and ratios of the images by split, each (N, 2); None without images."""
    rows = []
    for split, each in sizes.items():
        if len(each):
            width, height = each[:, 0], each[:, 1]
            ranges = (_range(values) for values in (width, height, width / height))
            rows.append((split, len(each), *ranges, len(np.unique(each, axis=0))))
    columns = ("images", "number", "width", "height", "width / height", "different sizes")
    return Table("image sizes (least, median, most)", columns, tuple(rows)) if rows else None


def _range(values: np.ndarray) -> str:
    return " ".join(f"{value:.4g}" for value in (values.min(), np.median(values), values.max()))


def long_images(paths: Sequence[str], sizes: Sequence[tuple[int, int]]) -> Iterator[Issue]:
    """Yield a note for each image that is much longer than wide, or much wider than long."""
    for path, (width, height) in zip(paths, sizes, strict=True):
        if max(width, height) > _LONG * min(width, height):
            found = f"{width}x{height}"
            yield Issue("images with long sides", path, found, "a resize to a fixed size distorts them", is_note=True)


def box_table(sides: Mapping[str, np.ndarray], strides: Sequence[int], factors: str) -> Table | None:
    """Return the sizes of boxes at the model's input, sqrt(area) in pixels, (N,) by split; None without boxes."""
    rows = []
    for split, values in sides.items():
        if len(values):
            quantiles = (float(value) for value in np.percentile(values, (0, 5, 50, 95, 100)))
            smaller = (int((values < strides[0]).sum()),) if strides else ()
            rows.append((split, len(values), *quantiles, *smaller))
    below = (f"below stride {strides[0]}",) if strides else ()
    columns = ("boxes", "number", "least", "5 %", "median", "95 %", "most", *below)
    return Table(f"box sizes, square root of the area in pixels {factors}", columns, tuple(rows)) if rows else None


def box_notes(split: str, sides: np.ndarray, strides: Sequence[int]) -> Iterator[Issue]:
    """Yield a note if boxes are smaller than the finest stride of the model, or larger than 16 of its coarsest."""
    if not len(sides) or not strides:
        return
    small, large = int((sides < strides[0]).sum()), int((sides > 16 * strides[-1]).sum())
    share = f"of {len(sides):,} boxes at the size of the input"
    if small:
        found = f"{small:,} {share} ({small / len(sides):.1%}) are smaller than {strides[0]} pixels"
        yield Issue("boxes below the finest stride", split, found, "a larger --image-size finds smaller objects", True)
    if large:
        found = f"{large:,} {share} ({large / len(sides):.1%}) are larger than {16 * strides[-1]} pixels"
        yield Issue("boxes far above the coarsest stride", split, found, "a smaller --image-size finds them", True)


def strides_of(model: Any) -> tuple[int, ...]:
    """Return the longest list of strides in the config of a model, ascending; empty without one.

    Example:
        >>> strides_of({"bbox_head": {"anchor_generator": {"strides": [8, 16]}}})
        (8, 16)
    """
    found: tuple[int, ...] = ()
    if isinstance(model, Mapping):
        for key, value in model.items():
            is_list = key == "strides" and isinstance(value, list | tuple) and all(type(each) is int for each in value)
            own = tuple(sorted(value)) if is_list else strides_of(value)
            is_backbone = key == "backbone"
            found = own if len(own) > len(found) and not is_backbone else found
    return found


def resize_of(pipeline: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, int] | None, bool]:
    """Return the scale (long or width, short or height) of the first resize in a pipeline, and if ratios are kept."""
    for step in pipeline:
        kind, scale = f"{step.get('type')}".rpartition(".")[2], step.get("scale")
        if kind == "Resize" and isinstance(scale, list | tuple) and len(scale) == 2:
            return (int(scale[0]), int(scale[1])), bool(step.get("keep_ratio"))
    return None, False


def factor_of(size: tuple[int, int], scale: tuple[int, int] | None, keep: bool) -> float:
    """Return the factor by which a resize changes the square root of an area in an image of (width, height)."""
    if scale is None:
        return 1.0
    if keep:
        return min(max(scale) / max(size), min(scale) / min(size))
    return float(np.sqrt(scale[0] * scale[1] / (size[0] * size[1])))
