"""The second classifier that NASNet is trained with, on the map before the last reduction."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.backbones.nasnet.cells import NormSettings, batch_norm
from visionzoo.backbones.nasnet.init_and_penalty import init_tensorflow
from visionzoo.errors import InputError
from visionzoo.registry import MODELS

_POOL, _POOL_STRIDE = 5, 3


@MODELS.register_module()
class NASNetAuxBranch(nn.Module):
    """Pooled map to logits through two convolutions, the second as large as what the pool leaves.

    Its weights therefore belong to one size of images: the map of stride 16 (of the CIFAR network: of stride 2) must
    pool to ``size`` x ``size``.

    Args:
        in_channels: C of the map, after its ReLU: 12 F.
        num_classes: K.
        size: (M - 5) // 3 + 1 for a map of M x M: 6 for Large at 331 pixels, 4 for Mobile at 224 and for CIFAR at 32.
        channels: of both convolutions.
        norm_eps, norm_momentum: of both norms; of CIFAR networks 1e-5 and 0.1.
    """

    PART_OF = "ClassificationHead"

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        size: int,
        *,
        channels: tuple[int, int] = (128, 768),
        norm_eps: float = 1e-3,
        norm_momentum: float = 3e-4,
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
        """(B, C, M, M) to (B, K).

        Raises:
            InputError: a map that does not pool to ``size`` x ``size``.
        """
        least, most = _POOL + _POOL_STRIDE * (self.size - 1), _POOL + _POOL_STRIDE * self.size - 1
        if not all(least <= side <= most for side in x.shape[-2:]):
            raise InputError(
                "NASNetAuxBranch",
                expected=f"a map of {least} to {most} pixels per side, which size={self.size} is for",
                found=f"{x.shape[-2]}x{x.shape[-1]}",
                advice="give images of the size it was made for, or another size",
            )
        x = F.avg_pool2d(x, _POOL, _POOL_STRIDE)
        x = F.relu(self.bn_0(self.proj(x)), inplace=True)
        x = F.relu(self.bn_1(self.conv(x)), inplace=True)
        return self.fc(x.flatten(1))
