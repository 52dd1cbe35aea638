"""Layers that two or more papers use."""

from visionzoo.layers.crop_and_resize import CropAndResizeExtractor
from visionzoo.layers.drop_path import ScheduledDropPath

__all__ = ["CropAndResizeExtractor", "ScheduledDropPath"]
