"""What exports, as ``visionzoo export --all`` measured it: the file that fills the field ``exports`` of the cards."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from visionzoo.front_matter import card_folder


def exports_path() -> Path:
    """Return the file of all measured exports."""
    return card_folder() / "exports.json"


def read_exports() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the measured exports by card and format; empty if none are written."""
    path = exports_path()
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def exports_of(name: str) -> list[dict[str, Any]]:
    """Return the field ``exports`` of a card; empty for a card that was not measured."""
    rows = _cached().get(name, {})
    return [
        {"format": kind, "works": row["works"], **({} if row["works"] else {"reason": row["reason"]})}
        for kind, row in rows.items()
    ]


@lru_cache(maxsize=1)
def _cached() -> dict[str, dict[str, dict[str, Any]]]:
    return read_exports()
