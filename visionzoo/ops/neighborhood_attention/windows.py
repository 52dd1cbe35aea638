"""The keys of every query, one by one, for the inspection of weights and for comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.ops.neighborhood_attention.rules import AxisRule


def window_indices(
    sizes: Sequence[int], rules: Sequence[AxisRule], device: torch.device | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return three (L, N) tables for the queries in row-major order.

    N is the product of the kernel. Slots keep their place in the window on each axis. Where the border cuts a causal
    window, the last slots of that axis have no key.

    Returns:
        Index of each key; True where the key exists; index of the key's distance in the bias.
    """
    keys, exists, offsets = np.zeros((1, 1), np.int64), np.ones((1, 1), bool), np.zeros((1, 1), np.int64)
    for size, rule in zip(sizes, rules, strict=True):
        axis_keys, axis_exists, axis_offsets = _axis_windows(rule, size)
        keys = _paired(keys * size, axis_keys, np.add)
        exists = _paired(exists, axis_exists, np.logical_and)
        offsets = _paired(offsets * (2 * rule.kernel - 1), axis_offsets, np.add)
    return tuple(torch.as_tensor(table, device=device) for table in (keys, exists, offsets))  # type: ignore[return-value]


def _axis_windows(rule: AxisRule, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = np.zeros((size, rule.kernel), np.int64)
    exists = np.zeros((size, rule.kernel), bool)
    offsets = np.zeros((size, rule.kernel), np.int64)
    for index in range(size):
        group, place = index % rule.dilation, index // rule.dilation
        first, last = rule.window(place, -(-(size - group) // rule.dilation))
        places = np.arange(first, last + 1)
        keys[index, : len(places)] = places * rule.dilation + group
        exists[index, : len(places)] = True
        offsets[index, : len(places)] = places - place + rule.kernel - 1
    return keys, exists, offsets


def _paired(outer: np.ndarray, inner: np.ndarray, join: Callable[[Any, Any], Any]) -> np.ndarray:
    joined = join(outer[:, None, :, None], inner[None, :, None, :])
    return joined.reshape(len(outer) * len(inner), -1)
