"""Folders of runs. The folder that training writes is a model: its config, its weights, its classes and its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.config.files import SAVED

# The file with the facts of a run: command, versions, seed.
FACTS = "run.json"


def run_of(path: Path) -> Path | None:
    """Return the folder of the run that a path belongs to, else None.

    Args:
        path: the folder itself, or a file in it, for example its ``config.py`` or its weights. A path that does not
            exist belongs to no run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("config.py", "run.json"):
        ...         _ = Path(folder, name).write_text("{}")
        ...     run_of(Path(folder, "run.json")) == Path(folder), run_of(Path(folder, "infer"))
        (True, None)
    """
    if not path.exists():
        return None
    folder = path if path.is_dir() else path.parent
    return folder if (folder / SAVED).is_file() and (folder / FACTS).is_file() else None


def facts_of(run: Path) -> Mapping[str, Any]:
    """Return the facts of a run; an empty mapping if its file is damaged."""
    try:
        facts = json.loads((run / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, Mapping) else {}


def own_run(run: Path | None) -> Path | None:
    """Return the folder of a run to write into; None for a copy of a run that another place owns, such as the Hub."""
    return None if run is None or "copied_from" in facts_of(run) else run


def limit_of(run: Path) -> int | None:
    """Return the ``--max-samples`` of a run, that of the last time it was resumed; None if it uses all samples."""
    facts = facts_of(run)
    resumed = facts.get("resumed")
    last = resumed[-1] if isinstance(resumed, list) and resumed else facts
    limit = last.get("max_samples") if isinstance(last, Mapping) else None
    return limit if isinstance(limit, int) else None


def was_tiny(run: Path) -> bool:
    """Return True if a run used the tiny variant of its config."""
    return facts_of(run).get("tiny") is True
