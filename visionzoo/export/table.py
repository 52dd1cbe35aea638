"""What exports: the tiny variant of every card with seeded weights, in both formats, with its parity or the reason."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from visionzoo.cards.exports import exports_path, read_exports
from visionzoo.cards.seeding import fill_weights, settle_norms
from visionzoo.config import load_config
from visionzoo.errors import RunFailed
from visionzoo.export.exporting import FORMATS, recorded
from visionzoo.export.parity import seeded_inputs
from visionzoo.export.writing import TOLERANCE, Ready, ready, write
from visionzoo.front_matter import card_folder
from visionzoo.graphs.form import NotExportable
from visionzoo.graphs.pairs import PairForm
from visionzoo.inference.preparing import test_pipeline_of
from visionzoo.inference.torch_backend import torch_backend
from visionzoo.system.atomic import write_text
from visionzoo.tasks import task_of

BEGIN, END = "<!-- exports -->", "<!-- /exports -->"
Row = dict[str, Any]


def measure(name: str) -> dict[str, Row]:
    """Export the tiny variant of a model with seeded weights.

    Returns:
        By format: ``works``, and either ``reason`` or ``absolute``, ``relative`` and ``size``, (H, W) or None for any.
    """
    try:
        made = _seeded(name)
        program = recorded(made.form, made.shape)
    except (NotExportable, RunFailed) as error:
        return {kind: {"works": False, "reason": str(error)} for kind in FORMATS}
    with tempfile.TemporaryDirectory() as folder:
        return {kind: _row(made, kind, Path(folder, f"model{suffix}"), program) for kind, suffix in FORMATS.items()}


def _row(made: Ready, kind: str, path: Path, program: Any) -> Row:
    try:
        done = write(made, kind, path, program)
        done.require_parity(TOLERANCE)
    except RunFailed as error:
        return {"works": False, "reason": str(error).replace(str(path), path.name)}
    absolute, relative = (max(getattr(row, name) for row in done.rows) for name in ("absolute", "relative"))
    return {
        "works": True,
        "absolute": float(f"{absolute:.1e}"),
        "relative": float(f"{relative:.1e}"),
        "fixed": made.shape.reason if made.shape.is_fixed else None,
    }


def _seeded(name: str) -> Ready:
    """Return the form of the tiny variant with seeded weights, and without thresholds, so that it has results."""
    cfg = load_config(name).cfg
    options = task_of(cfg.task).options(cfg.model)
    backend = torch_backend(
        name, "none", check=lambda task, names: None, device="cpu", trust_pickle=False, tiny=True, options=options,
        allow_new=True,
    )  # fmt: skip
    form = task_of(cfg.task).graph(backend.model)
    made = ready(backend, (32,) * form.axes if isinstance(form, PairForm) else None)
    fill_weights(backend.model, 0)
    if not made.form.is_dynamic:  # pairs and phrases: the model does not run on only images
        return made
    images = torch.from_numpy(seeded_inputs(made.shape.size, made.form.divisor)["images"]).float()
    mean, std = made.form.mean, made.form.std
    settle_norms(backend.model, images if mean is None or std is None else (images - mean) / std)
    return made


def record(names: Iterable[str]) -> Iterable[tuple[str, dict[str, Row]]]:
    """Measure models, and write each into the file as soon as it is measured; equal tiny variants are measured once."""
    measured: dict[str, dict[str, Row]] = {}
    for name in names:
        variant = _tiny_variant(name)
        rows = measured[variant] = measured.get(variant) or measure(name)
        known = {**read_exports(), name: rows}
        write_text(exports_path(), json.dumps(dict(sorted(known.items())), indent=1) + "\n")
        yield name, rows


def _tiny_variant(name: str) -> str:
    """Return text that is equal for configs whose tiny variants have the same model, task and pipeline."""
    loaded = load_config(name, tiny=True)
    parts = loaded.cfg.task, dict(loaded.cfg.model), test_pipeline_of(loaded.cfg, loaded.source)
    return json.dumps(parts, default=str, sort_keys=True)


def page_path() -> Path:
    """Return the page of the documentation that shows the table. An installed package has none."""
    return card_folder().parent / "docs" / "export.md"


def with_table(text: str) -> str:
    """Return the text of the page with the current table between its markers."""
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:start]}\n{table(read_exports())}\n{text[end:]}"


def table(exports: Mapping[str, Mapping[str, Row]]) -> str:
    """Return a Markdown table with one row for each card.

    Example:
        >>> row = {"works": True, "absolute": 1e-6, "relative": 2e-6, "fixed": None}
        >>> print(table({"a": {"onnx": row, "torch-export": row}}))
        | card | onnx | torch-export | sizes, or the reason |
        | --- | --- | --- | --- |
        | a | 1e-06 | 1e-06 | any size |
    """
    lines = [("card", *FORMATS, "sizes, or the reason"), ("---",) * (len(FORMATS) + 2)]
    for name, rows in sorted(exports.items()):
        cells = [f"{rows[kind]['absolute']:g}" if rows[kind]["works"] else "no" for kind in FORMATS]
        reasons = dict.fromkeys(row["reason"] for row in rows.values() if not row["works"])
        sizes = dict.fromkeys(_sizes(row) for row in rows.values() if row["works"])
        lines.append((name, *cells, "; ".join([*sizes, *reasons]).replace("|", "\\|")))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sizes(row: Row) -> str:
    return "any size" if row["fixed"] is None else f"one size: {row['fixed']}"
