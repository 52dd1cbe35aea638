"""Parts under contract: all of ours, read from the registries, and a selection from other libraries.

Registering a backbone, neck or head is enough to test it, in its ``tiny`` variant. A part with an argument
``text_channels`` also receives a batch with one phrase. Defaults of its arguments ``dims``
and ``in_channels`` state that a part reads volumes or images of other channels than 3, and that a head reads one map of
these channels in the resolution of the images.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.config.signatures import arguments_of
from visionzoo.models.wiring import Levels, backbone_levels
from visionzoo.registry import MODELS, SCOPE, own_parts
from visionzoo.structures.batch import Batch, TextStates

# One small model per family. The listed families always run, the others with the slow tests.
TIMM_FAST = (
    "resnet18",
    "mobilenetv3_small_050",
    "efficientnet_lite0",
    "regnetx_002",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
    "edgenext_xx_small",
    "mobilevit_xxs",
    "repvgg_a0",
    "ghostnet_050",
    "pvt_v2_b0",
    "efficientvit_b0",
)
TIMM_SLOW = (
    "caformer_s18",
    "cs3darknet_s",
    "cspresnet50",
    "davit_tiny",
    "densenet121",
    "dla46_c",
    "dpn48b",
    "efficientformerv2_s0",
    "ese_vovnet19b_dw",
    "fastvit_t8",
    "focalnet_tiny_srf",
    "gernet_s",
    "hgnet_tiny",
    "hiera_tiny_224",
    "hrnet_w18_small",
    "inception_next_atto",
    "levit_128s",
    "maxvit_tiny_tf_224",
    "mobilenetv4_conv_small_035",
    "mobileone_s0",
    "mvitv2_tiny",
    "nest_tiny",
    "nf_regnet_b0",
    "rdnet_tiny",
    "repghostnet_050",
    "repvit_m0_9",
    "resnest14d",
    "rexnet_100",
    "selecsls42",
    "skresnet18",
    "starnet_s1",
    "swinv2_cr_tiny_ns_224",
    "tiny_vit_5m_224",
    "tresnet_m",
    "twins_svt_small",
    "vgg11",
    "vit_tiny_patch16_224",
    "xception41",
)

RESNET = {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8}

# Channels and strides of the inputs of necks and heads.
PYRAMID = Levels(channels=(8, 16, 32, 64), strides=(4, 8, 16, 32), giver="a pyramid")
EQUAL_PYRAMID = Levels(channels=(32, 32, 32, 32), strides=(4, 8, 16, 32), giver="a pyramid of equal channels")

Size = tuple[int, int]

# Words of the phrase of every image, one of them padding.
WORDS = torch.linspace(-1, 1, 4 * 6).view(1, 4, 6)

# Sides of the further axes of volumes.
DEPTH = 9

# The instance of the part whose tests are running; the parts of all families together fill 15 GB.
_BUILT: dict[str, nn.Module] = {}


@dataclass
class Subject:
    """A part under test: its settings and its inputs."""

    name: str
    kind: str
    cfg: dict[str, Any]
    feeds: Levels | None = None
    dims: int = 2
    channels: int = 3

    def build(self) -> nn.Module:
        """Return a new instance, always with the same weights."""
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope(SCOPE):
            part = MODELS.build(dict(self.cfg))
        if "text_channels" in self.cfg:
            part.register_forward_pre_hook(_with_phrases, with_kwargs=True)
        return part

    @property
    def part(self) -> nn.Module:
        """Return the instance that all tests of this part share, in evaluation mode, without gradients."""
        if self.name not in _BUILT:
            _BUILT.clear()
            _BUILT[self.name] = self.build()
        part = _BUILT[self.name]
        part.eval()
        part.zero_grad()
        return part

    def inputs(self, size: Size, batch: int = 2) -> Any:
        """Return images of this size, or the pyramid that a backbone computes from them."""
        draw, sides = torch.Generator().manual_seed(1), self.sides(size)
        if self.feeds is None:
            return torch.randn(batch, self.channels, *sides, generator=draw)
        return tuple(
            torch.randn(batch, channels, *(ceil(side / stride) for side in sides), generator=draw)
            for channels, stride in zip(self.feeds.channels, self.feeds.strides)
        )

    def sides(self, size: Size) -> tuple[int, ...]:
        """Return the sides of an image of this size, or of a volume."""
        return (*size, *[DEPTH] * (self.dims - 2))

    @property
    def reads_images(self) -> bool:
        """Return True unless the part reads volumes or images of other channels than 3."""
        return (self.dims, self.channels) == (2, 3)

    def levels(self) -> Levels:
        """Return channels and strides of the outputs: as declared, or as measured for other libraries' parts."""
        if self.kind == "backbone":
            with DefaultScope.overwrite_default_scope(SCOPE):
                return backbone_levels(self.cfg)
        return Levels(self.part.out_channels, self.part.out_strides, self.name)


def fast_subjects() -> list[Subject]:
    """Return every part of ours and the families that always run."""
    ours = [_own(folder, name, cls) for folder in ("backbones", "necks", "heads") for name, cls in own(folder).items()]
    return [*ours, Subject("mmdet.ResNet", "backbone", RESNET), *map(_timm, TIMM_FAST)]


def slow_subjects() -> list[Subject]:
    """Return the other families of timm."""
    return [_timm(name) for name in TIMM_SLOW]


def own(folder: str) -> dict[str, type]:
    """Return our registered parts of one kind."""
    return dict(sorted(own_parts(folder).items()))


def _own(folder: str, name: str, cls: type) -> Subject:
    kind, cfg = folder.removesuffix("s"), {"type": name, "variant": "tiny"}
    dims = _default(cls, "dims", 2)
    if arguments_of(cls).know("text_channels"):
        cfg["text_channels"] = WORDS.shape[-1]
    if kind == "backbone":
        return Subject(name, kind, cfg, dims=dims, channels=_default(cls, "in_channels", 3))
    arguments = arguments_of(cls)
    takes_one = arguments.annotation("in_channels") in ("int", "Count")
    feeds = EQUAL_PYRAMID if takes_one else PYRAMID
    own_channels = _default(cls, "in_channels", 0)
    if isinstance(own_channels, int) and own_channels:
        feeds = Levels((own_channels,), (1,), "an image")
    cfg["in_channels"] = feeds.channels[0] if takes_one else list(feeds.channels)
    if "in_strides" in arguments.names:
        cfg["in_strides"] = list(feeds.strides)
    return Subject(name, kind, cfg, feeds, dims)


def _with_phrases(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Add a batch with the same phrase for every image to the arguments of a part."""
    images = len(tensors_of(args)[0])
    mask = torch.arange(WORDS.shape[1]) < WORDS.shape[1] - 1
    text = TextStates(WORDS.expand(images, -1, -1), mask.expand(images, -1))
    return args, kwargs | {"batch": Batch(text=text)}


def _default(cls: type, argument: str, usual: int) -> int:
    """Return the default of an argument, or ``usual`` for a class without it."""
    parameter = inspect.signature(cls).parameters.get(argument)
    return usual if parameter is None else parameter.default


def _timm(name: str) -> Subject:
    return Subject(f"timm.{name}", "backbone", {"type": f"timm.{name}"})


def tensors_of(outputs: Any) -> list[Tensor]:
    """Return all tensors of nested outputs, in order."""
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, Sequence) else ()
    return [tensor for value in values for tensor in tensors_of(value)]
