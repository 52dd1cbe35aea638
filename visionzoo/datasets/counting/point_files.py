"""Reading of points from MATLAB, JSON and text files as (N, 2) float64 of x and y in pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import parse_json
from visionzoo.datasets.mat_files import mat_variable
from visionzoo.datasets.numerals import json_number, plain_numbers
from visionzoo.errors import DataError
from visionzoo.system.text_files import read_text

FARTHEST = 1e6
_PAIRS = "a list of pairs of numbers, x and y in pixels"


def checked_points(values: Any, where: str) -> np.ndarray:
    """Return points as (N, 2) float64. Empty values are zero points; points outside the image are unchanged.

    Args:
        values: N pairs of x and y in pixels, a list or an array of real numbers.
        where: begin of the error message.

    Raises:
        DataError: the values have another shape, are not real numbers, are not finite, or exceed a million pixels.

    Example:
        >>> checked_points([[1, 2], [-3, 4]], "a.txt").shape, checked_points([], "a.txt").shape
        ((2, 2), (0, 2))
    """
    points = _numbers_of(values, where)
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(
            where,
            expected="points of shape N x 2 (x and y in pixels)",
            found=f"{' x '.join(map(str, points.shape)) or 'one number'}",
            advice="export them again",
        )
    bad = np.flatnonzero(~(np.abs(points) <= FARTHEST).all(axis=1))
    if len(bad):
        x, y = points[bad[0]].tolist()
        expected = "finite points" if not np.isfinite([x, y]).all() else f"points within {FARTHEST:,.0f} pixels"
        raise DataError(
            where,
            expected=expected,
            found=f"({x}, {y}) at number {bad[0] + 1} of {len(points)} (and {len(bad) - 1} more)",
            advice="correct or remove them",
        )
    return points


def _numbers_of(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.size and array.dtype.kind not in "iuf":
            raise ValueError(f"values of type {array.dtype.name}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            where, expected="points as pairs of numbers x and y", found=reason, advice="export them again"
        ) from error


def json_points(values: Any, where: str, findings: Findings) -> np.ndarray:
    """Return points of JSON, a list of pairs of numbers, as (N, 2) float64. Numbers as text are read with a note.

    Raises:
        DataError: names the first value that is not a pair of numbers, and the number of such values.

    Example:
        >>> findings = Findings("a.json", expected="points")
        >>> json_points([[1, "2.5"]], "line 1", findings).tolist()
        [[1.0, 2.5]]
    """
    if not isinstance(values, list):
        raise DataError(where, expected=_PAIRS, found=shown(values), advice="correct them")
    pairs = [_pair(value, findings) for value in values]
    bad = [index for index, pair in enumerate(pairs) if pair is None]
    if bad:
        found = f"{shown(values[bad[0]])} at number {bad[0] + 1} of {len(pairs)} (and {len(bad) - 1} more)"
        raise DataError(where, expected=_PAIRS, found=found, advice="correct them")
    return checked_points(pairs, where)


def _pair(value: Any, findings: Findings) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    x, y = (json_number(each, findings) for each in value)
    return None if x is None or y is None else (x, y)


# --- MATLAB ---


def read_mat_points(path: Path, variable: str = "annPoints") -> np.ndarray:
    """Read points from a variable of N x 2, the format of UCF_CC_50, UCF-QNRF and NWPU-Crowd.

    Raises:
        DataError: the file is missing, broken or of MATLAB 7.3, lacks the variable, or has unusable points.
    """
    return checked_points(mat_variable(path, variable), f"{path}: {variable}")


def read_shanghaitech_points(path: Path, findings: Findings | None = None) -> np.ndarray:
    """Read points from ShanghaiTech's ``image_info``, a cell with a struct of ``location``, N x 2, and ``number``.

    Args:
        path: the file.
        findings: receives a note if ``number`` is not N.

    Raises:
        DataError: the file is missing or broken, or has another layout.
    """
    value = mat_variable(path, "image_info")
    try:
        info = value[0, 0][0, 0]
        location = info["location"]
    except (IndexError, TypeError, KeyError, ValueError) as error:
        raise DataError(
            path,
            expected="image_info to be a cell with a struct of location (N x 2) and number",
            found=f"{_described(value)}",
            advice="use the ground_truth files as published",
        ) from error
    points = checked_points(location, f"{path}: image_info.location")
    if findings is not None and "number" in info.dtype.names:
        note_count(np.ravel(info["number"]).tolist()[:1], points, findings)
    return points


def note_count(stated: list[Any], points: np.ndarray, findings: Findings) -> None:
    """Note that a stated number of points differs from the number of points, which is used."""
    if stated and stated[0] != len(points):
        findings.note("stated counts that differ from the number of points, which is used")


def _described(value: Any) -> str:
    fields = getattr(getattr(value, "dtype", None), "names", None)
    shape = "x".join(map(str, getattr(value, "shape", ())))
    if fields:
        return f"a struct of {shown(', '.join(fields), 80)}"
    return f"{getattr(value, 'dtype', type(value).__name__)} {shape}"


# --- JSON and text ---


def read_json_points(path: Path, findings: Findings | None = None) -> np.ndarray:
    """Read ``points`` from the JSON of one image, the format of NWPU-Crowd.

    Args:
        path: the file.
        findings: receives notes about numbers as text, and about a ``human_num`` that differs.

    Raises:
        DataError: the file is missing, is not JSON, or has no usable points.
    """
    findings = Findings(path, expected="points") if findings is None else findings
    record = parse_json(read_text(path, "an annotation in JSON", "copy it again"), path)
    if "points" not in record:
        found = shown(", ".join(record), 80) if record else "none"
        raise DataError(path, expected="an object with points", found=found, advice="use the files as published")
    points = json_points(record["points"], f"{path}: points", findings)
    note_count([record["human_num"]] if "human_num" in record else [], points, findings)
    return points


def read_text_points(path: Path, columns: Sequence[int] = (2, 3)) -> np.ndarray:
    """Read the first two numbers of each line; an empty file has no points.

    Args:
        path: the file.
        columns: allowed numbers of columns, separated by spaces or commas; all are numbers.

    Raises:
        DataError: the file is missing, or a line is unusable.
    """
    lines = numbered_lines(path, f"lines of {columns[-1]} numbers that begin with x and y")
    rows = [_numbers(line, f"{path}: line {number}", columns) for number, line in lines]
    return checked_points(rows, str(path))


def _numbers(line: str, where: str, columns: Sequence[int]) -> list[float]:
    cells = line.replace(",", " ").split()
    numbers = plain_numbers(cells)
    if numbers is None or len(numbers) not in columns:
        raise DataError(
            where,
            expected=f"{' or '.join(map(str, columns))} numbers that begin with x and y",
            found=shown(line, 80),
            advice="correct the line",
        )
    return numbers[:2]


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
    lines: Iterable[str] = read_text(path, what, "check it, or copy it again").split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
