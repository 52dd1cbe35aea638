"""Data sets of images with one point for each head, vehicle or cell."""

from visionzoo.datasets.counting.base import CountingDataset
from visionzoo.datasets.counting.jhu_crowd import JHUCrowdDataset
from visionzoo.datasets.counting.nwpu_crowd import NWPUCrowdDataset
from visionzoo.datasets.counting.plain_points import PointsDataset
from visionzoo.datasets.counting.shanghaitech import ShanghaiTechDataset
from visionzoo.datasets.counting.trancos import TRANCOSDataset
from visionzoo.datasets.counting.ucf import FOLDS, UCFCC50Dataset, UCFQNRFDataset

__all__ = [
    "FOLDS",
    "CountingDataset",
    "JHUCrowdDataset",
    "NWPUCrowdDataset",
    "PointsDataset",
    "ShanghaiTechDataset",
    "TRANCOSDataset",
    "UCFCC50Dataset",
    "UCFQNRFDataset",
]
