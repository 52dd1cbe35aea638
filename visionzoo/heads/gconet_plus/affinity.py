"""The group affinity module (GAM) of GCoNet and GCoNet+: features that the images of a group share.

Tensors: N images of all groups, G groups, C channels, h and w in cells of the deepest map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Largest number of affinities in memory at once; 16 MB in float32.
BLOCK = 2**22


class GroupConsensus(nn.Module):
    """One vector per group, from the cells that best match all its images (GCoNet, CVPR 2021, section 3.2).

    Args:
        channels: number of channels C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        for layer in (self.query, self.key, self.value):
            fill_by_fan_out(layer)

    def forward(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Map (N, C, h, w) to (G, C, 1, 1); ``sizes`` holds the number of images of each group."""
        query, key = self.query(x).split(list(sizes)), self.key(x).split(list(sizes))
        attention = torch.cat([group_attention(q, k) for q, k in zip(query, key)])
        attended = (x * attention).mean((2, 3), keepdim=True)
        means = torch.stack([group.mean(0) for group in attended.split(list(sizes))])
        return self.value(means)  # linear, so it can follow the mean


def group_attention(query: Tensor, key: Tensor, *, block: int = BLOCK) -> Tensor:
    """Compute how well each cell matches all images of its group.

    A cell's score is its best match in each image, including its own image, averaged over the images. Only the best
    match is kept. At most ``block`` affinities exist at once instead of all (N h w)^2; the result is the same.

    Args:
        query, key: (N, C, h, w) of one group.
        block: largest number of affinities in memory.

    Returns:
        (N, 1, h, w), with a sum of 1 per image.
    """
    count, channels, height, width = query.shape
    cells = height * width
    if torch.compiler.is_exporting():  # the number of images of a graph is not known, so it has no parts
        every = query.float().flatten(2).transpose(1, 2).flatten(0, 1) @ key.float().flatten(2)
        return _shares(every.max(2).values.sum(0), count, channels, height, width)
    rows = query.float().flatten(2).transpose(1, 2).flatten(0, 1).split(max(1, block // cells))
    images = key.float().flatten(2).unbind(0)
    # max, not amax: for the backward pass, amax keeps every affinity, max only the index of the best
    best = torch.cat([sum((part @ image).max(1).values for image in images) for part in rows])  # type: ignore[misc]
    return _shares(best, count, channels, height, width)


def _shares(best: Tensor, count: int, channels: int, height: int, width: int) -> Tensor:
    """Return the share of each cell in its image from the sums of its best matches, (count * height * width,)."""
    scores = best / count * channels**-0.5
    return scores.view(count, height * width).softmax(1).view(count, 1, height, width)


def fill_by_fan_out(layer: nn.Conv2d | nn.Linear) -> None:
    """Initialise a layer like the authors: Kaiming normal weights by fan-out for ReLU, zero bias."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
