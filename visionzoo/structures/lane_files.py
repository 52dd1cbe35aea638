"""File formats of lanes: CULane's ``.lines.txt`` and lists, TuSimple's JSON lines.

Readers check each line. Their errors name the file and the first wrong line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.errors import DataError, OutputError
from visionzoo.system.text_files import read_text

LINES = ".lines.txt"

# CULane's scenarios in the order of its lists, test0_normal.txt to test8_night.txt.
SCENARIOS = ("normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night")
_SPLIT_NAME = re.compile(r"test\d+_(\w+)")


# --- CULane ---


def lanes_from_text(text: str, where: str) -> list[np.ndarray]:
    """Return the lanes of a ``.lines.txt``.

    Args:
        text: one lane per line, ``x y x y ...`` in pixels; points may be outside the image.
        where: name of the file, for errors.

    Returns:
        (n, 2) float64 for each lane. A blank line is a lane of zero points, as CULane counts it.

    Raises:
        DataError: a line has a word that is not a finite number, or an odd number of words.

    Example:
        >>> [lane.tolist() for lane in lanes_from_text("1 2 3 4\\n", "a.lines.txt")]
        [[[1.0, 2.0], [3.0, 4.0]]]
    """
    return [_lane_from_line(line, where, number) for number, line in enumerate(_lines(text), start=1)]


def lines_text(lanes: Iterable[np.ndarray]) -> str:
    """Return (n, 2) arrays as the text of a ``.lines.txt``, with up to three decimals.

    Lanes of fewer than two points are omitted, because the official program counts each of them, and each blank line,
    as a false positive.

    Example:
        >>> lines_text([np.array([[1, 2], [3, 4.5]]), np.array([[5, 6]])])
        '1 2 3 4.5\\n'
    """
    kept = (lane for lane in lanes if len(lane) >= 2)
    return "".join(" ".join(f"{round(float(value), 3):.10g}" for value in np.ravel(lane)) + "\n" for lane in kept)


def lines_path(name: str) -> str:
    """Return the path of an image's lanes, relative to the same or another root.

    Example:
        >>> lines_path("a/b/00000.jpg")
        'a/b/00000.lines.txt'
    """
    return name.rpartition(".")[0] + LINES


def read_lines(path: str | Path) -> list[np.ndarray]:
    """Read the lanes of a file; see :func:`lanes_from_text`.

    Raises:
        DataError: also if the file is missing or is not valid UTF-8.
    """
    return lanes_from_text(_read_text(Path(path), "the lanes of an image"), str(path))


def write_lines(root: str | Path, name: str, lanes: Iterable[np.ndarray]) -> Path:
    """Write the lanes of one image to the path that the official program reads.

    Args:
        root: folder of all results; missing subfolders are created.
        name: path of the image in its list, with or without the leading slash.
        lanes: (n, 2) arrays, bottom to top; see :func:`lines_text`. Without lanes, the file is empty.

    Returns:
        Path of the file.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(root) / lines_path(name.lstrip("/"))
    _write_text(path, lines_text(lanes))
    return path


def read_list(path: str | Path) -> list[tuple[int, list[str]]]:
    """Read a list of images.

    Returns:
        Line number and words of each line that is not blank. The leading slash of CULane's paths is removed.

    Raises:
        DataError: the list is missing, empty or not valid UTF-8.
    """
    lines = _numbered_lines(Path(path), "a list with one image per line")
    entries = [(number, [word.lstrip("/") for word in line.split()]) for number, line in lines]
    if not entries:
        raise DataError(path, expected="at least one image", found="an empty list", advice="check how it was made")
    return entries


def scenario_of(list_name: str) -> str | None:
    """Return the scenario of a list; None if the list does not belong to a scenario.

    Example:
        >>> scenario_of("test3_shadow.txt")
        'shadow'
    """
    match = _SPLIT_NAME.fullmatch(list_name.removesuffix(".txt"))
    return match.group(1) if match else None


def _lane_from_line(line: str, where: str, number: int) -> np.ndarray:
    words = line.split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.full(len(words), np.nan)
    finite = bool(np.isfinite(values).all())
    if len(words) % 2 or not finite:
        found = f"{len(words)} numbers" if finite else "a word that is not a finite number"
        raise DataError(
            f"{where}, line {number}",
            expected="pairs of finite numbers, x y x y ...",
            found=f"{found} in {line.strip()[:40]!r}",
            advice="correct the line or remove it",
        )
    return values.reshape(-1, 2)


