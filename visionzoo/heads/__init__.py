"""Heads: feature maps to losses and predictions, one file or folder per paper or task."""

from visionzoo.heads.classification import ClassificationHead
from visionzoo.heads.connnet import BinaryMapHead, ConnectivityHead, ConnectivityMaskHead
from visionzoo.heads.density import DensityHead
from visionzoo.heads.gconet_plus import GCoNetPlusHead
from visionzoo.heads.hmode import HMoDEHead
from visionzoo.heads.scnn import SCNNHead

__all__ = [
    "BinaryMapHead",
    "ClassificationHead",
    "ConnectivityHead",
    "ConnectivityMaskHead",
    "DensityHead",
    "GCoNetPlusHead",
    "HMoDEHead",
    "SCNNHead",
]
