"""Decoder of MICDIR: upsampling levels, and convolutions to a velocity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from visionzoo.layers.spatial import conv_act, resize_linear, run

# Spread of the weights of a linear last convolution at the start, with which the first fields are almost zero.
_START = 1e-5

# Activations after the last convolution.
LAST: dict[str, Callable[[], nn.Module]] = {
    "leaky": partial(nn.LeakyReLU, 0.2, inplace=True),
    "tanh": nn.Tanh,
    "linear": nn.Identity,
}


class Decoder(nn.Module):
    """Resize the coarser map to the next finer level, concatenate the level, and convolve; for every level.

    Args:
        start: channels of the coarsest map.
        channels: channels of all finer levels, shallow first.
        width: channels of every decoded map.
        dims: number of spatial axes.
        with_cp: recompute activations in the backward pass instead of storing them.
    """

    def __init__(self, start: int, channels: Sequence[int], width: int, *, dims: int, with_cp: bool):
        super().__init__()
        self.with_cp = with_cp
        coarser = [start, *[width] * (len(channels) - 1)]
        self.levels = nn.ModuleList(
            conv_act(dims, before + skip, width, nn.LeakyReLU(0.2, inplace=True), bias=False)
            for before, skip in zip(coarser, reversed(channels), strict=True)
        )

    def forward(self, x: Tensor, feats: Sequence[Tensor]) -> list[Tensor]:
        """Return one decoded map per level, coarse first.

        Args:
            x: (N, start, *s), the coarsest map.
            feats: the finer levels, shallow first.
        """
        decoded, with_cp = [], self.with_cp and self.training
        for level, skip in zip(self.levels, reversed(feats), strict=True):
            x = run(partial(_on_level, level), x, skip, with_cp=with_cp)
            decoded.append(x)
        return decoded


def _on_level(level: nn.Module, x: Tensor, skip: Tensor) -> Tensor:
    return level(torch.cat([resize_linear(x, skip.shape[2:]), skip], 1))


class VelocityLayers(nn.Module):
    """Convolutions of a decoded map to a velocity.

    Args:
        before: channels of the input: map and image together.
        widths: channels of the convolutions before the last one.
        dims: number of spatial axes, the components of the velocity.
        last: activation after the last convolution, a name of ``LAST``.
        with_cp: recompute activations in the backward pass instead of storing them.
    """

    def __init__(self, before: int, widths: Sequence[int], *, dims: int, last: str, with_cp: bool):
        super().__init__()
        self.with_cp = with_cp
        channels = (before, *widths, dims)
        acts = [*[nn.LeakyReLU(0.2, inplace=True) for _ in widths], LAST[last]()]
        chain = [conv_act(dims, a, b, act, bias=False) for (a, b), act in zip(pairwise(channels), acts, strict=True)]
        self.layers = nn.Sequential(*chain)
        if last == "linear":
            nn.init.normal_(chain[-1][0].weight, std=_START)  # type: ignore[arg-type]

    def forward(self, x: Tensor, image: Tensor | None = None) -> Tensor:
        """Return the velocity (N, n, *s).

        Args:
            x: the decoded map.
            image: (N, C, *s), to be concatenated before the map; its grid is that of the velocity.
        """
        given = (x,) if image is None else (x, image)
        return run(self._layers_on, *given, with_cp=self.with_cp and self.training)

    def _layers_on(self, x: Tensor, image: Tensor | None = None) -> Tensor:
        return self.layers(x if image is None else torch.cat([image, resize_linear(x, image.shape[2:])], 1))
