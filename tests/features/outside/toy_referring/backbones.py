"""One convolution of images."""

from __future__ import annotations

from torch import Tensor, nn

from visionzoo.registry import MODELS


@MODELS.register_module()
class ToyPixels(nn.Module):
    """Images (N, 3, H, W) to one feature map (N, width, H, W)."""

    def __init__(self, width: int = 6):
        super().__init__()
        self.layer = nn.Conv2d(3, width, 1)
        self.out_channels, self.out_strides = (width,), (1,)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.layer(images).relu(),)
