"""ConnNet: connectivity instead of a binary mask, for salient objects and for instances in Mask R-CNN."""

from visionzoo.heads.connnet.convert import convert
from visionzoo.heads.connnet.head import BinaryMapHead, ConnectivityHead, MapHead
from visionzoo.heads.connnet.losses import ConnectivityLoss
from visionzoo.heads.connnet.mask_head import ConnectivityMaskHead

__all__ = ["BinaryMapHead", "ConnectivityHead", "ConnectivityLoss", "ConnectivityMaskHead", "MapHead", "convert"]
