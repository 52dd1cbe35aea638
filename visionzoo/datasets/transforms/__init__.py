"""Transforms of samples. Importing this package registers them."""

from visionzoo.datasets.transforms import classification
from visionzoo.datasets.transforms.loading import LoadImage, read_image

__all__ = ["LoadImage", "classification", "read_image"]
