"""Weights and inputs that a golden case does not store, because they are drawn from a seed.

Every value depends only on (seed, name, shape): NumPy's ``RandomState`` streams are frozen.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def golden_tensor(name: str, shape: Sequence[int], dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Return the parameter or buffer ``name`` of a reference's state dict.

    Weights of convolutions and linear layers are He-normal, norm weights are around 1, running variances in [0.5, 1.5),
    everything else is around 0; integers are 0.
    """
    if not dtype.startswith(("float", "bfloat")):
        return np.zeros(shape, dtype)
    draw, leaf = _stream(f"{seed}:{name}"), name.rpartition(".")[2]
    if leaf == "running_var":
        values = draw.random_sample(tuple(shape)) + 0.5
    elif leaf != "weight":
        values = draw.standard_normal(tuple(shape)) * 0.1
    elif len(shape) < 2:
        values = draw.standard_normal(tuple(shape)) * 0.1 + 1.0
    else:
        values = draw.standard_normal(tuple(shape)) * np.sqrt(2.0 / max(1, int(np.prod(shape[1:]))))
    return np.asarray(values, dtype)


def golden_input(name: str, shape: Sequence[int], kind: str = "normal", seed: int = 0) -> np.ndarray:
    """Return the input ``name`` in float32: ``normal`` is N(0, 1), ``uniform`` is U[0, 1)."""
    draw = _stream(f"{seed}:input:{name}")
    values = {"normal": draw.standard_normal, "uniform": draw.random_sample}[kind](tuple(shape))
    return np.asarray(values, "float32")


def _stream(key: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(key.encode()))


def reference_state(case: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of the reference's run, under its own names, with ``scale`` applied."""
    return {
        name: torch.from_numpy(_scaled(golden_tensor(name, shape, dtype, case["seed"]), name, case.get("scale") or {}))
        for name, shape, dtype, *_ in case["state"]
    }


def _scaled(values: np.ndarray, name: str, scale: Mapping[str, Any]) -> np.ndarray:
    """Multiply by ``scale``: factors by prefix of a name, or one factor for all tensors of two or more dimensions."""
    if values.dtype.kind != "f":
        return values
    if "applies_to" in scale:
        factors = [scale["factor"]] if values.ndim >= 2 else []
    else:
        factors = [factor for start, factor in scale.items() if name.startswith(start)]
    for factor in factors:
        values = (values * values.dtype.type(factor)).astype(values.dtype)
    return values
