"""Reading of TuSimple's JSON lines, for the data set and the scores.

The reader checks every line before it returns. One error covers a whole file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from visionzoo.datasets.file_names import path_problem
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.numerals import decimal
from visionzoo.errors import DataError
from visionzoo.system.text_files import read_text

FARTHEST = 1e6  # pixels; larger coordinates are errors
_SLOWEST = 1e9  # milliseconds


def read_tusimple(path: str | Path, keys: Sequence[str] = ("raw_file", "lanes", "h_samples")) -> list[dict[str, Any]]:
    """Read a label or result file.

    Numbers as text are read as numbers, with a note. Lanes without a point are noted, because the benchmark counts
    each of them as missed, or as a false detection in results.

    Args:
        path: the file.
        keys: required keys of each line. The default is the keys of label files.

    Returns:
        One dict for each line; blank lines are skipped.

    Raises:
        DataError: the file is missing, empty or not valid UTF-8; a line is not a JSON object or lacks a key;
            ``raw_file`` is not a path below the folder of the data, or is there twice; ``h_samples`` is not a list of
            increasing numbers; ``lanes`` is not a list of lists with as many numbers; or ``run_time`` is not a number.
    """
    what = "one JSON object per line"
    if not Path(path).exists():
        raise DataError(path, expected=what, found="no such file", advice="check the path")
    lines = enumerate(read_text(path, what, "check the file").split("\n"), start=1)
    with Findings(path, expected=what, advice="correct the file, or download it again") as findings:
        checked = [_Line(f"line {number}", findings).read(line, keys) for number, line in lines if line.strip()]
        records = [record for record in checked if record is not None]
        _require_once(records, findings)
        empty = sum(_is_without_point(lane) for record in records for lane in record.get("lanes", ()))
        findings.note("lanes without a point, which lower the score as in the benchmark", empty)
    if not records:
        raise DataError(path, expected=what, found="an empty file", advice="download it again")
    return records


def _is_without_point(lane: Sequence[float]) -> bool:
    return not any(x >= 0 for x in lane)


def _require_once(records: Sequence[dict[str, Any]], findings: Findings) -> None:
    seen: set[PurePosixPath] = set()
    for record in records:
        path = PurePosixPath(record["raw_file"])  # without "./" and double slashes
        if path in seen:
            findings.wrong(
                shown(record["raw_file"], most=80), "raw_file", expected="every image once", found="it again"
            )
        seen.add(path)


class _Line:
    """Reader of one line.

    Args:
        where: the line, for findings.
        findings: takes everything that is wrong.
    """

    def __init__(self, where: str, findings: Findings):
        self.where, self.findings = where, findings

    def wrong(self, field: str, expected: str, found: str) -> None:
        self.findings.wrong(self.where, field, expected=expected, found=found)

    def read(self, line: str, keys: Sequence[str]) -> dict[str, Any] | None:
        """Return the record; None if anything is wrong."""
        record = self._object(line, keys)
        if record is None:
            return None
        problem = path_problem(record["raw_file"]) if "raw_file" in keys else None
        if problem:
            self.wrong("raw_file", "a path below the folder of the data", problem)
        new: dict[str, Any] = {}
        if "h_samples" in record:
            new["h_samples"] = self._rows(record["h_samples"])
        if "lanes" in record:
            new["lanes"] = self._lanes(record["lanes"], new.get("h_samples"))
        if "run_time" in keys:
            new["run_time"] = self._run_time(record["run_time"])
        return None if problem or None in new.values() else {**record, **new}

    def _object(self, line: str, keys: Sequence[str]) -> dict[str, Any] | None:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"{error}".partition("\n")[0]
            self.wrong("JSON", "a JSON object", f"none ({reason})")
            return None
        if not isinstance(record, dict):
            self.wrong("JSON", "a JSON object", shown(record))
            return None
        lacking = [key for key in keys if key not in record]
        if lacking:
            self.wrong("keys", f"an object with {', '.join(keys)}", f"{', '.join(lacking)} missing")
        return None if lacking else record

    def _rows(self, value: Any) -> list[float] | None:
        rows = self._numbers(value, "h_samples", self.where)
        if rows is None:
            return None
        if not rows or rows[0] < 0 or any(low >= high for low, high in pairwise(rows)):
            self.wrong("h_samples", "increasing rows from 0", shown(rows))
            return None
        return rows

    def _lanes(self, value: Any, rows: list[float] | None) -> list[list[float]] | None:
        if not isinstance(value, list):
            self.wrong("lanes", "a list of lanes", shown(value))
            return None
        lanes = [self._lane(lane, f"{self.where}, lane {index}", rows) for index, lane in enumerate(value)]
        read = [lane for lane in lanes if lane is not None]
        return read if len(read) == len(lanes) else None

    def _lane(self, value: Any, where: str, rows: list[float] | None) -> list[float] | None:
        lane = self._numbers(value, "x", where)
        if lane is None or rows is None or len(lane) == len(rows):
            return lane
        expected = f"{len(rows)} numbers, as many as h_samples, with -2 in rows without a point"
        self.findings.wrong(where, "x", expected=expected, found=f"{len(lane)}")
        return None

    def _run_time(self, value: Any) -> float | None:
        numbers = self._numbers([value], "run_time", self.where, _SLOWEST)
        if numbers and numbers[0] < 0:
            self.wrong("run_time", "milliseconds from 0", shown(value))
            return None
        return numbers[0] if numbers else None

    def _numbers(self, value: Any, field: str, where: str, most: float = FARTHEST) -> list[float] | None:
        """Return a list of numbers up to ``most``; None after an error."""
        if not isinstance(value, list):
            self.findings.wrong(where, field, expected="a list of numbers", found=shown(value))
            return None
        numbers = [_number(each) if isinstance(each, str) else each for each in value]
        wrong = [
            each
            for number, each in zip(numbers, value, strict=True)
            if type(number) not in (int, float) or not abs(number) <= most
        ]
        if wrong:
            self.findings.wrong(where, field, expected=f"numbers up to {most:g}", found=shown(wrong[0]))
            return None
        self.findings.note("numbers as text, read as numbers", sum(isinstance(each, str) for each in value))
        return numbers


def _number(text: str) -> float | None:
    """Return the number of a text; a whole one as int, as JSON writes it."""
    number = decimal(text)
    return int(number) if number is not None and number.is_integer() else number
