"""GCoNet+ (Zheng et al. 2023): co-salient object detection in groups of images."""

from visionzoo.heads.gconet_plus.convert import convert_model
from visionzoo.heads.gconet_plus.head import GCoNetPlusHead

__all__ = ["GCoNetPlusHead", "convert_model"]
