"""HyTra: search space of hybrid convolution-transformer networks, and its supernet (paper, section 4).

The space has four blocks of four layers. A layer runs a residual convolution or a residual attention block at one of
several scales. The scale may decrease by one from layer to layer.

Tensors: B batch, C channels, H and W in pixels of the map.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.algorithms.bossnas.paths import (
    DEPTHS,
    HYTRA_LAYERS,
    HYTRA_OPS,
    Path,
    distinct_paths,
    hytra_paths,
    scale_of,
)
from visionzoo.algorithms.bossnas.supernet import LazyChoices, Reducers, Supernet, weights_drawn_from
from visionzoo.backbones.bossnet.blocks import EXPANSION, PEG, attention_body, attention_input, conv_norm_act
from visionzoo.errors import CheckpointError, ConfigError

_FINEST = 3


class HyTraSupernet(Supernet):
    """All networks of HyTra in one network with shared weights.

    Ops are created when a path first uses them, because all ops together have 854 million parameters.

    Args:
        image_size: height and width of the images in pixels, a multiple of 32. Other sizes do not work, because layers
            decide by the width of their input if they must shrink it.
        width: channels of the stem and of bottlenecks at scale 1/4. They double from scale to scale.
        head_dim: channels of an attention head.
        restricted: start blocks at one of their two finest scales.
        transposed_attention: use the attention of the authors' search code, which sums over the queries; False for
            that of the paper.
        seed: seed of the weights.

    Raises:
        ConfigError: ``image_size`` is not a multiple of 32, ``head_dim`` does not divide the channels, or, in a call, a
            path that does not fit the block.

    Example:
        >>> supernet = HyTraSupernet(image_size=32, width=8, head_dim=8)
        >>> supernet.candidates(0, [])[0]
        (4, 2, 0, 0)
        >>> supernet.run_block(torch.zeros(2, 3, 32, 32), 0, (5, 4, 3, 3), []).shape
        torch.Size([2, 128, 2, 2])
    """

    num_blocks = len(DEPTHS)

    def __init__(
        self,
        *,
        image_size: int = 224,
        width: int = 64,
        head_dim: int = 64,
        restricted: bool = True,
        transposed_attention: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if image_size < 32 or image_size % 32:
            raise ConfigError(
                "HyTra.image_size", expected="a multiple of 32 pixels", found=f"{image_size}", advice="224 is usual"
            )
        if width < 1 or head_dim < 1 or (4 * width) % head_dim:
            raise ConfigError(
                "HyTra",
                expected=f"heads of {head_dim} channels to divide the {4 * width} at 1/16",
                found="a remainder",
                advice="use head_dim=64 with width=64",
            )
        self.restricted, self.width = restricted, width
        with weights_drawn_from(seed, "stem"):
            conv = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        norm, pool = nn.BatchNorm2d(width), nn.MaxPool2d(3, stride=2, padding=1)
        self.stem = nn.Sequential(conv, norm, nn.ReLU(inplace=True), pool)
        scales = _Scales(image_size, width, head_dim, transposed_attention)
        self.blocks = nn.ModuleList(
            nn.ModuleList(_Layer(block, layer, scales, seed) for layer in range(HYTRA_LAYERS))
            for block in range(self.num_blocks)
        )

    def build_all(self) -> HyTraSupernet:
        """Create all ops."""
        for layer in self._layers():
            layer.build_all()
        return self

    def depth(self, block: int, best_paths: Sequence[Path]) -> int:
        """Return the number of available scales: limited by the block and by the last scale of the block before it."""
        return DEPTHS[0] if block == 0 else min(_entry(best_paths) + 1, DEPTHS[block])

    def candidates(self, block: int, best_paths: Sequence[Path]) -> list[Path]:
        paths = hytra_paths(self.depth(block, best_paths), restricted=self.restricted)
        if block == 0:
            return paths
        entry = _entry(best_paths)
        if entry >= DEPTHS[block]:
            warnings.warn(
                f"HyTra: the path before block {block} ends at scale {entry}, finer than the block's ops; its paths "
                f"begin at scale {DEPTHS[block] - 1}",
                stacklevel=2,
            )
        return [path for path in paths if scale_of(path[0]) >= entry - 1]

    def sample(self, block: int, best_paths: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the warning is shown once, at the start of the block
            return distinct_paths(self.candidates(block, best_paths), count, draw)

    def prepare(self, block: int, paths: Sequence[Path], best_paths: Sequence[Path]) -> None:
        for path in paths:
            self.check_path(block, path)
            for i, (layer, op) in enumerate(zip(self.layers_of(block), path)):
                enters_finer = i == 0 and block > 0 and _entry(best_paths) > scale_of(op)
                layer.op(op, shrinks=enters_finer)

    def keep_path(self, block: int, path: Path) -> None:
        for layer, op in zip(self.layers_of(block), path):
            layer.keep(op)

    def projected(self, block: int) -> tuple[int, Reducers]:
        channels = [EXPANSION * self.width * 2 ** (_FINEST - scale) for scale in range(DEPTHS[block])]
        return channels[0], {
            channels[scale]: partial(_to_coarsest, channels[scale], channels[0], 2**scale)
            for scale in range(1, len(channels))
        }

    def _layers(self) -> list[_Layer]:
        return [layer for block in range(self.num_blocks) for layer in self.layers_of(block)]

    def check_path(self, block: int, path: Path) -> None:
        if len(path) != HYTRA_LAYERS or max(map(scale_of, path)) >= DEPTHS[block]:
            raise ConfigError(
                "HyTra",
                expected=f"a path of {HYTRA_LAYERS} ops at the {DEPTHS[block]} scales of block {block}",
                found=f"{list(path)}",
                advice="take it from candidates()",
            )


def _entry(best_paths: Sequence[Path]) -> int:
    return scale_of(best_paths[-1][-1])


def _to_coarsest(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Build a module that shrinks a map to 1/32 of the image and converts it to the channels of that scale."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, stride, stride, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class _Scales:
    """Channels and sizes of the maps at each scale."""

    def __init__(self, image_size: int, width: int, head_dim: int, transposed: bool):
        self.planes = [width * 2 ** (_FINEST - scale) for scale in range(4)]
        self.sides = [image_size // 32 * 2**scale for scale in range(4)]
        self.stem, self.head_dim, self.transposed = width, head_dim, transposed


class _Layer(nn.Module):
    """Ops of one layer. The first layer also has modules that convert the stem's map to the scales of its ops."""

    def __init__(self, block: int, layer: int, scales: _Scales, seed: int):
        super().__init__()
        self.scales, self.is_first = scales, (block, layer) == (0, 0)
        self.depth = DEPTHS[block]
        ops = [op for op, (scale, _) in enumerate(HYTRA_OPS) if scale < self.depth]
        makers = {str(op): partial(self._make, op) for op in ops}
        self.ops = LazyChoices(makers, name=f"blocks.{block}.{layer}.ops", seed=seed)
        resizers: dict[str, Callable[[], nn.Module]] = {}
        if self.is_first:
            resizers = {
                str(scale): partial(_to_coarsest, scales.stem, scales.planes[scale], 2 ** (_FINEST - scale))
                for scale in range(self.depth)
            }
        self.resizers = LazyChoices(resizers, name=f"blocks.{block}.{layer}.resizers", seed=seed)

    def forward(self, x: Tensor, op: int) -> Tensor:
        scale = scale_of(op)
        if self.is_first:
            x = self.resizers.ask(scale)(x)
        return self.op(op, shrinks=x.shape[-1] > self.scales.sides[scale])(x)

    def op(self, op: int, *, shrinks: bool = False) -> nn.Module:
        """Return an op and create it on first use. An op of the finest scale gets its second entry when needed."""
        if self.is_first:
            self.resizers.ask(scale_of(op))
        module = self.ops.ask(op)
        if shrinks and not module.has_entry:  # type: ignore[union-attr]
            with weights_drawn_from(self.ops.seed, f"{self.ops.name}.{op}.entry"):
                module.open_entry(2 * self.scales.planes[scale_of(op)])  # type: ignore[operator]
        return module

    def build_all(self) -> None:
        for choices in (self.ops, self.resizers):
            for key in choices.makers:
                choices.ask(key)

    def keep(self, op: int) -> None:
        self.ops.keep([op])
        self.resizers.keep([scale_of(op)])

    def _make(self, op: int) -> nn.Module:
        scale, kind = HYTRA_OPS[op]
        planes = self.scales.planes[scale]
        in_channels = planes if self.is_first else EXPANSION * planes
        finer = EXPANSION * self.scales.planes[scale + 1] if scale + 1 < self.depth else None
        side = self.scales.sides[scale]
        if kind == "conv":
            return SearchConv(in_channels, planes, side, finer_channels=finer)
        heads = planes // self.scales.head_dim
        return SearchAttention(
            in_channels, planes, side, heads=heads, finer_channels=finer, transposed=self.scales.transposed
        )


