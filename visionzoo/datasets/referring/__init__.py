"""Data sets of images, phrases and the mask of what each phrase means."""

from visionzoo.datasets.referring.phrase_masks import PhraseMaskDataset
from visionzoo.datasets.referring.refer import ReferDataset

__all__ = ["PhraseMaskDataset", "ReferDataset"]
