"""What the images of a group have in common: the group affinity module (GAM) of GCoNet and GCoNet+.

Tensors: N images of all groups, G groups, C channels, h and w in cells of the deepest map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Affinities that are held at once; 16 MB in float32.
BLOCK = 2**22


class GroupConsensus(nn.Module):
    """One vector per group, from the cells that fit best to all its images (GCoNet, CVPR 2021, section 3.2).

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        for layer in (self.query, self.key, self.value):
            fill_by_fan_out(layer)

    def forward(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """(N, C, h, w), images of ``sizes`` by group, to (G, C, 1, 1)."""
        query, key = self.query(x).split(list(sizes)), self.key(x).split(list(sizes))
        attention = torch.cat([group_attention(q, k) for q, k in zip(query, key)])
        attended = (x * attention).mean((2, 3), keepdim=True)
        means = torch.stack([group.mean(0) for group in attended.split(list(sizes))])
        return self.value(means)  # linear, so it may come after the mean


def group_attention(query: Tensor, key: Tensor, *, block: int = BLOCK) -> Tensor:
    """How well each cell fits to all images of its group: (N, C, h, w) of both to (N, 1, h, w), sum 1 per image.

    A cell's score is its best match in each image, its own included, averaged over the images. Only this best is
    kept: at most ``block`` affinities exist at once, never all (N h w)^2, and the result is the same.
    """
    count, channels, height, width = query.shape
    cells = height * width
    rows = query.float().flatten(2).transpose(1, 2).flatten(0, 1).split(max(1, block // cells))
    images = key.float().flatten(2).unbind(0)
    # max, not amax: amax would keep every affinity for the backward pass, max keeps where the best was
    best = torch.cat([sum((part @ image).max(1).values for image in images) for part in rows])  # type: ignore[misc]
    scores = best / count * channels**-0.5
    return scores.view(count, cells).softmax(1).view(count, 1, height, width)


def fill_by_fan_out(layer: nn.Conv2d | nn.Linear) -> None:
    """Kaiming normal by fan-out for ReLU, zero bias, as the authors start these layers."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
