"""Reading of CULane's files: ``.lines.txt`` and lists of images, for the data set and the scores.

Readers check every line before they return. One error covers a whole file, or all files of a data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visionzoo.datasets.file_names import path_problem
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.numerals import decimal
from visionzoo.errors import DataError
from visionzoo.structures.image_names import IMAGE_ENDINGS
from visionzoo.system.text_files import read_text

# CULane's scenarios in the order of its lists, test0_normal.txt to test8_night.txt.
SCENARIOS = ("normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night")
FARTHEST = 1e6  # pixels; larger coordinates are errors

_SPLIT_NAME = re.compile(r"test\d+_(\w+)")
_LIST = "a list with one image per line"
_LONGEST_LINE = 10_000
_ENDING = f"(?:{'|'.join(map(re.escape, IMAGE_ENDINGS))})"
_WITH_MASK = re.compile(rf"(.+?{_ENDING})\s+(.+{_ENDING})((?:\s+[01])+)", re.IGNORECASE)
_TWO_NAMES = re.compile(rf"{_ENDING}\s", re.IGNORECASE)


# --- lanes ---


def lanes_from_text(text: str, where: str) -> list[np.ndarray]:
    """Return the lanes of a ``.lines.txt``.

    Args:
        text: one lane per line, ``x y x y ...`` in pixels; points may be outside the image.
        where: name of the file, for errors.

    Returns:
        (n, 2) float64 for each lane. A blank line is a lane of zero points, as CULane counts it.

    Raises:
        DataError: a line has an odd number of words, or a word that is not a number of up to a million pixels.

    Example:
        >>> [lane.tolist() for lane in lanes_from_text("1 2 3 4\\n", "a.lines.txt")]
        [[[1.0, 2.0], [3.0, 4.0]]]
    """
    with Findings(where, expected="lanes, x y x y ...", advice="correct the line or remove it") as findings:
        return _lanes(text, "", findings)


def read_lines(path: str | Path) -> list[np.ndarray]:
    """Read the lanes of a file; see :func:`lanes_from_text`.

    Raises:
        DataError: also if the file is missing or is not valid UTF-8.
    """
    return lanes_from_text(_read_text(Path(path), "the lanes of an image"), str(path))


def read_all_lines(root: Path, paths: Iterable[str]) -> list[list[np.ndarray]]:
    """Read the lanes of many files.

    Args:
        root: folder of the data, for the error.
        paths: the files.

    Raises:
        DataError: see :func:`read_lines`; one error covers all files.
    """
    with Findings(root, expected="lanes in each .lines.txt", advice="correct the files") as findings:
        return [_lanes_of(path, findings) for path in paths]


def _lanes_of(path: str, findings: Findings) -> list[np.ndarray]:
    try:
        text = _read_text(Path(path), "the lanes of an image")
    except DataError as error:
        findings.wrong(path, "file", expected=str(error.expected), found=error.found or "a file that cannot be read")
        return []
    return _lanes(text, f"{path}, ", findings)


def _lanes(text: str, where: str, findings: Findings) -> list[np.ndarray]:
    return [_lane(line, f"{where}line {number}", findings) for number, line in enumerate(_lines(text), start=1)]


def _lane(line: str, where: str, findings: Findings) -> np.ndarray:
    words = line.split()
    try:
        values = np.array(words, dtype=np.float64)
        usable = bool((np.abs(values) <= FARTHEST).all()) and line.isascii() and "_" not in line
    except ValueError:
        usable = False
    if len(words) % 2 or not usable:
        found = f"{len(words)} numbers" if usable else f"{shown(_first_wrong(words))} in {shown(line.strip())}"
        expected = "pairs of numbers up to a million pixels, x y x y ..."
        findings.wrong(where, "points", expected=expected, found=found)
        return np.empty((0, 2))
    return values.reshape(-1, 2)


def _first_wrong(words: list[str]) -> str:
    numbers = ((word, decimal(word)) for word in words)
    return next((word for word, number in numbers if number is None or abs(number) > FARTHEST), "")


# --- lists ---


@dataclass(frozen=True)
class ListedImage:
    """One line of a list; names are paths without a leading slash.

    Attributes:
        name: the image.
        mask: the mask; None in a list without masks.
        exist: 0 or 1 for each lane of the mask.
    """

    name: str
    mask: str | None = None
    exist: tuple[int, ...] = ()


def read_list(path: str | Path) -> list[ListedImage]:
    """Read a list of images, ``image`` or ``image mask 1 1 0 1`` in each line.

    Leading slashes of CULane's paths are removed. Names may have spaces. Blank lines are skipped. A line that is there
    twice is used once, with a note.

    Raises:
        DataError: the list is missing, empty or not valid UTF-8; a line has another format, or another number of lanes
            than the first one; a path leaves the folder; or an image is listed with different masks or lanes.
    """
    lines = [(number, line) for number, line in enumerate(_lines(_read_text(Path(path), _LIST)), 1) if line.strip()]
    if not lines:
        raise DataError(path, expected="at least one image", found="an empty list", advice="check how it was made")
    with Findings(path, expected=_LIST, advice="use the authors' list") as findings:
        images: dict[str, ListedImage] = {}
        for number, line in lines:
            image = _listed(line.strip(), f"line {number}", findings)
            if image is not None:
                _add(image, images, f"line {number}", findings)
    return list(images.values())


def _listed(line: str, where: str, findings: Findings) -> ListedImage | None:
    match = _WITH_MASK.fullmatch(line[:_LONGEST_LINE])
    if match:
        exist = tuple(map(int, match.group(3).split()))
        image = ListedImage(match.group(1).lstrip("/"), match.group(2).lstrip("/"), exist)
    elif _TWO_NAMES.search(line):
        expected = "an image, or an image, its mask and a 0 or 1 for each lane"
        findings.wrong(where, "columns", expected=expected, found=shown(line, most=120))
        return None
    else:
        image = ListedImage(line.lstrip("/"))
    for name in (image.name, image.mask):
        problem = None if name is None else path_problem(name)
        if problem:
            findings.wrong(where, "path", expected="a path below the folder of the data", found=problem)
            return None
    return image


def _add(image: ListedImage, images: dict[str, ListedImage], where: str, findings: Findings) -> None:
    first = next(iter(images.values()), image)
    lanes, before = len(image.exist), images.setdefault(image.name, image)
    if lanes != len(first.exist):
        expected = f"{len(first.exist)} numbers of lanes as in the first line"
        findings.wrong(where, "columns", expected=expected, found=f"{lanes}")
    elif before != image:
        expected = "the mask and lanes of the earlier line"
        findings.wrong(where, "image", expected=expected, found=f"others for {shown(image.name)}")
    elif before is not image:
        findings.note("lines with an image of an earlier line, skipped")


def scenario_of(list_name: str) -> str | None:
    """Return the scenario of a list; None if the list does not belong to a scenario.

    Example:
        >>> scenario_of("test3_shadow.txt")
        'shadow'
    """
    match = _SPLIT_NAME.fullmatch(list_name.removesuffix(".txt"))
    return match.group(1) if match else None


# --- text ---


def _lines(text: str) -> list[str]:
    """Split at line ends; the last line may lack one."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _read_text(path: Path, what: str) -> str:
    if not path.exists():
        raise DataError(path, expected=what, found="no such file", advice="check the path")
    return read_text(path, what, "check the file")
