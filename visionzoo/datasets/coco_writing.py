"""Atomic writing of COCO records: a failed write leaves no partial result."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from visionzoo.errors import DataError, OutputError
from visionzoo.system.atomic import require_writable

YEAR = "2017"  # in file names, so that configs for COCO 2017 read any data set; only data_root differs


def write_coco_folder(
    out: Path,
    records: dict[str, dict],
    images: Mapping[str, Iterable[Path]],
    *,
    link: bool = False,
    overwrite: bool = False,
) -> None:
    """Write ``annotations/instances_<split>2017.json`` and ``<split>2017/`` with the images under ``out``.

    All files are written to a folder beside ``out``, which is renamed when it is complete.

    Args:
        records: COCO records by split.
        images: image files by split, in the order of the records.
        link: create symbolic links to the images instead of copies.
        overwrite: replace ``out`` if it is not empty.

    Raises:
        OutputError: ``out`` is not empty, or cannot be written.
        DataError: two images of a split have the same name.
    """
    with new_folder(out, overwrite=overwrite) as beside:
        (beside / "annotations").mkdir()
        for split, record in records.items():
            write_json(beside / "annotations" / f"instances_{split}{YEAR}.json", record)
            folder = beside / f"{split}{YEAR}"
            folder.mkdir()
            for file, image in zip(images[split], record["images"], strict=True):
                place_file(file, folder / image["file_name"], link=link)


@contextmanager
def new_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``out``, which is renamed to ``out`` at the end of the block.

    Args:
        out: the folder to make.
        overwrite: replace ``out`` if it is not empty.

    Raises:
        OutputError: ``out`` is not empty, or cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with new_folder(Path(folder, "a")) as beside:
        ...         _ = (beside / "a.txt").write_text("a")
        ...     Path(folder, "a", "a.txt").read_text()
        'a'
    """
    require_free(out, overwrite=overwrite, is_file=False)
    beside = _folder_beside(out)
    try:
        yield beside
        _take_place(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_coco_file(out: Path, records: dict[str, dict], *, overwrite: bool = False) -> None:
    """Write a single split to one json.

    Raises:
        OutputError: the file exists, or cannot be written.
        DataError: there are several splits.
    """
    if len(records) != 1:
        raise DataError(
            out, expected="one split for one file", found=f"{', '.join(records)}", advice="name a folder instead"
        )
    require_free(out, overwrite=overwrite, is_file=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        write_json(beside, next(iter(records.values())))
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)


def require_free(out: Path, *, overwrite: bool, is_file: bool) -> None:
    """Check that records can be written to ``out``, before data is read for them.

    Args:
        out: the folder or file.
        overwrite: True if it may exist.
        is_file: True for one json, False for a folder.

    Raises:
        OutputError: ``out`` exists, or cannot be written.
    """
    require_writable(out)
    if is_file and out.is_dir():
        raise OutputError(out, expected="a file or none", found="a folder", advice="choose another name")
    if is_file and out.exists() and not overwrite:
        raise OutputError(out, expected="no such file yet", found="one", advice="choose another name or --overwrite")
    if not is_file and out.exists() and not out.is_dir():
        raise OutputError(out, expected="a folder or none", found="a file", advice="choose another name")
    if not is_file and out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(
            out, expected="an empty folder or none", found="files in it", advice="choose another or --overwrite"
        )


def _folder_beside(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    folder.chmod(0o755)
    return folder


def write_json(path: Path, record: dict | list) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def place_file(file: Path, target: Path, *, link: bool) -> None:
    """Copy a file, or create a symbolic link to it.

    Raises:
        DataError: ``target`` exists.
    """
    if target.exists():
        raise DataError(file, expected="every image of a split to have a unique name", found=f"{target.name} twice")
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(file.resolve())
    else:
        shutil.copyfile(file, target)


def _take_place(beside: Path, out: Path) -> None:
    """Rename ``beside`` to ``out``; the old ``out`` is removed only after that."""
    old = None
    if out.exists():
        old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-old-"))
        out.rename(old / "was")
    try:
        beside.rename(out)
    except OSError:
        if old is not None:
            (old / "was").rename(out)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
