"""One cell of the matrix: build the model, train one step, predict, and read the prediction."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from visionzoo.analysis.matrix.data import HeadData, head_data
from visionzoo.analysis.matrix.fitting import refusal
from visionzoo.analysis.matrix.models import model_config, model_of, whole_backbone
from visionzoo.analysis.matrix.parts import Head, TrunkPart
from visionzoo.analysis.matrix.predicting import require_predictions
from visionzoo.analysis.matrix.training import train_step
from visionzoo.engine.log_files import no_list_of_parameters
from visionzoo.errors import RunFailed, ZooError
from visionzoo.models.wiring import build_model
from visionzoo.weights.loading import without_pretrained

WORKS, REFUSED, FAILED = "works", "refused", "failed"

_SEED = 0


@dataclass(frozen=True)
class Cell:
    """A backbone, a neck and a head."""

    backbone: TrunkPart
    neck: TrunkPart
    head: Head

    @property
    def key(self) -> str:
        """The name of the cell in files.

        Example:
            >>> Cell(TrunkPart("DiNAT", {}), TrunkPart("RCNet", {}), Head("SCNNHead", "lanes", None)).key
            'DiNAT | RCNet | SCNNHead'
        """
        return f"{self.backbone.name} | {self.neck.name} | {self.head.name}"


def run_cell(cell: Cell) -> dict[str, Any]:
    """Return the outcome of a cell.

    Returns:
        ``status`` (``works``, ``refused`` or ``failed``), ``reason`` (of a refusal or failure, one sentence), ``kind``
        (of a refusal), ``note`` (what does not learn, and why), ``loss``, ``trace`` (of a failure) and ``seconds`` (CPU
        time; the first cell of a head includes the reading of its data).
    """
    begin = time.process_time()
    try:
        outcome = _outcome(cell)
    except Exception as error:  # whatever a part raises is the outcome of its cell
        outcome = {"status": FAILED, "reason": _sentence(error), "trace": traceback.format_exc()}
    return {**outcome, "seconds": round(time.process_time() - begin, 2)}


def _outcome(cell: Cell) -> dict[str, Any]:
    if cell.head.config is None:
        raise RunFailed(f"no config uses {cell.head.name}, so it has no data; add a config with a tiny variant")
    if (refused := refusal(cell)) is not None:
        return {"status": REFUSED, "kind": refused.kind, "reason": refused.sentence}
    data = head_data(cell.head.data or cell.head.config)
    given = model_of(cell.head, data.model)
    torch.manual_seed(_SEED)
    cfg = model_config(cell, given)
    model: Any = build_model(cfg, num_classes=data.counts)
    trained = _trained(model, data, whole_backbone(cell, given, cfg))
    require_predictions(model, data, cell.head.task)
    return {"status": WORKS, **trained}


def _trained(model: Any, data: HeadData, whole: Mapping[str, Any] | None) -> dict[str, Any]:
    without_pretrained(model)
    with no_list_of_parameters():
        model.init_weights()
    if next(model.parameters(), None) is None:
        return {"note": "The model has no parameters, so nothing is trained."}
    return train_step(model, data.batch("train"), whole)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ZooError) else f"{type(error).__name__}: {text}"
