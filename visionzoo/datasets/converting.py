"""Annotations in another layout, converted to COCO's format when they are first read.

``ann_file="voc:train"`` is the split ``train`` of the Pascal VOC folder ``data_root``. The names before the colon are
those of the layouts that have ``records``. The converted file is in the cache folder. It is made again if a file in
``data_root`` is added, removed or changed. Images are read from ``data_root``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

from visionzoo.datasets.layouts._base import ALL, Layout
from visionzoo.datasets.layouts._finding import layouts
from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.errors import DataError, in_cwd, nearest_or_known
from visionzoo.system.atomic import write_text
from visionzoo.system.cache import cache_root, make_folder


def converted_file(root: Path, ann_file: str) -> str:
    """Return the path of an annotation file, after conversion if it is an address such as ``voc:train``.

    Args:
        root: folder of the data.
        ann_file: a path, returned unchanged, or an address.

    Raises:
        DataError: the data cannot be converted, or have no such split.
        OutputError: the cache folder cannot be written.

    Example:
        >>> converted_file(Path("data"), "annotations/instances_train2017.json")
        'annotations/instances_train2017.json'
    """
    name, layout, split = _parts(ann_file)
    if layout is None:
        return str(ann_file)
    files = converted_files(root, name, layout)
    if split not in files:
        advice = nearest_or_known(split, files)
        raise DataError(
            f"{root}: {ann_file}", expected=f"a split of this {layout.label} folder", found="none", advice=advice
        )
    return str(files[split])


def source_of(root: Path, ann_file: str) -> str:
    """Return the annotations that the user has, for messages: the file, or the folder that is converted.

    Args:
        root, ann_file: see :func:`converted_file`.

    Example:
        >>> source_of(Path("data"), "train.json"), source_of(Path("data"), "voc:train")
        ('data/train.json', 'data (Pascal VOC, train)')
        >>> source_of(Path("data"), "voc:all")
        'data (Pascal VOC)'
    """
    _, layout, split = _parts(ann_file)
    if layout is None:
        return str(root / ann_file)
    return f"{root} ({layout.label}{'' if split == ALL else f', {split}'})"


def _parts(ann_file: str) -> tuple[str, Layout | None, str]:
    """Return the name of the layout, the layout and the split of an address; no layout for a path."""
    name, colon, split = str(ann_file).partition(":")
    layout = layouts().get(name) if colon and "/" not in name else None
    return name, layout if layout and layout.records else None, split


def converted_files(root: Path, name: str, layout: Layout) -> dict[str, Path]:
    """Return the converted annotation files of a folder by split; see :func:`converted_file`."""
    if not root.is_dir():
        expected, found = f"a folder with {layout.tree}", f"no such folder{in_cwd(root)}"
        raise DataError(root, expected=expected, found=found, advice="check data_root")
    folder = cache_root() / "converted" / f"{name}-v{layout.version}-{_state(root)}"
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        records = cast(Callable[[Path], dict[str, dict]], layout.records)(root)  # the caller has checked it
        make_folder(folder, lambda new: _write(new, records))
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def _is_whole(folder: Path) -> bool:
    """Return True if a folder of the cache has files, and none of them is cut off."""
    ends = [path.read_bytes()[-1:] for path in folder.glob("*.json")]
    return bool(ends) and set(ends) == {b"}"}


def _write(folder: Path, records: dict[str, dict]) -> None:
    for split, record in records.items():
        write_text(folder / f"{split}.json", json.dumps(record, ensure_ascii=False, allow_nan=False))


def _state(root: Path) -> str:
    """Return a digest of the path, and of the names, sizes and times of all files."""
    listing, digest = Listing(root), hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape"))
    for folder in listing.below(depth=4):
        for name in listing.files(folder):
            digest.update(_facts(root / folder / name, inside(folder, name)))
    return digest.hexdigest()[:24]


def _facts(path: Path, name: str) -> bytes:
    try:
        facts = os.stat(path)
        return f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape")
    except OSError:  # a link to nothing
        return f"{name}\0\n".encode(errors="surrogateescape")
