"""Conversion of tensors, arrays and lists to numpy arrays; this module does not import torch."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any, dtype: Any = None, *, single: bool = False) -> np.ndarray:
    """Convert values to an array, without a copy if possible.

    Args:
        values: a tensor on any device, an array, or a list of numbers.
        dtype: type of the result. None keeps the type of the values; bfloat16, which numpy lacks, becomes float32.
        single: round a tensor to float32 first; arrays and lists are not rounded.

    Example:
        >>> as_array([1, 2], "float32").dtype
        dtype('float32')
    """
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        values = (tensor.float() if single or "bfloat16" in str(tensor.dtype) else tensor).numpy()
    return np.asarray(values, dtype=dtype)
