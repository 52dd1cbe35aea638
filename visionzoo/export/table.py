"""What exports: the tiny variant of every card with seeded weights, in both formats, with its parity or the reason."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visionzoo.cards import card_names
from visionzoo.cards.exports import exports_path, read_exports
from visionzoo.config import load_config
from visionzoo.errors import RunFailed
from visionzoo.export.exporting import FORMATS, recorded
from visionzoo.export.limit import cpu_limit
from visionzoo.export.seeding import seed
from visionzoo.export.writing import TOLERANCE, Ready, form_of, ready, write
from visionzoo.front_matter import card_folder
from visionzoo.graphs.form import NotExportable
from visionzoo.graphs.registration_pairs import PairForm
from visionzoo.inference.torch_backend import torch_backend
from visionzoo.system.atomic import write_text

BEGIN, END = "<!-- exports -->", "<!-- /exports -->"
Row = dict[str, Any]

_PAIR_SIDE = 32  # voxels or pixels of each axis of a pair


def measure(name: str, limit: float | None = None) -> dict[str, Row]:
    """Export the tiny variant of a model with seeded weights.

    Args:
        name: a model of the zoo.
        limit: CPU seconds after which a format counts as not exported, with this reason; None for no limit.

    Returns:
        By format: ``works``, and either ``reason`` or ``absolute``, ``relative`` and ``fixed``, the reason of its only
        size or None for any size.
    """
    try:
        with cpu_limit(limit):
            made = _built(name)
            seed(made.form, made.form.seeded(made.shape.size))
            program = recorded(made.form, made.shape)
    except (NotExportable, RunFailed) as error:
        return {kind: {"works": False, "reason": str(error)} for kind in FORMATS}
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, suffix in FORMATS.items():
            rows[kind] = _row(made, kind, Path(folder, f"model{suffix}"), program, limit)
    return rows


def _row(made: Ready, kind: str, path: Path, program: Any, limit: float | None) -> Row:
    try:
        with cpu_limit(limit):
            done = write(made, kind, path, program)
        done.require_parity(TOLERANCE)
        if done.is_empty:
            raise RunFailed("the seeded images have no result, so nothing was compared")
    except RunFailed as error:
        return {"works": False, "reason": str(error).replace(str(path), path.name)}
    absolute, relative = (max(getattr(row, name) for row in done.rows) for name in ("absolute", "relative"))
    return {
        "works": True,
        "absolute": float(f"{absolute:.1e}"),
        "relative": float(f"{relative:.1e}"),
        "fixed": made.shape.reason if made.shape.is_fixed else None,
    }


def _built(name: str) -> Ready:
    """Return the form of the tiny variant."""
    backend = torch_backend(name, "none", device="cpu", trust_pickle=False, tiny=True, options=())
    form = form_of(backend)
    return ready(backend, (_PAIR_SIDE,) * form.axes if isinstance(form, PairForm) else None)


def record(names: Iterable[str], limit: float | None = None) -> Iterable[tuple[str, dict[str, Row]]]:
    """Measure models, and write each into the file as soon as it is measured; equal tiny variants are measured once."""
    measured: dict[str, dict[str, Row]] = {}
    for name in names:
        variant = _tiny_variant(name)
        rows = measured[variant] = measured.get(variant) or measure(name, limit)
        known = {**read_exports(), name: rows}
        write_text(exports_path(), json.dumps(dict(sorted(known.items())), indent=1) + "\n")
        yield name, rows


def _tiny_variant(name: str) -> str:
    """Return text that is equal for configs whose tiny variants have the same model, task and sizes."""
    cfg = load_config(name, tiny=True).cfg
    try:
        made = _built(name)
        sizes = f"{made.shape} {made.form.multiple}"
    except NotExportable as error:
        sizes = str(error)
    return json.dumps((cfg.task, dict(cfg.model), sizes), default=str, sort_keys=True)


def page_path() -> Path:
    """Return the page of the documentation that shows the table. An installed package has none."""
    return card_folder().parent / "docs" / "export.md"


def with_table(text: str) -> str:
    """Return the text of the page with the current table between its markers."""
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:start]}\n{table(read_exports(), card_names())}\n{text[end:]}"


def table(exports: Mapping[str, Mapping[str, Row]], names: Iterable[str]) -> str:
    """Return a Markdown table with one row for each card.

    Args:
        exports: what :func:`record` measured, by card.
        names: all cards.

    Example:
        >>> row = {"works": True, "absolute": 1e-6, "relative": 2e-6, "fixed": None}
        >>> print(table({"a": {"onnx": row, "torch-export": row}}, ["a", "b"]))
        | card | onnx | torch-export | sizes, or the reason |
        | --- | --- | --- | --- |
        | a | 1e-06 | 1e-06 | any size |
        | b |  |  | not measured yet |
    """
    lines = [("card", *FORMATS, "sizes, or the reason"), ("---",) * (len(FORMATS) + 2)]
    for name in sorted(names):
        rows = exports.get(name)
        if rows is None:
            lines.append((name, *("",) * len(FORMATS), "not measured yet"))
            continue
        cells = [f"{rows[kind]['absolute']:g}" if rows[kind]["works"] else "no" for kind in FORMATS]
        reasons = dict.fromkeys(row["reason"] for row in rows.values() if not row["works"])
        sizes = dict.fromkeys(_sizes(row) for row in rows.values() if row["works"])
        lines.append((name, *cells, "; ".join([*sizes, *reasons]).replace("|", "\\|")))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sizes(row: Row) -> str:
    return "any size" if row["fixed"] is None else f"one size: {row['fixed']}"