class _TwoEntries(nn.Module, ABC):
    """Base of ops that accept maps of one scale and, if they have a second entry, of the next finer scale."""

    entry_weight: str

    @property
    def has_entry(self) -> bool:
        """True if the op accepts finer maps."""
        return hasattr(self, self.entry_weight.partition(".")[0])

    @abstractmethod
    def add_entry(self, finer_channels: int) -> None:
        """Create the layers that read finer maps."""

    def open_entry(self, finer_channels: int) -> None:
        """Add the second entry to an existing op, on its device and in its mode."""
        self.add_entry(finer_channels)
        self.to(next(self.parameters()).device).train(self.training)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        stored = state_dict.get(prefix + self.entry_weight)
        if stored is not None and not self.has_entry:
            self.open_entry(stored.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *args)


class SearchConv(_TwoEntries):
    """Residual convolution for maps of one scale, or of the next finer scale.

    Args:
        in_channels: C of a map of this scale.
        planes: C inside the bottleneck. The result has 4 * planes channels.
        side: width in pixels of a map of this scale. Separate convolutions, named ``*_d``, shrink wider maps.
        finer_channels: C of a map of the next finer scale; None if such maps are not accepted.

    Example:
        >>> op = SearchConv(16, 4, side=4, finer_channels=8)
        >>> op(torch.zeros(2, 8, 8, 8)).shape
        torch.Size([2, 16, 4, 4])
    """

    entry_weight = "conv1_d.weight"

    def __init__(self, in_channels: int, planes: int, side: int, *, finer_channels: int | None = None):
        super().__init__()
        out_channels = EXPANSION * planes
        self.side, self.planes = side, planes
        if finer_channels is not None:
            self.add_entry(finer_channels)
        self.downsample = _same_scale_shortcut(in_channels, out_channels)
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.peg = PEG(planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.bn3.weight)

    def add_entry(self, finer_channels: int) -> None:
        self.downsample_d = conv_norm_act(finer_channels, EXPANSION * self.planes, 3, 2, "relu")
        self.conv1_d = nn.Conv2d(finer_channels, self.planes, 1, bias=False)
        self.peg_d = PEG(self.planes, 2)
        self.bn1_d = nn.BatchNorm2d(self.planes)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > self.side:
            short, inner = self.downsample_d(x), self.bn1_d(self.peg_d(self.conv1_d(x)))
        else:
            short, inner = self.downsample(x), self.bn1(self.peg(self.conv1(x)))
        inner = self.bn2(self.conv2(inner.relu_())).relu_()
        return (self.bn3(self.conv3(inner)) + short).relu_()


