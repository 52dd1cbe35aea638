"""BossNet (Li et al. 2021): hybrid networks found by BossNAS, and any other encoding of their search space."""

from visionzoo.backbones.bossnet.backbone import BossNet
from visionzoo.backbones.bossnet.blocks import PEG, Attention, ResAtt, ResConv
from visionzoo.backbones.bossnet.convert import convert, convert_classifier, named_variant

__all__ = [
    "PEG",
    "Attention",
    "BossNet",
    "ResAtt",
    "ResConv",
    "convert",
    "convert_classifier",
    "named_variant",
]
