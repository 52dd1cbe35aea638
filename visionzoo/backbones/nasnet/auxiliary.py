"""Auxiliary classifier for the training of NASNet. It reads the map before the last reduction."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Positive, Share
from visionzoo.backbones.nasnet.cells import NormSettings, batch_norm
from visionzoo.backbones.nasnet.init_and_penalty import init_tensorflow
from visionzoo.errors import InputError
from visionzoo.registry import MODELS

_POOL, _POOL_STRIDE = 5, 3


@MODELS.register_module()
class NASNetAuxBranch(nn.Module):
    """Compute logits from a pooled map with two convolutions. The second kernel covers the whole pooled map.

    The weights therefore require one image size: the map of stride 16 (stride 2 in the CIFAR network) must pool to
    ``size`` x ``size``.

    Args:
        in_channels: C of the map after its ReLU: 12 F.
        num_classes: K.
        size: (M - 5) // 3 + 1 for a map of M x M: 6 for Large at 331 pixels, 4 for Mobile at 224 and for CIFAR at 32.
        channels: output channels of the two convolutions.
        norm_eps, norm_momentum: settings of both norms; 1e-5 and 0.1 for CIFAR networks.

    Raises:
        InputError: in ``forward``, a map that does not pool to ``size`` x ``size``.

    Example:
        >>> import torch
        >>> NASNetAuxBranch(12, num_classes=7, size=2, channels=(4, 8)).eval()(torch.zeros(1, 12, 8, 8)).shape
        torch.Size([1, 7])
    """

    PART_OF = "ClassificationHead"

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        size: Count,
        *,
        channels: tuple[Count, Count] = (128, 768),
        norm_eps: Positive = 1e-3,
        norm_momentum: Share = 3e-4,
    ):
        super().__init__()
        norm, (narrow, wide) = NormSettings(norm_eps, norm_momentum), channels
        self.size = size
        self.proj = nn.Conv2d(in_channels, narrow, 1, bias=False)
        self.bn_0 = batch_norm(narrow, norm)
        self.conv = nn.Conv2d(narrow, wide, size, bias=False)
        self.bn_1 = batch_norm(wide, norm)
        self.fc = nn.Linear(wide, num_classes)
        init_tensorflow(self)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits (B, K) from maps (B, C, M, M).

        Raises:
            InputError: a map that does not pool to ``size`` x ``size``.
        """
        least, most = _POOL + _POOL_STRIDE * (self.size - 1), _POOL + _POOL_STRIDE * self.size - 1
        if not all(least <= side <= most for side in x.shape[-2:]):
            raise InputError(
                "NASNetAuxBranch",
                expected=f"a map of {least} to {most} pixels per side for size={self.size}",
                found=f"{x.shape[-2]}x{x.shape[-1]}",
                advice="give images of the matching size, or change size",
            )
        x = F.avg_pool2d(x, _POOL, _POOL_STRIDE)
        x = F.relu(self.bn_0(self.proj(x)), inplace=True)
        x = F.relu(self.bn_1(self.conv(x)), inplace=True)
        return self.fc(x.flatten(1))
