"""Backbones: an image to a tuple of feature maps, one file or folder per paper."""

from visionzoo.backbones.bossnet import BossNet
from visionzoo.backbones.dinat import DiNAT
from visionzoo.backbones.nasnet import NASNet
from visionzoo.backbones.unpooled_resnet import UnpooledResNet
from visionzoo.backbones.vgg import VGG

__all__ = ["VGG", "BossNet", "DiNAT", "NASNet", "UnpooledResNet"]