# --- TuSimple ---


def read_tusimple(path: str | Path, keys: Sequence[str] = ("raw_file", "lanes", "h_samples")) -> list[dict[str, Any]]:
    """Read a label or result file.

    Args:
        path: the file.
        keys: required keys of each line. The default is the keys of label files.

    Returns:
        One dict for each line; blank lines are skipped.

    Raises:
        DataError: the file is missing, empty or not valid UTF-8; a line is not a JSON object or lacks a key; or the x
            values of a lane differ in number from ``h_samples`` or are not finite numbers.
    """
    lines = _numbered_lines(Path(path), "one JSON object per line")
    records = [_record(line, f"{path}, line {number}", keys) for number, line in lines]
    if not records:
        raise DataError(path, expected="one JSON object per line", found="an empty file", advice="download it again")
    return records


def tusimple_record(
    raw_file: str, lanes: Sequence[Sequence[float]], h_samples: Sequence[float], seconds: float
) -> dict[str, Any]:
    """Return one record of a result file, for :func:`write_tusimple`.

    Args:
        raw_file: path of the image in the label file.
        lanes: x of each lane at each row, -2 if the lane has no point there; see ``Lanes.to_tusimple``.
        h_samples: y of the rows; whole numbers are written without a fraction.
        seconds: run time; the record has ``run_time`` in ms. The benchmark counts an image above 200 ms as missed.

    Example:
        >>> tusimple_record("a.jpg", [[5, -2]], [160.0, 170.0], seconds=0.01)
        {'raw_file': 'a.jpg', 'lanes': [[5, -2]], 'h_samples': [160, 170], 'run_time': 10.0}
    """
    return {
        "raw_file": raw_file,
        "lanes": lanes,
        "h_samples": [int(row) if float(row).is_integer() else round(row, 3) for row in h_samples],
        "run_time": round(1000 * seconds, 3),
    }


def write_tusimple(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a result or label file, one record per line.

    Args:
        path: the file; its folder is created.
        records: dicts with the keys ``raw_file``, ``lanes`` and ``h_samples``; results also have ``run_time``.

    Raises:
        OutputError: the file cannot be written.
    """
    _write_text(Path(path), "".join(json.dumps(dict(record), allow_nan=False) + "\n" for record in records))


def _record(line: str, where: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(
            where, expected="a JSON object", found=f"none ({error})", advice="download the file again"
        ) from error
    lacking = [key for key in keys if not isinstance(record, dict) or key not in record]
    if lacking:
        raise DataError(
            where,
            expected=f"an object with {', '.join(keys)}",
            found=f"{', '.join(lacking)} missing",
            advice="check that it is one of TuSimple's files",
        )
    _check_lanes(record, where)
    return record


def _check_lanes(record: dict[str, Any], where: str) -> None:
    rows = record.get("h_samples")
    for index, lane in enumerate(record.get("lanes", ())):
        if not isinstance(lane, list) or (rows is not None and len(lane) != len(rows)):
            found = f"{len(lane)} numbers" if isinstance(lane, list) else f"{lane!r}"
            wanted = "a list" if rows is None else f"{len(rows)} numbers, as many as h_samples,"
            raise DataError(
                where,
                expected=f"{wanted} in lane {index}",
                found=f"{found}",
                advice="write -2 where a lane has no point",
            )
        if not all(isinstance(x, (int, float)) and np.isfinite(x) for x in lane):
            raise DataError(
                where, expected=f"finite numbers in lane {index}", found="other values", advice="correct the line"
            )


# --- text ---


def _lines(text: str) -> list[str]:
    """Split at line ends; the last line may lack one."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _numbered_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers from 1."""
    return [(number, line) for number, line in enumerate(_lines(_read_text(path, what)), start=1) if line.strip()]


def _read_text(path: Path, what: str) -> str:
    if not path.exists():
        raise DataError(path, expected=what, found="no such file", advice="check the path")
    return read_text(path, what, "check the file")


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            path, expected="to write lanes here", but=f"{error.strerror or error}", advice="check it"
        ) from error
