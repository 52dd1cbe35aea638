"""Initial weights of NASNet, and their L2 penalty (paper, appendix A; the authors' TensorFlow code)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

# Cutting a normal distribution at two standard deviations reduces its variance. This factor compensates for it.
_TRUNCATION = 1.3


def init_tensorflow(module: nn.Module) -> None:
    """Initialise convolutions and linear layers by fan-out, biases with zero, and norms to the identity.

    Weights have a normal distribution that is cut at two standard deviations. The standard deviation is
    ``sqrt(1.3 * 2 / fan_out)``. The fan-out is kernel size times output channels, or kernel size for depthwise
    convolutions.
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
    """Compute ``weight_decay / 2`` times the sum of squared weights of all convolutions and linear layers, a scalar.

    Biases and norms are excluded. The gradient equals that of an optimizer's ``weight_decay`` that is disabled for
    biases and norms.

    Example:
        >>> linear = nn.Linear(2, 3)
        >>> _ = nn.init.ones_(linear.weight)
        >>> l2_penalty(linear, 0.5).item()
        1.5
    """
    squares = [weight.square().sum() for weight in _penalised(module)]
    return weight_decay / 2 * torch.stack(squares).sum() if squares else torch.zeros(())


def _penalised(module: nn.Module) -> Iterator[Tensor]:
    return (part.weight for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear)))
