"""Building blocks of RevFP and CSN: convolution blocks and the resizing between levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.ops.deform_conv import deform_conv2d

Size = tuple[int, int]

_OUT_CONVS = "None, dict(type='Conv2d') or dict(type='DCNv2', deform_groups=G)"


class ConvNorm(nn.Module):
    """Convolution, then normalisation.

    Args:
        conv: any convolution, built by the caller.
        channels: channels of the output.
        norm_cfg: mmcv's norm config, e.g. ``dict(type="BN")``; None for no norm. The module has mmcv's name: ``bn``,
            ``gn`` and so on.
        relu_before: apply ReLU to the input in place; pass only maps that no other code reads.
        relu_after: apply ReLU to the output.
    """

    def __init__(
        self,
        conv: nn.Module,
        channels: int,
        norm_cfg: Mapping | None,
        *,
        relu_before: bool = False,
        relu_after: bool = False,
    ):
        super().__init__()
        self.conv = conv
        self.relu_before, self.relu_after = relu_before, relu_after
        self.norm_name = None
        if norm_cfg is not None:
            self.norm_name, norm = build_norm_layer(dict(norm_cfg), channels)
            self.add_module(self.norm_name, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x.relu_() if self.relu_before else x)
        if self.norm_name is not None:
            x = getattr(self, self.norm_name)(x)
        return x.relu_() if self.relu_after else x


class DeformConv(nn.Module):
    """3x3 modulated deformable convolution that predicts its offsets and masks (DCNv2).

    It computes in float32 or float64, also under autocast, because positions in half precision are too coarse on large
    maps. The output has the type of the input.
    """

    def __init__(self, channels: int, deform_groups: int, *, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None
        self.conv_offset = nn.Conv2d(channels, 3 * 9 * deform_groups, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set offsets to 0 and masks to 0.5: the block starts as a plain convolution, scaled by 0.5."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        zeros(self.conv_offset)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if not _autocasts(x.device):
            return self._convolve(_at_least_float32(x)).to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return self._convolve(_at_least_float32(x)).to(x.dtype)

    def _convolve(self, x: Tensor) -> Tensor:
        predict = self.conv_offset
        moves = F.conv2d(x, predict.weight.to(x.dtype), predict.bias.to(x.dtype), padding=1)  # type: ignore[union-attr]
        third = moves.shape[1] // 3
        offset, mask = moves.split([2 * third, third], 1)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return deform_conv2d(x, offset, self.weight.to(x.dtype), bias, mask=mask.sigmoid(), padding=1)


def _autocasts(device: torch.device) -> bool:
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


# --------------------------------------------------------------------------- building


def pointwise(in_channels: int, channels: int, norm_cfg: Mapping | None, *, relu_after: bool = False) -> ConvNorm:
    """Build a 1x1 convolution and norm with Xavier initialisation."""
    conv = nn.Conv2d(in_channels, channels, 1, bias=norm_cfg is None)
    xavier(conv)
    return ConvNorm(conv, channels, norm_cfg, relu_after=relu_after)


def fusing_conv(channels: int, norm_cfg: Mapping | None, out_conv_cfg: Mapping | None) -> ConvNorm:
    """Build the block after every fusion: ReLU, 3x3 convolution (deformable or plain), norm."""
    return ConvNorm(_conv3x3(channels, norm_cfg is None, out_conv_cfg), channels, norm_cfg, relu_before=True)


def _conv3x3(channels: int, bias: bool, cfg: Mapping | None) -> nn.Module:
    options: dict[str, Any] = dict(cfg or {"type": "Conv2d"})
    kind, groups = options.pop("type", None), options.pop("deform_groups", 1)
    if kind not in ("Conv2d", "DCNv2") or options or (kind == "Conv2d" and groups != 1):
        raise ConfigError(
            "RCNet.out_conv_cfg", expected=f"{_OUT_CONVS}", found=f"{dict(cfg or {})}", advice="use one of these"
        )
    if kind == "Conv2d":
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        xavier(conv)
        return conv
    if groups < 1 or channels % groups:
        raise ConfigError(
            "RCNet.out_conv_cfg.deform_groups",
            expected=f"a divisor of the {channels} channels",
            found=f"{groups}",
            advice="use 1 or 2",
        )
    return DeformConv(channels, groups, bias=bias)


def xavier(module: nn.Module) -> None:
    """Draw Xavier uniform weights and set zero biases for every convolution in ``module``."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def zeros(module: nn.Module) -> None:
    """Set every parameter of ``module`` to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


# --------------------------------------------------------------------------- resizing


def size_of(x: Tensor) -> Size:
    """Return height and width; while a graph is recorded, they may be symbols."""
    return x.shape[-2], x.shape[-1]


def is_recorded() -> bool:
    """Return True while a graph is recorded: then no branch may depend on a size.

    Sizes are those of a pyramid in this case: each level has half the size of the level before it, rounded up.
    """
    return torch.compiler.is_compiling()


def grow(x: Tensor, size: Size) -> Tensor:
    """Interpolate a coarser level bilinearly to ``size``."""
    if not is_recorded() and size_of(x) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def shrink(x: Tensor, size: Size) -> Tensor:
    """Reduce a finer level to ``size`` by max pooling.

    If ``size`` is half the size, rounded up, pooling is 2x2 and keeps the odd row and column, as in the authors' code.
    For any other size (a backbone that drops the odd row), pooling is adaptive.
    """
    if is_recorded():
        return F.max_pool2d(x, 2, ceil_mode=True)
    height, width = size_of(x)
    if size == (height, width):
        return x
    if size == (-(-height // 2), -(-width // 2)):
        return F.max_pool2d(x, 2, ceil_mode=True)
    return F.adaptive_max_pool2d(x, size)


def pool_to(x: Tensor, size: Size, halvings: int) -> Tensor:
    """Reduce ``x`` to ``size`` by adaptive max pooling.

    Args:
        x: (B, C, H, W).
        size: (H', W').
        halvings: number of levels between both, which a recorded graph depends on.

    Example:
        >>> pool_to(torch.arange(5.0).reshape(1, 1, 1, 5), (1, 3), 1).flatten().tolist()
        [1.0, 3.0, 4.0]
    """
    if is_recorded():
        return x if halvings == 0 else max_of_windows(max_of_windows(x, -2, size[0], halvings), -1, size[1], halvings)
    (height, width), (rows, cols) = size_of(x), size
    if (height, width) == size:
        return x
    if height % rows == 0 and width % cols == 0:  # the same windows with the faster operator
        return F.max_pool2d(x, (height // rows, width // cols))
    return F.adaptive_max_pool2d(x, size)


def max_of_windows(x: Tensor, dim: int, count: int, halvings: int) -> Tensor:
    """Reduce axis -1 or -2 to ``count`` maxima of the windows of adaptive pooling, for sizes that may be symbols.

    Example:
        >>> max_of_windows(torch.arange(5.0), -1, 3, 1).tolist()
        [1.0, 3.0, 4.0]
    """
    length, most = x.shape[dim], 2**halvings + 1
    place = torch.arange(count, device=x.device)[:, None]
    start, end = place * length // count, ((place + 1) * length + count - 1) // count
    index = torch.minimum(start + torch.arange(most, device=x.device), end - 1)
    return x[..., index].amax(-1) if dim == -1 else x[..., index, :].amax(-2)
