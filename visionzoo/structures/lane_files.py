"""The files that lanes are kept in: CULane's ``.lines.txt`` and lists, TuSimple's lines of JSON.

Readers check every line and name file and line of the first one that is wrong.
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
    """The lanes of a ``.lines.txt``, (n, 2) float64 each; a blank line is a lane of zero points, as CULane counts it.

    Args:
        text: one lane a line, ``x y x y ...``; points may lie outside the image.
        where: the file's name, for errors.

    Raises:
        DataError: a line has a word that is no finite number, or an odd number of them.
    """
    return [_lane_from_line(line, where, number) for number, line in enumerate(_lines(text), start=1)]


def lines_text(lanes: Iterable[np.ndarray]) -> str:
    """(n, 2) arrays as the text of a ``.lines.txt``, with up to three decimals.

    Lanes of fewer than two points are left out: the official program counts each, and every blank line, as a false
    positive.
    """
    kept = (lane for lane in lanes if len(lane) >= 2)
    return "".join(" ".join(f"{round(float(value), 3):.10g}" for value in np.ravel(lane)) + "\n" for lane in kept)


def lines_path(name: str) -> str:
    """``a/b/00000.jpg`` to ``a/b/00000.lines.txt``: where the lanes of an image are, beside it or in another root."""
    return name.rpartition(".")[0] + LINES


def read_lines(path: str | Path) -> list[np.ndarray]:
    """The lanes of a file; see :func:`lanes_from_text`.

    Raises:
        DataError: also when the file is missing or no text.
    """
    return lanes_from_text(_read_text(Path(path), "the lanes of an image"), str(path))


def write_lines(root: str | Path, name: str, lanes: Iterable[np.ndarray]) -> Path:
    """Write the lanes of one image where the official program looks for them, and say where.

    Args:
        root: folder of all results; folders below it are made.
        name: the image's path in its list, with or without the slash at its beginning.
        lanes: (n, 2) arrays, bottom to top; see :func:`lines_text`. No lane is an empty file.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(root) / lines_path(name.lstrip("/"))
    _write_text(path, lines_text(lanes))
    return path


def read_list(path: str | Path) -> list[tuple[int, list[str]]]:
    """Number and words of every line of a list but blank ones, without the slash that CULane's paths begin with.

    Raises:
        DataError: the list is missing, no text or empty.
    """
    text = _read_text(Path(path), "a list with one image a line")
    entries = [
        (number, [word.lstrip("/") for word in line.split()])
        for number, line in enumerate(_lines(text), start=1)
        if line.strip()
    ]
    if not entries:
        raise DataError(path, expected="at least one image", found="an empty list", advice="check how it was made")
    return entries


def scenario_of(list_name: str) -> str | None:
    """``test3_shadow`` to ``shadow``; None for lists that are no scenario's."""
    found = _SPLIT_NAME.fullmatch(list_name.removesuffix(".txt"))
    return found.group(1) if found else None


def _lane_from_line(line: str, where: str, number: int) -> np.ndarray:
    words = line.split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.full(len(words), np.nan)
    finite = bool(np.isfinite(values).all())
    if len(words) % 2 or not finite:
        found = f"{len(words)} numbers" if finite else "a word that is none"
        raise DataError(
            f"{where}, line {number}",
            expected="pairs of finite numbers, x y x y ...",
            found=f"{found} in {line.strip()[:40]!r}",
            advice="correct the line or remove it",
        )
    return values.reshape(-1, 2)


# --- TuSimple ---


def read_tusimple(path: str | Path, keys: Sequence[str] = ("raw_file", "lanes", "h_samples")) -> list[dict[str, Any]]:
    """One dict for each line of a label or result file; blank lines are skipped.

    Args:
        path: the file.
        keys: that every line must have: those of labels by default.

    Raises:
        DataError: the file is missing, empty or no text; a line is no JSON object, lacks a key, or has a lane with
            another number of x than ``h_samples`` or one that is no finite number.
    """
    text = _read_text(Path(path), "one JSON object a line")
    records = [
        _record(line, f"{path}, line {number}", keys)
        for number, line in enumerate(_lines(text), start=1)
        if line.strip()
    ]
    if not records:
        raise DataError(path, expected="one JSON object a line", found="an empty file", advice="download it again")
    return records


def tusimple_record(
    raw_file: str, lanes: Sequence[Sequence[float]], h_samples: Sequence[float], seconds: float
) -> dict[str, Any]:
    """One line of a result file, for :func:`write_tusimple`.

    Args:
        raw_file: as the label file names the image.
        lanes: x of every lane in every row, -2 where there is no point; see ``Lanes.to_tusimple``.
        h_samples: the rows' y; whole numbers are written without a fraction.
        seconds: ``run_time`` has them in ms; the benchmark counts an image of more than 200 as missed.
    """
    return {
        "raw_file": raw_file,
        "lanes": lanes,
        "h_samples": [int(row) if float(row).is_integer() else round(row, 3) for row in h_samples],
        "run_time": round(1000 * seconds, 3),
    }


def write_tusimple(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a result or label file, one record a line.

    Args:
        path: the file; its folder is made.
        records: with the keys ``raw_file``, ``lanes``, ``h_samples`` and, of results, ``run_time``.

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
            found=f"none of {', '.join(lacking)}",
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
                where, expected=f"finite numbers in lane {index}", found="others", advice="correct the line"
            )


# --- text ---


def _lines(text: str) -> list[str]:
    """What lies between line ends; the last line needs none."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


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
