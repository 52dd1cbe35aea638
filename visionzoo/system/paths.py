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
