"""Transforms of samples. Importing this package registers them."""

from visionzoo.datasets.transforms import classification, counting, groups, lanes, masks, packing
from visionzoo.datasets.transforms.loading import LoadImage, read_image

__all__ = ["LoadImage", "classification", "counting", "groups", "lanes", "masks", "packing", "read_image"]
