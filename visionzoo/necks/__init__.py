"""Necks: a tuple of feature maps to another, one file or folder per paper."""

from visionzoo.necks.rcnet import RCNet
from visionzoo.necks.scnn import SpatialMessagePassing

__all__ = ["RCNet", "SpatialMessagePassing"]
