"""Points of any objects, in JSON lines or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.counting.base import CountingDataset, Sample, require_files, sample_of
from visionzoo.datasets.counting.point_files import checked_points, numbered_lines
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS

_FACTS = ("level", "luminance", "scene", "weather")
_FIELDS = ("image", "points", *_FACTS)
_HEADER = ("image", "x", "y")


@DATASETS.register_module()
class PointsDataset(CountingDataset):
    """Images with points in one annotation file.

    JSON lines, one image each; ``level``, ``luminance``, ``scene`` and ``weather`` are optional::

        {"image": "a/0001.jpg", "points": [[12.5, 40.0], [80.0, 3.25]]}
        {"image": "a/0002.jpg", "points": []}

    CSV, one point per row, rows in any order; a row without x and y names an image without points::

        image,x,y
        a/0001.jpg,12.5,40.0
        a/0002.jpg,,

    x and y are pixels from the left and the top. Points outside the image count.

    Args:
        data_root: a folder, or ``tiny://points?train=24&test=8&seed=0`` for drawn images.
        ann_file: the file in ``data_root``; CSV if it ends in ``.csv``, otherwise JSON lines.
        img_folder: folder in ``data_root`` that contains the paths ``image``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: the file is missing or empty, a line is unusable, or an image is missing.

    Example:
        >>> root = "tiny://points?train=1&test=1&size=48"
        >>> dataset = PointsDataset(root, ann_file="test.csv", serialize_data=False)
        >>> dataset[0]["gt_count"] == len(dataset[0]["gt_points"])
        True
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = "points.jsonl",
        img_folder: str = "",
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        super().__init__(
            root,
            _samples(root / ann_file, root / img_folder),
            **loading,
        )


def _samples(path: Path, folder: Path) -> list[Sample]:
    records = dict(_rows(path) if path.suffix.lower() == ".csv" else _lines(path))
    if not records:
        raise DataError(path, expected="at least one image", found="an empty list", advice=f"{advice('points')}")
    require_files([folder / name for name in records], "images", folder)
    return [
        sample_of(folder / name, checked_points(points, f"{path}: {name}"), **facts)
        for name, (points, facts) in records.items()
    ]


def _lines(path: Path) -> Iterator[tuple[str, tuple[Any, dict[str, Any]]]]:
    """Yield the image, points and facts of each line."""
    seen = set()
    for number, line in numbered_lines(path, "one JSON object per line"):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{path}: line {number}", expected="a JSON object", but=f"{error}", advice="correct the line"
            ) from error
        if not isinstance(record, dict) or not {"image", "points"} <= set(record) <= set(_FIELDS):
            raise DataError(
                f"{path}: line {number}",
                expected=f"image and points, optionally {', '.join(_FACTS)}",
                found=f"{line[:80]!r}",
                advice="correct the line",
            )
        if record["image"] in seen:
            raise DataError(
                f"{path}: line {number}",
                expected="every image once",
                found=f"{record['image']!r} again",
                advice="join their points",
            )
        seen.add(record["image"])
        yield record["image"], (record["points"], {key: record[key] for key in _FACTS if key in record})


def _rows(path: Path) -> Iterator[tuple[str, tuple[list[list[float]], dict[str, Any]]]]:
    """Return the points of each image of a CSV."""
    lines = numbered_lines(path, "a table with the columns image, x and y")
    rows = [(number, next(csv.reader([line]))) for number, line in lines]
    if rows and tuple(cell.strip().lower() for cell in rows[0][1]) != _HEADER:
        raise DataError(path, expected="the header image,x,y", found=f"{lines[0][1][:80]!r}", advice="add it")
    points: dict[str, list[list[float]]] = {}
    for number, row in rows[1:]:
        if len(row) != len(_HEADER):
            raise DataError(
                f"{path}: line {number}", expected="image, x and y", found=f"{','.join(row)!r}", advice="correct it"
            )
        points.setdefault(row[0], []).extend(_point(row[1:], f"{path}: line {number}"))
    return ((name, (values, {})) for name, values in points.items())


def _point(cells: Sequence[str], where: str) -> list[list[float]]:
    """Return a list of one point; empty for two empty cells."""
    if not any(cell.strip() for cell in cells):
        return []
    try:
        return [[float(cell) for cell in cells]]
    except ValueError as error:
        raise DataError(
            where, expected="x and y as numbers", found=f"{','.join(cells)!r}", advice="correct it"
        ) from error
