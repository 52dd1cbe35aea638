"""Tensors, arrays and lists as numpy arrays; free of torch."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any, dtype: Any = None, *, single: bool = False) -> np.ndarray:
    """The values as an array, which shares their memory where it can.

    Args:
        values: a tensor on any device, an array, or a list of numbers.
        dtype: of the result. None keeps the values' own; bfloat16, which numpy lacks, becomes float32.
        single: round a tensor to float32 first, whatever its type; arrays and lists keep theirs.
    """
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        values = (tensor.float() if single or "bfloat16" in str(tensor.dtype) else tensor).numpy()
    return np.asarray(values, dtype=dtype)
