"""Weights and images that are the same on every machine and under every version of torch.

numpy's ``RandomState`` is frozen by its documented policy, torch's initialisers are not. Every tensor is drawn from
its own stream, so a part that is added or renamed leaves the others as they were.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.models.task_model import TaskModel

# Of He's scale. Where a norm follows, it makes no difference; where none does, scores and boxes stay moderate.
_GAIN = 0.3


def seeded_array(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, float32, that depend on nothing but the arguments."""
    stream = zlib.crc32(f"{seed}:{name}:{tuple(shape)}".encode())
    return np.asarray(np.random.RandomState(stream).standard_normal(shape), dtype=np.float32)


def seeded_image(seed: int, name: str, height: int, width: int) -> Tensor:
    """Coarse coloured noise, uint8 RGB, (3, height, width)."""
    coarse = torch.from_numpy(seeded_array(seed, name, (1, 3, height // 6 + 2, width // 6 + 2)))
    fine = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    return (fine[0] * 64 + 128).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def fill_weights(model: nn.Module, seed: int) -> None:
    """Give every parameter its seeded value: near 1 for the scales of norms, small for kernels and the rest."""
    for name, parameter in model.named_parameters():
        parameter.copy_(torch.from_numpy(_weight(seed, name, tuple(parameter.shape))))


def _weight(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    noise = seeded_array(seed, name, shape)
    if len(shape) >= 2:
        return noise * np.float32(_GAIN * np.sqrt(2 / np.prod(shape[1:])))
    is_scale = name.endswith("weight") or not shape
    return np.asarray((1 if is_scale else 0) + 0.1 * noise, dtype=np.float32)


@torch.no_grad()
def settle_norms(model: nn.Module, image: Tensor) -> None:
    """Set the running statistics of batch norms to those of ``image`` (B, 3, H, W), so that eval mode keeps its scale.

    Random kernels would else grow or shrink the features from layer to layer until scores are all 0 or 1.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    model.eval()  # but for the norms: nothing is dropped by chance
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    feats = getattr(model, "extract_feat", model)(image)
    if isinstance(model, TaskModel):
        model.head(feats)
    for norm, momentum in zip(norms, before):
        norm.momentum = momentum
    model.eval()
