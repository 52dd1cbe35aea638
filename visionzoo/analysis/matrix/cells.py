"""One cell of the matrix: build the model, train one step, predict, and read the prediction."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Any

import torch

from visionzoo.analysis.matrix.data import head_data
from visionzoo.analysis.matrix.fitting import refusal
from visionzoo.analysis.matrix.models import model_config
from visionzoo.analysis.matrix.parts import Head, TrunkPart
from visionzoo.analysis.matrix.predicting import require_predictions
from visionzoo.analysis.matrix.training import train_step
from visionzoo.models.wiring import build_model
from visionzoo.weights.loading import without_pretrained

WORKS, REFUSED, FAILED = "works", "refused", "failed"


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
        ``status`` (``works``, ``refused`` or ``failed``), ``reason`` (of a refusal or failure, one sentence),
        ``note`` (what does not learn, and why), ``loss`` and ``seconds``.
    """
    begin = time.perf_counter()
    reason = refusal(cell)
    outcome = {"status": REFUSED, "reason": reason} if reason else _tried(cell)
    return {**outcome, "seconds": round(time.perf_counter() - begin, 2)}


def _tried(cell: Cell) -> dict[str, Any]:
    try:
        data = head_data(cell.head.config)
        torch.manual_seed(0)
        model = build_model(model_config(cell, data.model), num_classes=data.counts)
        trained = _trained(model, data)
        require_predictions(model, data, cell.head.task)
    except Exception as error:  # whatever a part raises is the outcome of its cell
        return {"status": FAILED, "reason": _sentence(error), "trace": traceback.format_exc()}
    return {"status": WORKS, **trained}


def _trained(model: Any, data: Any) -> dict[str, Any]:
    without_pretrained(model)
    model.init_weights()
    if next(model.parameters(), None) is None:
        return {"note": "The model has no parameters, so nothing is trained."}
    return train_step(model, data.batch("train"))


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
