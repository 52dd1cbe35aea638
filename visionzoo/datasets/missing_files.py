"""Which files a data set lacks, found before training finds out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def advice(readme: str) -> str:
    """How to come by the data that ``datasets/<readme>`` is about."""
    return f"see datasets/{readme}/README.md, point data_root to where the data is, or try --tiny, which draws some"


def missing_files(paths: Sequence[str], root: Path) -> list[str]:
    """Those that do not exist, as they lie below the root.

    Each folder is listed once: that takes a tenth of a second for COCO, where asking for each of a hundred thousand
    files takes minutes on shared disks.
    """
    present: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in present:
            present[folder] = _names_in(folder)
        if name not in present[folder]:
            missing.append(str(inside(root, Path(path))))
    return missing


def inside(root: Path, path: Path) -> Path:
    """The path from the root on; paths elsewhere as they are."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def _names_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()
