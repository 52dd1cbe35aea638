"""One convolution of volumes."""

from __future__ import annotations

from torch import Tensor, nn

from visionzoo.registry import MODELS


@MODELS.register_module()
class ToyVolumes(nn.Module):
    """Volumes (N, 1, D, H, W) to one feature map (N, width, D, H, W)."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.layer = nn.Conv3d(1, width, 3, padding=1)
        self.out_channels, self.out_strides = (width,), (1,)

    def forward(self, volumes: Tensor) -> tuple[Tensor, ...]:
        return (self.layer(volumes).relu(),)