class SearchAttention(_TwoEntries):
    """Residual attention for maps of one scale, or of the next finer scale.

    Args:
        in_channels, planes, side, finer_channels: as for :class:`SearchConv`.
        heads: number of attention heads, a divisor of ``planes``.
        transposed: see :class:`visionzoo.backbones.bossnet.Attention`.

    Example:
        >>> op = SearchAttention(16, 4, side=4, heads=2)
        >>> op(torch.zeros(2, 16, 4, 4)).shape
        torch.Size([2, 16, 4, 4])
    """

    entry_weight = "proj_d.0.weight"

    def __init__(
        self,
        in_channels: int,
        planes: int,
        side: int,
        *,
        heads: int,
        finer_channels: int | None = None,
        transposed: bool = True,
    ):
        super().__init__()
        self.side, self.planes = side, planes
        if finer_channels is not None:
            self.add_entry(finer_channels)
        self.shortcut = _same_scale_shortcut(in_channels, EXPANSION * planes)
        self.proj = attention_input(in_channels, planes, 1)
        self.net = attention_body(planes, EXPANSION * planes, heads, act="relu", transposed=transposed)
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]

    def add_entry(self, finer_channels: int) -> None:
        self.shortcut_d = conv_norm_act(finer_channels, EXPANSION * self.planes, 3, 2, "relu")
        self.proj_d = attention_input(finer_channels, self.planes, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > self.side:
            short, inner = self.shortcut_d(x), self.proj_d(x)
        else:
            short, inner = self.shortcut(x), self.proj(x)
        return (self.net(inner) + short).relu_()


def _same_scale_shortcut(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Identity() if in_channels == out_channels else conv_norm_act(in_channels, out_channels, 1, 1, "relu")


# --------------------------------------------------------------------------- the authors' names

_STEM = re.compile(r"_stem\.([01])\.")
_STEM_COPY = re.compile(r"(conv1|bn1)\.")
_OP = re.compile(r"_blocks\.(\d)\._block_layers\.(\d)\._mix_ops\.(\d)\.")
_RESIZER = re.compile(r"_blocks\.(\d)\._block_layers\.(\d)\.downsamples\.64_(\d+)\.")
_RESIZED = {"512": 0, "256": 1, "128": 2, "64": 3}


def convert_supernet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights of the authors' HyTra supernet to those of :class:`HyTraSupernet`.

    The authors store the stem twice, as ``conv1`` and ``bn1``, and as ``_stem``. The latter is used.

    Raises:
        CheckpointError: a name that is not in the authors' supernet.

    Example:
        >>> list(convert_supernet({"_blocks.0._block_layers.1._mix_ops.2.conv1.weight": torch.zeros(1)}))
        ['blocks.0.1.ops.2.conv1.weight']
    """
    return {_our_name(name): value for name, value in state.items() if not _STEM_COPY.match(name)}


def _our_name(name: str) -> str:
    if _STEM.match(name):
        return _STEM.sub(r"stem.\1.", name)
    if _OP.match(name):
        return _OP.sub(r"blocks.\1.\2.ops.\3.", name)
    if (match := _RESIZER.match(name)) and match[3] in _RESIZED:
        return f"blocks.{match[1]}.{match[2]}.resizers.{_RESIZED[match[3]]}.{name[match.end() :]}"
    raise CheckpointError(
        "checkpoint",
        expected="a HyTra supernet (_stem.*, _blocks.*)",
        found=f"{name}",
        advice="give the online or target backbone",
    )
