"""GCoNet+ (Zheng et al. 2023): what the images of a group share."""

from visionzoo.heads.gconet_plus.convert import convert_model
from visionzoo.heads.gconet_plus.head import GCoNetPlusHead

__all__ = ["GCoNetPlusHead", "convert_model"]
