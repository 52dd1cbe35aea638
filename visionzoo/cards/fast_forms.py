"""Fast forms of all models, as ``visionzoo cards record`` measured them: the file of the field ``fast_form``."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from visionzoo.front_matter import card_folder
from visionzoo.system.atomic import write_text


def fast_forms_path() -> Path:
    """Return the file of all measured fast forms."""
    return card_folder() / "fast_forms.json"


@lru_cache(maxsize=1)
def _stored(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def fast_form_of(name: str) -> dict[str, Any] | None:
    """Return the field ``fast_form`` of a card; None for a card that was not measured."""
    return _stored(fast_forms_path()).get(name)


def write_fast_form(name: str, measured: dict[str, Any]) -> None:
    """Store the fast form of a card."""
    _stored.cache_clear()
    forms = {**_stored(fast_forms_path()), name: measured}
    lines = (f"{json.dumps(key)}: {json.dumps(form)}" for key, form in sorted(forms.items()))
    write_text(fast_forms_path(), "{\n" + ",\n".join(lines) + "\n}\n")
    _stored.cache_clear()
