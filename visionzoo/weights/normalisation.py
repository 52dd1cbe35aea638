"""Check of the normalisation that weights were trained with, if their file states it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from visionzoo.weights.safe_load import stated_meta

# Largest difference by rounding between equal means or deviations, for pixel values in [0, 255].
_TOLERANCE = 0.1


def warn_of_other_normalisation(model: nn.Module, path: Path) -> None:
    """Warn if ``meta.input`` of a file states another mean or std than the model's preprocessor has.

    A wrong normalisation raises no error but worsens results: CULane's F1 falls by several points.

    Args:
        model: a model; nothing is checked without a ``data_preprocessor`` that has a mean.
        path: the loaded weights; ``visionzoo convert checkpoint`` writes ``meta.input`` into safetensors.
    """
    stated = stated_meta(path).get("input")
    preprocessor = getattr(model, "data_preprocessor", None)
    if not isinstance(stated, dict) or getattr(preprocessor, "mean", None) is None:
        return
    for name in ("mean", "std"):
        given = getattr(preprocessor, name).flatten().tolist()
        needed = _numbers_or(stated.get(name), given)
        if len(given) != len(needed) or any(abs(a - b) > _TOLERANCE for a, b in zip(given, needed)):
            warnings.warn(
                f"{path}: these weights need images of {name} ({_listed(needed)}), the config has ({_listed(given)}); "
                f"use the option model.data_preprocessor.{name}=[{_listed(needed)}] (--cfg-options)",
                UserWarning,
                stacklevel=2,
            )


def _numbers_or(values: Any, other: list[float]) -> list[float]:
    """Return ``values`` if it is a list of numbers, else ``other``, because a file may state anything."""
    is_usable = isinstance(values, list) and all(isinstance(value, int | float) for value in values)
    return values if is_usable else other


def _listed(values: list[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
