"""The optional refiner of GCoNet+: BASNet's small U-Net over the map (Qin et al., CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.heads.gconet_plus.decoder import resize

_WIDTH = 64


class Refiner(nn.Module):
    """A U-Net that adds a residual to the map.

    Images may have any size: each upsampled map is resized to its skip connection, not by a factor of 2.

    Args:
        in_channels: 1 to read the map, 4 to read the image and the map.
        norm: use batch normalisation.
    """

    def __init__(self, in_channels: int, norm: bool):
        super().__init__()
        self.conv0 = nn.Conv2d(in_channels, _WIDTH, 3, padding=1)
        for name in ("1", "2", "3", "4", "5"):
            self.add_module(f"conv{name}", nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1))
            self.add_module(f"bn{name}", nn.BatchNorm2d(_WIDTH) if norm else nn.Identity())
        for name in ("d4", "d3", "d2", "d1"):
            self.add_module(f"conv_{name}", nn.Conv2d(2 * _WIDTH, _WIDTH, 3, padding=1))
            self.add_module(f"bn_{name}", nn.BatchNorm2d(_WIDTH) if norm else nn.Identity())
        self.conv_d0 = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W), with the map in the last channel, to logits (N, 1, H, W).

        The authors add the residual to all input channels, so with the image there are four output maps. Here it is
        added only to the map.
        """
        down = [self._run("1", self.conv0(x))]
        for name in ("2", "3", "4", "5"):
            down.append(self._run(name, F.max_pool2d(down[-1], 2, 2, ceil_mode=True)))
        up = down.pop()
        for name in ("d4", "d3", "d2", "d1"):
            partner = down.pop()
            up = self._run(f"_{name}", torch.cat([resize(up, partner.shape[2:]), partner], 1))
        return x[:, -1:] + self.conv_d0(up)

    def _run(self, name: str, x: Tensor) -> Tensor:
        conv, norm = getattr(self, f"conv{name}"), getattr(self, f"bn{name}")
        return F.relu(norm(conv(x)), inplace=True)
