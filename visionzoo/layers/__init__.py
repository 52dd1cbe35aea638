"""Layers that two or more papers use."""

from visionzoo.layers.crop_and_resize import CropAndResizeExtractor
from visionzoo.layers.drop_path import ScheduledDropPath
from visionzoo.layers.message_passing import MessagePassing

__all__ = ["CropAndResizeExtractor", "MessagePassing", "ScheduledDropPath"]
