"""GCoNet+ (Zheng et al. 2023): what the images of a group share."""

from visionzoo.heads.gconet_plus.head import GCoNetPlusHead
from visionzoo.heads.gconet_plus.released import convert_model

__all__ = ["GCoNetPlusHead", "convert_model"]
