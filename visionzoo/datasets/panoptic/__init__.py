"""Panoptic data sets: COCO, COCONut and others of their format; their conversions, merging and checking."""

from visionzoo.datasets.panoptic.dataset import PanopticDataset

__all__ = ["PanopticDataset"]
