"""GSI of WiCo: predicted reliability of both branches, and the weights of their results.

Cheng et al., IJCAI 2023, arXiv:2306.10750. The idea is the paper's: a Gaussian of the performance of each branch is
predicted, a confidence is drawn from it, and weights the results. Its equations were not accessible, so the form is our
choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from visionzoo.allowed import Count, CountOrZero, Index, Items, Positive
from visionzoo.registry import MODELS

_LEAST_LOGVAR, _MOST_LOGVAR = -8.0, 2.0
BRANCHES = ("bottom_up", "top_down")


@dataclass(frozen=True)
class Reliability:
    """Predicted distribution of the IoU of each branch.

    Attributes:
        mean: (B, 2) in [0, 1], bottom-up and top-down.
        logvar: (B, 2), logarithm of the variance, -8 to 2.
    """

    mean: Tensor
    logvar: Tensor

    def drawn(self, noise: Tensor) -> Tensor:
        """Return confidences (..., B, 2) in [0, 1] from standard normal noise of that shape."""
        return (self.mean + (self.logvar / 2).exp() * noise).clamp(0, 1)


@MODELS.register_module()
class GSI(nn.Module):
    """Gaussian scoring integration (the paper's idea, our form).

    A perceptron for each branch predicts mean and variance of its IoU. In training, one confidence is drawn from each
    Gaussian. Otherwise, it is the mean, or the average of ``n_samples`` draws, equal for all images of a batch. The
    weights of the results are the softmax of the confidences, divided by ``temperature``.

    Args:
        in_channels: channels of the features of the bottom-up and of the top-down branch; filled in by the head.
        width: hidden channels of the perceptrons.
        temperature: small values choose one branch, large values average both.
        n_samples: draws in evaluation; 0 uses the mean.
        seed: seed of these draws.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> gsi = GSI((4, 6), width=8).eval()
        >>> weights = gsi.weights(gsi(torch.zeros(3, 4), torch.zeros(3, 6)))
        >>> weights.shape, bool(torch.allclose(weights.sum(1), torch.ones(3)))
        (torch.Size([3, 2]), True)
    """

    PART_OF = "WiCoHead"

    def __init__(
        self,
        in_channels: Annotated[Sequence[Count], Items(2, 2)],
        *,
        width: Count = 256,
        temperature: Positive = 0.1,
        n_samples: CountOrZero = 0,
        seed: Index = 0,
    ):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, 2)) for channels in in_channels
        )
        self.temperature, self.n_samples, self.seed = temperature, n_samples, seed

    def forward(self, bottom_up: Tensor, top_down: Tensor) -> Reliability:
        """Predict the reliability from the features of both branches, (B, channels) each."""
        outs = [branch(each).float() for branch, each in zip(self.branches, (bottom_up, top_down), strict=True)]
        raw, logvar = torch.stack(outs, 1).unbind(-1)
        return Reliability(raw.sigmoid(), logvar.clamp(_LEAST_LOGVAR, _MOST_LOGVAR))

    def weights(self, reliability: Reliability) -> Tensor:
        """Return the weights of both results, (B, 2), whose sum is 1."""
        return (self._confidences(reliability) / self.temperature).softmax(-1)

    def loss(self, reliability: Reliability, ious: Tensor) -> Tensor:
        """Return the negative log likelihood of the IoU of each branch, (B, 2), as a scalar without its constant."""
        logvar = reliability.logvar
        errors = (ious.detach() - reliability.mean).square()
        return (0.5 * ((-logvar).exp() * errors + logvar)).sum(1).mean()

    def _confidences(self, reliability: Reliability) -> Tensor:
        mean = reliability.mean
        if self.training:
            return reliability.drawn(torch.randn_like(mean))
        if not self.n_samples:
            return mean
        draw = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.n_samples, 1, len(BRANCHES), generator=draw).to(mean.device)
        return reliability.drawn(noise).mean(0)
