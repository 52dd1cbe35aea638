"""Counts of objects: MAE, RMSE and NAE.

Both sides are tables: a count for each image, or the points of each image in the formats of ``PointsDataset``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.errors import DataError
from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files._pairs import require_once, require_same
from visionzoo.metrics.files._rows import Row, read_rows, same_names


def measure(gt: Path, pred: Path) -> Measured:
    """Measure counts.

    Args:
        gt, pred: CSV, JSON lines or a JSON list with ``image`` and ``count``; or with ``points``; or CSV with ``x`` and
            ``y`` of one point in each row.

    Raises:
        DataError: a file is missing or has errors, or an image is only in one of them, or twice in one.
    """
    from visionzoo.metrics.counting.errors import count_errors

    true, found = read_counts(gt), read_counts(pred)
    names = same_names(list(found), list(true))
    found = {names[name]: count for name, count in found.items()}
    require_same(found, true, pred, gt)
    errors = count_errors([found[name] for name in true], list(true.values()))
    numbers = {"MAE": errors.mae, "RMSE": errors.rmse, "NAE": errors.nae, "images": float(errors.images)}
    return Measured({f"count/{name}": value for name, value in numbers.items()})


def read_counts(path: Path) -> dict[str, float]:
    """Read the count of each image.

    Raises:
        DataError: see :func:`measure`.
    """
    rows = read_rows(path, "counts of images")
    if "count" not in rows[0].cells and {"x", "y"} <= rows[0].cells.keys():
        return _points(rows)
    require_once((row.name for row in rows), path)
    return {row.name: _count(row) for row in rows}


def _points(rows: Sequence[Row]) -> dict[str, float]:
    """Return the number of rows of each image that have a point."""
    counts: dict[str, float] = {}
    for row in rows:
        point = [row.cells.get(axis, "") for axis in "xy"]
        has_point = any(f"{value}".strip() for value in point)
        if has_point and not all(_is_number(value) for value in point):
            raise DataError(row.place, expected="x and y in pixels, or two empty cells", found=f"{point}")
        counts[row.name] = counts.get(row.name, 0.0) + has_point
    return counts


def _count(row: Row) -> float:
    points: Any = row.cells.get("points")
    if "count" not in row.cells and isinstance(points, list):
        return float(len(points))
    value: Any = row.cells.get("count")
    if not _is_number(value) or not float(value) >= 0:
        found = "none" if value in (None, "") else f"{value!r:.40}"
        raise DataError(row.place, expected="count, a number >= 0, or points", found=found, advice="correct the row")
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool | Mapping) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


KIND = FileKind(
    truth="table with image and count, or points: .csv, .jsonl or .json",
    prediction="table with image and count, such as predictions.csv of `visionzoo infer`",
    measure=measure,
    options={},
    examples=("--gt points.jsonl --pred predictions.csv", "--gt counts.csv --pred counts_of_model.csv --out scores"),
)
