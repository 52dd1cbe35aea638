"""Weights and images that are the same on every machine and under every version of torch.

numpy's ``RandomState`` is frozen by its documented policy, torch's initialisers are not. Every tensor is drawn from
its own stream, so a part that is added or renamed leaves the others as they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.models.task_model import TaskModel
from visionzoo.structures.seeded import seeded_array

# Of He's scale. Where a norm follows, it makes no difference; where none does, scores and boxes stay moderate.
_GAIN = 0.3


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
def settle_norms(model: nn.Module, images: Tensor, samples: Any = None) -> None:
    """Set the running statistics of batch norms to those of ``images``, so that eval mode keeps its scale.

    Random kernels would else grow or shrink the features from layer to layer until scores are all 0 or 1.

    Args:
        model: any model.
        images: (B, 3, H, W), or what else the model takes.
        samples: for models that need them also for their raw outputs.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    model.eval()  # but for the norms: nothing is dropped by chance
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    _run(model, images, samples)
    for norm, momentum in zip(norms, before):
        norm.momentum = momentum
    model.eval()


def _run(model: Any, images: Tensor, samples: Any) -> None:
    if samples is not None:
        model(images, samples, mode="tensor")
        return
    feats = getattr(model, "extract_feat", model)(images)
    if isinstance(model, TaskModel):
        for head in model.main_heads():
            head(feats)
