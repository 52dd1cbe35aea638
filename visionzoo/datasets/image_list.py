"""Lists of images and labels, as CSV or text: every line is read before a sample is built."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visionzoo.datasets.class_map import ClassMap, find_labels, is_class_name, is_plain, unknown_label, visible
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import are_files
from visionzoo.errors import DataError
from visionzoo.structures.image_names import is_left_over
from visionzoo.system.csv_files import parse_csv
from visionzoo.system.text_files import read_text

_LONGEST_PATH = 4096  # characters
_LONGEST_LINE = 131_072


@dataclass
class ListedImages:
    """The rows of a list, as columns.

    Attributes:
        lines: line number of each row, from 1.
        names: path of each image below the image folder, or an absolute path.
        labels: label of each image, as text.
    """

    lines: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def paths_in(self, folder: Path) -> list[str]:
        """Return the paths of the images, whose names are relative to ``folder``."""
        start = str(folder / "_")[:-1]
        return [name if name.startswith("/") else start + name for name in self.names]


def read_image_list(path: Path, *, say_notes: bool = True) -> ListedImages:
    """Read a list of images and labels.

    Args:
        path: a ``.csv`` file with the columns ``path`` and ``label``, or a text with lines ``path label``.
        say_notes: see :class:`Findings`.

    Raises:
        DataError: the file is missing, has no image, or a line is not a path and a label; or an image has two labels.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "train.csv")
        ...     _ = file.write_text("path,label\\ncats/1.jpg,cat\\n")
        ...     read_image_list(file)
        ListedImages(lines=[2], names=['cats/1.jpg'], labels=['cat'])
    """
    if not path.exists():
        raise DataError(
            path,
            expected="a list of images and labels (.csv with path,label, or lines `path label`)",
            found="no such file",
            advice="check ann_file and data_root, or try --tiny, which draws a small data set",
        )
    text = read_text(path, "a readable list of images and labels", "check it")
    with Findings(path, expected="a list of images and labels", say_notes=say_notes) as findings:
        rows = _csv_rows(path, text, findings) if path.suffix.lower() == ".csv" else _text_rows(text, findings)
        images = _checked(rows, findings)
        if not images.names and not findings:
            raise DataError(
                path, expected="at least one image with its label", found="none", advice="check how it was made"
            )
        _check_labels_of_images(images, findings)
    return images


Row = tuple[int, str, str]  # line number, path, label


def _csv_rows(path: Path, text: str, findings: Findings) -> Iterator[Row]:
    try:
        table = parse_csv(text, required=("path", "label"))
    except DataError as error:
        raise error.at(path) from error
    for row in table.rows:
        if row.fault is None:
            yield row.line, row.cells["path"], row.cells["label"]
        else:
            findings.wrong(f"line {row.line}", "row", expected=row.fault[0], found=row.fault[1])


def _text_rows(text: str, findings: Findings) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _LONGEST_LINE:
            expected = f"at most {_LONGEST_LINE:,} characters"
            findings.wrong(f"line {number}", "row", expected=expected, found=f"{len(line):,}")
        elif words := line.rsplit(None, 1):
            yield number, words[0].strip() if len(words) == 2 else "", words[-1]


def _checked(rows: Iterator[Row], findings: Findings) -> ListedImages:
    images, left_over, backslashes = ListedImages(), 0, 0
    for number, name, label in rows:
        if not name or not label:
            found = shown(name or label) if name or label else "nothing"
            findings.wrong(f"line {number}", "row", expected="a path and a label", found=found)
        elif not _is_path(name):
            expected = f"visible text of at most {_LONGEST_PATH:,} characters"
            findings.wrong(f"line {number}", "path", expected=expected, found=shown(name))
        elif not is_class_name(label):
            findings.wrong(f"line {number}", "label", expected="visible text", found=shown(label))
        elif _is_left_over(name):
            left_over += 1
        else:
            backslashes += "\\" in name
            images.lines.append(number)
            images.names.append(name.replace("\\", "/"))
            images.labels.append(label)
    findings.note("hidden files, such as ._1.jpg, left out", left_over)
    findings.note("paths with backslashes, read as slashes", backslashes)
    return images


def _is_path(name: str) -> bool:
    return len(name) <= _LONGEST_PATH and is_plain(name)


def _is_left_over(name: str) -> bool:
    """Return True for a relative path to a file, or in a folder, that a program left beside the data."""
    if name[0] != "." and "/." not in name and "__MACOSX" not in name:
        return False
    parts = name.split("/")
    is_relative = parts[0] != ""
    return is_relative and any(is_left_over(part) and part not in (".", "..") for part in parts)


def _check_labels_of_images(images: ListedImages, findings: Findings) -> None:
    """Report images with two labels, and note images that are listed again with the same label."""
    labels: dict[str, str] = {}
    again = 0
    for number, name, label in zip(images.lines, images.names, images.labels):
        name = os.path.normpath(name) if "./" in name or "//" in name else name
        first = labels.setdefault(name, label)
        if first is not label:
            again += first == label
            if first != label:
                found = f"{shown(first)} and {shown(label)} for {visible(name)}"
                findings.wrong(f"line {number}", "label", expected="one label per image", found=found)
    findings.note("images that are listed again with the same label, kept", again)


def labelled(images: ListedImages, known: ClassMap, findings: Findings) -> list[int]:
    """Return the label of each image as a number; unknown labels are reported.

    Args:
        images: the rows of the list.
        known: the classes.
        findings: receives the unknown labels.

    Example:
        >>> images = ListedImages([2], ["1.jpg"], ["dog"])
        >>> labelled(images, ClassMap.of(["cat", "dog"]), Findings("a.csv", expected="a list"))
        [1]
    """
    labels = find_labels(set(images.labels), known)
    unknown = set(images.labels) - labels.keys()
    if not unknown:
        return [labels[word] for word in images.labels]
    reported = 0
    for number, word in zip(images.lines, images.labels):
        if word in unknown:
            # the search for the nearest class is slow
            facts = unknown_label(word, known) if reported < Findings.MOST else {"expected": "", "found": ""}
            findings.wrong(f"line {number}", "label", **facts)
            reported += 1
    return []


def check_files(images: ListedImages, paths: Sequence[str], findings: Findings) -> None:
    """Report paths that are not files; each folder is listed once.

    Args:
        images: the rows of the list.
        paths: paths of the first images.
        findings: receives the missing files.
    """
    missing = [index for index, is_there in enumerate(are_files(paths)) if not is_there]
    for index in missing:
        found = f"none at {visible(paths[index])}"
        findings.wrong(f"line {images.lines[index]}", "path", expected="an image file", found=found)
