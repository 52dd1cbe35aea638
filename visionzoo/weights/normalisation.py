"""What images released weights were made for, where their file says it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from visionzoo.weights.safe_load import stated_meta

# Mean and deviation of 0 to 255; closer ones are the same but for rounding.
_TOLERANCE = 0.1


def warn_of_other_normalisation(model: nn.Module, path: Path) -> None:
    """Warn when a file's ``meta.input`` names another mean or std than the model's preprocessor has.

    Nothing fails then, results are only worse: CULane's F1 falls by several points.

    Args:
        model: with a ``data_preprocessor``.
        path: weights that were loaded; ``visionzoo convert checkpoint`` writes ``meta.input`` into safetensors.
    """
    wanted = stated_meta(path).get("input")
    preprocessor = getattr(model, "data_preprocessor", None)
    if not isinstance(wanted, dict) or getattr(preprocessor, "mean", None) is None:
        return
    for name in ("mean", "std"):
        has = getattr(preprocessor, name).flatten().tolist()
        wants = _numbers_or(wanted.get(name), has)
        if len(has) != len(wants) or any(abs(a - b) > _TOLERANCE for a, b in zip(has, wants)):
            warnings.warn(
                f"{path}: these weights want images of {name} ({_listed(wants)}), the config has ({_listed(has)}); "
                f"use --cfg-options model.data_preprocessor.{name}=[{_listed(wants)}]",
                UserWarning,
                stacklevel=2,
            )


def _numbers_or(values: Any, other: list[float]) -> list[float]:
    """The values, or ``other`` where they are no numbers: files of others may say anything."""
    is_usable = isinstance(values, list) and all(isinstance(value, int | float) for value in values)
    return values if is_usable else other


def _listed(values: list[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
