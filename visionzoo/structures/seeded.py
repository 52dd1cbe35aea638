"""Noise that is the same on every machine and under every version of torch."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor, nn


def seeded_array(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, float32, that depend on nothing but the arguments."""
    stream = zlib.crc32(f"{seed}:{name}:{tuple(shape)}".encode())
    return np.asarray(np.random.RandomState(stream).standard_normal(shape), dtype=np.float32)


def seeded_image(seed: int, name: str, height: int, width: int) -> Tensor:
    """Coarse coloured noise, uint8 RGB, (3, height, width)."""
    coarse = torch.from_numpy(seeded_array(seed, name, (1, 3, height // 6 + 2, width // 6 + 2)))
    fine = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    return (fine[0] * 64 + 128).round().clamp(0, 255).to(torch.uint8)
