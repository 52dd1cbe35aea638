"""What runs a model for the Inferencer: PyTorch, or the runtime of an exported file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.inference.preparing import Preparation

BACKENDS = ("torch", "onnxruntime")
EXPORTED = {"name": "exported"}  # form of a file of `visionzoo export`
Check = Callable[[str, tuple[str, ...]], object]


@dataclass(frozen=True)
class Backend:
    """A loaded model.

    Attributes:
        name: name of its config.
        task: its task.
        config: the config; of an exported model, its ``model`` and ``task``.
        prepare: reads and prepares inputs.
        run: function from ``inputs`` and ``data_samples`` of a batch to the predicted samples.
        fingerprint: function that returns a short hash of the weights.
        model: the PyTorch model; None for an exported one.
        device: device, whose text is written to ``run.json``.
        divisor: the model pads height and width to multiples of it.
        weights: file of the weights, or the exported file; None without.
        step: step of the training at which the weights were saved; empty if unknown.
        is_untrained: True if the model has parameters, but no weights were loaded.
        names: class names by label; None if they are unknown.
        category_ids: category id of each label; None if it is the label plus one.
        notes: lines for the user.
        folder: folder of the run that the model belongs to.
        form: function that returns the form in which the model runs, see :mod:`visionzoo.models.fast_form`.
    """

    name: str
    task: str
    config: Any
    prepare: Preparation
    run: Callable[[dict[str, list[Any]]], list[Any]]
    fingerprint: Callable[[], str]
    model: Any
    device: Any
    divisor: int
    weights: Path | None
    step: str
    is_untrained: bool
    names: tuple[str, ...] | None
    category_ids: tuple[int, ...] | None
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None
    form: Callable[[], dict[str, Any]] = lambda: EXPORTED
