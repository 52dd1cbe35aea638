"""Backbones: an image to a tuple of feature maps, one file or folder per paper."""

from visionzoo.backbones.bossnet import BossNet
from visionzoo.backbones.dinat import DiNAT
from visionzoo.backbones.nasnet import NASNet

__all__ = ["BossNet", "DiNAT", "NASNet"]
