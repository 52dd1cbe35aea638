"""Search for missing files of a data set before training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def advice(readme: str) -> str:
    """Return the advice on obtaining the data of ``datasets/<readme>``."""
    return f"see datasets/{readme}/README.md, point data_root to the data, or try --tiny, which draws some"


def missing_files(paths: Sequence[str], root: Path) -> list[str]:
    """Return the paths that do not exist, relative to ``root``.

    Each folder is listed once, which takes 0.1 s for COCO. Checking a hundred thousand files one by one takes minutes
    on shared disks.

    Example:
        >>> missing_files(["data/a.png", "data/b/c.png"], Path("data"))
        ['a.png', 'b/c.png']
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
    """Return the path relative to ``root``; paths outside ``root`` are unchanged."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def _names_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()
