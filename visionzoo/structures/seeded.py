"""Random numbers that are equal on all machines and in all versions of torch."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def seeded_array(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal numbers, float32, that depend only on the arguments.

    Args:
        seed: seed of the stream.
        name: name of the stream; different names return independent numbers.
        shape: shape of the result.

    Example:
        >>> bool((seeded_array(0, "a", (2, 3)) == seeded_array(0, "a", (2, 3))).all())
        True
    """
    stream = zlib.crc32(f"{seed}:{name}:{tuple(shape)}".encode())
    return np.asarray(np.random.RandomState(stream).standard_normal(shape), dtype=np.float32)


def seeded_image(seed: int, name: str, height: int, width: int) -> Tensor:
    """Return coarse coloured noise, (3, height, width) uint8 RGB.

    Example:
        >>> seeded_image(0, "a", 8, 12).shape
        torch.Size([3, 8, 12])
    """
    import torch
    from torch import nn

    coarse = torch.from_numpy(seeded_array(seed, name, (1, 3, height // 6 + 2, width // 6 + 2)))
    fine = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    return (fine[0] * 64 + 128).round().clamp(0, 255).to(torch.uint8)
