"""Reading files of points: MATLAB, JSON, text. Each gives (N, 2) float64 of x and y in pixels, or an error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.mat_files import mat_variable
from visionzoo.errors import DataError


def checked_points(values: Any, where: str) -> np.ndarray:
    """Points as (N, 2) float64. Nothing at all is no points; points outside the image stay, with their place.

    Raises:
        DataError: they have another shape, are no numbers, or are not finite.
    """
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            where, expected="points as pairs of numbers x and y", but=f"{error}", advice="export them again"
        ) from error
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(
            where,
            expected="points of shape N x 2 (x and y in pixels)",
            found=f"{' x '.join(map(str, points.shape))}",
            advice="export them again",
        )
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        x, y = points[bad[0]].tolist()
        raise DataError(
            where,
            expected="finite points",
            found=f"({x}, {y}) at number {bad[0] + 1} of {len(points)} (and {len(bad) - 1} more)",
            advice="correct or remove them",
        )
    return points


# --- MATLAB ---


def read_mat_points(path: Path, variable: str = "annPoints") -> np.ndarray:
    """Points of a variable of N x 2, as UCF_CC_50, UCF-QNRF and NWPU-Crowd have them.

    Raises:
        DataError: the file is missing, broken, of MATLAB 7.3, without the variable, or its points are unusable.
    """
    return checked_points(mat_variable(path, variable), f"{path}: {variable}")


def read_shanghaitech_points(path: Path) -> np.ndarray:
    """Points of ShanghaiTech's ``image_info``: a cell with a struct, whose first field ``location`` is N x 2.

    Raises:
        DataError: the file is missing, broken or of another layout.
    """
    value = mat_variable(path, "image_info")
    try:
        location = value[0, 0][0, 0][0]
    except (IndexError, TypeError, KeyError) as error:
        raise DataError(
            path,
            expected="image_info to be a cell with a struct of location (N x 2) and number",
            found=f"{_described(value)}",
            advice="use the ground_truth files as published",
        ) from error
    return checked_points(location, f"{path}: image_info.location")


def _described(value: Any) -> str:
    fields = getattr(getattr(value, "dtype", None), "names", None)
    shape = "x".join(map(str, getattr(value, "shape", ())))
    return f"a struct of {', '.join(fields)}" if fields else f"{getattr(value, 'dtype', type(value).__name__)} {shape}"


# --- JSON and text ---


def read_json_points(path: Path) -> np.ndarray:
    """``points`` of one image's JSON, as NWPU-Crowd has it.

    Raises:
        DataError: the file is missing, no JSON, or has no usable points.
    """
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(path, expected="an annotation", but=f"{error.strerror}", advice="copy it again") from error
    except ValueError as error:
        raise DataError(path, expected="JSON", but=f"it cannot be read ({error})", advice="copy it again") from error
    if not isinstance(record, dict) or "points" not in record:
        raise DataError(path, expected="an object with points", found="none", advice="use the files as published")
    return checked_points(record["points"], f"{path}: points")


def read_text_points(path: Path, columns: int = 2) -> np.ndarray:
    """The first two numbers of every line; an empty file has no points.

    Args:
        path: the file.
        columns: how many numbers a line has at least.

    Raises:
        DataError: the file is missing, or a line is unusable.
    """
    lines = numbered_lines(path, f"lines of {columns} numbers that begin with x and y")
    rows = [_numbers(line, f"{path}: line {number}", columns) for number, line in lines]
    return checked_points(rows, str(path))


def _numbers(line: str, where: str, columns: int) -> Sequence[float]:
    cells = line.replace(",", " ").split()
    if len(cells) < columns:
        raise DataError(
            where, expected=f"{columns} numbers that begin with x and y", found=f"{line!r}", advice="correct the line"
        )
    try:
        return [float(cell) for cell in cells[:2]]
    except ValueError as error:
        raise DataError(where, expected="numbers", found=f"{line!r}", advice="correct the line") from error


def read_lines(path: Path, what: str) -> list[str]:
    """Lines of a text without empty ones, stripped; see :func:`numbered_lines`."""
    return [line for _, line in numbered_lines(path, what)]


def numbered_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """Lines of a text without empty ones, stripped, with the number that each has in the file, from 1.

    Raises:
        DataError: the file is missing or no UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "its bytes are not valid UTF-8"
        raise DataError(path, expected=f"{what}", but=f"{reason}", advice="check it, or copy it again") from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
