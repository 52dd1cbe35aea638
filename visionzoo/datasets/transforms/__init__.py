"""Transforms of samples. Importing this package registers them."""

from visionzoo.datasets.transforms import classification, packing
from visionzoo.datasets.transforms.loading import LoadImage, read_image

__all__ = ["LoadImage", "classification", "packing", "read_image"]
