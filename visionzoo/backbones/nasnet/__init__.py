"""NASNet-A (Zoph et al. 2018): Large, Mobile and CIFAR networks of two searched cells, and the authors' detector."""

from visionzoo.backbones.nasnet.auxiliary import NASNetAuxBranch
from visionzoo.backbones.nasnet.backbone import NASNet
from visionzoo.backbones.nasnet.cells import NormalCell, ReductionCell
from visionzoo.backbones.nasnet.convert import (
    convert,
    convert_aux,
    convert_classifier,
    convert_detector,
    named_variant,
)
from visionzoo.backbones.nasnet.detector import NASNetRoITail
from visionzoo.backbones.nasnet.init_and_penalty import init_tensorflow, l2_penalty

__all__ = [
    "NASNet",
    "NASNetAuxBranch",
    "NASNetRoITail",
    "NormalCell",
    "ReductionCell",
    "convert",
    "convert_aux",
    "convert_classifier",
    "convert_detector",
    "init_tensorflow",
    "l2_penalty",
    "named_variant",
]
