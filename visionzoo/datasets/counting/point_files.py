"""Reading of points from MATLAB, JSON and text files as (N, 2) float64 of x and y in pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.mat_files import mat_variable
from visionzoo.errors import DataError
from visionzoo.system.text_files import read_text


def checked_points(values: Any, where: str) -> np.ndarray:
    """Return points as (N, 2) float64. Empty values are zero points; points outside the image are unchanged.

    Args:
        values: N pairs of x and y in pixels.
        where: begin of the error message.

    Raises:
        DataError: the values have another shape, are not numbers, or are not finite.

    Example:
        >>> checked_points([[1, 2], [-3, 4]], "a.txt").shape, checked_points([], "a.txt").shape
        ((2, 2), (0, 2))
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
    """Read points from a variable of N x 2, the format of UCF_CC_50, UCF-QNRF and NWPU-Crowd.

    Raises:
        DataError: the file is missing, broken or of MATLAB 7.3, lacks the variable, or has unusable points.
    """
    return checked_points(mat_variable(path, variable), f"{path}: {variable}")


def read_shanghaitech_points(path: Path) -> np.ndarray:
    """Read points from ShanghaiTech's ``image_info``, a cell with a struct whose first field ``location`` is N x 2.

    Raises:
        DataError: the file is missing or broken, or has another layout.
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
    """Read ``points`` from the JSON of one image, the format of NWPU-Crowd.

    Raises:
        DataError: the file is missing, is not JSON, or has no usable points.
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
    """Read the first two numbers of each line; an empty file has no points.

    Args:
        path: the file.
        columns: smallest number of columns.

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
    """Read the stripped lines of a text that are not empty; see :func:`numbered_lines`."""
    return [line for _, line in numbered_lines(path, what)]


def numbered_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """Read the stripped lines of a text that are not empty, with their line numbers, which start at 1.

    Args:
        path: the file.
        what: expected content, for errors.

    Raises:
        DataError: the file is missing or is not valid UTF-8.
    """
    lines = read_text(path, what, "check it, or copy it again").splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
