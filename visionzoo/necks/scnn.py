"""SCNN's messages as a neck of their own: behind any backbone or neck, in front of any head.

Pan et al., "Spatial As Deep: Spatial CNN for Traffic Scene Understanding", AAAI 2018, arXiv 1712.06080. The authors use
the messages in front of one dense classifier; other levels and heads are ours.

Tensors: B batch, C channels, H and W in pixels of the level they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.level_strides import require_levels, strides_of_levels
from visionzoo.layers.message_passing import DIRECTIONS, MessagePassing
from visionzoo.registry import MODELS


@MODELS.register_module()
class SpatialMessagePassing(BaseModule):
    """Every chosen level with messages sent down, up, right and left; the others as they are.

    Time grows with the square of the channels: reduce wide levels, or choose few.

    Args:
        in_channels: of every map that comes in, shallow first.
        in_strides: pixels per cell of every map; doubles from 4 by default.
        variant: ``default``, or ``tiny``, which reduces to 16 channels.
        channels: reduce every level to these by conv 1x1, norm and ReLU first; the variant's by default, which for
            ``default`` is None: no reduction.
        levels: which get messages, by index, negative from the end; None for all.
        kernel, directions, bias, update_first: see :class:`MessagePassing`.
        init_cfg: mmengine's.

    Attributes:
        out_channels: C of every map.
        out_strides: those that came in.

    Raises:
        ConfigError: levels, directions or a kernel that do not exist; at a call: another number of maps.
        UnknownName: an unknown variant.
    """

    VARIANTS: dict[str, dict[str, Any]] = {"default": {"channels": None}, "tiny": {"channels": 16}}

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int] | None = None,
        variant: str = "default",
        *,
        channels: int | None = None,
        levels: Sequence[int] | None = None,
        kernel: int = 9,
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
        """(B, in_channels[i], H_i, W_i) per level to (B, C_i, H_i, W_i); the inputs are left as they are."""
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
    """Indices from 0, in order."""
    if levels is None:
        return list(range(count))
    chosen = sorted({level % count for level in levels if -count <= level < count})
    if not chosen or len(chosen) != len(levels):
        raise ConfigError(
            "SpatialMessagePassing.levels",
            expected=f"some of 0 to {count - 1}, each once",
            found=f"{list(levels)}",
            advice="leave it out for all",
        )
    return chosen
