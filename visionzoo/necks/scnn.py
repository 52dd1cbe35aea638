"""SCNN's message passing as a separate neck, after any backbone or neck and before any head.

Pan et al., "Spatial As Deep: Spatial CNN for Traffic Scene Understanding", AAAI 2018, arXiv 1712.06080. The authors use
it before one dense classifier; support for other levels and heads is our addition.

Tensors: B batch, C channels, H and W size of a level in cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.allowed import Count, Few
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.levels import require_levels, strides_of_levels
from visionzoo.layers.message_passing import DIRECTIONS, MessagePassing
from visionzoo.registry import MODELS


@MODELS.register_module()
class SpatialMessagePassing(BaseModule):
    """Pass messages down, up, right and left in the chosen levels; the other levels are unchanged.

    The run time grows with the square of the channels: reduce wide levels, or choose few levels.

    Args:
        in_channels: channels of every input map, shallow first.
        in_strides: pixels per cell of every map; 4, 8, 16, ... by default.
        variant: ``default``, or ``tiny``, which reduces to 16 channels.
        channels: number of channels to which a 1x1 conv, norm and ReLU reduce every level first. Default: that of the
            variant; ``default`` has no reduction.
        levels: indices of the levels with messages, negative from the end; None for all.
        kernel, directions, bias, update_first: see :class:`MessagePassing`.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: channels of every output map.
        out_strides: pixels per cell of every output map, equal to those of the inputs.

    Raises:
        ConfigError: unknown levels or directions, or an even kernel; at a call: another number of maps.
        UnknownName: an unknown variant.

    Example:
        >>> import torch
        >>> neck = SpatialMessagePassing([8, 16], variant="tiny")
        >>> [tuple(x.shape) for x in neck([torch.zeros(1, 8, 4, 6), torch.zeros(1, 16, 2, 3)])]
        [(1, 16, 4, 6), (1, 16, 2, 3)]
    """

    VARIANTS: dict[str, dict[str, Any]] = {"default": {"channels": None}, "tiny": {"channels": 16}}

    def __init__(
        self,
        in_channels: Sequence[Count],
        in_strides: Sequence[Count] | None = None,
        variant: str = "default",
        *,
        channels: Count | None = None,
        levels: Sequence[int] | None = None,
        kernel: Few = 9,
        directions: Sequence[str] = tuple(DIRECTIONS),
        bias: bool = False,
        update_first: bool = True,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "SpatialMessagePassing variant")
        channels = self.VARIANTS[variant]["channels"] if channels is None else channels
        self.in_channels = tuple(in_channels)
        self.out_channels = self.in_channels if channels is None else (channels,) * len(self.in_channels)
        self.out_strides = strides_of_levels(in_strides, len(self.in_channels), "SpatialMessagePassing")
        self.reducers = nn.ModuleList() if channels is None else _reducers(self.in_channels, channels)
        self.messages = nn.ModuleDict(
            {
                str(level): MessagePassing(
                    self.out_channels[level], kernel, directions, bias=bias, update_first=update_first
                )
                for level in _chosen(levels, len(self.in_channels))
            }
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map one (B, in_channels[i], H_i, W_i) per level to (B, C_i, H_i, W_i); the inputs are not changed."""
        require_levels(feats, self.in_channels, "SpatialMessagePassing")
        if len(self.reducers):
            feats = [reducer(x) for reducer, x in zip(self.reducers, feats)]
        return tuple(
            self.messages[str(level)](x) if str(level) in self.messages else x for level, x in enumerate(feats)
        )


def _reducers(in_channels: Sequence[int], channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        for width in in_channels
    )


def _chosen(levels: Sequence[int] | None, count: int) -> list[int]:
    """Return the indices of the levels, sorted and not negative."""
    if levels is None:
        return list(range(count))
    chosen = sorted({level % count for level in levels if -count <= level < count})
    if not chosen or len(chosen) != len(levels):
        raise ConfigError(
            "SpatialMessagePassing.levels",
            expected=f"some of 0 to {count - 1}, each once",
            found=f"{list(levels)}",
            advice="leave it out to use all",
        )
    return chosen
