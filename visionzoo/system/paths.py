"""Paths as messages print them."""

from __future__ import annotations

import os
from pathlib import Path

from visionzoo.option_names import option


def shown_path(path: str | os.PathLike) -> str:
    """Return a path relative to the working folder if it is inside, else the absolute path.

    Example:
        >>> shown_path(Path.cwd() / "runs" / "a"), shown_path("/data/b")
        ('runs/a', '/data/b')
    """
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else absolute.as_posix()


def shared_path(path: str | os.PathLike) -> str:
    """Return a path for a document that others read: outside the working folder, only its last two parts.

    Relative paths and text such as ``tiny://coco`` are unchanged.

    Example:
        >>> shared_path(Path.cwd() / "runs" / "a"), shared_path("/home/eve/runs/b"), shared_path("tiny://coco?val=8")
        ('runs/a', '.../runs/b', 'tiny://coco?val=8')
    """
    shown = shown_path(path) if os.path.isabs(path) else os.fspath(path)
    return shown if not os.path.isabs(shown) else f".../{'/'.join(Path(shown).parts[1:][-2:])}"


def other_folder_text(wanted: Path, used: Path) -> str:
    """Return why results go to another folder than the wanted one; empty if they do not.

    Example:
        >>> other_folder_text(Path("run/test"), Path("run/test-2"))
        'run/test exists, so the results go to run/test-2; overwrite=True replaces it'
    """
    if used == wanted:
        return ""
    return (
        f"{shown_path(wanted)} exists, so the results go to {shown_path(used)}; {option('overwrite', True)} replaces it"
    )
