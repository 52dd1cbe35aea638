"""Annotation files with one line or row for each image or object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from visionzoo.datasets.layouts._base import ALL, by_split
from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.errors import DataError, first_of


def tables_with(listing: Listing, columns: Sequence[str]) -> list[str]:
    """Return the CSV files, in the folder or one below, whose first row has some columns."""
    return [name for name in files_in(listing, (".csv",)) if set(columns) <= set(columns_of(listing.root / name))]


def files_in(listing: Listing, endings: Sequence[str]) -> list[str]:
    """Return the files with one of the endings, in the folder or one below."""
    return [inside(folder, name) for folder in listing.below(depth=1) for name in listing.files(folder, endings)]


def columns_of(path: Path) -> list[str]:
    """Return the cells of the first row in lower case; none if the file cannot be read."""
    return [cell.strip().strip('"').lower() for cell in re.split(r"[,;\t]", first_line(path))]


def first_line(path: Path) -> str:
    """Return the first line that is not empty, without its end; empty if the file cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return next((line.strip() for line in file if line.strip()), "")
    except OSError:
        return ""


def contains(path: Path, *words: bytes) -> bool:
    """Return True if a file has all of some words, also in UTF-16."""
    try:
        text = path.read_bytes().replace(b"\0", b"")
    except OSError:
        return False
    return all(word in text for word in words)


def lines_of(path: Path) -> list[str]:
    """Return the stripped lines of a text file, without empty ones."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def one_per_split(listing: Listing, names: Sequence[str]) -> dict[str, str]:
    """Return the file of each split; a single file without the name of a split beside others is ``train``.

    Raises:
        DataError: two files belong to one split.
    """
    splits = by_split(names)
    for split, several in splits.items():
        if len(several) > 1:
            raise DataError(
                listing.root,
                expected=f"one annotation file for {'all images' if split == ALL else split}",
                found=first_of(several),
                advice="move the others out of the folder, or put train, val or test into their names",
            )
    files = {split: only for split, (only,) in splits.items()}
    if ALL in files and len(files) > 1:
        files.setdefault("train", files.pop(ALL))
    return files
