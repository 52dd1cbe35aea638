"""How NASNet's weights start, and what they cost (paper, appendix A; the authors' TensorFlow code)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

# What is cut off a normal distribution at two deviations lessens its own; this makes up for it.
_TRUNCATION = 1.3


def init_tensorflow(module: nn.Module) -> None:
    """Convolutions and linear layers by fan-out, from a normal distribution cut off at two deviations; norms neutral.

    The deviation is ``sqrt(1.3 * 2 / fan_out)``, with a fan-out of kernel size times output channels (of depthwise
    convolutions: kernel size).
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            fan_out = part.weight[:, 0].numel() // (part.groups if isinstance(part, nn.Conv2d) else 1)
            std = math.sqrt(_TRUNCATION * 2 / fan_out)
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def l2_penalty(module: nn.Module, weight_decay: float) -> Tensor:
    """``weight_decay / 2`` times the squared weights of all convolutions and linear layers, a scalar.

    Biases and norms cost nothing. An optimizer's own ``weight_decay``, switched off for both of these, has the same
    gradient.
    """
    squares = [weight.square().sum() for weight in _penalised(module)]
    return weight_decay / 2 * torch.stack(squares).sum() if squares else torch.zeros(())


def _penalised(module: nn.Module) -> Iterator[Tensor]:
    return (part.weight for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear)))
