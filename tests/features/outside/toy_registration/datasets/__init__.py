"""Pairs of volumes, drawn on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.sample_list import SampleList
from visionzoo.registry import DATASETS


@DATASETS.register_module()
class ToyPairs(SampleList):
    """Pairs whose moving volume is the fixed one, rolled by 0 to 3 voxels along the last axis."""

    def __init__(self, count: int = 8, **options: Any):
        samples = [{"pair_seed": index, "gt_shift": float(index % 4)} for index in range(count)]
        super().__init__(Path("."), samples, **options)


def draw_pair(seed: int, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fixed and the moving volume, (6, 8, 10) float32 each."""
    fixed = np.random.RandomState(seed).rand(6, 8, 10).astype(np.float32)
    return fixed, np.roll(fixed, shift, axis=2)
