"""Data sets of road images with lanes: CULane and TuSimple."""

from visionzoo.datasets.lanes.culane import CULaneDataset
from visionzoo.datasets.lanes.tusimple import TuSimpleDataset

__all__ = ["CULaneDataset", "TuSimpleDataset"]
