"""ResNet (He et al., CVPR 2016, arXiv:1512.03385) without the pooling after its first convolution.

GCoNet+ uses this form. It returns five maps at strides 2, 2, 4, 8 and 16. Layers and their names are torchvision's, so
torchvision's ImageNet weights load unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from visionzoo.allowed import Indices
from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import DataError, require_known
from visionzoo.layers.levels import checked_indices
from visionzoo.registry import MODELS


@CONVERTERS.register("resnet", use="backbone")
def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert ImageNet weights of a ResNet or ResNeXt: drop the classifier and keep the names.

    They fit :class:`UnpooledResNet`, ``mmdet.ResNet`` and ``mmdet.ResNeXt``.

    Args:
        checkpoint: content of a file of torchvision like ``resnet50-0676ba61.pth``, or of OpenMMLab.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: the names are not those of a whole ResNet.
    """
    state = tensors_of(checkpoint, ["state_dict", "model"])
    require_names(
        state,
        known=re.compile(r"(conv1|bn1|layer[1-4]|fc)\."),
        needed=["conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"],
        expected="a whole ResNet (conv1.*, bn1.*, layer1.* to layer4.*, fc.*)",
        advice="give ImageNet weights of torchvision or OpenMMLab",
    )
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


@MODELS.register_module()
class UnpooledResNet(BaseModule):
    """Compute up to five feature maps of an image: those of the stem and of four stages.

    Args:
        variant: ``18``, ``34``, ``50`` or ``101`` layers; ``tiny`` for tests.
        out_indices: maps to return, shallow first. 0 is the stem's map.
        frozen: disable training of all parameters. Batch normalisations still update their statistics in training.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint="torchvision://resnet50")``.

    Attributes:
        out_channels: C of each returned map; 64, 256, 512, 1024 and 2048 for ``50``.
        out_strides: pixels per cell of each returned map; 2, 2, 4, 8 and 16 for all maps.

    Raises:
        UnknownName: an unknown variant.
        ConfigError: ``out_indices`` is not an ascending selection of 0 to 4.
        DataError: in ``forward``: images do not have 3 channels.

    Example:
        >>> import torch
        >>> backbone = UnpooledResNet("tiny", out_indices=(0, 1, 2))
        >>> [tuple(feat.shape) for feat in backbone(torch.zeros(1, 3, 16, 16))]
        [(1, 64, 8, 8), (1, 64, 8, 8), (1, 128, 4, 4)]
    """

    VARIANTS: dict[str, tuple[type[BasicBlock | Bottleneck], tuple[int, int, int, int]]] = {
        "18": (BasicBlock, (2, 2, 2, 2)),
        "34": (BasicBlock, (3, 4, 6, 3)),
        "50": (Bottleneck, (3, 4, 6, 3)),
        "101": (Bottleneck, (3, 4, 23, 3)),
        "tiny": (BasicBlock, (1, 1, 1, 1)),
    }

    def __init__(
        self,
        variant: str = "50",
        *,
        out_indices: Indices = (0, 1, 2, 3, 4),
        frozen: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "UnpooledResNet variant")
        self.out_indices = checked_indices(out_indices, 5, "UnpooledResNet", what="maps")
        block, depths = self.VARIANTS[variant]
        whole = ResNet(block, list(depths))
        self.conv1, self.bn1, self.relu = whole.conv1, whole.bn1, whole.relu
        for stage in range(1, self.out_indices[-1] + 1):
            self.add_module(f"layer{stage}", getattr(whole, f"layer{stage}"))
        channels = (64, *(64 * 2**stage * block.expansion for stage in range(4)))
        self.out_channels = tuple(channels[index] for index in self.out_indices)
        self.out_strides = tuple((2, 2, 4, 8, 16)[index] for index in self.out_indices)
        self.requires_grad_(not frozen)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return one map (B, C, H / stride, W / stride) for each of ``out_indices``, sizes rounded up.

        Images are (B, 3, H, W), normalised by ImageNet's mean and standard deviation.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise DataError(
                "UnpooledResNet",
                expected="images of 3 channels, (B, 3, H, W)",
                found=f"{tuple(image.shape)}",
                advice="convert them to RGB",
            )
        outs = [self.relu(self.bn1(self.conv1(image)))]
        stages: list[nn.Module] = [getattr(self, f"layer{stage}") for stage in range(1, self.out_indices[-1] + 1)]
        for stage in stages:
            outs.append(stage(outs[-1]))
        return tuple(outs[index] for index in self.out_indices)
