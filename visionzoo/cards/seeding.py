"""Seeded weights that are equal on every machine and for every version of torch.

NumPy's ``RandomState`` is frozen by its documented policy; the initialisers of torch are not. Each tensor is drawn from
a separate stream, so adding or renaming a part does not change the other parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.models.task_model import TaskModel
from visionzoo.structures.seeded import seeded_array

# Factor of He's scale. It has no effect before a norm. Elsewhere it keeps scores and boxes moderate.
_GAIN = 0.3


@torch.no_grad()
def fill_weights(model: nn.Module, seed: int) -> None:
    """Set every parameter to its seeded value: near 1 for the scales of norms, small for all others.

    Args:
        model: changed in place.
        seed: the same seed and parameter name give the same values.

    Example:
        >>> norm = nn.BatchNorm2d(1)
        >>> fill_weights(norm, seed=0)
        >>> bool(abs(norm.weight - 1) < 0.5)
        True
    """
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
    """Set the running statistics of batch norms to those of ``images``, so that features keep their scale in eval mode.

    Otherwise random kernels make the features grow or shrink from layer to layer until all scores are 0 or 1.

    Args:
        model: any model, changed in place.
        images: (B, 3, H, W), or another input of the model.
        samples: the data samples, for models whose raw outputs depend on them.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    model.eval()  # except the norms below; dropout is off
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
    if isinstance(model, TaskModel) and model.heads is not None:
        model(images, mode="tensor")
        return
    feats = getattr(model, "extract_feat", model)(images)
    if isinstance(model, TaskModel):
        model.head(feats)
